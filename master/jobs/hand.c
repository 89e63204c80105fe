/*
 * A hand of a job: see hand.h.
 *
 * It looks every TICK_MS whether the job is to stop, so that nobody has to tell it, and
 * nothing but its own loop ever touches it.
 */
#include "master/jobs/hand.h"

#include <stdlib.h>
#include <string.h>

#include "common/assure.h"

enum {
    TICK_MS = 100,
    BEGUN_IN_A_TURN = 64,
    /* A key in use is tried again after 20 ms, 40 ms, … 1.28 s: twelve seconds in all. */
    AGAIN_MS = 20,
    AGAIN_DOUBLED = 6,
    TRIES = 16,
};

struct job_key {
    struct hand *hand;
    struct job_key *next_free;
    struct str name; /* in text */
    unsigned tries;
    struct timer again; /* set: nothing is under way, it waits for another try */
    char text[PLACEMENT_KEY_MAX];
};

struct hand {
    struct hand_spec spec;
    struct task begin;
    struct task more;  /* deferred: takes more keys in the loop's next turn */
    struct timer tick; /* looks whether to stop */
    struct timer due;  /* when the pace lets the next key begin */
    unsigned under_way;
    bool taking; /* take_keys() is at work */
    bool out;    /* there are no more keys, or none are to be taken */
    struct job_key *free_keys;
    struct walk_batch batch;
    struct job_key keys[];
};

/* --- keys under way ---------------------------------------------------------------- */
struct str job_key_name(const struct job_key *key)
{
    return key->name;
}

struct shard *job_key_shard(const struct job_key *key)
{
    return key->hand->spec.shard;
}

struct keys_job *job_key_job(const struct job_key *key)
{
    return key->hand->spec.job;
}

static void take_keys(struct hand *hand);

static void put_back(struct hand *hand, struct job_key *key)
{
    assure(hand->under_way > 0);
    hand->under_way--;
    key->next_free = hand->free_keys;
    hand->free_keys = key;
}

static void on_again(struct timer *timer)
{
    struct job_key *key = container_of(timer, struct job_key, again);

    key->hand->spec.kind->key(key);
}

/* Is it to be tried again? Then it will be. The job is not stopping. */
static bool try_again(struct job_key *key)
{
    struct hand *hand = key->hand;
    unsigned doubled = key->tries < AGAIN_DOUBLED ? key->tries : AGAIN_DOUBLED;

    if (++key->tries == TRIES)
        return false;
    ledger_retry(hand->spec.ledger);
    timer_set(hand->spec.shard->loop, &key->again, (uint64_t)AGAIN_MS << doubled);
    return true;
}

/* There may be room for another one. May be the end of the hand. */
static void let_go(struct hand *hand, struct job_key *key)
{
    put_back(hand, key);
    take_keys(hand);
}

void job_key_over(struct job_key *key, enum job_outcome outcome, uint64_t bytes,
                  const char *why)
{
    struct hand *hand = key->hand;
    struct ledger *ledger = hand->spec.ledger;
    bool stopping = ledger_stopping(ledger);

    pace_owe(hand->spec.pace, bytes >> 20);
    if (outcome == JOB_BUSY && stopping) { /* another try is all that it wants */
        let_go(hand, key);
        return;
    }
    if (outcome == JOB_BUSY || outcome == JOB_NO_INDEX) {
        if (!stopping && try_again(key))
            return;
        if (outcome == JOB_NO_INDEX) {
            why = "the index cannot be read, or takes no writes";
            ledger_give_up(ledger, why);
        } else if (!why) {
            why = "it is in use all the time";
        }
        outcome = JOB_FAILED;
    }
    ledger_key(ledger, key->name, outcome, bytes, why);
    let_go(hand, key);
}

