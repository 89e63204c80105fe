/*
 * Blocks: the buffers that bytes of HTTP live in. Reference-counted, so that one block
 * read from a client can wait in the send queues of three volumes without being copied.
 *
 * A block belongs to the thread that got it; only that thread changes its references. A
 * worker may read or fill its bytes while the owner holds a reference for it. Blocks are
 * lent: an idle connection holds none. Freed blocks go to a small per-thread stock (in
 * sanitizer builds straight to free(), so that use after return is seen).
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
    struct block *next;
    char data[];
};

struct block *
block_get(size_t size); /* BLOCK_SMALL or BLOCK_LARGE; one reference, used 0 */
static inline struct block *block_ref(struct block *b)
{
    b->refs++;
    return b;
}
void block_unref(
    struct block **b); /* drops one reference and clears the pointer; NULL is fine */
/* At the end of a thread: frees this thread's stock. */
void block_stock_free(void);

#endif
