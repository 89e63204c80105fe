/*
 * Stocks, see stock.h. A stock registers itself on its thread's list when it first keeps
 * something, so that the thread's end needs no list of who has one.
 */
#include "common/stock.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/assure.h"

static _Thread_local struct stock *stocks;

void *stock_get(struct stock *stock)
{
    void *object = stock->first;

    if (!object)
        return xmalloc(stock->size);
    stock->first = *(void **)object;
    stock->kept--;
    return object;
}

void stock_put(struct stock *stock, void *object)
{
    unsigned most = stock->most == 0 ? STOCK_MOST : stock->most;

    if (!object)
        return;
    if (!STOCKS_KEEP || stock->kept >= most) {
        free(object);
        return;
    }
    if (!stock->known) {
        stock->known = true;
        stock->next = stocks;
        stocks = stock;
    }
    *(void **)object = stock->first;
    stock->first = object;
    stock->kept++;
}

void stock_free_all(void)
{
    for (; stocks; stocks = stocks->next) {
        while (stocks->first) {
            void *object = stocks->first;

            stocks->first = *(void **)object;
            free(object);
        }
        stocks->kept = 0;
        stocks->known = false;
    }
}
