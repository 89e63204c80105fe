/* The replicas of one PUT as a whole: see replica_set.h. */
#include "master/value/replica_set.h"

#include <time.h>

#include "common/assure.h"
#include "common/stock.h"
#include "master/value/replica.h"
#include "master/volumes/choose.h"

enum {
    FLOW_FROM = 64 * 1024, /* bodies up to this are sent when they are complete */
    SOURCE_TRIES = 6,      /* failed copies after which the value counts as unreadable */

    /* has, or will have, the value by itself */
    FROM_START = 1 << REPLICA_TAKING | 1 << REPLICA_ENDING | 1 << REPLICA_HOLDING,
    COUNTING = FROM_START | 1 << REPLICA_PROMISED | 1 << REPLICA_COPYING,
};

struct replica_set {
    struct replica_set_spec spec;
    struct replica_env env;
    struct choice *choice;
    bool last_out;            /* a last byte is out */
    unsigned asked, answered; /* mark commits, in order */
    int n;
    struct replica
        *replica[PLACEMENT_VOLUMES_MAX]; /* each volume is tried at most once */
    char path[PLACEMENT_PATH_MAX];
};

static _Thread_local struct stock sets = {.size = sizeof(struct replica_set)};

static void on_changed(void *arg)
{
    struct replica_set *set = arg;

    set->spec.changed(set->spec.arg, 0);
}

struct replica_set *replica_set_new(const struct replica_set_spec *spec)
{
    struct replica_set *set = stock_get(&sets);
    struct master *master = spec->shard->master;

    set->spec = *spec;
    set->choice = choice_new(master->volumes, spec->key, spec->entry);
    set->last_out = false;
    set->asked = set->answered = 0;
    set->n = 0;
    set->env = (struct replica_env){
        .client = spec->shard->client,
        .volumes = master->volumes,
        .summers = master->summers,
        .path = {set->path, placement_path(spec->key, set->path)},
        .has_length = spec->has_length,
        .length = spec->length,
        .answer_ms = master->answer_ms,
        .room = on_changed,
        .changed = on_changed,
        .arg = set,
    };
    return set;
}

void replica_set_free(struct replica_set **set)
{
    struct replica_set *s = *set;

    *set = NULL;
    assure(s->asked == s->answered);
    for (int i = 0; i < s->n; i++)
        replica_free(&s->replica[i]);
    choice_free(&s->choice);
    stock_put(&sets, s);
}

/* How many replicas are in one of the states. */
static int count(const struct replica_set *set, unsigned states)
{
    int n = 0;

    for (int i = 0; i < set->n; i++)
        n += (states >> replica_state(set->replica[i]) & 1U) != 0;
    return n;
}

/* --- places and marks -------------------------------------------------------------- */
static void on_marked(void *arg, int err)
{
    struct replica_set *set = arg;

    set->answered++;
    set->spec.changed(set->spec.arg, err);
}

static bool marked(const struct replica_set *set, const struct replica *r)
{
    return set->answered >= replica_mark(r);
}

/* Chooses the next place and gives it the body, if its beginning is still here; otherwise
 * the replica stays promised until there is one to copy from. NULL: no volume is left. */
static struct replica *enlist(struct replica_set *set)
{
    char text[PLACE_MAX];
    struct replica *r;
    size_t n;
    int rank;

    n = choice_next(set->choice, text, &rank);
    if (n == 0)
        return NULL;
    r = replica_new(&set->env, (struct str){text, n}, rank);
    set->replica[set->n++] = r;
    if (held_whole(set->spec.held))
        replica_take(r);
    return r;
}

/* Brings the replicas that count up to their number again. false: there are too few
 * volumes. */
static bool enlist_missing(struct replica_set *set)
{
    struct shard *shard = set->spec.shard;
    int missing = volumes_replicas(shard->master->volumes) - count(set, COUNTING);
    struct change *change;

    if (missing <= 0)
        return true;
    change = change_new(set->spec.key);
    for (; missing > 0; missing--) {
        struct replica *r = enlist(set);

        if (!r) {
            change_free(&change);
            return false;
        }
        change_mark(change, replica_place(r));
        replica_note_mark(r, set->asked + 1);
    }
    set->asked++;
    index_commit(shard->master->index, shard->loop, &change, true, on_marked, set);
    return true;
}

/* --- what is lost ------------------------------------------------------------------ */
/* Starts the copies whose places are marked; somebody holds the value. */
static void start_copies(struct replica_set *set, uint64_t size, const char *md5)
{
    int source = 0;

    for (int i = 0; i < set->n; i++) {
        struct replica *r = set->replica[i];

        if (replica_state(r) != REPLICA_PROMISED || !marked(set, r))
            continue;
        /* Each try begins with the next of the holders. */
        source += replica_bad_sources(r);
        do
            source = (source + 1) % set->n;
        while (replica_state(set->replica[source]) != REPLICA_HOLDING);
        replica_copy(r, replica_place(set->replica[source]), size, md5);
    }
}

