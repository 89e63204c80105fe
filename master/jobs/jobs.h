/*
 * The jobs of a running master: one at a time, and of each kind what the last one came
 * to. In memory only. Any thread.
 */
#ifndef MASTER_JOBS_JOBS_H
#define MASTER_JOBS_JOBS_H

#include <stddef.h>

#include "master/jobs/job.h"

struct jobs;

/* `shards` outlive it. */
struct jobs *jobs_new(struct shard *const *shards, int n, unsigned at_once,
                      unsigned rate);
/* When the loops run no more. NULL is fine. */
void jobs_free(struct jobs **jobs);

struct job_running {
    unsigned long long id;
    const struct job_kind *kind;
};

/* Begins a job. 0: *now is this one; -EBUSY: another one runs, and that is *now;
 * -ESHUTDOWN: the program is about to end. */
int jobs_start(struct jobs *jobs, const struct job_kind *kind, const void *context,
               struct job_running *now);
/* Stops the one that runs, which ends as soon as the keys under way are through. false:
 * none runs. */
bool jobs_stop(struct jobs *jobs);
/* The same, and none is begun any more: the program ends. */
void jobs_close(struct jobs *jobs);

/* What GET /?jobs answers: JSON, the caller's to free. */
char *jobs_show(struct jobs *jobs, size_t *len);

#endif
