/*
 * Bringing one key home: see homecoming.h, and docs/writes.md for why this loses nothing.
 *
 *   CLAIMING ─▶ FREEING ─▶ ASKING ─▶ MOVING ─▶ CLEARING ─▶ over
 *
 * Every place that the record names is asked by HEAD, for what a record says is not what
 * a drive that was exchanged holds. What homes lack they are given (transfer.h). The
 * places that are no home go only once every home holds the value: until then they are
 * copies too.
 */
#include "master/homecoming.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/assure.h"
#include "master/crash_point.h"
#include "master/inquiry.h"
#include "master/removals.h"
#include "master/spots.h"
#include "master/transfer.h"
#include "master/volumes/resting.h"

enum homecoming_state {
    CLAIMING, /* the key is being claimed */
    FREEING,  /* claimed; removals that stand at a home are being cleared */
    ASKING,   /* claimed; the places of the record are asked by HEAD */
    MOVING, /* claimed; homes are given the value, and the record becomes what came of it */
    CLEARING, /* claimed; what the record names no more is being cleared */
};

struct homecoming {
    enum homecoming_state state;
    struct homecoming_spec spec;
    void (*done)(void *arg, const struct homecoming_end *end);
    void *arg;
    struct homecoming_end end;
    struct entry entry;
    bool has_entry;
    struct spots spots;
    bool has_size; /* as recorded, or as all the copies have it */
    uint64_t size;
    size_t path_n;
    char path[PLACEMENT_PATH_MAX];
    char why[RECORD_PLACE_MAX + 128];
    char keybuf[PLACEMENT_KEY_MAX];
};

static void set_state(struct homecoming *h, enum homecoming_state to)
{
    assure(to > h->state);
    h->state = to;
}

static struct master *master_of(const struct homecoming *h)
{
    return h->spec.shard->master;
}

/* What first stood in the way is what is told. */
__attribute__((format(printf, 2, 3))) static void note(struct homecoming *h,
                                                       const char *fmt, ...)
{
    va_list args;

    if (h->why[0] != '\0')
        return;
    va_start(args, fmt);
    vsnprintf(h->why, sizeof(h->why), fmt, args);
    va_end(args);
}

static void note_place(struct homecoming *h, struct str place, const char *what)
{
    note(h, "%.*s %s", (int)place.n, place.p, what);
}

/* The last thing done: it is gone when this returns. */
static void finish(struct homecoming *h, enum homecoming_result result)
{
    struct shard *shard = h->spec.shard;

    if (h->has_entry) {
        entry_clear(&h->entry);
        index_release(shard->master->index, h->spec.key);
    }
    h->end.result = result;
    h->end.why = h->why;
    if (h->has_size)
        h->end.size = h->size;
    h->done(h->arg, &h->end);
    spots_free(&h->spots);
    free(h);
    shard_leave(shard);
}

static bool passed_over(const struct homecoming *h, struct str place)
{
    return h->spec.hasty && inquiry_passes_over(master_of(h), place);
}

/* --- the end: what homes lack, and the old places ---------------------------------- */
static void on_cleared(void *arg)
{
    struct homecoming *h = arg;

    CRASH_POINT("homecoming: the old places are cleared");
    finish(h, spots_complete(&h->spots) ? HOMECOMING_MOVED : HOMECOMING_STAYS);
}

static void clear(struct homecoming *h)
{
    struct master *master = master_of(h);
    struct str place[2 * RECORD_PLACES_MAX];
    bool all_home = spots_complete(&h->spots);
    int n = 0;

    set_state(h, CLEARING);
    for (int i = 0; i < h->spots.n; i++) {
        const struct spot *spot = &h->spots.spot[i];

        /* The old places are the sweeper's where readers may be on their way there. */
        if (spot->state != SPOT_SPOILT &&
            (!all_home || spot->wanted || master->readers_s > 0))
            continue;
        if (resting_admit(master->resting, spot->place))
            place[n++] = spot->place;
    }
    if (n == 0)
        on_cleared(h);
    else
        removals_clear(master->removals, h->spec.shard->loop, h->spec.shard->client,
                       h->spec.key, place, n, on_cleared, h);
}

static void on_moved(void *arg, const struct transfer_end *end)
{
    struct homecoming *h = arg;

    h->end.copies = end->copies;
    h->has_size = end->has_size;
    h->size = end->size;
    if (end->why[0] != '\0')
        note(h, "%s", end->why);
    if (end->err != 0)
        finish(h, HOMECOMING_INDEX);
    else if (end->settled)
        clear(h);
    else
        finish(h, spots_complete(&h->spots) ? HOMECOMING_HOME : HOMECOMING_STAYS);
}

