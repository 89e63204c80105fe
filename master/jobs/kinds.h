/* The kinds of jobs there are. */
#ifndef MASTER_JOBS_KINDS_H
#define MASTER_JOBS_KINDS_H

#include "master/jobs/job.h"

extern const struct job_kind job_rebalance; /* rebalance_job.c; no context */
extern const struct job_kind job_verify;    /* verify_job.c; a struct verify_options */

#endif
