/*
 * Stocks: per-thread spares of equal-sized objects, so that a request costs no malloc
 * once a thread has warmed up. A stock is a static _Thread_local variable of the file
 * that uses it; what it lends is taken back on the same thread. In sanitizer builds
 * everything goes straight to free(), so that use after return is seen.
 */
#ifndef MASTER_STOCK_H
#define MASTER_STOCK_H

#include <stddef.h>

struct stock {
    size_t size;   /* of an object: the only field its owner sets */
    unsigned kept; /* spares now */
    void *first;   /* the spares, linked through their first bytes */
    struct stock *next;
    int known; /* on this thread's list of stocks */
};

/* Never NULL; the bytes are whatever they were. */
void *stock_get(struct stock *stock);
/* Gives an object back; NULL is fine. */
void stock_put(struct stock *stock, void *object);
/* At the end of a thread: frees the spares of all its stocks. */
void stock_free_all(void);

#endif
