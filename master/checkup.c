/*
 * The checkup of one key: see checkup.h.
 *
 *   READING ─▶ CLAIMING ─▶ MENDING ─▶ over
 *      └───────────┴──────────────────▶ over
 *
 * A replica is mended where it is (transfer.h). One whose volume falls silent meanwhile
 * is given up: the key has a replica less then, until `rebalance` brings it home.
 */
#include "master/checkup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/assure.h"
#include "common/stock.h"
#include "master/crash_point.h"
#include "master/spots.h"
#include "master/transfer.h"
#include "master/value/readback.h"

enum checkup_state {
    READING,  /* replica after replica is read back; nothing is claimed */
    CLAIMING, /* some are not right, and are to be mended: the key is being claimed */
    MENDING,  /* claimed; they are given the value */
};

enum finding {
    FINDING_WHOLE,   /* it was read: right, or wrong once there is something to tell by */
    FINDING_RIGHT,   /* … and it is the value */
    FINDING_WRONG,   /* … and it is not */
    FINDING_MISSING, /* no file is there */
    FINDING_UNREAD,  /* nothing is known of it */
    FINDING_HOPELESS, /* WRONG or MISSING, and could not be mended */
    FINDING_LOST,     /* … and a copy may still arrive */
};

struct finding_at {
    enum finding finding;
    uint64_t size;
    char md5[MD5_HEX + 1];
};

struct checkup {
    enum checkup_state state;
    struct checkup_spec spec;
    void (*done)(void *arg, const struct checkup_end *end);
    void *arg;
    struct entry entry;
    int at; /* the replica being read */
    struct finding_at found[RECORD_PLACES_MAX];
    struct spots spots; /* while MENDING: what is found, in the same order */
    uint64_t bytes;
    size_t path_n, why_n;
    char path[PLACEMENT_PATH_MAX];
    char why[512];
    char keybuf[PLACEMENT_KEY_MAX];
};

static _Thread_local struct stock checkups = {.size = sizeof(struct checkup)};

static void set_state(struct checkup *c, enum checkup_state to)
{
    assure(to > c->state);
    c->state = to;
}

static struct master *master_of(const struct checkup *c)
{
    return c->spec.shard->master;
}

static struct str place_at(const struct checkup *c, int i)
{
    return c->entry.record.place[i];
}

/* One more thing that is wrong, after a comma. What is too much for a line is cut. */
__attribute__((format(printf, 2, 3))) static void note(struct checkup *c, const char *fmt,
                                                       ...)
{
    size_t room = sizeof(c->why) - c->why_n;
    va_list args;
    int n;

    if (c->why_n > 0 && room > 2) {
        memcpy(c->why + c->why_n, ", ", 3);
        c->why_n += 2;
        room -= 2;
    }
    va_start(args, fmt);
    n = vsnprintf(c->why + c->why_n, room, fmt, args);
    va_end(args);
    if (n > 0)
        c->why_n += (size_t)n < room ? (size_t)n : room - 1;
}

/* The last thing done: it is gone when this returns. */
static void finish(struct checkup *c, enum checkup_result result)
{
    struct shard *shard = c->spec.shard;
    struct checkup_end end = {.result = result, .why = c->why, .bytes = c->bytes};

    if (c->state >= MENDING)
        index_release(shard->master->index, c->spec.key);
    spots_free(&c->spots);
    entry_clear(&c->entry);
    c->done(c->arg, &end);
    stock_put(&checkups, c);
    shard_leave(shard);
}

/* --- the verdict ------------------------------------------------------------------- */
static bool is_same(const struct record *a, const struct record *b)
{
    if (a->state != b->state || a->n != b->n || strcmp(a->md5, b->md5) != 0)
        return false;
    for (int i = 0; i < a->n; i++)
        if (!str_eq(a->place[i], b->place[i]))
            return false;
    return true;
}

/* What the value's MD5 is: the recorded one, else that of all copies that could be read,
 * where they agree. "" when nothing can tell. */
