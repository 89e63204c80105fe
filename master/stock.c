/*
 * Stocks, see stock.h. A stock registers itself on its thread's list when it first keeps
 * something, so that the thread's end needs no list of who has one.
 */
#include "master/stock.h"

#include <stdlib.h>

#include "common/assure.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STOCK_KEEPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STOCK_KEEPS 0
#endif
#endif
/* Spares kept per stock: more than are lent at once under usual load, yet little memory.
 */
#ifndef STOCK_KEEPS
#define STOCK_KEEPS 128
#endif

static _Thread_local struct stock *stocks;

void *stock_get(struct stock *stock)
{
    void *object = stock->first;

    if (object == NULL)
        return xmalloc(stock->size);
    stock->first = *(void **)object;
    stock->kept--;
    return object;
}

void stock_put(struct stock *stock, void *object)
{
    if (object == NULL)
        return;
    if (stock->kept + 1 > STOCK_KEEPS) {
        free(object);
        return;
    }
    if (!stock->known) {
        stock->known = 1;
        stock->next = stocks;
        stocks = stock;
    }
    *(void **)object = stock->first;
    stock->first = object;
    stock->kept++;
}

void stock_free_all(void)
{
    for (; stocks != NULL; stocks = stocks->next) {
        while (stocks->first != NULL) {
            void *object = stocks->first;

            stocks->first = *(void **)object;
            free(object);
        }
        stocks->kept = 0;
        stocks->known = 0;
    }
}
