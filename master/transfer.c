/*
 * Giving a key's value to places that lack it: see transfer.h, and docs/writes.md for why
 * this loses nothing.
 *
 *   MARKING ─▶ COPYING ─▶ SETTLING ─▶ over
 *      └──────────┴──────────────────▶ over
 *
 * A place that is written to is not the record's but marked, one that the record names,
 * too: a volume that takes the whole value and does not answer, or whose answer a crash
 * cuts off, may carry it out much later, when the key may be gone and the place
 * another's. Such a place becomes a removal that is late.
 *
 * Copies are made one after the other, each from the best source that is left.
 */
#include "master/transfer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"
#include "common/stock.h"
#include "master/crash_point.h"
#include "master/inquiry.h"
#include "master/removals.h"
#include "master/value/copy.h"

enum transfer_state {
    MARKING,  /* the targets leave the record, marked */
    COPYING,  /* a copy is on its way to one of them */
    SETTLING, /* one batch makes the record what came of it */
};

struct transfer {
    enum transfer_state state;
    struct transfer_spec spec;
    void (*done)(void *arg, const struct transfer_end *end);
    void *arg;
    struct transfer_end end;
    struct spot *target, *source; /* of the copy under way */
    char md5[MD5_HEX + 1];        /* as given, or of the first copy made */
    char why[RECORD_PLACE_MAX + 32];
};

static _Thread_local struct stock transfers = {.size = sizeof(struct transfer)};

static void set_state(struct transfer *t, enum transfer_state to)
{
    assure(to > t->state);
    t->state = to;
}

/* What first stood in the way is what is told. */
static void note(struct transfer *t, struct str place, const char *what)
{
    if (t->why[0] == '\0')
        snprintf(t->why, sizeof(t->why), "%.*s%s", (int)place.n, place.p, what);
}

/* The last thing done: it is gone when this returns. */
static void finish(struct transfer *t, int err)
{
    t->end.err = err;
    t->end.why = t->why;
    t->done(t->arg, &t->end);
    stock_put(&transfers, t);
}

static void commit(struct transfer *t, struct change *change, const struct record *record,
                   index_done *done)
{
    const struct entry *entry = t->spec.entry;
    const struct shard *shard = t->spec.shard;

    change_record(change, record, entry->has_size, entry->size, entry->time);
    index_commit(shard->master->index, shard->loop, &change, true, done, t);
}

/* --- the end: what the index makes of it ------------------------------------------- */
static void on_settled(void *arg, int err)
{
    struct transfer *t = arg;

    /* Where it failed the marks stand, and name what may have been copied. */
    if (err == 0)
        CRASH_POINT("transfer: settled");
    t->end.settled = err == 0;
    finish(t, err);
}

static bool changes(const struct transfer *t, const struct record *record)
{
    const struct spots *spots = t->spec.spots;

    for (int i = 0; i < spots->n; i++) {
        const struct spot *spot = &spots->spot[i];

        if (spot->state == SPOT_SPOILT ||
            spot->named != record_names(record, spot->place))
            return true;
    }
    return false;
}

/* One batch: the record is what came of it, marks end, and each place that may have a
 * file but is not named any more becomes a removal. */
static void settle(struct transfer *t, bool marked)
{
    const struct spots *spots = t->spec.spots;
    const struct master *master = t->spec.shard->master;
    int64_t due = removals_due(master->removals);
    int64_t late = time(NULL) + REMOVAL_LATE_SECONDS;
    struct record record = t->spec.entry->record;
    struct change *change;

    spots_record(spots, &record);
    if (!marked && !changes(t, &record)) {
        finish(t, 0);
        return;
    }
    set_state(t, SETTLING);
    CRASH_POINT("transfer: copied, not settled");
    change = change_new(t->spec.key);
    change_end_marks(change);
    for (int i = 0; i < spots->n; i++) {
        const struct spot *spot = &spots->spot[i];

        if (spot->state == SPOT_SPOILT)
            change_removal(change, spot->place, due, spot->late ? late : 0);
        else if (spot->named && !record_names(&record, spot->place))
            /* Readers may just have been sent there. */
            change_removal(change, spot->place, due + master->readers_s, 0);
    }
    commit(t, change, &record, on_settled);
}

/* --- copying ----------------------------------------------------------------------- */
static void copy_next(struct transfer *t);

