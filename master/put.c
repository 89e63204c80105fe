/*
 * PUT: a body becomes a value on `replicas` volumes, or leaves no trace. The rules it
 * keeps, and why it then holds under kill -9 and requests that arrive late, stand in
 * docs/writes.md.
 *
 *   CLAIMING ─▶ FLOWING ─▶ ENDING ─▶ COMMITTING ─▶ ANSWERED
 *      │           │          │           │            ▲
 *      │           └──────────┴───────────┴─▶ UNDOING ─┤
 *      └───────────────────────────────────────────────┘
 *
 * Everything that happens (bytes, room, an answer, a commit, a failure) is noted and
 * followed by step(), which alone decides what is done next. Replicas that are over are
 * replaced there; the body's beginning is kept for that as long as it fits, and once it
 * is gone a replacement gets the value as a copy from a replica that holds it.
 *
 * A small body is not sent before it is complete and its mark durable, so that head and
 * body leave in one write; a larger one flows while the mark is being synced.
 */
#include <errno.h>
#include <time.h>

#include "common/assure.h"
#include "common/base64.h"
#include "common/log.h"
#include "common/md5.h"
#include "master/choose.h"
#include "master/held.h"
#include "master/operations.h"
#include "master/removals.h"
#include "master/replica.h"
#include "master/stock.h"

enum {
    FLOW_FROM = 64 * 1024, /* bodies up to this are sent in one go */
    SOURCE_TRIES = 6,      /* failed copies after which the value counts as unreadable */
};

enum put_state {
    PUT_CLAIMING, /* the key is being claimed; nothing of ours is anywhere */
    PUT_FLOWING,  /* places are chosen and being marked; no replica has the last byte */
    PUT_ENDING, /* all checks passed, a last byte is out: the client's leaving is too late
                 */
    PUT_COMMITTING, /* enough volumes hold the value; the record is being committed */
    PUT_UNDOING,    /* it failed; all places are given up and are becoming removals */
    PUT_ANSWERED, /* the claim is released and the answer given; only over() is to come */
};

struct put {
    enum put_state state;
    struct request *request; /* its ex is NULL once the exchange is over */
    struct entry entry;      /* what the key was */
    bool has_entry;
    struct choice *choice;
    struct replica_env env;
    struct held held;
    struct md5 *md5; /* NULL: not needed, or summed up already */
    uint64_t size;   /* bytes of the body so far */
    char hex[MD5_HEX + 1];
    uint8_t wanted[MD5_BYTES]; /* the client's Content-MD5 */
    bool has_wanted;
    bool complete; /* the whole body is here */
    bool flowing;  /* pieces are being sent */
    bool starved;  /* the server holds bytes that were not taken */
    int status;    /* the answer, decided: of a body that is wrong, or in UNDOING */
    const char *why;
    unsigned marks_asked, marks_done; /* mark commits, in order */
    int n_replicas;
    struct replica
        *replica[PLACEMENT_VOLUMES_MAX]; /* each volume is tried at most once */
    char path[PLACEMENT_PATH_MAX];
};

static _Thread_local struct stock spares = {.size = sizeof(struct put)};

static void step(struct put *put);
static void fail(struct put *put, int status, const char *why);

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

/* --- the end
 * -------------------------------------------------------------------------------- */
static void put_free(struct put *put)
{
    request_free(&put->request);
    stock_put(&spares, put);
}

/* Gives up all that is held but for the request, which lives as long as the exchange. */
static void let_go(struct put *put)
{
    for (int i = 0; i < put->n_replicas; i++)
        replica_free(&put->replica[i]);
    put->n_replicas = 0;
    held_clear(&put->held);
    md5_free(&put->md5);
    if (put->choice)
        choice_free(&put->choice);
    if (put->has_entry)
        entry_clear(&put->entry);
    put->has_entry = false;
}

/* The last thing done to a PUT: it may be gone when this returns. */
static void answer(struct put *put, int status, const char *why)
{
    struct exchange *ex = put->request->ex;

    let_go(put);
    set_state(put, PUT_ANSWERED);
    if (!ex)
        put_free(put);
    else if (status == 201)
        exchange_reply(ex, 201, NULL, STR(""));
    else
        exchange_error(ex, status, why);
}

