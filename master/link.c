/*
 * UNLINK, the virtual delete, and RELINK, which undoes it: the record changes its state
 * and keeps everything else (places, MD5, size, time). No volume is asked.
 *
 * Once begun the operation runs to its end, whether the client waits for it or not: the
 * claim is released after the commit, never before.
 */
#include "common/stock.h"
#include "master/crash_point.h"
#include "master/operations.h"

struct link {
    struct request *request;
    enum record_state from, to;
    bool running; /* claim or commit under way: its completion will finish it */
};

static _Thread_local struct stock links = {.size = sizeof(struct link)};

static void link_free(struct link *link)
{
    request_free(&link->request);
    stock_put(&links, link);
}

/* Answers, where somebody still listens; over() frees then. */
static void finish(struct link *link, int status, const char *why)
{
    link->running = false;
    if (link->request->ex)
        request_answer(link->request, status, why);
    else
        link_free(link);
}

static void committed(void *arg, int err)
{
    struct link *link = arg;

    CRASH_POINT("link: committed");
    index_release(link->request->shard->master->index, link->request->key);
    finish(link, err == 0 ? 204 : 503, "the index takes no writes");
}

static void claimed(void *arg, int err, struct entry *entry)
{
    struct link *link = arg;
    struct request *r = link->request;
    struct index *index = r->shard->master->index;
    struct change *change;

    if (err != 0) {
        const char *why;
        int status = request_claim_refused(err, &why);

        finish(link, status, why);
        return;
    }
    if (entry->record.state != link->from) {
        entry_clear(entry);
        index_release(index, r->key);
        finish(link, 404,
               link->from == RECORD_LIVE ? "no such key" : "no such key is unlinked");
        return;
    }
    CRASH_POINT("link: claimed");
    entry->record.state = link->to;
    change = change_new(r->key);
    change_record(change, &entry->record, entry->has_size, entry->size, entry->time);
    entry_clear(entry);
    index_commit(index, r->shard->loop, &change, true, committed, link);
}

static void link_over(struct exchange *ex, enum exchange_end how)
{
    struct link *link = exchange_arg(ex);

    (void)how;
    link->request->ex = NULL;
    if (!link->running)
        link_free(link);
}

static const struct exchange_ops link_ops = {.over = link_over};

static void link_start(struct request *request, enum record_state from,
                       enum record_state to)
{
    struct link *link = stock_get(&links);

    link->request = request;
    link->from = from;
    link->to = to;
    link->running = true;
    exchange_own(request->ex, &link_ops, link);
    index_claim(request->shard->master->index, request->shard->loop, request->key,
                claimed, link);
}

void operation_unlink(struct request *request)
{
    link_start(request, RECORD_LIVE, RECORD_UNLINKED);
}

void operation_relink(struct request *request)
{
    link_start(request, RECORD_UNLINKED, RECORD_LIVE);
}
