/* What the hands of a job share with it: see ledger.h. */
#include "master/jobs/ledger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/http/parse.h"
#include "common/json.h"
#include "common/log.h"

struct ledger {
    const char *name;
    uint64_t began_ms;
    atomic_bool stopping;

    pthread_mutex_t lock; /* what follows */
    struct job_counts counts;
    unsigned n_failures; /* ever; the last ones are kept */
    struct job_failure failure[JOB_FAILURES];
};

struct ledger *ledger_new(const char *name)
{
    struct ledger *ledger = xcalloc(1, sizeof(*ledger));

    ledger->name = name;
    ledger->began_ms = clock_ms();
    ledger->counts.started = time(NULL);
    pthread_mutex_init(&ledger->lock, NULL);
    return ledger;
}

void ledger_free(struct ledger **ledgerp)
{
    struct ledger *ledger = *ledgerp;

    *ledgerp = NULL;
    for (int i = 0; i < JOB_FAILURES; i++)
        free(ledger->failure[i].path);
    pthread_mutex_destroy(&ledger->lock);
    free(ledger);
}

/* --- what has come of it ----------------------------------------------------------- */
void ledger_become(struct ledger *ledger, enum job_state state)
{
    static const unsigned may[] = {
        [JOB_COUNTING] = 1U << JOB_RUNNING | 1U << JOB_STOPPED,
        [JOB_RUNNING] = 1U << JOB_ENDING | 1U << JOB_STOPPED,
        [JOB_ENDING] = 1U << JOB_ENDED | 1U << JOB_STOPPED,
        [JOB_ENDED] = 0,
        [JOB_STOPPED] = 0,
    };

    pthread_mutex_lock(&ledger->lock);
    assure(may[ledger->counts.state] & 1U << state);
    ledger->counts.state = state;
    if (state == JOB_ENDED || state == JOB_STOPPED) {
        ledger->counts.ended = time(NULL);
        ledger->counts.took_ms = clock_ms() - ledger->began_ms;
    }
    pthread_mutex_unlock(&ledger->lock);
}

void ledger_add_total(struct ledger *ledger, unsigned n)
{
    pthread_mutex_lock(&ledger->lock);
    ledger->counts.total += n;
    pthread_mutex_unlock(&ledger->lock);
}

/* Under the lock. */
static void keep_failure(struct ledger *ledger, struct str key, const char *why)
{
    struct job_failure *f = &ledger->failure[ledger->n_failures++ % JOB_FAILURES];
    size_t n;

    ledger->counts.failed++;
    f->path = xrealloc(f->path, 3 * key.n + 1);
    n = http_percent_encode(key, f->path);
    f->path[n] = '\0';
    json_readable(str_of(why), f->why, sizeof(f->why));
}

/* Every one is in the log, however many there are. */
static void log_failure(const struct ledger *ledger, struct str key, const char *why)
{
    char quoted[JSON_STRING_MAX(PLACEMENT_KEY_MAX)];
    size_t n = json_quote(key, quoted);

    log_warn("%s: %.*s: %s", ledger->name, (int)n, quoted, why);
}

void ledger_key(struct ledger *ledger, struct str key, enum job_outcome outcome,
                uint64_t bytes, const char *why)
{
    if (outcome == JOB_FAILED)
        log_failure(ledger, key, why);
    pthread_mutex_lock(&ledger->lock);
    ledger->counts.done++;
    ledger->counts.bytes += bytes;
    if (outcome == JOB_CHANGED)
        ledger->counts.changed++;
    if (outcome == JOB_FAILED)
        keep_failure(ledger, key, why);
    pthread_mutex_unlock(&ledger->lock);
}

void ledger_retry(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    ledger->counts.retries++;
    pthread_mutex_unlock(&ledger->lock);
}

void ledger_failure(struct ledger *ledger, const char *what)
{
    log_warn("%s: %s", ledger->name, what);
    pthread_mutex_lock(&ledger->lock);
    keep_failure(ledger, STR(""), what);
    pthread_mutex_unlock(&ledger->lock);
}

/* --- whether it goes on ------------------------------------------------------------ */
void ledger_stop(struct ledger *ledger)
{
    atomic_store(&ledger->stopping, true);
}

bool ledger_stopping(const struct ledger *ledger)
{
    return atomic_load(&ledger->stopping);
}

void ledger_give_up(struct ledger *ledger, const char *why)
{
    if (!atomic_exchange(&ledger->stopping, true))
        ledger_failure(ledger, why);
}

/* --- reading ----------------------------------------------------------------------- */
void ledger_counts(struct ledger *ledger, struct job_counts *out)
{
    pthread_mutex_lock(&ledger->lock);
    *out = ledger->counts;
    pthread_mutex_unlock(&ledger->lock);
    if (out->ended == 0)
        out->took_ms = clock_ms() - ledger->began_ms;
}

void ledger_failures(struct ledger *ledger,
                     void (*each)(void *arg, const struct job_failure *), void *arg)
{
    pthread_mutex_lock(&ledger->lock);
    for (unsigned i =
             ledger->n_failures > JOB_FAILURES ? ledger->n_failures - JOB_FAILURES : 0;
         i < ledger->n_failures; i++)
        each(arg, &ledger->failure[i % JOB_FAILURES]);
    pthread_mutex_unlock(&ledger->lock);
}
