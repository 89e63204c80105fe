/* What `verify` may do beside looking; docs/operation.md. */
#ifndef MASTER_JOBS_VERIFY_H
#define MASTER_JOBS_VERIFY_H

#include <stdbool.h>

#include "master/jobs/job.h"

struct verify_options {
    bool repair;         /* mend what is missing or corrupt from a copy that is right */
    bool delete_orphans; /* those older than the master's orphan_age_s */
    const char *query;   /* what asks a running master for it */
};

/* The context of job_verify (kinds.h); lives for ever. */
const struct verify_options *verify_options(bool repair, bool delete_orphans);

#endif