static void release(struct put *put)
{
    index_release(master_of(put)->index, put->request->key);
}

/* --- what becomes of the places
 * --------------------------------------------------------------- */
/* Marks that an earlier PUT could not end (its index write failed) name places that may
 * hold anything; this change ends all marks, so those places must go on being named. */
static void keep_old_marks(const struct put *put, struct change *change, int64_t now)
{
    for (int i = 0; i < put->entry.n_marks; i++)
        change_removal(change, put->entry.mark[i], removals_due(master_of(put)->removals),
                       now + REMOVAL_LATE_SECONDS);
}

/* Replicas that are over and may have left something behind. */
static int add_removals(const struct put *put, struct change *change, int64_t now,
                        struct str *place)
{
    int n = 0;

    for (int i = 0; i < put->n_replicas; i++) {
        const struct replica *r = put->replica[i];

        if (replica_state(r) != REPLICA_SPOILT)
            continue;
        place[n] = replica_place(r);
        change_removal(change, place[n++], removals_due(master_of(put)->removals),
                       replica_late(r) ? now + REMOVAL_LATE_SECONDS : 0);
    }
    return n;
}

/* Clears in the background. */
static void clear(struct put *put, const struct str *place, int n)
{
    struct shard *shard = put->request->shard;

    if (n > 0)
        removals_clear(shard->master->removals, shard->loop, shard->client,
                       put->request->key, place, n, NULL, NULL);
}

static int spoilt_places(const struct put *put, struct str *place)
{
    int n = 0;

    for (int i = 0; i < put->n_replicas; i++)
        if (replica_state(put->replica[i]) == REPLICA_SPOILT)
            place[n++] = replica_place(put->replica[i]);
    return n;
}

static void on_undone(void *arg, int err)
{
    struct put *put = arg;
    struct str place[PLACEMENT_VOLUMES_MAX];

    /* When this could not be written either, the marks stand in the index and name the
     * places: nobody uses them, and they become removals at the next start. */
    if (err == 0)
        clear(put, place, spoilt_places(put, place));
    release(put);
    answer(put, put->status, put->why);
}

/* The key stays what it was; all places that may have got something become removals. */
static void fail(struct put *put, int status, const char *why)
{
    struct change *change;
    struct str place[PLACEMENT_VOLUMES_MAX];
    int64_t now = time(NULL);
    bool durable;

    set_state(put, PUT_UNDOING);
    put->status = status;
    put->why = why;
    for (int i = 0; i < put->n_replicas; i++)
        replica_stop(put->replica[i]);
    held_clear(&put->held);
    if (put->marks_asked == 0) {
        on_undone(put, 0);
        return;
    }
    change = change_new(put->request->key);
    change_end_marks(change);
    keep_old_marks(put, change, now);
    /* With nothing to clear it need not be synced: a mark that comes back does no harm.
     */
    durable = add_removals(put, change, now, place) > 0 || put->entry.n_marks > 0;
    index_commit(master_of(put)->index, put->request->shard->loop, &change, durable,
                 on_undone, put);
}

/* --- the commit
 * ------------------------------------------------------------------------------- */
static void on_committed(void *arg, int err)
{
    struct put *put = arg;
    struct str place[PLACEMENT_VOLUMES_MAX + RECORD_PLACES_MAX];
    int n;

    if (err != 0) {
        fail(put, 503, "the index takes no writes");
        return;
    }
    n = spoilt_places(put, place);
    if (put->entry.record.state == RECORD_UNLINKED)
        for (int i = 0; i < put->entry.record.n; i++)
            place[n++] = put->entry.record.place[i];
    clear(put, place, n);
    release(put);
    answer(put, 201, NULL);
}

