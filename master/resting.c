/* Volumes that are left alone for a while: see resting.h. */
#include "master/resting.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "common/assure.h"
#include "master/volumes.h"

enum {
    VOLUMES_MAX = 512, /* beyond that a volume is tried without rests */
    REST_MAX_SECONDS = 30,
};

struct volume {
    char *authority;
    int trials; /* in a row that brought no answer; 0: it is well */
    int64_t until;
};

struct resting {
    pthread_mutex_t lock;
    int n;
    struct volume volume[VOLUMES_MAX];
};

struct resting *resting_new(void)
{
    struct resting *resting = xcalloc(1, sizeof(*resting));

    pthread_mutex_init(&resting->lock, NULL);
    return resting;
}

void resting_free(struct resting **resting)
{
    struct resting *r = *resting;

    *resting = NULL;
    for (int i = 0; i < r->n; i++)
        free(r->volume[i].authority);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Under the lock. NULL: not known and not to be made, or no more room. */
static struct volume *volume_of(struct resting *r, struct str place, bool make)
{
    struct str authority, prefix;
    struct volume *v;

    place_split(place, &authority, &prefix);
    for (int i = 0; i < r->n; i++)
        if (str_eq(str_of(r->volume[i].authority), authority))
            return &r->volume[i];
    if (!make || r->n == VOLUMES_MAX)
        return NULL;
    v = &r->volume[r->n++];
    *v = (struct volume){.authority = xmemdupz(authority.p, authority.n)};
    return v;
}

static int64_t rest_seconds(int trials)
{
    return trials < 5 ? 1 << trials : REST_MAX_SECONDS;
}

void resting_note(struct resting *r, struct str place, bool answered)
{
    struct volume *v;

    pthread_mutex_lock(&r->lock);
    v = volume_of(r, place, !answered);
    if (v && answered) {
        v->trials = 0;
    } else if (v && v->trials == 0) {
        v->until = time(NULL) + rest_seconds(v->trials);
        v->trials = 1;
    }
    pthread_mutex_unlock(&r->lock);
}

bool resting_now(struct resting *r, struct str place)
{
    int64_t now = time(NULL);
    struct volume *v;
    bool rests = false;

    pthread_mutex_lock(&r->lock);
    v = volume_of(r, place, false);
    if (v && v->trials > 0) {
        /* An end farther off than any rest comes from a clock that jumped back. */
        rests = v->until > now && v->until <= now + REST_MAX_SECONDS;
        if (!rests)
            v->until = now + rest_seconds(v->trials++);
    }
    pthread_mutex_unlock(&r->lock);
    return rests;
}
