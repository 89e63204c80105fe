/*
 * A queue of jobs that hardly ever block: the loop that a job comes from does it itself at
 * the end of its turn, as an errand. When one blocks all the same, the queue's jobs go to
 * its workers from then on, until some time after it has come back.
 */
#ifndef COMMON_ERRANDS_H
#define COMMON_ERRANDS_H

#include <stdbool.h>

#include "common/loop.h"
#include "common/standby.h"
#include "common/workers.h"

struct errands;

/* Embedded in its owner; must live until job.done() has run. */
struct errand_job {
    struct job job;
    struct errand errand; /* the queue's, as what follows */
    struct errands *errands;
    bool worked;
};

/* Loops that submit here have to be given to the standby. `workers` do what does not go
 * otherwise. Never NULL. */
struct errands *errands_new(struct standby *standby, struct workers *workers);
/* Waits for jobs that block. The loops have stopped. */
void errands_free(struct errands **errands);
/* As workers_submit(): job->job.done() runs on `loop`. */
void errands_submit(struct errands *errands, struct loop *loop, struct errand_job *job);

#endif