/* Nothing more goes to the target. */
static void lose_target(struct transfer *t, const struct copy_end *end)
{
    struct spot *spot = t->target;

    spot->given_up = true;
    if (!end->reached || (end->answered && spot->named && t->spec.refused_are_named))
        return;
    spot->state = SPOT_SPOILT;
    spot->late = !end->answered;
}

static void on_copied(void *arg, const struct copy_end *end)
{
    struct transfer *t = arg;

    t->end.bytes += end->size;
    CRASH_POINT("transfer: a copy is over");
    switch (end->result) {
    case COPY_DONE:
        t->target->state = SPOT_COPIED;
        t->end.copies++;
        memcpy(t->md5, end->md5, sizeof(t->md5));
        t->end.has_size = true;
        t->end.size = end->size;
        spots_learn_size(t->spec.spots, end->size);
        break;
    case COPY_SOURCE:
        t->source->bad_source = true;
        if (end->reached)
            lose_target(t, end);
        break;
    case COPY_TARGET:
        note(t, t->target->place, " did not take a copy");
        lose_target(t, end);
        break;
    case COPY_LOCAL:
        note(t, STR(""), "the master is out of connections");
        lose_target(t, end);
        break;
    }
    copy_next(t);
}

/* A place to copy from: one that is known to hold the value, else one that nothing is
 * known of; NULL: none. */
static struct spot *next_source(struct transfer *t)
{
    const struct spots *spots = t->spec.spots;

    for (int i = 0; i < spots->n; i++)
        if (spot_holds(&spots->spot[i]) && !spots->spot[i].bad_source)
            return &spots->spot[i];
    /* Only now: a volume that is not passed over is to be asked. */
    for (int i = 0; i < spots->n; i++) {
        struct spot *spot = &spots->spot[i];

        if (spot->state == SPOT_UNKNOWN && !spot->bad_source &&
            !(t->spec.hasty && inquiry_passes_over(t->spec.shard->master, spot->place)))
            return spot;
    }
    note(t, STR(""), "no volume has a copy of the value that can be read");
    return NULL;
}

static void copy_next(struct transfer *t)
{
    const struct shard *shard = t->spec.shard;

    t->target = spots_target(t->spec.spots);
    t->source = t->target ? next_source(t) : NULL;
    if (!t->source) {
        settle(t, true);
        return;
    }
    copy_start(&(struct copy_spec){.client = shard->client,
                                   .volumes = shard->master->volumes,
                                   .summers = shard->master->summers,
                                   .from = t->source->place,
                                   .to = t->target->place,
                                   .path = t->spec.path,
                                   .has_size = t->end.has_size,
                                   .size = t->end.size,
                                   .md5 = t->md5,
                                   .answer_ms = shard->master->answer_ms},
               on_copied, t);
}

/* --- marking ----------------------------------------------------------------------- */
static void on_marked(void *arg, int err)
{
    struct transfer *t = arg;

    if (err != 0) {
        finish(t, err);
        return;
    }
    set_state(t, COPYING);
    CRASH_POINT("transfer: marked");
    copy_next(t);
}

/* "Named before it exists": the targets are marked, and those of them that the record
 * names leave it until they have the value again. For should we die under the copy, a
 * request of ours may still arrive there, and only of a mark that is remembered. */
static void mark(struct transfer *t)
{
    const struct spots *spots = t->spec.spots;
    struct record record = t->spec.entry->record;
    struct change *change = change_new(t->spec.key);

    spots_record_meanwhile(spots, &record);
    for (int i = 0; i < spots->n; i++)
        if (spot_is_target(&spots->spot[i]))
            change_mark(change, spots->spot[i].place);
    commit(t, change, &record, on_marked);
}

void transfer_start(const struct transfer_spec *spec,
                    void (*done)(void *arg, const struct transfer_end *end), void *arg)
{
    struct transfer *t = stock_get(&transfers);

    *t = (struct transfer){.state = MARKING, .spec = *spec, .done = done, .arg = arg};
    t->end.has_size = spec->has_size;
    t->end.size = spec->size;
    memcpy(t->md5, spec->md5, strlen(spec->md5) + 1);
    if (spots_target(spec->spots) && next_source(t))
        mark(t);
    else
        settle(t, false);
}
