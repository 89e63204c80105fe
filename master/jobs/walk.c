/* The keys of the index in batches: see walk.h. */
#include "master/jobs/walk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"

struct walk {
    struct index *index;
    pthread_mutex_t lock; /* what follows */
    uint64_t unreadable;
    bool over;
    size_t from_n;
    char from[PLACEMENT_KEY_MAX]; /* the first key that can come after the last one */
};

_Static_assert(WALK_TEXT > (int)PLACEMENT_KEY_MAX && WALK_TEXT <= UINT16_MAX,
               "a batch must hold a key, and its ends must fit");

struct walk *walk_new(struct index *index)
{
    struct walk *walk = xcalloc(1, sizeof(*walk));

    walk->index = index;
    pthread_mutex_init(&walk->lock, NULL);
    return walk;
}

void walk_free(struct walk **walk)
{
    if (!*walk)
        return;
    pthread_mutex_destroy(&(*walk)->lock);
    free(*walk);
    *walk = NULL;
}

/* Under the lock. */
static int read_batch(struct walk *walk, struct walk_batch *batch)
{
    struct scan *scan =
        index_scan(walk->index, STR("/"), (struct str){walk->from, walk->from_n});
    struct record record;
    struct str key;
    size_t used = 0;
    int more = 0;

    while (batch->n < WALK_BATCH && used + PLACEMENT_KEY_MAX <= WALK_TEXT) {
        more = scan_next(scan, &key, &record);
        if (more != 1)
            break;
        memcpy(batch->text + used, key.p, key.n);
        used += key.n;
        batch->end[batch->n++] = (uint16_t)used;
    }
    walk->unreadable += scan_unreadable(scan);
    scan_free(&scan);
    if (more < 0)
        return more;
    walk->over = more == 0;
    if (batch->n > 0) {
        size_t begin = batch->n > 1 ? batch->end[batch->n - 2] : 0;

        walk->from_n =
            index_key_after((struct str){batch->text + begin, used - begin}, walk->from);
    }
    return batch->n > 0;
}

int walk_next(struct walk *walk, struct walk_batch *batch)
{
    int result = 0;

    batch->n = 0;
    batch->taken = 0;
    pthread_mutex_lock(&walk->lock);
    if (!walk->over)
        result = read_batch(walk, batch);
    pthread_mutex_unlock(&walk->lock);
    return result;
}

uint64_t walk_unreadable(struct walk *walk)
{
    uint64_t n;

    pthread_mutex_lock(&walk->lock);
    n = walk->unreadable;
    pthread_mutex_unlock(&walk->lock);
    return n;
}

bool walk_take(struct walk_batch *batch, struct str *key)
{
    size_t begin;

    if (batch->taken == batch->n)
        return false;
    begin = batch->taken > 0 ? batch->end[batch->taken - 1] : 0;
    *key = (struct str){batch->text + begin, batch->end[batch->taken] - begin};
    batch->taken++;
    return true;
}
