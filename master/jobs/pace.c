/*
 * The pace of a job, see pace.h: keys are begun on a line of time on which each has its
 * stretch. An idle stretch of up to BURST may be made good, so that timers which are
 * late do not cost rate.
 */
#include "master/jobs/pace.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/assure.h"

enum { NANOS_IN_MS = 1000 * 1000, SECOND = 1000 * NANOS_IN_MS, BURST = SECOND / 10 };

struct pace {
    unsigned rate;
    pthread_mutex_t lock;
    uint64_t next; /* nanoseconds: when the next key may begin */
};

struct pace *pace_new(unsigned rate)
{
    struct pace *pace = xcalloc(1, sizeof(*pace));

    pace->rate = rate;
    pthread_mutex_init(&pace->lock, NULL);
    return pace;
}

void pace_free(struct pace **pace)
{
    if (!*pace)
        return;
    pthread_mutex_destroy(&(*pace)->lock);
    free(*pace);
    *pace = NULL;
}

uint64_t pace_take(struct pace *pace, uint64_t now)
{
    uint64_t at = now * NANOS_IN_MS;
    uint64_t earliest = at > BURST ? at - BURST : 0;
    uint64_t wait = 0;

    if (pace->rate == 0)
        return 0;
    pthread_mutex_lock(&pace->lock);
    if (pace->next < earliest)
        pace->next = earliest;
    if (pace->next <= at)
        pace->next += SECOND / pace->rate;
    else
        wait = (pace->next - at + NANOS_IN_MS - 1) / NANOS_IN_MS;
    pthread_mutex_unlock(&pace->lock);
    return wait;
}

void pace_owe(struct pace *pace, uint64_t keys)
{
    if (pace->rate == 0 || keys == 0)
        return;
    pthread_mutex_lock(&pace->lock);
    pace->next += keys * (SECOND / pace->rate);
    pthread_mutex_unlock(&pace->lock);
}
