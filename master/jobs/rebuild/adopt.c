/* See adopt.h. */
#include "master/jobs/rebuild/adopt.h"

#include <stdlib.h>

/* One copy, and what is thought of it. */
struct copy_of {
    const struct found *found;
    bool counts; /* it may be the value's */
    bool named;  /* by the old record */
    bool taken;  /* it is, and the record names it */
    int rank;    /* of its volume; those that are not in the list come last */
    bool home;
};

struct judging {
    const struct volumes *volumes;
    const struct entry *old;
    int n;
    struct copy_of copy[FOUND_MOST];
};

/* --- sets -------------------------------------------------------------------------- */

/* The copies of one size. */
struct set {
    uint64_t size;
    int n;
    int64_t newest;
};

static struct set set_of(const struct judging *j, uint64_t size, bool named)
{
    struct set set = {.size = size};

    for (int i = 0; i < j->n; i++) {
        const struct copy_of *c = &j->copy[i];
        if (!c->counts || c->found->size != size || (named && !c->named))
            continue;
        if (set.n++ == 0 || c->found->mtime > set.newest)
            set.newest = c->found->mtime;
    }
    return set;
}

/* Whole before not, more copies before fewer where neither is, then the newest. */
static bool better(const struct judging *j, const struct set *a, const struct set *b)
{
    int whole = volumes_replicas(j->volumes);
    int an = a->n < whole ? a->n : whole, bn = b->n < whole ? b->n : whole;

    if (an != bn)
        return an > bn;
    if (a->newest != b->newest)
        return a->newest > b->newest;
    return a->n != b->n ? a->n > b->n : a->size > b->size;
}

/* The best set; one of no copies where none counts. `named`: only of those. */
static struct set best_set(const struct judging *j, bool named)
{
    struct set best = {.n = 0};

    for (int i = 0; i < j->n; i++) {
        struct set set = set_of(j, j->copy[i].found->size, named);
        if (set.n > 0 && (best.n == 0 || better(j, &set, &best)))
            best = set;
    }
    return best;
}

/* --- order ------------------------------------------------------------------------- */

/* Is the place that volume, or a subvolume of it? */
static bool lies_at(struct str place, struct str name)
{
    return str_starts(place, name) &&
           (place.n == name.n ||
            (place.p[name.n] == '/' && placement_names_subvolume((struct str){
                                           place.p + name.n + 1, place.n - name.n - 1})));
}

static void rank_copies(struct judging *j, struct str key)
{
    struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
    int n = volumes_count(j->volumes);
    char home[PLACE_MAX];

    volumes_rank(j->volumes, key, rank);
    for (int i = 0; i < j->n; i++) {
        struct copy_of *c = &j->copy[i];
        c->rank = n;
        for (int k = 0; k < n && c->rank == n; k++) {
            if (!lies_at(c->found->place, volumes_name(j->volumes, rank[k].volume)))
                continue;
            c->rank = k;
            size_t len = volumes_place(j->volumes, &rank[k], 0, home);
            c->home = str_eq(c->found->place, (struct str){home, len});
        }
    }
}

static int by_rank(const void *x, const void *y)
{
    const struct copy_of *a = x, *b = y;

    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->home != b->home)
        return a->home ? -1 : 1;
    return a->found < b->found ? -1 : 1;
}

/* --- the verdict ------------------------------------------------------------------- */

static void take(struct adoption *out, struct copy_of *c)
{
    if (out->record.n < RECORD_PLACES_MAX) {
        out->record.place[out->record.n++] = c->found->place;
        c->taken = true;
    }
}

static struct copy_of *copy_at(struct judging *j, struct str place)
{
    for (int i = 0; i < j->n; i++)
        if (str_eq(j->copy[i].found->place, place))
            return &j->copy[i];
    return NULL;
}

/* The places that the old record names and that have the value. */
static void take_named(struct judging *j, struct adoption *out)
{
    const struct record *record = &j->old->record;
    uint64_t size = j->old->has_size ? j->old->size : best_set(j, true).size;

    for (int i = 0; i < record->n; i++) {
        struct copy_of *c = copy_at(j, record->place[i]);
        if (c && c->counts && !c->taken && c->found->size == size)
            take(out, c);
    }
    out->size = size;
}

/* The best set of all there is, in the order of ranks. */
static void take_best(struct judging *j, struct str key, struct adoption *out)
{
    struct set set = {.n = 0};

    if (j->old->record.state != RECORD_ABSENT && j->old->has_size)
        set = set_of(j, j->old->size, false);
    if (set.n == 0)
        set = best_set(j, false);
    if (set.n == 0)
        return;
    rank_copies(j, key);
    qsort(j->copy, (size_t)j->n, sizeof(j->copy[0]), by_rank);
    for (int i = 0; i < j->n; i++)
        if (j->copy[i].counts && j->copy[i].found->size == set.size)
            take(out, &j->copy[i]);
    out->size = set.size;
}

static void tell_copies(const struct judging *j, const struct adoption *out,
                        adopt_told *told, void *arg)
{
    for (int i = 0; i < j->n; i++) {
        const struct copy_of *c = &j->copy[i];
        if (c->taken || entry_awaits(j->old, c->found->place))
            continue;
        told(arg,
             c->found->size == 0           ? ADOPT_EMPTY
             : c->found->size != out->size ? ADOPT_DIFFERS
                                           : ADOPT_UNNAMED,
             c->found->place);
    }
}

static void tell_missing(struct judging *j, adopt_told *told, void *arg)
{
    const struct record *record = &j->old->record;

    for (int i = 0; i < record->n; i++)
        if (!copy_at(j, record->place[i]))
            told(arg, ADOPT_MISSING, record->place[i]);
}

void adopt(const struct volumes *volumes, const struct found_key *found,
           const struct entry *old, struct adoption *out, adopt_told *told, void *arg)
{
    struct judging j = {.volumes = volumes, .old = old, .n = found->n};
    bool known = old->record.state != RECORD_ABSENT;

    *out = (struct adoption){.has_size = false};
    for (int i = 0; i < j.n; i++) {
        struct copy_of *c = &j.copy[i];
        c->found = &found->found[i];
        c->named = known && record_names(&old->record, c->found->place);
        c->counts =
            c->found->size > 0 && (c->named || !entry_awaits(old, c->found->place));
    }
    if (known)
        take_named(&j, out);
    if (out->record.n == 0)
        take_best(&j, found->key, out);

    if (out->record.n > 0) {
        bool same = known && (!old->has_size || old->size == out->size);
        out->record.state = known ? old->record.state : RECORD_LIVE;
        if (same) {
            memcpy(out->record.md5, old->record.md5, sizeof(out->record.md5));
            out->has_size = old->has_size;
            out->time = old->time;
        } else if (known) {
            told(arg, ADOPT_CHANGED, STR(""));
        }
        if (out->record.n < volumes_replicas(volumes))
            told(arg, ADOPT_FEW, STR(""));
    } else if (known) {
        told(arg, ADOPT_LOST, STR(""));
    }
    if (known)
        tell_missing(&j, told, arg);
    tell_copies(&j, out, told, arg);
}
