/*
 * A job: something done to every key of the index, in a running master or in a process of
 * its own. The engine walks the keys, keeps a bounded number of them under way on all
 * loops, at a bounded rate, tries those again that are in use, and counts. What is done
 * to a key is the kind's.
 *
 * Nothing of a job outlives the process: one that was interrupted is begun anew, and what
 * it finds done already costs little.
 */
#ifndef MASTER_JOBS_JOB_H
#define MASTER_JOBS_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/placement.h"
#include "common/str.h"
#include "master/master.h"

struct keys_job; /* not a job of workers.h, which is one function on a thread */

/* --- a kind of job ----------------------------------------------------------------- */
/* One key that a job is at work on. */
struct job_key;

enum job_outcome {
    JOB_RIGHT,    /* nothing was to be done */
    JOB_CHANGED,  /* it is right now */
    JOB_FAILED,   /* it is not, and `why` says why */
    JOB_ABSENT,   /* there is no such key any more */
    JOB_BUSY,     /* in use, or what `why` says: it is tried again by and by */
    JOB_NO_INDEX, /* the index cannot be read or written: the same, but then all ends */
};

struct job_kind {
    const char *name;    /* "rebalance" */
    const char *changed; /* what became of keys that were changed: "moved" */
    /* Does to one key what is to be done, in bounded time, and calls job_key_over() once,
     * on the loop of its shard, maybe before this returns. */
    void (*key)(struct job_key *key);
    /* Once all keys are through, on the first shard's loop: what is to be done for the
     * whole. Calls job_after_over() once. NULL: nothing is. */
    void (*after)(struct keys_job *job, struct shard *shard);
};

struct str job_key_name(const struct job_key *key);
struct shard *job_key_shard(const struct job_key *key);
struct keys_job *job_key_job(const struct job_key *key);
/* `bytes`: of values that were read or written for it. */
void job_key_over(struct job_key *key, enum job_outcome outcome, uint64_t bytes,
                  const char *why);

/* What the kind was given in the spec. */
const void *job_context(const struct keys_job *job);
/* How many keys, or things like them, it may take in a second; 0: no bound. */
unsigned job_rate(const struct keys_job *job);
/* Something failed that is no key. `what` is one line. Any thread. */
void job_failed(struct keys_job *job, const char *what);
/* Is the job to end before its time? For what takes long. Any thread. */
bool job_stopping(const struct keys_job *job);
void job_after_over(struct keys_job *job);

/* --- a job ------------------------------------------------------------------------- */
struct job_spec {
    const struct job_kind *kind;
    const void *context;         /* the kind's */
    struct shard *const *shards; /* these outlive it */
    int n_shards;
    unsigned at_once; /* keys under way at a time */
    unsigned rate; /* keys a second; a MiB of values counts as one more; 0: unbounded */
    /* Once, on the first shard's loop: the job has ended. The last that is done with it:
     * it may be freed from then on, in here too. */
    void (*over)(void *arg);
    void *arg;
};

enum job_state {
    JOB_COUNTING, /* how many keys there are */
    JOB_RUNNING,
    JOB_ENDING,  /* all keys are through: what is done for the whole */
    JOB_ENDED,   /* all was gone through */
    JOB_STOPPED, /* it was stopped, or met with an index that does not work */
};

enum { JOB_FAILURES = 32, JOB_WHY = 512 };

/* Something that failed: the key's path, percent-encoded (or ""), and why, in UTF-8. */
struct job_failure {
    char *path;
    char why[JOB_WHY];
};

struct job_counts {
    enum job_state state;
    uint64_t total; /* keys there were when it began; 0 while COUNTING */
    uint64_t done;  /* keys that are through, whatever came of them */
    uint64_t changed;
    uint64_t failed;  /* keys and other things, see job_failed() */
    uint64_t retries; /* waits for keys in use */
    uint64_t bytes;
    int64_t started, ended; /* epoch seconds; ended is 0 before that */
    uint64_t took_ms;
};

/* Begins at once: its parts run as soon as the loops do. Any thread. */
struct keys_job *job_start(const struct job_spec *spec);
/* After over(), or when the loops run no more. */
void job_free(struct keys_job **job);
const struct job_kind *job_kind_of(const struct keys_job *job);
/* Any thread, as all below. Begins no more keys; those under way end as usual. */
void job_stop(struct keys_job *job);
void job_counts(struct keys_job *job, struct job_counts *out);
/* Calls `each` with the last JOB_FAILURES failures, the oldest first, under a lock. */
void job_failures(struct keys_job *job,
                  void (*each)(void *arg, const struct job_failure *), void *arg);

#endif
