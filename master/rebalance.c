/*
 * REBALANCE of one key: 204 when every home holds the value and no other place does any
 * more, 400 when that cannot be done now. Once begun it runs to its end, whether the
 * client waits for it or not.
 */
#include "common/stock.h"
#include "master/homecoming.h"
#include "master/operations.h"

struct rebalance {
    struct request *request; /* its ex is NULL once the exchange is over */
    bool running;            /* the homecoming's end is to come */
};

static _Thread_local struct stock rebalances = {.size = sizeof(struct rebalance)};

static void rebalance_free(struct rebalance *rebalance)
{
    request_free(&rebalance->request);
    stock_put(&rebalances, rebalance);
}

static void answer(const struct request *request, const struct homecoming_end *end)
{
    switch (end->result) {
    case HOMECOMING_HOME:
    case HOMECOMING_MOVED:
        request_answer(request, 204, NULL);
        break;
    case HOMECOMING_STAYS:
        request_answer(request, 400, end->why);
        break;
    case HOMECOMING_ABSENT:
        request_answer(request, 404, "no such key");
        break;
    case HOMECOMING_BUSY:
        request_answer(request, 409, "the key is busy");
        break;
    case HOMECOMING_INDEX:
        request_answer(request, 503, "the index cannot be read, or takes no writes");
        break;
    }
}

static void on_done(void *arg, const struct homecoming_end *end)
{
    struct rebalance *rebalance = arg;

    rebalance->running = false;
    if (rebalance->request->ex)
        answer(rebalance->request, end);
    else
        rebalance_free(rebalance);
}

static void on_over(struct exchange *ex, enum exchange_end how)
{
    struct rebalance *rebalance = exchange_arg(ex);

    (void)how;
    rebalance->request->ex = NULL;
    if (!rebalance->running)
        rebalance_free(rebalance);
}

void operation_rebalance(struct request *request)
{
    static const struct exchange_ops ops = {.over = on_over};
    struct rebalance *rebalance = stock_get(&rebalances);

    rebalance->request = request;
    rebalance->running = true;
    exchange_own(request->ex, &ops, rebalance);
    homecoming_start(
        &(struct homecoming_spec){.shard = request->shard, .key = request->key}, on_done,
        rebalance);
}
