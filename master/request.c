/*
 * Requests on their way to an operation. They come from a per-thread stock: one is needed
 * for every request, a missing key's GET included.
 */
#include "master/master.h"
#include "master/stock.h"

static _Thread_local struct stock requests = {.size = sizeof(struct request)};

struct request *request_new(struct shard *shard, struct exchange *ex)
{
    struct request *request = stock_get(&requests);

    shard->running++;
    request->shard = shard;
    request->ex = ex;
    request->key = (struct str){request->keybuf, 0};
    request->query = (struct str){"", 0};
    return request;
}

void request_free(struct request **request)
{
    (*request)->shard->running--;
    stock_put(&requests, *request);
    *request = NULL;
}