/* The places that hold the value, in the order of their volumes' ranks. */
static void fill_record(const struct put *put, struct record *record)
{
    int rank[RECORD_PLACES_MAX];

    record->state = RECORD_LIVE;
    record->md5[0] = '\0';
    if (master_of(put)->md5sum)
        memcpy(record->md5, put->hex, sizeof(record->md5));
    record->n = 0;
    for (int i = 0; i < put->n_replicas; i++) {
        const struct replica *r = put->replica[i];
        int at = record->n;

        if (replica_state(r) != REPLICA_HOLDING)
            continue;
        assure(record->n < RECORD_PLACES_MAX);
        for (; at > 0 && rank[at - 1] > replica_rank(r); at--) {
            rank[at] = rank[at - 1];
            record->place[at] = record->place[at - 1];
        }
        rank[at] = replica_rank(r);
        record->place[at] = replica_place(r);
        record->n++;
    }
}

static void commit(struct put *put)
{
    struct change *change = change_new(put->request->key);
    struct str place[PLACEMENT_VOLUMES_MAX];
    int64_t now = time(NULL);
    struct record record;

    set_state(put, PUT_COMMITTING);
    fill_record(put, &record);
    change_end_marks(change);
    keep_old_marks(put, change, now);
    add_removals(put, change, now, place);
    if (put->entry.record.state == RECORD_UNLINKED)
        for (int i = 0; i < put->entry.record.n; i++)
            change_removal(change, put->entry.record.place[i],
                           removals_due(master_of(put)->removals), 0);
    change_record(change, &record, record.md5[0] != '\0', put->size, now);
    index_commit(master_of(put)->index, put->request->shard->loop, &change, true,
                 on_committed, put);
}

/* --- replicas
 * --------------------------------------------------------------------------------- */
static void on_room(void *arg)
{
    step(arg);
}

static void on_changed(void *arg)
{
    step(arg);
}

static void on_marked(void *arg, int err)
{
    struct put *put = arg;

    put->marks_done++;
    if (put->state != PUT_FLOWING && put->state != PUT_ENDING)
        return; /* the change that undoes it all comes after this one */
    if (err != 0)
        fail(put, 503, "the index takes no writes");
    else
        step(put);
}

static bool marked(const struct put *put, const struct replica *r)
{
    return put->marks_done >= replica_mark(r);
}

/* Chooses the next place and gives it the body, if its beginning is still here; otherwise
 * the replica stays promised until there is one to copy from. NULL: no volume is left. */
static struct replica *enlist(struct put *put)
{
    char text[PLACE_MAX];
    struct replica *r;
    size_t n;
    int rank;

    n = choice_next(put->choice, text, &rank);
    if (n == 0)
        return NULL;
    r = replica_new(&put->env, (struct str){text, n}, rank);
    put->replica[put->n_replicas++] = r;
    if (held_whole(&put->held))
        replica_take(r);
    return r;
}

/* How many replicas are in a state of the set. */
static int count(const struct put *put, unsigned states)
{
    int n = 0;

    for (int i = 0; i < put->n_replicas; i++)
        n += (states >> replica_state(put->replica[i]) & 1U) != 0;
    return n;
}

enum {
    /* has, or will have, what no other replica needs to give it */
    FROM_START = 1U << REPLICA_TAKING | 1U << REPLICA_ENDING | 1U << REPLICA_HOLDING,
    COUNTING = FROM_START | 1U << REPLICA_PROMISED | 1U << REPLICA_COPYING,
};

/* Brings the replicas that count up to their number again. false: it has failed. */
static bool enlist_missing(struct put *put)
{
    int missing = volumes_replicas(master_of(put)->volumes) - count(put, COUNTING);
    struct change *change = NULL;

    for (; missing > 0; missing--) {
        struct replica *r = enlist(put);

        if (!r)
            break;
        if (!change) {
            change = change_new(put->request->key);
            put->marks_asked++;
        }
        change_mark(change, replica_place(r));
        replica_set_mark(r, put->marks_asked);
    }
    if (missing > 0) {
        if (change) {
            change_free(&change);
            put->marks_asked--;
        }
        fail(put, 500, "too few volumes can take the value");
        return false;
    }
    if (change)
        index_commit(master_of(put)->index, put->request->shard->loop, &change, true,
                     on_marked, put);
    return true;
}

