/*
 * Clearing places: see removals.h, and docs/writes.md for why the rules below hold.
 *
 * A *clearing* is one key's removals on their way: a DELETE to each place, then one
 * change of the index that says what came of them. Clearings are begun by whoever made
 * the removals, on any loop, and by the sweeper for whatever is left over.
 *
 * Two things keep a DELETE from hitting a value that lives.
 *
 * The table of places under way: a place stands there from before its removal is read, or
 * listed, until after the index has taken the outcome, and only what is listed then is
 * cleared.
 * So a removal cannot end while another DELETE for its place is on its way, and as long
 * as it is listed no PUT goes there.
 *
 * `late`: a DELETE that went unanswered may arrive within the hour, so the removal is
 * listed as long. Of those that a crash of ours cut off nobody could write that down.
 * Therefore a removal is listed with a `due` of the second it was made or put off to; one
 * whose due is not after our start is from an earlier life, and counts as late from our
 * start on.
 */
#include "master/removals.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/placement.h"
#include "master/crash_point.h"
#include "master/volumes/target.h"

enum {
    UNDER_WAY_SLOTS = 1024,
    RETRY_SECONDS = 30, /* after an answer or a silence that did not clear it */
    AGAIN_SECONDS = 15, /* at least, between two looks at a place that is clear */
};

enum fate {
    FATE_UNKNOWN, /* nothing has come of it, and nothing reached the volume */
    FATE_CLEARED, /* no file is there */
    FATE_REFUSED, /* the volume has answered, but not cleared it */
    FATE_SILENT,  /* asked, no answer: the DELETE may still arrive */
};

enum clearing_state {
    CLEARING_EXPECTED, /* its places stand in the table; they may not be listed yet */
    CLEARING_ASKING,   /* DELETEs are under way */
    CLEARING_TELLING,  /* all are over; the index is being told */
};

struct asked_place {
    struct clearing *clearing;
    struct str place;
    int64_t due, late; /* as listed */
    int status;
    enum fate fate;
    bool entered;             /* it stands in the table */
    struct asked_place *next; /* in its slot */
};

struct clearing {
    struct removals *removals; /* NULL: they are gone, so is whoever waits */
    enum clearing_state state;
    struct loop *loop;
    struct str key;
    void (*done)(void *arg);
    void *arg;
    bool early; /* done() does not wait for the index to take the outcome */
    int left;   /* DELETEs under way */
    struct clearing *prev, *next;
    int n;
    struct asked_place asked[];
};

struct removals {
    struct index *index;
    struct volumes *volumes;
    int64_t born;  /* second of our start */
    uint64_t seed; /* clients choose the keys */
    _Atomic uint64_t cleared;
    struct resting *resting;

    pthread_mutex_t lock; /* what follows */
    struct asked_place *under_way[UNDER_WAY_SLOTS];
    struct clearing *clearings;
};

/* --- the table of places under way ------------------------------------------------- */
static struct asked_place **slot_of(struct removals *r, struct str key, struct str place)
{
    uint64_t h = hash_bytes(hash_bytes(r->seed, key), place);

    return &r->under_way[h % UNDER_WAY_SLOTS];
}

/* Under the lock. */
static void enter(struct removals *r, struct asked_place *t)
{
    struct asked_place **slot = slot_of(r, t->clearing->key, t->place);

    for (struct asked_place *o = *slot; o; o = o->next)
        if (str_eq(o->place, t->place) && str_eq(o->clearing->key, t->clearing->key))
            return;
    t->next = *slot;
    *slot = t;
    t->entered = true;
}

/* Under the lock. */
static void leave(struct removals *r, struct asked_place *t)
{
    struct asked_place **at = slot_of(r, t->clearing->key, t->place);

    if (!t->entered)
        return;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->entered = false;
}

/* --- a clearing ------------------------------------------------------------------- */
static void set_state(struct clearing *c, enum clearing_state to)
{
    assure(to == c->state + 1);
    c->state = to;
}

/* Its places stand in the table; those that another clearing has there are left to it. */
static struct clearing *clearing_new(struct removals *r, struct loop *loop,
                                     struct str key, const struct str *places, int n)
{
    size_t size = sizeof(struct clearing) + (size_t)n * sizeof(struct asked_place);
    struct clearing *c;
    size_t text = key.n;
    char *at;