/* Is the held body still worth keeping to ourselves? Well before it fills its room. */
static bool is_small(const struct held *held)
{
    return held_whole(held) && held->bytes <= FLOW_FROM && held->memory <= HELD_MAX / 2 &&
           held->n <= HELD_PIECES / 2;
}

enum replica_set_state replica_set_mend(struct replica_set *set, bool complete,
                                        uint64_t size, const char *md5)
{
    int bad_sources = 0;
    int holding;

    if (set->n == 0 && !complete && is_small(set->spec.held))
        return REPLICA_SET_GOING;
    for (int i = 0; i < set->n; i++) {
        if (replica_local(set->replica[i]))
            return REPLICA_SET_LOCAL;
        bad_sources += replica_bad_sources(set->replica[i]);
    }
    if (!held_whole(set->spec.held) && count(set, FROM_START) == 0)
        return REPLICA_SET_LOST;
    if (bad_sources > SOURCE_TRIES)
        return REPLICA_SET_LOST;
    if (complete) { /* chunked or not, for those that are still to begin */
        set->env.has_length = true;
        set->env.length = size;
    }
    if (!enlist_missing(set))
        return REPLICA_SET_FEW;
    holding = count(set, 1U << REPLICA_HOLDING);
    if (holding == volumes_replicas(set->env.volumes))
        return REPLICA_SET_HELD;
    if (holding > 0)
        start_copies(set, size, md5);
    return REPLICA_SET_GOING;
}

/* --- the body ---------------------------------------------------------------------- */
/* Sends one replica the held pieces numbered below `before`. */
static void send_to(struct replica_set *set, struct replica *r, uint64_t before)
{
    const struct held *held = set->spec.held;

    for (uint64_t next; (next = replica_next(r)) < before;) {
        const struct held_piece *p = held_piece(held, next);

        replica_send(r, p->block, p->data, p->len);
    }
}

bool replica_set_send(struct replica_set *set, bool complete)
{
    struct held *held = set->spec.held;
    uint64_t end = held_end(held);
    uint64_t sent = end; /* by all */
    bool flows = !is_small(held);

    for (int i = 0; i < set->n; i++) {
        struct replica *r = set->replica[i];

        if (replica_state(r) != REPLICA_TAKING)
            continue;
        if (complete && marked(set, r)) {
            send_to(set, r, end);
            replica_finish(r);
            set->last_out = true;
            continue;
        }
        if (flows)
            send_to(set, r, end - 1);
        if (replica_next(r) < sent)
            sent = replica_next(r);
    }
    if (!held_whole(held))
        held_forget(held, sent);
    return set->last_out;
}

bool replica_set_room(const struct replica_set *set, const struct block *block)
{
    bool room = !block || held_room(set->spec.held, block);

    for (int i = 0; i < set->n; i++) {
        const struct replica *r = set->replica[i];

        if (replica_state(r) != REPLICA_TAKING)
            continue;
        if (replica_full(r))
            return false;
        /* The beginning is not let go of while a volume may still refuse the
         * connection. */
        if (!room && !replica_connected(r))
            return false;
    }
    return true;
}

/* --- the end ----------------------------------------------------------------------- */
void replica_set_stop(struct replica_set *set)
{
    for (int i = 0; i < set->n; i++)
        replica_stop(set->replica[i]);
}

bool replica_set_marked(const struct replica_set *set)
{
    return set->asked > 0;
}

void replica_set_places(const struct replica_set *set, struct record *record)
{
    int rank[RECORD_PLACES_MAX];

    record->n = 0;
    for (int i = 0; i < set->n; i++) {
        const struct replica *r = set->replica[i];
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

int replica_set_spoilt(const struct replica_set *set, struct str *place)
{
    int n = 0;

    for (int i = 0; i < set->n; i++)
        if (replica_state(set->replica[i]) == REPLICA_SPOILT)
            place[n++] = replica_place(set->replica[i]);
    return n;
}

void replica_set_settle(const struct replica_set *set, int64_t due, struct change *change)
{
    int64_t late = time(NULL) + REMOVAL_LATE_SECONDS;
    const struct entry *entry = set->spec.entry;

    change_end_marks(change);
    /* Marks of an earlier PUT that could not end them (its index write failed) end with
     * ours, so the places they name, which may hold anything, must go on being named. */
    for (int i = 0; i < entry->n_marks; i++)
        change_removal(change, entry->mark[i], due, late);
    for (int i = 0; i < set->n; i++) {
        const struct replica *r = set->replica[i];

        if (replica_state(r) == REPLICA_SPOILT)
            change_removal(change, replica_place(r), due, replica_late(r) ? late : 0);
    }
}
