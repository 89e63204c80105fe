/*
 * Requests on their way to an operation, and what operations answer alike. They come from
 * a per-thread stock: one is needed for every request, a missing key's GET included.
 */
#include <errno.h>

#include "common/stock.h"
#include "master/master.h"

static _Thread_local struct stock requests = {.size = sizeof(struct request)};

struct request *request_new(struct shard *shard, struct exchange *ex)
{
    struct request *request = stock_get(&requests);

    shard->running++;
    request->shard = shard;
    request->ex = ex;
    request->key = (struct str){request->keybuf, 0};
    request->path = STR("");
    request->query = STR("");
    return request;
}

void request_free(struct request **request)
{
    struct shard *shard = (*request)->shard;

    if (--shard->running == 0 && shard->drained != NULL) {
        loop_defer(shard->loop, shard->drained);
        shard->drained = NULL;
    }
    stock_put(&requests, *request);
    *request = NULL;
}

void request_answer(const struct request *request, int status, const char *why)
{
    if (status < 300)
        exchange_reply(request->ex, status, NULL, STR(""));
    else
        exchange_error(request->ex, status, why);
}

int request_claim_refused(int err, const char **why)
{
    *why = err == -EBUSY ? "the key is busy" : "the index cannot be read";
    return err == -EBUSY ? 409 : 503;
}