    for (int i = 0; i < n; i++)
        text += places[i].n;
    c = xmalloc(size + text);
    at = (char *)c + size;
    *c = (struct clearing){.removals = r, .loop = loop, .n = n};
    c->key = (struct str){memcpy(at, key.p, key.n), key.n};
    at += key.n;
    for (int i = 0; i < n; i++) {
        c->asked[i] = (struct asked_place){.clearing = c};
        c->asked[i].place =
            (struct str){memcpy(at, places[i].p, places[i].n), places[i].n};
        at += places[i].n;
    }
    pthread_mutex_lock(&r->lock);
    c->next = r->clearings;
    if (c->next)
        c->next->prev = c;
    r->clearings = c;
    for (int i = 0; i < n; i++)
        enter(r, &c->asked[i]);
    pthread_mutex_unlock(&r->lock);
    return c;
}

static void clearing_over(struct clearing *c)
{
    struct removals *r = c->removals;
    void (*done)(void *) = c->done;
    void *arg = c->arg;

    if (r) {
        pthread_mutex_lock(&r->lock);
        for (int i = 0; i < c->n; i++)
            leave(r, &c->asked[i]);
        if (c->prev)
            c->prev->next = c->next;
        else
            r->clearings = c->next;
        if (c->next)
            c->next->prev = c->prev;
        pthread_mutex_unlock(&r->lock);
    }
    free(c);
    if (r && done)
        done(arg);
}

static void on_told(void *arg, int err)
{
    (void)err; /* then the removal stands as it was, and is swept again */
    CRASH_POINT("clearing: the index knows");
    clearing_over(arg);
}

/* When a place that is clear now is cleared once more, since a request may still arrive
 * until `late`: after as long again as it has been on its way, so that what it leaves
 * does not lie about for an hour, and at the last when the hour is over. */
static int64_t look_again(int64_t late, int64_t now)
{
    int64_t since = now - (late - REMOVAL_LATE_SECONDS);
    int64_t wait = since > AGAIN_SECONDS ? since : AGAIN_SECONDS;

    if (wait > REMOVAL_LATE_SECONDS)
        wait = REMOVAL_LATE_SECONDS;
    return now + wait < late ? now + wait : late;
}

/* What the index is to know of one place; false: nothing new. */
static bool tell(const struct asked_place *t, int64_t born, int64_t now,
                 struct change *change)
{
    int64_t late = t->late;

    if (t->due <= born && late < born + REMOVAL_LATE_SECONDS)
        late = born + REMOVAL_LATE_SECONDS;
    switch (t->fate) {
    case FATE_UNKNOWN:
        return false;
    case FATE_CLEARED:
        if (late <= now) {
            change_cleared(change, t->place);
            return true;
        }
        change_removal(change, t->place, look_again(late, now), late);
        return true;
    case FATE_REFUSED:
        change_removal(change, t->place, now + RETRY_SECONDS, late);
        return true;
    case FATE_SILENT:
        change_removal(change, t->place, now + RETRY_SECONDS, now + REMOVAL_LATE_SECONDS);
        return true;
    }
    return false;
}

/* All DELETEs are over. Not synced: a removal that comes back is cleared again. */
static void tell_index(struct clearing *c)
{
    struct removals *r = c->removals;
    struct change *change = change_new(c->key);
    int64_t now = time(NULL);
    bool any = false;

    assure(c->left == 0);
    set_state(c, CLEARING_TELLING);
    for (int i = 0; i < c->n; i++)
        if (c->asked[i].entered && tell(&c->asked[i], r->born, now, change)) {
            any = true;
            if (c->asked[i].fate == FATE_CLEARED)
                atomic_fetch_add_explicit(&r->cleared, 1, memory_order_relaxed);
        }
    if (!any) {
        change_free(&change);
        clearing_over(c);
        return;
    }
    index_commit(r->index, c->loop, &change, false, on_told, c);
    if (c->early && c->done) {
        void (*done)(void *) = c->done;

        c->done = NULL;
        done(c->arg);
    }
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct asked_place *t = call_arg(call);

    t->status = head->status;
}

static void on_done(struct call *call, enum call_result result)
{
    struct asked_place *t = call_arg(call);
    struct clearing *c = t->clearing;

    if (result != CALL_OK)
        t->fate = call_sent_any(call) ? FATE_SILENT : FATE_UNKNOWN;
    else if (t->status == 204 || t->status == 200 || t->status == 404 || t->status == 409)
        /* 409: the path is a folder, or leads through a file, so no value can be
         * there. */
        t->fate = FATE_CLEARED;
    else
        t->fate = FATE_REFUSED;
    CRASH_POINT("clearing: a DELETE is over");
    volumes_saw(c->removals->volumes, t->place, result);
    if (result != CALL_LOCAL)
        resting_note(c->removals->resting, t->place, result == CALL_OK);
    if (t->fate == FATE_REFUSED)
        log_warn("DELETE at %.*s answered %d; it is tried again", (int)t->place.n,
                 t->place.p, t->status);
    if (--c->left == 0)
        tell_index(c);
}