static void move(struct homecoming *h)
{
    set_state(h, MOVING);
    transfer_start(&(struct transfer_spec){.shard = h->spec.shard,
                                           .key = h->spec.key,
                                           .path = {h->path, h->path_n},
                                           .entry = &h->entry,
                                           .spots = &h->spots,
                                           .hasty = h->spec.hasty,
                                           .has_size = h->has_size,
                                           .size = h->size,
                                           .md5 = h->entry.record.md5},
                   on_moved, h);
}

/* --- asking ------------------------------------------------------------------------ */
/* What the places have said of the value's size, where none is recorded. false: it must
 * not be touched. */
static bool weigh_sizes(struct homecoming *h)
{
    int differ = h->has_size ? -1 : spots_sizes_differ(&h->spots, &h->size);

    h->has_size = h->has_size || differ == 0;
    if (differ <= 0)
        return true;
    /* An MD5 tells which one is the value, as soon as one is read. */
    note(h, "its copies differ in size");
    return h->entry.record.md5[0] != '\0' && spots_target(&h->spots);
}

static void on_asked(void *arg)
{
    struct homecoming *h = arg;

    for (int i = 0; i < h->spots.n; i++) {
        struct spot *spot = &h->spots.spot[i];

        if (!spot->wanted)
            continue;
        if (spot->state == SPOT_UNKNOWN)
            note_place(h, spot->place, "did not say whether it has the value");
        else if (spot->state == SPOT_TAKEN) {
            note_place(h, spot->place, "may still have a file of the past to be cleared");
            spot->given_up = passed_over(h, spot->place);
        } else if (!spot_holds(spot) && passed_over(h, spot->place)) {
            note_place(h, spot->place, "is down");
            spot->given_up = true;
        }
    }
    h->end.soon = spots_soon_free(&h->spots);
    if (weigh_sizes(h))
        move(h);
    else
        finish(h, HOMECOMING_STAYS);
}

static void ask(struct homecoming *h)
{
    set_state(h, ASKING);
    inquiry_start(&(struct inquiry_spec){.shard = h->spec.shard,
                                         .spots = &h->spots,
                                         .path = {h->path, h->path_n},
                                         .hasty = h->spec.hasty,
                                         .has_size = h->has_size,
                                         .size = h->size},
                  on_asked, h);
}

/* --- the beginning ----------------------------------------------------------------- */
/* The removals at homes have been tried; some may be gone. */
static void on_freed(void *arg)
{
    struct homecoming *h = arg;
    struct entry entry;

    if (index_entry(master_of(h)->index, h->spec.key, &entry) != 0) {
        finish(h, HOMECOMING_INDEX);
        return;
    }
    entry_clear(&h->entry);
    h->entry = entry;
    spots_find_homes(&h->spots, master_of(h)->volumes, h->spec.key, &h->entry);
    ask(h);
}

static void free_homes(struct homecoming *h)
{
    const struct shard *shard = h->spec.shard;
    struct str place[RECORD_PLACES_MAX];
    int n = 0;

    for (int i = 0; i < h->spots.n; i++)
        if (h->spots.spot[i].state == SPOT_TAKEN &&
            !passed_over(h, h->spots.spot[i].place))
            place[n++] = h->spots.spot[i].place;
    if (n == 0) {
        ask(h);
        return;
    }
    set_state(h, FREEING);
    removals_clear(shard->master->removals, shard->loop, shard->client, h->spec.key,
                   place, n, on_freed, h);
}

static void on_claimed(void *arg, int err, struct entry *entry)
{
    struct homecoming *h = arg;
    const struct record *record = &entry->record;

    if (err != 0) {
        finish(h, err == -EBUSY ? HOMECOMING_BUSY : HOMECOMING_INDEX);
        return;
    }
    CRASH_POINT("homecoming: claimed");
    h->entry = *entry;
    h->has_entry = true;
    if (record->state == RECORD_ABSENT ||
        (record->state == RECORD_UNLINKED && !h->spec.unlinked)) {
        finish(h, HOMECOMING_ABSENT);
        return;
    }
    if (h->entry.n_marks > 0) { /* the index has not yet made removals of them */
        finish(h, HOMECOMING_INDEX);
        return;
    }
    h->has_size = h->entry.has_size;
    h->size = h->entry.size;
    h->path_n = placement_path(h->spec.key, h->path);
    spots_find_homes(&h->spots, master_of(h)->volumes, h->spec.key, &h->entry);
    free_homes(h);
}

void homecoming_start(const struct homecoming_spec *spec,
                      void (*done)(void *arg, const struct homecoming_end *end),
                      void *arg)
{
    struct homecoming *h = xcalloc(1, sizeof(*h));

    assure(spec->key.n <= sizeof(h->keybuf));
    h->spec = *spec;
    h->spec.key = (struct str){memcpy(h->keybuf, spec->key.p, spec->key.n), spec->key.n};
    h->done = done;
    h->arg = arg;
    shard_enter(spec->shard);
    index_claim(spec->shard->master->index, spec->shard->loop, h->spec.key, on_claimed,
                h);
}
