/*
 * Stocks: per-thread spares of equal-sized objects, so that a request costs no malloc
 * once a thread has warmed up. A stock is a static _Thread_local variable of the file
 * that uses it; what it lends goes to the stock of the thread that gives it back. In
 * sanitizer builds everything goes straight to free(), so that use after return is seen.
 */
#ifndef COMMON_STOCK_H
#define COMMON_STOCK_H

#include <stdbool.h>
#include <stddef.h>

/* Are spares kept in this build? Also for what keeps spares of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STOCKS_KEEP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STOCKS_KEEP 0
#endif
#endif
#ifndef STOCKS_KEEP
#define STOCKS_KEEP 1
#endif

/* More than are lent at once under usual load, yet little memory. */
enum { STOCK_MOST = 128 };

struct stock {
    size_t size;   /* of an object, at least a pointer's; set by its owner */
    unsigned most; /* spares kept; 0: STOCK_MOST; set by its owner */
    unsigned kept; /* spares now */
    bool known;    /* on this thread's list of stocks */
    void *first;   /* the spares, linked through their first bytes */
    struct stock *next;
};

/* Never NULL; the bytes are whatever they were. */
void *stock_get(struct stock *stock);
/* Gives an object back; NULL is fine. */
void stock_put(struct stock *stock, void *object);
/* At the end of a thread: frees the spares of all its stocks. */
void stock_free_all(void);

#endif