/* Looks up which of the places are still to be cleared; those that are not leave the
 * table. */
static void drop_unlisted(struct clearing *c)
{
    struct removals *r = c->removals;
    struct entry entry;
    bool known = index_entry(r->index, c->key, &entry) == 0;

    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < c->n; i++) {
        struct asked_place *t = &c->asked[i];
        bool listed = false;

        for (int j = 0; known && j < entry.n_removals; j++) {
            if (!str_eq(entry.removal[j].place, t->place))
                continue;
            listed = entry.record.state == RECORD_ABSENT ||
                     !record_names(&entry.record, t->place);
            t->due = entry.removal[j].due;
            t->late = entry.removal[j].late;
            break;
        }
        if (!listed)
            leave(r, t);
    }
    pthread_mutex_unlock(&r->lock);
    if (known)
        entry_clear(&entry);
}

/* Sends a DELETE to each place that is in the table, and listed. */
static void ask(struct clearing *c, struct http_client *client, void (*done)(void *arg),
                void *arg)
{
    static const struct call_ops ops = {.answer = on_answer, .done = on_done};
    char path[PLACEMENT_PATH_MAX];
    size_t path_n = placement_path(c->key, path);

    set_state(c, CLEARING_ASKING);
    c->done = done;
    c->arg = arg;
    CRASH_POINT("clearing: begun");
    for (int i = 0; i < c->n; i++) {
        struct asked_place *t = &c->asked[i];
        struct target target;
        struct call_spec spec;

        if (!t->entered)
            continue;
        target_of(&target, t->place, (struct str){path, path_n});
        spec = (struct call_spec){.authority = target.authority,
                                  .method = STR("DELETE"),
                                  .target = target.path,
                                  .body = HTTP_BODY_NONE};
        call_start(client, &spec, &ops, t);
        c->left++;
    }
    if (c->left == 0)
        tell_index(c);
}

void removals_clear(struct removals *removals, struct loop *loop,
                    struct http_client *client, struct str key, const struct str *places,
                    int n, void (*done)(void *arg), void *arg)
{
    struct clearing *c = clearing_new(removals, loop, key, places, n);

    drop_unlisted(c);
    ask(c, client, done, arg);
}

struct clearing *removals_expect(struct removals *removals, struct loop *loop,
                                 struct str key, const struct str *places, int n,
                                 int64_t due)
{
    struct clearing *c = clearing_new(removals, loop, key, places, n);

    c->early = true;
    for (int i = 0; i < n; i++)
        c->asked[i].due = due;
    return c;
}

void removals_clear_expected(struct clearing **clearing, struct http_client *client,
                             void (*done)(void *arg), void *arg)
{
    struct clearing *c = *clearing;

    *clearing = NULL;
    ask(c, client, done, arg);
}

void removals_expect_no_more(struct clearing **clearing)
{
    struct clearing *c = *clearing;

    *clearing = NULL;
    if (c)
        clearing_over(c);
}

/* ---------------------------------------------------------------------------------- */
struct removals *removals_new(struct index *index, struct volumes *volumes,
                              struct resting *resting)
{
    struct removals *r = xcalloc(1, sizeof(*r));

    r->index = index;
    r->volumes = volumes;
    r->born = time(NULL);
    r->seed = hash_seed();
    pthread_mutex_init(&r->lock, NULL);
    r->resting = resting;
    return r;
}

int64_t removals_due(const struct removals *r)
{
    int64_t now = time(NULL);

    return now > r->born ? now : r->born + 1;
}

uint64_t removals_cleared(const struct removals *r)
{
    return atomic_load_explicit(&r->cleared, memory_order_relaxed);
}

void removals_free(struct removals **removals)
{
    struct removals *r = *removals;

    *removals = NULL;
    /* The loops have stopped and their clients have cut the calls. What waits for the
     * index is freed by its completion. */
    for (struct clearing *c = r->clearings, *next; c; c = next) {
        next = c->next;
        c->removals = NULL;
        if (c->state == CLEARING_ASKING)
            free(c);
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}
