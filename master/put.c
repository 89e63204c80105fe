/*
 * PUT: a body becomes a value on `replicas` volumes, or leaves no trace. The rules it
 * keeps, and why they hold under kill -9 and under requests that arrive late, stand in
 * docs/writes.md.
 *
 *   CLAIMING ─▶ FLOWING ─▶ ENDING ─▶ COMMITTING ─▶ ANSWERED
 *      │           │          │           │            ▲
 *      │           └──────────┴───────────┴─▶ UNDOING ─┤
 *      └───────────────────────────────────────────────┘
 *
 * Whatever happens (bytes, room, a volume's answer, a mark that became durable) is noted
 * and followed by step(), which alone decides what is done next. The body's last piece is
 * held back until all checks on it have passed; see held.h and replica_set.h.
 */
#include <time.h>

#include "common/assure.h"
#include "common/stock.h"
#include "master/content_md5.h"
#include "master/crash_point.h"
#include "master/operations.h"
#include "master/removals.h"
#include "master/value/body_sum.h"
#include "master/value/held.h"
#include "master/value/replica_set.h"

enum put_state {
    PUT_CLAIMING,   /* the key is being claimed; nothing of ours is anywhere */
    PUT_FLOWING,    /* places are chosen and being marked; no volume has the last byte */
    PUT_ENDING,     /* all checks passed, a last byte is out: the client's leaving is too
                 * late */
    PUT_COMMITTING, /* enough volumes hold the value; the record is being committed */
    PUT_UNDOING,    /* it failed; all places are given up and are becoming removals */
    PUT_ANSWERED, /* the claim is released and the answer given; only over() is to come */
};

struct put {
    enum put_state state;
    struct request *request; /* its ex is NULL once the exchange is over */
    bool has_entry;
    struct entry entry;      /* what the key was; from FLOWING on, until answered */
    struct replica_set *set; /* the same */
    struct held held;
    struct body_sum *sum; /* NULL: not needed, or summed up already */
    char hex[MD5_HEX + 1];
    bool has_wanted;
    uint8_t wanted[MD5_BYTES]; /* the client's Content-MD5 */
    uint64_t size;             /* bytes of the body so far */
    bool whole;                /* all of the body is here */
    bool complete;             /* and is checked: its MD5 is summed up */
    bool starved;              /* the server holds bytes that were not taken */
    int status;                /* the answer: of a body found wrong, or in UNDOING */
    const char *why;
};

static _Thread_local struct stock spares = {.size = sizeof(struct put)};

static void set_state(struct put *put, enum put_state to)
{
    static const unsigned may[] = {
        [PUT_CLAIMING] = 1U << PUT_FLOWING | 1U << PUT_ANSWERED,
        [PUT_FLOWING] = 1U << PUT_ENDING | 1U << PUT_UNDOING,
        [PUT_ENDING] = 1U << PUT_COMMITTING | 1U << PUT_UNDOING,
        [PUT_COMMITTING] = 1U << PUT_ANSWERED | 1U << PUT_UNDOING,
        [PUT_UNDOING] = 1U << PUT_ANSWERED,
        [PUT_ANSWERED] = 0,
    };

    assure(may[put->state] & 1U << to);
    put->state = to;
}

static struct master *master_of(const struct put *put)
{
    return put->request->shard->master;
}

/* --- the end ----------------------------------------------------------------------- */
static void put_free(struct put *put)
{
    request_free(&put->request);
    stock_put(&spares, put);
}

/* The last thing done to a PUT: it may be gone when this returns. */
static void answer(struct put *put, int status, const char *why)
{
    if (put->set)
        replica_set_free(&put->set);
    if (put->has_entry)
        entry_clear(&put->entry);
    held_clear(&put->held);
    body_sum_free(&put->sum);
    set_state(put, PUT_ANSWERED);
    if (put->request->ex)
        request_answer(put->request, status, why);
    else
        put_free(put);
}

/* The same, of a PUT that holds the claim. Released first: a client that has its answer
 * finds the key free. */
static void release_and_answer(struct put *put, int status, const char *why)
{
    index_release(master_of(put)->index, put->request->key);
    CRASH_POINT("put: released, not answered");
    answer(put, status, why);
}

/* Clears listed removals in the background. */
static void clear(struct put *put, const struct str *place, int n)
{
    struct shard *shard = put->request->shard;

    if (n > 0)
        removals_clear(shard->master->removals, shard->loop, shard->client,
                       put->request->key, place, n, NULL, NULL);
}

/* --- failure ----------------------------------------------------------------------- */
static void on_undone(void *arg, int err)
{
    struct put *put = arg;
    struct str place[PLACEMENT_VOLUMES_MAX];

    /* What could not be written stands as marks in the index: nobody uses those places,
     * and the index makes removals of them when it can. */
    CRASH_POINT("put: undone");
    if (err == 0)
        clear(put, place, replica_set_spoilt(put->set, place));
    release_and_answer(put, put->status, put->why);
}

