/*
 * A job: see job.h. Here are its phases; the work on keys is hand.c's, the counts are
 * ledger.c's.
 *
 *   COUNTING ─▶ RUNNING ─▶ ENDING ─▶ ENDED
 *       └──────────┴──────────┴────▶ STOPPED
 *
 * The first shard's loop leads: it counts, begins the hands, and hears from the last one.
 * It counts as running on that shard from beginning to end, so that a drain does not end
 * one loop while another still posts to it.
 */
#include "master/jobs/job.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/assure.h"
#include "master/jobs/hand.h"
#include "master/jobs/ledger.h"

enum {
    COUNT_MS = 1, /* between two turns of counting: other requests have the loop, too */
    COUNT_BATCHES = 4,
};

struct keys_job {
    struct job_spec spec;
    struct shard *lead;
    struct walk *walk;
    struct pace *pace;
    struct ledger *ledger;
    int n_hands;
    struct hand **hand;
    struct task begin, hands_rest;
    struct timer count_on;
    struct walk *counting;
    struct walk_batch *counted;
    atomic_int hands_left;
};

/* --- phases, on the leading loop --------------------------------------------------- */
static void conclude(struct keys_job *job)
{
    struct shard *lead = job->lead;

    ledger_become(job->ledger, job_stopping(job) ? JOB_STOPPED : JOB_ENDED);
    job->spec.over(job->spec.arg);
    shard_leave(lead);
}

void job_after_over(struct keys_job *job)
{
    conclude(job);
}

static void on_hands_rest(struct task *task)
{
    struct keys_job *job = container_of(task, struct keys_job, hands_rest);
    char text[80];

    if (walk_unreadable(job->walk) > 0) {
        snprintf(text, sizeof(text), "%llu records of the index do not read",
                 (unsigned long long)walk_unreadable(job->walk));
        job_failed(job, text);
    }
    if (job_stopping(job)) {
        conclude(job);
        return;
    }
    ledger_become(job->ledger, JOB_ENDING);
    if (job->spec.kind->after)
        job->spec.kind->after(job, job->lead);
    else
        conclude(job);
}

static void on_hand_rests(void *arg)
{
    struct keys_job *job = arg;

    if (atomic_fetch_sub(&job->hands_left, 1) == 1)
        loop_post(job->lead->loop, &job->hands_rest);
}

static void run(struct keys_job *job)
{
    walk_free(&job->counting);
    free(job->counted);
    job->counted = NULL;
    ledger_become(job->ledger, JOB_RUNNING);
    atomic_store(&job->hands_left, job->n_hands);
    for (int i = 0; i < job->n_hands; i++)
        hand_begin(job->hand[i]);
}

static void on_count(struct timer *timer)
{
    struct keys_job *job = container_of(timer, struct keys_job, count_on);
    int more = 1;

    if (job_stopping(job)) {
        conclude(job);
        return;
    }
    for (int i = 0; i < COUNT_BATCHES && more == 1; i++) {
        more = walk_next(job->counting, job->counted);
        ledger_add_total(job->ledger, (unsigned)job->counted->n);
    }
    if (more == 1)
        timer_set(job->lead->loop, timer, COUNT_MS);
    else
        run(job); /* an index that cannot be read is met with there */
}

static void on_begin(struct task *task)
{
    struct keys_job *job = container_of(task, struct keys_job, begin);

    shard_enter(job->lead);
    on_count(&job->count_on);
}

/* --- the door ---------------------------------------------------------------------- */
struct keys_job *job_start(const struct job_spec *spec)
{
    struct keys_job *job = xcalloc(1, sizeof(*job));
    unsigned n = (unsigned)spec->n_shards;

    assure(spec->n_shards > 0 && spec->at_once > 0);
    job->spec = *spec;
    job->lead = spec->shards[0];
    job->walk = walk_new(job->lead->master->index);
    job->pace = pace_new(spec->rate);
    job->ledger = ledger_new(spec->kind->name);
    job->counting = walk_new(job->lead->master->index);
    job->counted = xmalloc(sizeof(*job->counted));
    job->begin.run = on_begin;
    job->hands_rest.run = on_hands_rest;
    job->count_on.fire = on_count;
    if (n > spec->at_once)
        n = spec->at_once;
    job->n_hands = (int)n;
    job->hand = xcalloc(n, sizeof(struct hand *));
    for (unsigned i = 0; i < n; i++)
        job->hand[i] = hand_new(&(struct hand_spec){
            .job = job,
            .kind = spec->kind,
            .shard = spec->shards[i],
            .at_once = spec->at_once / n + (i < spec->at_once % n),
            .walk = job->walk,
            .pace = job->pace,
            .ledger = job->ledger,
            .rests = on_hand_rests,
            .arg = job,
        });
    loop_post(job->lead->loop, &job->begin);
    return job;
}

void job_free(struct keys_job **jobp)
{
    struct keys_job *job = *jobp;

    if (!job)
        return;
    *jobp = NULL;
    for (int i = 0; i < job->n_hands; i++)
        hand_free(&job->hand[i]);
    walk_free(&job->walk);
    walk_free(&job->counting);
    pace_free(&job->pace);
    ledger_free(&job->ledger);
    free(job->counted);
    free(job->hand);
    free(job);
}

const struct job_kind *job_kind_of(const struct keys_job *job)
{
    return job->spec.kind;
}

const void *job_context(const struct keys_job *job)
{
    return job->spec.context;
}

unsigned job_rate(const struct keys_job *job)
{
    return job->spec.rate;
}

void job_stop(struct keys_job *job)
{
    ledger_stop(job->ledger);
}

bool job_stopping(const struct keys_job *job)
{
    return ledger_stopping(job->ledger);
}

void job_failed(struct keys_job *job, const char *what)
{
    ledger_failure(job->ledger, what);
}

void job_counts(struct keys_job *job, struct job_counts *out)
{
    ledger_counts(job->ledger, out);
}

void job_failures(struct keys_job *job,
                  void (*each)(void *arg, const struct job_failure *), void *arg)
{
    ledger_failures(job->ledger, each, arg);
}