static const char *wanted_md5(const struct checkup *c)
{
    const struct record *record = &c->entry.record;
    const char *common = "";

    if (record->md5[0] != '\0')
        return record->md5;
    for (int i = 0; i < record->n; i++) {
        const struct finding_at *f = &c->found[i];

        if (f->finding != FINDING_WHOLE)
            continue;
        if (common[0] != '\0' && strcmp(common, f->md5) != 0)
            return "";
        common = f->md5;
    }
    return common;
}

static void note_finding(struct checkup *c, int i, const char *wanted)
{
    struct str place = place_at(c, i);
    const char *what = "";

    switch (c->found[i].finding) {
    case FINDING_WHOLE:
        what = "differs from other copies, and no MD5 is recorded";
        break;
    case FINDING_WRONG:
        what = wanted[0] != '\0' ? "is corrupt" : "is not known to be right";
        break;
    case FINDING_MISSING:
        what = "is missing";
        break;
    case FINDING_UNREAD:
        what = "could not be read";
        break;
    case FINDING_HOPELESS:
        what = "could not be mended";
        break;
    case FINDING_LOST:
        what = "fell silent while it was mended, and is given up";
        break;
    case FINDING_RIGHT:
        return;
    }
    note(c, "%.*s %s", (int)place.n, place.p, what);
}

/* Says what is wrong, if anything, and tells how many are right. */
static int weigh(struct checkup *c, bool *all_right)
{
    const char *wanted = wanted_md5(c);
    int right = 0;

    c->why_n = 0;
    c->why[0] = '\0';
    for (int i = 0; i < c->entry.record.n; i++) {
        struct finding_at *f = &c->found[i];

        if (f->finding == FINDING_WHOLE && wanted[0] != '\0')
            f->finding = strcmp(f->md5, wanted) == 0 ? FINDING_RIGHT : FINDING_WRONG;
        right += f->finding == FINDING_RIGHT;
        note_finding(c, i, wanted);
    }
    *all_right = right == c->entry.record.n;
    return right;
}

/* --- mending ----------------------------------------------------------------------- */
/* The index of the first replica that was found like that; -1: none. */
static int first(const struct checkup *c, enum finding finding)
{
    for (int i = 0; i < c->entry.record.n; i++)
        if (c->found[i].finding == finding)
            return i;
    return -1;
}

static void on_mended(void *arg, const struct transfer_end *end)
{
    struct checkup *c = arg;
    bool all_right;

    c->bytes += end->bytes;
    if (end->err != 0) {
        finish(c, CHECKUP_INDEX);
        return;
    }
    for (int i = 0; i < c->spots.n; i++) {
        enum spot_state state = c->spots.spot[i].state;

        if (state == SPOT_COPIED)
            c->found[i].finding = FINDING_RIGHT;
        else if (state == SPOT_SPOILT)
            c->found[i].finding = FINDING_LOST;
        else if (state == SPOT_LACKS)
            c->found[i].finding = FINDING_HOPELESS;
    }
    weigh(c, &all_right);
    finish(c, all_right ? CHECKUP_MENDED : CHECKUP_WRONG);
}

static void mend(struct checkup *c)
{
    int right = first(c, FINDING_RIGHT);

    assure(right >= 0);
    spots_find_named(&c->spots, &c->entry);
    for (int i = 0; i < c->spots.n; i++) {
        enum finding finding = c->found[i].finding;
        struct spot *spot = &c->spots.spot[i];

        if (finding == FINDING_RIGHT)
            spot->state = SPOT_HOLDS;
        else if (finding == FINDING_MISSING || finding == FINDING_WRONG)
            spot->state = SPOT_LACKS;
        else
            spot->bad_source = true;
    }
    transfer_start(&(struct transfer_spec){.shard = c->spec.shard,
                                           .key = c->spec.key,
                                           .path = {c->path, c->path_n},
                                           .entry = &c->entry,
                                           .spots = &c->spots,
                                           .refused_are_named = true,
                                           .has_size = true,
                                           .size = c->found[right].size,
                                           .md5 = c->found[right].md5},
                   on_mended, c);
}