/* The key stays what it was; all places that may have got the value become removals. */
static void fail(struct put *put, int status, const char *why)
{
    struct shard *shard = put->request->shard;
    struct str place[PLACEMENT_VOLUMES_MAX];
    struct change *change;
    bool durable;

    set_state(put, PUT_UNDOING);
    put->status = status;
    put->why = why;
    replica_set_stop(put->set);
    CRASH_POINT("put: given up, not undone");
    held_clear(&put->held);
    if (!replica_set_marked(put->set)) {
        on_undone(put, 0);
        return;
    }
    change = change_new(put->request->key);
    replica_set_settle(put->set, removals_due(master_of(put)->removals), change);
    /* With nothing to clear it need not be synced: a mark that comes back does no
     * harm. */
    durable = replica_set_spoilt(put->set, place) > 0;
    index_commit(shard->master->index, shard->loop, &change, durable, on_undone, put);
}

/* --- success ----------------------------------------------------------------------- */
static void on_committed(void *arg, int err)
{
    struct put *put = arg;
    struct str place[PLACEMENT_VOLUMES_MAX + RECORD_PLACES_MAX];
    int n;

    if (err != 0) {
        fail(put, 503, "the index takes no writes");
        return;
    }
    CRASH_POINT("put: committed");
    n = replica_set_spoilt(put->set, place);
    if (put->entry.record.state == RECORD_UNLINKED)
        for (int i = 0; i < put->entry.record.n; i++)
            place[n++] = put->entry.record.place[i];
    clear(put, place, n);
    release_and_answer(put, 201, NULL);
}

static void commit(struct put *put)
{
    struct shard *shard = put->request->shard;
    struct change *change = change_new(put->request->key);
    int64_t due = removals_due(shard->master->removals);
    struct record record = {.state = RECORD_LIVE};

    set_state(put, PUT_COMMITTING);
    CRASH_POINT("put: held by all, not committed");
    if (shard->master->md5sum)
        memcpy(record.md5, put->hex, sizeof(record.md5));
    replica_set_places(put->set, &record);
    replica_set_settle(put->set, due, change);
    if (put->entry.record.state == RECORD_UNLINKED)
        for (int i = 0; i < put->entry.record.n; i++)
            change_removal(change, put->entry.record.place[i], due, 0);
    change_record(change, &record, record.md5[0] != '\0', put->size, time(NULL));
    index_commit(shard->master->index, shard->loop, &change, true, on_committed, put);
}

/* --- under way --------------------------------------------------------------------- */
static bool can_take(const struct put *put, const struct block *block)
{
    if (put->sum && !body_sum_room(put->sum, block))
        return false;
    if (put->state == PUT_CLAIMING)
        return !block || held_room(&put->held, block);
    return replica_set_room(put->set, block);
}

static void take_what_waits(struct put *put)
{
    if (!put->starved || !put->request->ex || !can_take(put, NULL))
        return;
    put->starved = false;
    exchange_resume(put->request->ex);
}

/* Does what is next; may end the PUT. */
static void step(struct put *put)
{
    if (put->state != PUT_FLOWING && put->state != PUT_ENDING)
        return;
    switch (replica_set_mend(put->set, put->complete, put->size, put->hex)) {
    case REPLICA_SET_HELD:
        commit(put);
        return;
    case REPLICA_SET_FEW:
        fail(put, 500, "too few volumes can take the value");
        return;
    case REPLICA_SET_LOST:
        fail(put, 500, "no volume took the whole value");
        return;
    case REPLICA_SET_LOCAL:
        fail(put, 503, "the master is out of connections");
        return;
    case REPLICA_SET_GOING:
        break;
    }
    if (replica_set_send(put->set, put->complete) && put->state == PUT_FLOWING) {
        set_state(put, PUT_ENDING);
        CRASH_POINT("put: a last byte is out");
    }
    take_what_waits(put);
}

static void on_changed(void *arg, int err)
{
    struct put *put = arg;

    if (put->state != PUT_FLOWING && put->state != PUT_ENDING)
        return; /* a mark of one that is being undone */
    if (err != 0)
        fail(put, 503, "the index takes no writes");
    else
        step(put);
}

/* --- the body ---------------------------------------------------------------------- */
static size_t on_body(struct exchange *ex, struct block *block, const char *data,
                      size_t len)
{
    struct put *put = exchange_arg(ex);

    if (put->state != PUT_CLAIMING && put->state != PUT_FLOWING)
        return len;
    put->starved = !can_take(put, block);
    if (put->starved)
        return 0;
    /* The body's beginning is let go of: a replica lost from here on is made good by a
     * copy. All but the last piece has been sent by step(). */
    if (!held_room(&put->held, block))
        held_forget(&put->held, held_end(&put->held) - 1);
    if (put->sum)
        body_sum_add(put->sum, block, data, len);
    put->size += len;
    held_add(&put->held, block, data, len);
    step(put);
    return len;
}

