/* `mkv rebalance -master host:port` and its like: a job begun in a running master, and
 * watched to its end. */
#ifndef MASTER_JOBS_WATCH_H
#define MASTER_JOBS_WATCH_H

#include "master/jobs/job.h"

/* `query`: what begins it, "rebalance". Returns the exit status: 0 when the job ended and nothing failed, otherwise 1. One that
 * runs already is watched. Being interrupted leaves the job running. */
int watch_job(const char *master, const struct job_kind *kind, const char *query);

#endif
