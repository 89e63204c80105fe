/*
 * What the hands of a job (hand.h) share with it: what has come of the keys so far, what
 * failed, and whether it goes on at all. Any thread.
 */
#ifndef MASTER_JOBS_LEDGER_H
#define MASTER_JOBS_LEDGER_H

#include "master/jobs/job.h"

struct ledger;

/* COUNTING, begun now. `name`: the job's in the log, where every failure is a line; it is
 * kept. */
struct ledger *ledger_new(const char *name);
void ledger_free(struct ledger **ledger);

void ledger_become(struct ledger *ledger, enum job_state state);
/* So many more keys there are. */
void ledger_add_total(struct ledger *ledger, unsigned n);
/* A key is through. `why`: where it FAILED. */
void ledger_key(struct ledger *ledger, struct str key, enum job_outcome outcome,
                uint64_t bytes, const char *why);
void ledger_retry(struct ledger *ledger);
/* Something failed that is no key. */
void ledger_failure(struct ledger *ledger, const char *what);

/* No more is to be begun. */
void ledger_stop(struct ledger *ledger);
bool ledger_stopping(const struct ledger *ledger);
/* The same for a failure that all keys to come would share; the first that says so is
 * listed. */
void ledger_give_up(struct ledger *ledger, const char *why);

/* As job_counts() and job_failures(). */
void ledger_counts(struct ledger *ledger, struct job_counts *out);
void ledger_failures(struct ledger *ledger,
                     void (*each)(void *arg, const struct job_failure *), void *arg);

#endif
