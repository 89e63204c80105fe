/*
 * Errands and the way back to workers, see errands.h.
 */
#include "common/errands.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/str.h"

/* What has blocked once does so again soon: a disk that writes out its journal, say. */
enum { WARY_MS = 250 };

struct errands {
    struct standby *standby;
    struct workers *workers;
    _Atomic uint64_t wary_until; /* ms of clock_coarse_ms() */
    pthread_mutex_t lock;        /* of what follows */
    pthread_cond_t none_stuck;
    int stuck;
};

static bool wary(struct errands *e)
{
    uint64_t until = atomic_load_explicit(&e->wary_until, memory_order_relaxed);
    return until != 0 && clock_coarse_ms() < until;
}

static struct errand_job *job_of(struct errand *errand)
{
    return container_of(errand, struct errand_job, errand);
}

static void run(struct errand *errand)
{
    struct errand_job *job = job_of(errand);
    job->worked = !wary(job->errands) && standby_look(job->errands->standby);
    if (job->worked)
        job->job.work(&job->job);
}

static void back(struct errand *errand)
{
    struct errand_job *job = job_of(errand);
    if (job->worked)
        job->job.done(&job->job);
    else
        workers_submit(job->errands->workers, job->job.loop, &job->job);
}

static void stuck(struct errand *errand)
{
    struct errands *e = job_of(errand)->errands;
    pthread_mutex_lock(&e->lock);
    e->stuck++;
    atomic_store(&e->wary_until, UINT64_MAX);
    pthread_mutex_unlock(&e->lock);
}

static void late(struct errand *errand)
{
    struct errand_job *job = job_of(errand);
    struct errands *e = job->errands;
    if (job->worked)
        workers_tell_done(&job->job);
    else
        workers_submit(e->workers, job->job.loop, &job->job);
    pthread_mutex_lock(&e->lock);
    if (--e->stuck == 0) {
        atomic_store(&e->wary_until, clock_coarse_ms() + WARY_MS);
        pthread_cond_broadcast(&e->none_stuck);
    }
    pthread_mutex_unlock(&e->lock);
}

struct errands *errands_new(struct standby *standby, struct workers *workers)
{
    struct errands *e = xcalloc(1, sizeof(*e));
    e->standby = standby;
    e->workers = workers;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->none_stuck, NULL);
    return e;
}

void errands_free(struct errands **ep)
{
    struct errands *e = *ep;
    if (!e)
        return;
    *ep = NULL;
    pthread_mutex_lock(&e->lock);
    while (e->stuck > 0)
        pthread_cond_wait(&e->none_stuck, &e->lock);
    pthread_mutex_unlock(&e->lock);
    pthread_cond_destroy(&e->none_stuck);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void errands_submit(struct errands *e, struct loop *loop, struct errand_job *job)
{
    static const struct errand_ops ops = {
        .run = run, .back = back, .stuck = stuck, .late = late};
    if (loop_here() != loop || wary(e)) {
        workers_submit(e->workers, loop, &job->job);
        return;
    }
    job->job.loop = loop;
    job->job.lapsed = false;
    job->errands = e;
    job->errand.ops = &ops;
    loop_errand(loop, &job->errand);
}
