/*
 * Removals on volumes that are gone for good: on no volume of the list, and where no
 * connection can be made. Nobody will ever clear those, so they are dropped. Should the
 * volume come back, what it still has there are files that no record names: values go
 * there over them, and `verify` finds the others.
 *
 * A place where a request may still arrive is kept until it cannot.
 */
#ifndef MASTER_JOBS_GONE_H
#define MASTER_JOBS_GONE_H

#include "master/jobs/job.h"
#include "master/master.h"

/* Goes through all removals, on the shard's loop; done() is called from there, never from
 * within this. An index that cannot be read, or takes no writes, is a failure of the job.
 * Ends early when the job is to stop. */
void gone_drop(struct shard *shard, struct keys_job *job, void (*done)(void *arg),
               void *arg);

#endif
