/*
 * A hand of a job: its share of the work on one loop. It takes keys from the walk that
 * all hands share, keeps up to so many under way, and tries those again that are in use.
 */
#ifndef MASTER_JOBS_HAND_H
#define MASTER_JOBS_HAND_H

#include "master/jobs/job.h"
#include "master/jobs/ledger.h"
#include "master/jobs/pace.h"
#include "master/jobs/walk.h"

struct hand;

struct hand_spec {
    struct keys_job *job; /* for job_key_job(): nothing of it is touched */
    const struct job_kind *kind;
    struct shard *shard;
    unsigned at_once;
    struct walk *walk;
    struct pace *pace;
    struct ledger *ledger;
    /* The last that it does, on its loop: nothing is under way, and it takes no more
     * keys. */
    void (*rests)(void *arg);
    void *arg;
};

struct hand *hand_new(const struct hand_spec *spec);
/* Once it rests, or has never been begun. */
void hand_free(struct hand **hand);
/* Any thread. It ends with rests(). */
void hand_begin(struct hand *hand);

#endif
