/*
 * DELETE: one durable batch drops the record and makes its places removals, then the
 * files go, then 204. What could not be cleared stays listed, and it is 204 all the same.
 *
 * The claim is held until the volumes have answered and the index has been handed what
 * they said. A PUT that follows the 204 finds its home free: its claim waits until the
 * index has taken that. A client that leaves changes nothing.
 */
#include "common/assure.h"
#include "common/stock.h"
#include "master/crash_point.h"
#include "master/operations.h"
#include "master/removals.h"

enum delete_state {
    DELETE_CLAIMING, /* the key is being claimed */
    DELETE_DROPPING, /* claimed; the batch is being committed */
    DELETE_CLEARING, /* claimed; the key is absent, its places are being cleared */
    DELETE_ANSWERED, /* released and answered; only over() is to come */
};

struct delete
{
    enum delete_state state;
    struct request *request;   /* its ex is NULL once the exchange is over */
    struct entry entry;        /* from DROPPING on, until answered */
    struct clearing *clearing; /* in DROPPING: of its places, once the batch is written */
};

static _Thread_local struct stock deletes = {.size = sizeof(struct delete)};

static void set_state(struct delete *d, enum delete_state to)
{
    assure(to == d->state + 1 || (to == DELETE_ANSWERED && d->state < to));
    d->state = to;
}

static struct master *master_of(const struct delete *d)
{
    return d->request->shard->master;
}

static void delete_free(struct delete *d)
{
    request_free(&d->request);
    stock_put(&deletes, d);
}

/* The last thing done to a DELETE: it may be gone when this returns. */
static void answer(struct delete *d, int status, const char *why)
{
    set_state(d, DELETE_ANSWERED);
    if (d->request->ex)
        request_answer(d->request, status, why);
    else
        delete_free(d);
}

static void release(struct delete *d)
{
    entry_clear(&d->entry);
    index_release(master_of(d)->index, d->request->key);
}

static void on_cleared(void *arg)
{
    struct delete *d = arg;

    CRASH_POINT("delete: cleared");
    release(d);
    CRASH_POINT("delete: released, not answered");
    answer(d, 204, NULL);
}

static void on_dropped(void *arg, int err)
{
    struct delete *d = arg;
    struct shard *shard = d->request->shard;

    if (err != 0) {
        removals_expect_no_more(&d->clearing);
        release(d);
        answer(d, 503, "the index takes no writes");
        return;
    }
    set_state(d, DELETE_CLEARING);
    CRASH_POINT("delete: dropped");
    removals_clear_expected(&d->clearing, shard->client, on_cleared, d);
}

static void drop(struct delete *d)
{
    const struct record *record = &d->entry.record;
    struct master *master = master_of(d);
    struct loop *loop = d->request->shard->loop;
    struct change *change = change_new(d->request->key);
    int64_t due = removals_due(master->removals);

    set_state(d, DELETE_DROPPING);
    CRASH_POINT("delete: claimed");
    d->clearing = removals_expect(master->removals, loop, d->request->key, record->place,
                                  record->n, due);
    change_drop_record(change);
    for (int i = 0; i < record->n; i++)
        change_removal(change, record->place[i], due, 0);
    index_commit(master->index, loop, &change, true, on_dropped, d);
}

static void on_claimed(void *arg, int err, struct entry *entry)
{
    struct delete *d = arg;

    if (err != 0) {
        const char *why;
        int status = request_claim_refused(err, &why);

        answer(d, status, why);
        return;
    }
    d->entry = *entry;
    if (d->entry.record.state == RECORD_ABSENT) {
        release(d);
        answer(d, 404, "no such key");
    } else if (d->entry.record.state == RECORD_LIVE && master_of(d)->protect) {
        release(d);
        answer(d, 403, "the key is live, and protected");
    } else {
        drop(d);
    }
}

static void on_over(struct exchange *ex, enum exchange_end how)
{
    struct delete *d = exchange_arg(ex);

    (void)how;
    d->request->ex = NULL;
    if (d->state == DELETE_ANSWERED)
        delete_free(d);
}

void operation_delete(struct request *request)
{
    static const struct exchange_ops ops = {.over = on_over};
    struct shard *shard = request->shard;
    struct delete *d = stock_get(&deletes);

    d->state = DELETE_CLAIMING;
    d->request = request;
    exchange_own(request->ex, &ops, d);
    index_claim(shard->master->index, shard->loop, request->key, on_claimed, d);
}
