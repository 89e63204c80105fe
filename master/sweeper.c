/* The sweeper: see sweeper.h. */
#include "master/sweeper.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"
#include "common/placement.h"

enum {
    CLEARINGS_MAX = 64, /* under way at a time */
    STEPS = 64,         /* keys looked at in one turn of the loop */
    TURN_MS = 2,        /* between two such turns */
    PASS_MS = 1000,     /* between two passes */
    IDLE_MS = 10000,    /* the longest wait after passes that achieved nothing */
    /* Whoever lists a place clears it at once, and a client may wait for that: found in
     * the sweeper's hands it would count as cleared, and still be listed. */
    OWNERS_SECONDS = 2,
    FAR_AHEAD_SECONDS =
        2 * 3600, /* a due so far off comes from a clock that jumped back */
};

enum sweeper_state {
    SWEEPER_WAITING, /* the timer begins the next pass */
    SWEEPER_PASSING, /* a pass is under way: the timer, or a clearing's end, goes on with
                        it */
    SWEEPER_STOPPED,
};

struct sweeper {
    enum sweeper_state state;
    struct removals *removals;
    struct index *index;
    struct resting *resting;
    struct loop *loop;
    struct http_client *client;
    struct timer timer;
    int clearings;           /* under way */
    uint64_t began;          /* this pass, on the loop's clock */
    uint64_t cleared_before; /* it */
    uint64_t wait_ms;        /* after the last one */
    int64_t soonest;         /* of this pass: the next second in which a removal is due */
    size_t cursor_n;         /* where it goes on: the first key not looked at */
    char cursor[PLACEMENT_KEY_MAX];
};

static void set_state(struct sweeper *s, enum sweeper_state to)
{
    assure(s->state != SWEEPER_STOPPED && s->state != to);
    s->state = to;
}

static void on_cleared(void *arg)
{
    struct sweeper *s = arg;

    s->clearings--;
    if (s->state == SWEEPER_PASSING && !timer_is_set(&s->timer))
        timer_set(s->loop, &s->timer, 0);
}

/* Clears what is due of one key. */
static void sweep_key(struct sweeper *s, struct str key, const struct entry *entry)
{
    struct str place[RECORD_PLACES_MAX]; /* what is more has its turn in another pass */
    int64_t now = time(NULL);
    int n = 0;

    for (int i = 0; i < entry->n_removals && n < RECORD_PLACES_MAX; i++) {
        const struct removal *removal = &entry->removal[i];

        int64_t from = removal->due + OWNERS_SECONDS;

        if (from > now && removal->due <= now + FAR_AHEAD_SECONDS) {
            if (from < s->soonest)
                s->soonest = from;
            continue;
        }
        if (resting_admit(s->resting, removal->place))
            place[n++] = removal->place;
    }
    if (n == 0)
        return;
    s->clearings++;
    removals_clear(s->removals, s->loop, s->client, key, place, n, on_cleared, s);
}

static void begin_pass(struct sweeper *s)
{
    set_state(s, SWEEPER_PASSING);
    s->cursor_n = 0;
    s->soonest = INT64_MAX;
    s->began = loop_now(s->loop);
    s->cleared_before = removals_cleared(s->removals);
}

/* Passes that achieve nothing are made less and less often, but for one when the next
 * removal is due; and such passes over a long list never take more than a fifth of the
 * time. */
static void end_pass(struct sweeper *s)
{
    uint64_t took = loop_now(s->loop) - s->began;
    int64_t due = s->soonest - time(NULL);
    uint64_t wait_ms;

    if (removals_cleared(s->removals) != s->cleared_before) {
        s->wait_ms = wait_ms = PASS_MS;
    } else {
        s->wait_ms = s->wait_ms * 2 < IDLE_MS ? s->wait_ms * 2 : IDLE_MS;
        wait_ms = s->wait_ms;
        if (due >= 0 && due < IDLE_MS / 1000)
            wait_ms = (uint64_t)due * 1000 + PASS_MS / 10;
        if (wait_ms < took * 4)
            wait_ms = took * 4;
    }
    set_state(s, SWEEPER_WAITING);
    timer_set(s->loop, &s->timer, wait_ms);
}

static void on_timer(struct timer *timer)
{
    struct sweeper *s = container_of(timer, struct sweeper, timer);

    if (s->state == SWEEPER_WAITING) {
        if (index_removals(s->index) == 0) {
            timer_set(s->loop, &s->timer, PASS_MS);
            return;
        }
        begin_pass(s);
    }
    for (int steps = 0; steps < STEPS && s->clearings < CLEARINGS_MAX; steps++) {
        char keybuf[PLACEMENT_KEY_MAX];
        struct entry entry;
        struct str key;

        if (index_removals_next(s->index, (struct str){s->cursor, s->cursor_n}, keybuf,
                                &key, &entry) <= 0) {
            end_pass(s);
            return;
        }
        s->cursor_n = index_key_after(key, s->cursor);
        sweep_key(s, key, &entry);
        entry_clear(&entry);
    }
    if (s->clearings < CLEARINGS_MAX)
        timer_set(s->loop, &s->timer, TURN_MS);
}

struct sweeper *sweeper_new(struct removals *removals, struct index *index,
                            struct resting *resting)
{
    struct sweeper *s = xcalloc(1, sizeof(*s));

    s->state = SWEEPER_WAITING;
    s->removals = removals;
    s->index = index;
    s->resting = resting;
    s->wait_ms = PASS_MS;
    s->timer.fire = on_timer;
    return s;
}

void sweeper_start(struct sweeper *s, struct loop *loop, struct http_client *client)
{
    s->loop = loop;
    s->client = client;
    timer_set(loop, &s->timer, 0);
}

void sweeper_stop(struct sweeper *s)
{
    timer_clear(s->loop, &s->timer);
    set_state(s, SWEEPER_STOPPED);
}

void sweeper_free(struct sweeper **sweeper)
{
    free(*sweeper);
    *sweeper = NULL;
}