/* Replaces what is lost and starts the copies that can be. false: it has failed. */
static bool mend(struct put *put)
{
    int bad_sources = 0;
    int source = 0;

    for (int i = 0; i < put->n_replicas; i++) {
        if (replica_local(put->replica[i])) {
            fail(put, 503, "the master is out of connections");
            return false;
        }
        bad_sources += replica_bad_sources(put->replica[i]);
    }
    if ((!held_whole(&put->held) && count(put, FROM_START) == 0) ||
        bad_sources > SOURCE_TRIES) {
        fail(put, 500, "no volume took the whole value");
        return false;
    }
    if (!enlist_missing(put))
        return false;
    if (count(put, 1U << REPLICA_HOLDING) == 0)
        return true;
    for (int i = 0; i < put->n_replicas; i++) {
        struct replica *r = put->replica[i];

        if (replica_state(r) != REPLICA_PROMISED || !marked(put, r))
            continue;
        /* Each try begins with the next of the holders. */
        source += replica_bad_sources(r);
        do
            source = (source + 1) % put->n_replicas;
        while (replica_state(put->replica[source]) != REPLICA_HOLDING);
        replica_copy(r, replica_place(put->replica[source]), put->size, put->hex);
    }
    return true;
}

/* Sends what may be sent: all but the last piece while the body is not complete or the
 * place not durably marked, then that as well. */
static void send(struct put *put)
{
    struct held *held = &put->held;
    uint64_t end = held_end(held);
    uint64_t sent = end; /* by all */

    if (held->bytes > FLOW_FROM)
        put->flowing = true;
    for (int i = 0; i < put->n_replicas; i++) {
        struct replica *r = put->replica[i];
        bool all = put->complete && marked(put, r);
        uint64_t before = all ? end : put->flowing ? end - 1 : 0;

        if (replica_state(r) != REPLICA_TAKING)
            continue;
        for (uint64_t next; (next = replica_next(r)) < before;) {
            const struct held_piece *p = &held->piece[next - held->first];

            replica_send(r, p->block, p->data, p->len);
        }
        if (all) {
            replica_finish(r);
            if (put->state == PUT_FLOWING)
                set_state(put, PUT_ENDING);
        } else if (replica_next(r) < sent) {
            sent = replica_next(r);
        }
    }
    if (!held_whole(held))
        held_forget(held, sent);
}

/* --- the body
 * --------------------------------------------------------------------------------- */
/* May a piece of that block be taken now? NULL: any. */
static bool can_take(const struct put *put, const struct block *block)
{
    bool room = block ? held_room(&put->held, block) : true;

    if (put->state == PUT_CLAIMING)
        return room;
    for (int i = 0; i < put->n_replicas; i++) {
        const struct replica *r = put->replica[i];

        if (replica_state(r) != REPLICA_TAKING)
            continue;
        if (replica_full(r))
            return false;
        /* The beginning is not let go of while a volume may still refuse the connection.
         */
        if (!room && !replica_connected(r))
            return false;
    }
    return true;
}

static size_t on_body(struct exchange *ex, struct block *block, const char *data,
                      size_t len)
{
    struct put *put = exchange_arg(ex);

    if (put->state != PUT_CLAIMING && put->state != PUT_FLOWING)
        return len;
    put->starved = !can_take(put, block);
    if (put->starved)
        return 0;
    if (!held_room(&put->held, block)) {
        /* Its beginning is let go of: from here on a lost replica is made good by a copy.
         */
        put->flowing = true;
        send(put);
        held_forget(&put->held, held_end(&put->held) - 1);
    }
    if (put->md5)
        md5_add(put->md5, data, len);
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
    if (!put->md5)
        return 0;
    md5_end(&put->md5, sum);
    md5_hex(sum, put->hex);
    if (put->has_wanted && memcmp(sum, put->wanted, sizeof(sum)) != 0) {
        *why = "the body does not match its Content-MD5";
        return 400;
    }
    return 0;
}