static void on_claimed(void *arg, int err, struct entry *entry)
{
    struct checkup *c = arg;

    if (err != 0) {
        finish(c, err == -EBUSY ? CHECKUP_BUSY : CHECKUP_INDEX);
        return;
    }
    set_state(c, MENDING);
    CRASH_POINT("checkup: claimed");
    if (!is_same(&entry->record, &c->entry.record)) {
        entry_clear(entry);
        finish(c, CHECKUP_BUSY);
        return;
    }
    entry_clear(&c->entry);
    c->entry = *entry;
    if (c->entry.n_marks > 0) /* the index has not yet made removals of them */
        finish(c, CHECKUP_INDEX);
    else
        mend(c);
}

/* --- reading ----------------------------------------------------------------------- */
/* All replicas have been looked at. */
static void judge(struct checkup *c)
{
    const struct shard *shard = c->spec.shard;
    struct entry now;
    bool all_right;
    int right = weigh(c, &all_right);

    if (all_right) {
        finish(c, CHECKUP_RIGHT);
        return;
    }
    /* Was it replaced or deleted while we looked? Then nothing is known of it. */
    if (index_entry(shard->master->index, c->spec.key, &now) != 0) {
        finish(c, CHECKUP_INDEX);
        return;
    }
    bool same = is_same(&now.record, &c->entry.record);
    entry_clear(&now);
    if (!same) {
        finish(c, CHECKUP_BUSY);
    } else if (c->spec.repair && right > 0 &&
               (first(c, FINDING_MISSING) >= 0 || first(c, FINDING_WRONG) >= 0)) {
        set_state(c, CLAIMING);
        index_claim(shard->master->index, shard->loop, c->spec.key, on_claimed, c);
    } else {
        finish(c, CHECKUP_WRONG);
    }
}

static void read_next(struct checkup *c);

static void on_read(void *arg, const struct readback_end *end)
{
    static const enum finding finding[] = {
        [READBACK_WHOLE] = FINDING_WHOLE,
        [READBACK_MISSING] = FINDING_MISSING,
        [READBACK_FAILED] = FINDING_UNREAD,
    };
    struct checkup *c = arg;
    struct finding_at *f = &c->found[c->at++];

    f->finding = finding[end->result];
    f->size = end->size;
    memcpy(f->md5, end->md5, sizeof(f->md5));
    c->bytes += end->bytes;
    read_next(c);
}

static void read_next(struct checkup *c)
{
    const struct shard *shard = c->spec.shard;

    /* One that is thought down would be waited for with every key that it has. */
    while (c->at < c->entry.record.n &&
           !volumes_well(shard->master->volumes, place_at(c, c->at)))
        c->found[c->at++].finding = FINDING_UNREAD;
    if (c->at == c->entry.record.n) {
        judge(c);
        return;
    }
    readback_start(&(struct readback_spec){.client = shard->client,
                                           .volumes = shard->master->volumes,
                                           .summers = shard->master->summers,
                                           .place = place_at(c, c->at),
                                           .path = {c->path, c->path_n},
                                           .has_size = c->entry.has_size,
                                           .size = c->entry.size},
                   on_read, c);
}

void checkup_start(const struct checkup_spec *spec,
                   void (*done)(void *arg, const struct checkup_end *end), void *arg)
{
    struct checkup *c = stock_get(&checkups);

    assure(spec->key.n <= sizeof(c->keybuf));
    *c = (struct checkup){.state = READING, .spec = *spec, .done = done, .arg = arg};
    c->spec.key = (struct str){memcpy(c->keybuf, spec->key.p, spec->key.n), spec->key.n};
    shard_enter(spec->shard);
    if (index_entry(master_of(c)->index, c->spec.key, &c->entry) != 0) {
        finish(c, CHECKUP_INDEX);
    } else if (c->entry.record.state == RECORD_ABSENT) {
        finish(c, CHECKUP_ABSENT);
    } else {
        c->path_n = placement_path(c->spec.key, c->path);
        read_next(c);
    }
}
