/*
 * Blocks come from stocks, per thread, so that getting one is a pointer exchange and no
 * lock is taken. They are small: their worth is in the common case of one request after
 * the other.
 */
#include "common/block.h"

#include "common/assure.h"
#include "common/stock.h"

/* 2 MiB and 4 MiB a thread at most. */
static _Thread_local struct stock small_blocks = {
    .size = sizeof(struct block) + BLOCK_SMALL,
    .most = 256,
};
static _Thread_local struct stock large_blocks = {
    .size = sizeof(struct block) + BLOCK_LARGE,
    .most = 64,
};

static struct stock *stock_of(size_t size)
{
    return size == BLOCK_SMALL ? &small_blocks : &large_blocks;
}

struct block *block_get(size_t size)
{
    assure(size == BLOCK_SMALL || size == BLOCK_LARGE);
    struct block *b = stock_get(stock_of(size));
    b->size = (uint32_t)size;
    b->refs = 1;
    b->used = 0;
    return b;
}

void block_unref(struct block **bp)
{
    struct block *b = *bp;
    *bp = NULL;
    if (!b)
        return;
    assure(b->refs > 0);
    if (--b->refs > 0)
        return;
    stock_put(stock_of(b->size), b);
}
