/*
 * The stock of blocks is per thread, so that getting one is a pointer exchange and no
 * lock is taken. It is small: its worth is in the common case of one request after the
 * other.
 */
#include "common/block.h"

#include <stdlib.h>

#include "common/assure.h"

#if defined(__SANITIZE_ADDRESS__)
#define STOCKED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STOCKED 0
#endif
#endif
#ifndef STOCKED
#define STOCKED 1
#endif

struct stock {
    struct block *first;
    unsigned n;
};

enum { STOCK_SMALL = 256, STOCK_LARGE = 64 }; /* 2 MiB and 4 MiB a thread at most */

static _Thread_local struct stock small_blocks, large_blocks;

struct block *block_get(size_t size)
{
    assure(size == BLOCK_SMALL || size == BLOCK_LARGE);
    struct stock *stock = size == BLOCK_SMALL ? &small_blocks : &large_blocks;
    struct block *b = stock->first;
    if (b) {
        stock->first = b->next;
        stock->n--;
    } else {
        b = xmalloc(sizeof *b + size);
        b->size = (uint32_t)size;
    }
    b->refs = 1;
    b->used = 0;
    b->next = NULL;
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
    struct stock *stock = b->size == BLOCK_SMALL ? &small_blocks : &large_blocks;
    unsigned most = b->size == BLOCK_SMALL ? STOCK_SMALL : STOCK_LARGE;
    if (!STOCKED || stock->n >= most) {
        free(b);
        return;
    }
    b->next = stock->first;
    stock->first = b;
    stock->n++;
}

static void stock_free(struct stock *stock)
{
    while (stock->first) {
        struct block *b = stock->first;
        stock->first = b->next;
        free(b);
    }
    stock->n = 0;
}

void block_stock_free(void)
{
    stock_free(&small_blocks);
    stock_free(&large_blocks);
}
