/*
 * Files on the volumes that nothing in the index names: no record, mark or removal of
 * their key. What an index that was restored from a backup does not know is among them,
 * so they are only reported, or deleted where that is asked for and they are old.
 */
#ifndef MASTER_JOBS_ORPHANS_H
#define MASTER_JOBS_ORPHANS_H

#include <stdbool.h>

#include "master/jobs/job.h"
#include "master/master.h"

/* Walks all volumes of the list, one place after the other, on the shard's loop. Each
 * orphan that stays is a failure of the job, and so is each place that cannot be read
 * whole, and each file that may be one but cannot be asked for. `delete_old`: those older than the master's orphan_age_s go, as removals. done()
 * is called from the loop, never from within this. Ends early when the job is to stop. */
void orphans_find(struct shard *shard, struct keys_job *job, bool delete_old,
                  void (*done)(void *arg), void *arg);

#endif