/* --- taking keys ------------------------------------------------------------------- */
static void rest(struct hand *hand)
{
    struct shard *shard = hand->spec.shard;

    timer_clear(shard->loop, &hand->tick);
    timer_clear(shard->loop, &hand->due);
    loop_undefer(shard->loop, &hand->more);
    hand->spec.rests(hand->spec.arg);
    shard_leave(shard);
}

/* Begins the next key; false: not now. */
static bool begin_key(struct hand *hand)
{
    struct job_key *key = hand->free_keys;
    uint64_t wait;
    int more = 1;

    if (hand->batch.taken == hand->batch.n)
        more = walk_next(hand->spec.walk, &hand->batch);
    if (more < 0)
        ledger_give_up(hand->spec.ledger, "the index cannot be read");
    if (more <= 0) {
        hand->out = true;
        return false;
    }
    wait = pace_take(hand->spec.pace, loop_now(hand->spec.shard->loop));
    if (wait > 0) {
        timer_set(hand->spec.shard->loop, &hand->due, wait);
        return false;
    }
    walk_take(&hand->batch, &key->name);
    memcpy(key->text, key->name.p, key->name.n);
    key->name.p = key->text;
    key->tries = 0;
    hand->free_keys = key->next_free;
    hand->under_way++;
    hand->spec.kind->key(key);
    return true;
}

/* Brings the keys under way up to their number. May be the end of the hand. */
static void take_keys(struct hand *hand)
{
    int begun = 0;

    if (hand->taking) /* a key that was over before its beginning returned */
        return;
    hand->taking = true;
    while (!hand->out && hand->free_keys) {
        if (ledger_stopping(hand->spec.ledger)) {
            hand->out = true;
        } else if (begun++ == BEGUN_IN_A_TURN) {
            loop_defer(hand->spec.shard->loop, &hand->more);
            break;
        } else if (!begin_key(hand)) {
            break;
        }
    }
    hand->taking = false;
    if (hand->out && hand->under_way == 0)
        rest(hand);
}

static void on_more(struct task *task)
{
    take_keys(container_of(task, struct hand, more));
}

static void on_due(struct timer *timer)
{
    take_keys(container_of(timer, struct hand, due));
}

/* Keys that wait for another try are given up when the job stops: they count neither as
 * done nor as failed, like those that it never came to. */
static void on_tick(struct timer *timer)
{
    struct hand *hand = container_of(timer, struct hand, tick);
    struct loop *loop = hand->spec.shard->loop;

    timer_set(loop, &hand->tick, TICK_MS);
    if (!ledger_stopping(hand->spec.ledger))
        return;
    for (unsigned i = 0; i < hand->spec.at_once; i++) {
        struct job_key *key = &hand->keys[i];

        if (!timer_is_set(&key->again))
            continue;
        timer_clear(loop, &key->again);
        put_back(hand, key);
    }
    hand->out = true;
    take_keys(hand);
}

static void on_begin(struct task *task)
{
    struct hand *hand = container_of(task, struct hand, begin);

    shard_enter(hand->spec.shard);
    timer_set(hand->spec.shard->loop, &hand->tick, TICK_MS);
    take_keys(hand);
}

/* ---------------------------------------------------------------------------------- */
struct hand *hand_new(const struct hand_spec *spec)
{
    struct hand *hand =
        xcalloc(1, sizeof(*hand) + (size_t)spec->at_once * sizeof(hand->keys[0]));

    assure(spec->at_once > 0);
    hand->spec = *spec;
    hand->begin.run = on_begin;
    hand->more.run = on_more;
    hand->tick.fire = on_tick;
    hand->due.fire = on_due;
    for (unsigned i = 0; i < spec->at_once; i++) {
        struct job_key *key = &hand->keys[i];

        key->hand = hand;
        key->again.fire = on_again;
        key->next_free = hand->free_keys;
        hand->free_keys = key;
    }
    return hand;
}

void hand_free(struct hand **hand)
{
    free(*hand);
    *hand = NULL;
}

void hand_begin(struct hand *hand)
{
    loop_post(hand->spec.shard->loop, &hand->begin);
}
