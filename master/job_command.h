/* The commands that do something to every key, `mkv rebalance` and its like: in this
 * process, or in a running master that is then watched. */
#ifndef MASTER_JOB_COMMAND_H
#define MASTER_JOB_COMMAND_H

#include "master/config.h"
#include "master/jobs/job.h"

/* Returns the exit status: 0 when all is as it should be; 1 when something failed or it
 * was stopped; 2 for flags that are wrong. `context`: the kind's, in this process;
 * `query`: what asks a running master for the same. */
int job_command(const struct config *config, const struct job_kind *kind,
                const void *context, const char *query);

#endif
