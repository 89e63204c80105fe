/* What came of a job's keys, in the words that a master, a command and a watcher share. */
#ifndef MASTER_JOBS_TALLY_H
#define MASTER_JOBS_TALLY_H

#include <stdbool.h>

#include "master/jobs/job.h"

enum { TALLY_MAX = 256 };

/* "1,234 keys, 12 moved, 3 failed". `timed`: how long it took is known, too, and told:
 * "1,234 keys in 5.6 s, 220/s: 12 moved, 3 failed". Returns `out`. */
const char *tally_text(const struct job_kind *kind, const struct job_counts *counts,
                       bool timed, char out[TALLY_MAX]);

/* How it came to its end, in a word or two. */
const char *tally_verdict(enum job_state state);
/* Were all keys gone through, and none failed? */
static inline bool tally_is_well(const struct job_counts *counts)
{
    return counts->state == JOB_ENDED && counts->failed == 0;
}

#endif
