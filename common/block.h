/*
 * Blocks: the buffers that bytes of HTTP live in. Reference-counted, so that one block
 * read from a client can wait in the send queues of three volumes without being copied.
 *
 * A block belongs to the thread that got it; only that thread changes its references. A
 * worker may read or fill its bytes while the owner holds a reference for it. Blocks are
 * lent: an idle connection holds none. Freed blocks go to a stock (common/stock.h).
 */
#ifndef COMMON_BLOCK_H
#define COMMON_BLOCK_H

#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK_SMALL = 8 * 1024,  /* a request head and a small body */
    BLOCK_LARGE = 64 * 1024, /* a body under way */
};

struct block {
    uint32_t refs;
    uint32_t size; /* bytes in data */
    uint32_t used; /* bytes filled; kept by whoever fills it */
    char data[];
};

/* BLOCK_SMALL or BLOCK_LARGE; one reference, used 0. */
struct block *block_get(size_t size);
static inline struct block *block_ref(struct block *b)
{
    b->refs++;
    return b;
}
/* Drops one reference and clears the pointer; NULL is fine. */
void block_unref(struct block **b);

#endif
