/* Volumes that are left alone for a while: see resting.h. */
#include "master/volumes/resting.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/clock.h"
#include "master/record.h"

enum {
    VOLUMES_MAX = 512, /* beyond that a volume is tried without rests */
    REST_MAX_SECONDS = 30,
};

struct volume {
    char *authority;
    int trials;     /* in a row that brought no answer; 0: it is well */
    uint64_t until; /* by the clock, in ms */
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

static uint64_t rest_ms(int trials)
{
    return 1000 * (uint64_t)(trials < 5 ? 1 << trials : REST_MAX_SECONDS);
}

void resting_note(struct resting *r, struct str place, bool answered)
{
    struct volume *v;

    pthread_mutex_lock(&r->lock);
    v = volume_of(r, place, !answered);
    if (v && answered) {
        v->trials = 0;
    } else if (v && v->trials == 0) {
        v->until = clock_coarse_ms() + rest_ms(v->trials);
        v->trials = 1;
    }
    pthread_mutex_unlock(&r->lock);
}

bool resting_admit(struct resting *r, struct str place)
{
    uint64_t now = clock_coarse_ms();
    struct volume *v;
    bool admitted = true;

    pthread_mutex_lock(&r->lock);
    v = volume_of(r, place, false);
    if (v && v->trials > 0) {
        admitted = now >= v->until;
        if (admitted)
            v->until = now + rest_ms(v->trials++);
    }
    pthread_mutex_unlock(&r->lock);
    return admitted;
}
