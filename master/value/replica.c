/*
 * One replica of a PUT: see replica.h.
 *
 *   PROMISED ─▶ TAKING ─▶ ENDING ─▶ HOLDING
 *      │ ▲        │          │         │
 *      ▼ │        ▼          ▼         ▼ (the PUT fails)
 *    COPYING ──▶ UNTOUCHED or SPOILT ◀─┘
 *
 * UNTOUCHED or SPOILT: see upload.c.
 */
#include "master/value/replica.h"

#include <string.h>

#include "common/assure.h"
#include "common/stock.h"
#include "master/crash_point.h"
#include "master/value/copy.h"
#include "master/value/upload.h"

struct replica {
    const struct replica_env *env;
    enum replica_state state;
    int rank;
    unsigned mark;
    struct upload *upload; /* TAKING, ENDING */
    struct copy *copy;     /* COPYING */
    uint64_t next;
    int bad_sources;
    bool late;
    bool local;
    size_t place_n;
    char place[PLACE_MAX];
};

static _Thread_local struct stock replicas = {.size = sizeof(struct replica)};

static void set_state(struct replica *r, enum replica_state to)
{
    static const unsigned may[] = {
        [REPLICA_PROMISED] =
            1U << REPLICA_TAKING | 1U << REPLICA_COPYING | 1U << REPLICA_UNTOUCHED,
        [REPLICA_TAKING] =
            1U << REPLICA_ENDING | 1U << REPLICA_UNTOUCHED | 1U << REPLICA_SPOILT,
        [REPLICA_ENDING] =
            1U << REPLICA_HOLDING | 1U << REPLICA_UNTOUCHED | 1U << REPLICA_SPOILT,
        [REPLICA_COPYING] = 1U << REPLICA_HOLDING | 1U << REPLICA_PROMISED |
                            1U << REPLICA_UNTOUCHED | 1U << REPLICA_SPOILT,
        [REPLICA_HOLDING] = 1U << REPLICA_SPOILT,
        [REPLICA_UNTOUCHED] = 0,
        [REPLICA_SPOILT] = 0,
    };

    assure(may[r->state] & 1U << to);
    r->state = to;
}

struct replica *replica_new(const struct replica_env *env, struct str place, int rank)
{
    struct replica *r = stock_get(&replicas);

    assure(place.n < PLACE_MAX);
    r->env = env;
    r->state = REPLICA_PROMISED;
    r->rank = rank;
    r->mark = 0;
    r->upload = NULL;
    r->copy = NULL;
    r->next = 0;
    r->bad_sources = 0;
    r->late = false;
    r->local = false;
    r->place_n = place.n;
    memcpy(r->place, place.p, place.n);
    return r;
}

void replica_free(struct replica **replica)
{
    assure(!(*replica)->upload && !(*replica)->copy);
    stock_put(&replicas, *replica);
    *replica = NULL;
}

enum replica_state replica_state(const struct replica *r)
{
    return r->state;
}

struct str replica_place(const struct replica *r)
{
    return (struct str){r->place, r->place_n};
}

int replica_rank(const struct replica *r)
{
    return r->rank;
}

bool replica_late(const struct replica *r)
{
    return r->late;
}

bool replica_local(const struct replica *r)
{
    return r->local;
}

int replica_bad_sources(const struct replica *r)
{
    return r->bad_sources;
}

unsigned replica_mark(const struct replica *r)
{
    return r->mark;
}

void replica_note_mark(struct replica *r, unsigned mark)
{
    r->mark = mark;
}

uint64_t replica_next(const struct replica *r)
{
    return r->next;
}

bool replica_connected(const struct replica *r)
{
    return upload_connected(r->upload);
}

bool replica_full(const struct replica *r)
{
    return upload_full(r->upload);
}

/* --- the upload -------------------------------------------------------------------- */
static void on_room(void *arg)
{
    struct replica *r = arg;

    r->env->room(r->env->arg);
}

static void on_uploaded(void *arg, const struct upload_end *end)
{
    struct replica *r = arg;

    CRASH_POINT("replica: answered");
    r->upload = NULL;
    r->local = end->local;
    r->late = end->reached && !end->answered;
    set_state(r, end->good      ? REPLICA_HOLDING
                 : end->reached ? REPLICA_SPOILT
                                : REPLICA_UNTOUCHED);
    r->env->changed(r->env->arg);
}

void replica_take(struct replica *r)
{
    static const struct upload_ops ops = {.room = on_room, .done = on_uploaded};
    const struct replica_env *env = r->env;

    set_state(r, REPLICA_TAKING);
    CRASH_POINT("replica: takes the body");
    r->upload = upload_start(&(struct upload_spec){.client = env->client,
                                                   .volumes = env->volumes,
                                                   .place = replica_place(r),
                                                   .path = env->path,
                                                   .has_length = env->has_length,
                                                   .length = env->length,
                                                   .answer_ms = env->answer_ms},
                             &ops, r);
}

void replica_send(struct replica *r, struct block *block, const char *data, size_t len)
{
    assure(r->state == REPLICA_TAKING);
    upload_send(r->upload, block, data, len);
    r->next++;
}

void replica_finish(struct replica *r)
{
    set_state(r, REPLICA_ENDING);
    upload_finish(r->upload);
}

/* --- the copy ---------------------------------------------------------------------- */
static void on_copied(void *arg, const struct copy_end *end)
{
    struct replica *r = arg;

    CRASH_POINT("replica: copied");
    r->copy = NULL;
    switch (end->result) {
    case COPY_DONE:
        set_state(r, REPLICA_HOLDING);
        break;
    case COPY_SOURCE:
        r->bad_sources++;
        set_state(r, REPLICA_PROMISED);
        break;
    case COPY_TARGET:
    case COPY_LOCAL:
        r->local = end->result == COPY_LOCAL;
        r->late = end->reached && !end->answered;
        set_state(r, end->reached ? REPLICA_SPOILT : REPLICA_UNTOUCHED);
        break;
    }
    r->env->changed(r->env->arg);
}

void replica_copy(struct replica *r, struct str from, uint64_t size, const char *md5)
{
    set_state(r, REPLICA_COPYING);
    CRASH_POINT("replica: is to be copied");
    r->copy = copy_start(&(struct copy_spec){.client = r->env->client,
                                             .volumes = r->env->volumes,
                                             .summers = r->env->summers,
                                             .from = from,
                                             .to = replica_place(r),
                                             .path = r->env->path,
                                             .has_size = true,
                                             .size = size,
                                             .md5 = md5,
                                             .answer_ms = r->env->answer_ms},
                         on_copied, r);
}

void replica_stop(struct replica *r)
{
    switch (r->state) {
    case REPLICA_PROMISED:
        set_state(r, REPLICA_UNTOUCHED);
        break;
    case REPLICA_TAKING:
    case REPLICA_ENDING:
        r->late = upload_cancel(&r->upload);
        set_state(r, r->late ? REPLICA_SPOILT : REPLICA_UNTOUCHED);
        break;
    case REPLICA_COPYING:
        r->late = copy_cancel(&r->copy);
        set_state(r, r->late ? REPLICA_SPOILT : REPLICA_UNTOUCHED);
        break;
    case REPLICA_HOLDING:
        set_state(r, REPLICA_SPOILT);
        break;
    case REPLICA_UNTOUCHED:
    case REPLICA_SPOILT:
        break;
    }
}