static void on_body_end(struct exchange *ex)
{
    struct put *put = exchange_arg(ex);

    if (put->state != PUT_CLAIMING && put->state != PUT_FLOWING)
        return;
    put->complete = true;
    put->status = check_body(put, &put->why);
    if (put->state == PUT_CLAIMING)
        return;
    if (put->status != 0)
        fail(put, put->status, put->why);
    else
        step(put);
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
    case PUT_CLAIMING:
    case PUT_ENDING:
    case PUT_COMMITTING:
    case PUT_UNDOING:
        break;
    }
}

/* ----------------------------------------------------------------------------------------------
 */
static void step(struct put *put)
{
    if (put->state != PUT_FLOWING && put->state != PUT_ENDING)
        return;
    if (!mend(put))
        return;
    send(put);
    if (count(put, 1U << REPLICA_HOLDING) == volumes_replicas(master_of(put)->volumes)) {
        commit(put);
        return;
    }
    if (put->starved && can_take(put, NULL)) {
        put->starved = false;
        exchange_resume(put->request->ex);
    }
}

static void on_claimed(void *arg, int err, struct entry *entry)
{
    struct put *put = arg;

    if (err != 0) {
        answer(put, err == -EBUSY ? 409 : 503,
               err == -EBUSY ? "the key is busy" : "the index cannot be read");
        return;
    }
    put->entry = *entry;
    put->has_entry = true;
    if (!put->request->ex) { /* the client has left */
        release(put);
        answer(put, 0, NULL);
        return;
    }
    if (put->entry.record.state == RECORD_LIVE) {
        release(put);
        answer(put, 403, "the key exists");
        return;
    }
    if (put->status != 0) { /* the body is here, and wrong */
        release(put);
        answer(put, put->status, put->why);
        return;
    }
    put->choice = choice_new(master_of(put)->volumes, put->request->key, &put->entry);
    set_state(put, PUT_FLOWING);
    step(put);
}

static bool read_hex(struct str text, uint8_t *out)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit : digit << 4);
    }
    return true;
}

/* Content-MD5 in base64 (RFC 1864) or, as many send it, in hex. false: malformed. */
static bool read_wanted(struct put *put, const struct http_head *head)
{
    uint8_t sum[BASE64_LEN(MD5_BYTES) / 4 * 3];
    struct str text;

    if (!http_field(head, STR("Content-MD5"), &text))
        return true;
    put->has_wanted = true;
    if (text.n == BASE64_LEN(MD5_BYTES) && base64_decode(text, sum) == MD5_BYTES) {
        memcpy(put->wanted, sum, MD5_BYTES);
        return true;
    }
    return text.n == MD5_HEX && read_hex(text, put->wanted);
}

void operation_put(struct request *request)
{
    static const struct exchange_ops ops = {
        .body = on_body, .body_end = on_body_end, .over = on_over};
    const struct http_head *head = exchange_head(request->ex);
    struct shard *shard = request->shard;
    struct put *put = stock_get(&spares);

    put->state = PUT_CLAIMING;
    put->request = request;
    put->has_entry = false;
    put->choice = NULL;
    held_init(&put->held);
    put->md5 = NULL;
    put->size = 0;
    put->hex[0] = '\0';
    put->has_wanted = false;
    put->complete = put->flowing = put->starved = false;
    put->status = 0;
    put->why = NULL;
    put->marks_asked = put->marks_done = 0;
    put->n_replicas = 0;
    put->env = (struct replica_env){
        .client = shard->client,
        .volumes = shard->master->volumes,
        .path = {put->path, placement_path(request->key, put->path)},
        .has_length = head->body == HTTP_BODY_LENGTH,
        .length = head->length,
        .answer_ms = shard->master->answer_ms,
        .room = on_room,
        .changed = on_changed,
        .arg = put,
    };
    exchange_own(request->ex, &ops, put);
    if (head->body == HTTP_BODY_NONE || (put->env.has_length && put->env.length == 0)) {
        answer(put, 411, "the body is empty");
        return;
    }
    if (!read_wanted(put, head)) {
        answer(put, 400, "Content-MD5 is neither base64 nor hex of an MD5");
        return;
    }
    if (shard->master->md5sum || put->has_wanted)
        put->md5 = md5_new();
    index_claim(shard->master->index, shard->loop, request->key, on_claimed, put);
}