/* What is wrong with the complete body: an HTTP status, or 0. */
static int check_body(struct put *put, const char **why)
{
    uint8_t sum[MD5_BYTES];

    if (put->size == 0) {
        *why = "the body is empty";
        return 411;
    }
    if (!put->sum)
        return 0;
    body_sum_result(put->sum, sum);
    body_sum_free(&put->sum);
    md5_hex(sum, put->hex);
    if (put->has_wanted && memcmp(sum, put->wanted, sizeof(sum)) != 0) {
        *why = "the body does not match its Content-MD5";
        return 400;
    }
    return 0;
}

/* The body is here: once it is summed up, too, it is complete. */
static void end_body(struct put *put)
{
    if (put->sum && !body_sum_end(put->sum))
        return;
    put->complete = true;
    CRASH_POINT("put: the body is complete");
    put->status = check_body(put, &put->why);
    if (put->state == PUT_CLAIMING)
        return;
    if (put->status != 0)
        fail(put, put->status, put->why);
    else
        step(put);
}

static void on_summed(void *arg)
{
    struct put *put = arg;

    if (put->state != PUT_CLAIMING && put->state != PUT_FLOWING)
        return;
    if (put->whole)
        end_body(put);
    else
        take_what_waits(put);
}

static void on_body_end(struct exchange *ex)
{
    struct put *put = exchange_arg(ex);

    if (put->state != PUT_CLAIMING && put->state != PUT_FLOWING)
        return;
    put->whole = true;
    end_body(put);
}

/* Answered here and not by the server: with the answer the key is free again. */
static void on_body_bad(struct exchange *ex)
{
    struct put *put = exchange_arg(ex);

    if (put->state == PUT_CLAIMING) {
        put->status = 400;
        put->why = "the body is malformed";
    } else if (put->state == PUT_FLOWING) {
        fail(put, 400, "the body is malformed");
    }
}

static void on_over(struct exchange *ex, enum exchange_end how)
{
    struct put *put = exchange_arg(ex);

    (void)how;
    put->request->ex = NULL;
    switch (put->state) {
    case PUT_FLOWING:
        fail(put, 400, "the client left");
        break;
    case PUT_ANSWERED:
        put_free(put);
        break;
    case PUT_CLAIMING: /* on_claimed() sees it */
    case PUT_ENDING:
    case PUT_COMMITTING:
    case PUT_UNDOING:
        break;
    }
}

/* --- the beginning ----------------------------------------------------------------- */
static void on_claimed(void *arg, int err, struct entry *entry)
{
    struct put *put = arg;
    const struct http_head *head;

    if (err != 0) {
        const char *why;
        int status = request_claim_refused(err, &why);

        answer(put, status, why);
        return;
    }
    put->entry = *entry;
    put->has_entry = true;
    if (!put->request->ex) {
        release_and_answer(put, 0, NULL); /* to nobody */
        return;
    }
    if (put->entry.record.state == RECORD_LIVE) {
        release_and_answer(put, 403, "the key exists");
        return;
    }
    if (put->status != 0) { /* the body is here, and wrong */
        release_and_answer(put, put->status, put->why);
        return;
    }
    head = exchange_head(put->request->ex);
    put->set = replica_set_new(&(struct replica_set_spec){
        .shard = put->request->shard,
        .key = put->request->key,
        .entry = &put->entry,
        .held = &put->held,
        .has_length = head->body == HTTP_BODY_LENGTH,
        .length = head->length,
        .changed = on_changed,
        .arg = put,
    });
    set_state(put, PUT_FLOWING);
    CRASH_POINT("put: claimed");
    step(put);
}

void operation_put(struct request *request)
{
    static const struct exchange_ops ops = {
        .body = on_body,
        .body_end = on_body_end,
        .body_bad = on_body_bad,
        .over = on_over,
    };
    const struct http_head *head = exchange_head(request->ex);
    struct shard *shard = request->shard;
    struct put *put = stock_get(&spares);

    put->state = PUT_CLAIMING;
    put->request = request;
    put->has_entry = false;
    put->set = NULL;
    held_init(&put->held);
    put->sum = NULL;
    put->hex[0] = '\0';
    put->size = 0;
    put->whole = false;
    put->complete = false;
    put->starved = false;
    put->status = 0;
    put->why = NULL;
    exchange_own(request->ex, &ops, put);

    if (head->body == HTTP_BODY_NONE ||
        (head->body == HTTP_BODY_LENGTH && head->length == 0)) {
        answer(put, 411, "the body is empty");
        return;
    }
    if (!content_md5_read(head, &put->has_wanted, put->wanted)) {
        answer(put, 400, "Content-MD5 is neither base64 nor hex of an MD5");
        return;
    }
    if (shard->master->md5sum || put->has_wanted)
        put->sum = body_sum_new(&(struct body_sum_spec){
            .workers = shard->master->summers,
            .loop = shard->loop,
            .has_length = head->body == HTTP_BODY_LENGTH,
            .length = head->length,
            .progress = on_summed,
            .arg = put,
        });
    index_claim(shard->master->index, shard->loop, request->key, on_claimed, put);
}
