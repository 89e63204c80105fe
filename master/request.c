/*
 * Requests on their way to an operation, and what operations answer alike. They come from
 * a per-thread stock: one is needed for every request, a missing key's GET included.
 */
#include <errno.h>

#include "common/stock.h"
#include "master/master.h"

static _Thread_local struct stock requests = {.size = sizeof(struct request)};

void shard_enter(struct shard *shard)
{
    shard->running++;
}

void shard_leave(struct shard *shard)
{
    if (--shard->running == 0 && shard->drained) {
        loop_defer(shard->loop, shard->drained);
        shard->drained = NULL;
    }
}

struct request *request_new(struct shard *shard, struct exchange *ex)
{
    struct request *request = stock_get(&requests);

    shard_enter(shard);
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

    stock_put(&requests, *request);
    *request = NULL;
    shard_leave(shard);
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
