/* What came of a job's keys: see tally.h. */
#include "master/jobs/tally.h"

#include <inttypes.h>
#include <stdio.h>

#include "master/jobs/progress.h"

const char *tally_verdict(enum job_state state)
{
    return state == JOB_ENDED ? "done" : "stopped; running it again goes on";
}

const char *tally_text(const struct job_kind *kind, const struct job_counts *counts,
                       bool timed, char out[TALLY_MAX])
{
    char done[32], rate[32], changed[32], failed[32], time[80] = ",";

    if (timed)
        snprintf(time, sizeof(time),
                 " in %" PRIu64 ".%u s, %s/s:", counts->took_ms / 1000,
                 (unsigned)(counts->took_ms % 1000 / 100),
                 progress_number(progress_rate(counts->done, counts->took_ms), rate));
    snprintf(out, TALLY_MAX, "%s keys%s %s %s, %s failed",
             progress_number(counts->done, done), time,
             progress_number(counts->changed, changed), kind->changed,
             progress_number(counts->failed, failed));
    return out;
}
