/* The jobs of a running master: see jobs.h. */
#include "master/jobs/jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/assure.h"
#include "common/json.h"
#include "common/log.h"
#include "master/jobs/progress.h"
#include "master/jobs/tally.h"

enum { KINDS_MAX = 4 };

struct kept_job {
    unsigned long long id;
    struct keys_job *job;
};

struct jobs {
    struct shard *const *shards;
    int n_shards;
    unsigned at_once, rate;
    pthread_mutex_t lock; /* what follows */
    unsigned long long last_id;
    bool closed;
    struct keys_job *running;
    int n;
    struct kept_job kept[KINDS_MAX]; /* the last one of each kind */
};

struct jobs *jobs_new(struct shard *const *shards, int n, unsigned at_once, unsigned rate)
{
    struct jobs *jobs = xcalloc(1, sizeof(*jobs));

    jobs->shards = shards;
    jobs->n_shards = n;
    jobs->at_once = at_once;
    jobs->rate = rate;
    /* Numbers of two lives of the program do not meet. */
    jobs->last_id = (unsigned long long)time(NULL) * 1000;
    pthread_mutex_init(&jobs->lock, NULL);
    return jobs;
}

void jobs_free(struct jobs **jobsp)
{
    struct jobs *jobs = *jobsp;

    if (!jobs)
        return;
    *jobsp = NULL;
    for (int i = 0; i < jobs->n; i++)
        job_free(&jobs->kept[i].job);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

/* --- beginning and ending ---------------------------------------------------------- */
static void on_over(void *arg)
{
    struct jobs *jobs = arg;
    struct job_counts counts;
    const struct job_kind *kind;
    char text[TALLY_MAX];

    pthread_mutex_lock(&jobs->lock);
    kind = job_kind_of(jobs->running);
    job_counts(jobs->running, &counts);
    jobs->running = NULL;
    pthread_mutex_unlock(&jobs->lock);
    log_info("%s: %s: %s", kind->name, tally_verdict(counts.state),
             tally_text(kind, &counts, true, text));
}

/* Under the lock: where the last one of that kind is kept, which is let go of. */
static struct kept_job *room_for(struct jobs *jobs, const struct job_kind *kind)
{
    for (int i = 0; i < jobs->n; i++)
        if (job_kind_of(jobs->kept[i].job) == kind) {
            job_free(&jobs->kept[i].job);
            return &jobs->kept[i];
        }
    assure(jobs->n < KINDS_MAX);
    return &jobs->kept[jobs->n++];
}

int jobs_start(struct jobs *jobs, const struct job_kind *kind, const void *context,
               struct job_running *now)
{
    struct kept_job *kept;
    int err = 0;

    pthread_mutex_lock(&jobs->lock);
    if (jobs->closed) {
        err = -ESHUTDOWN;
    } else if (jobs->running) {
        err = -EBUSY;
        /* The last one begun. */
        *now = (struct job_running){jobs->last_id, job_kind_of(jobs->running)};
    } else {
        kept = room_for(jobs, kind);
        kept->id = ++jobs->last_id;
        *now = (struct job_running){kept->id, kind};
        kept->job = jobs->running = job_start(&(struct job_spec){
            .kind = kind,
            .context = context,
            .shards = jobs->shards,
            .n_shards = jobs->n_shards,
            .at_once = jobs->at_once,
            .rate = jobs->rate,
            .over = on_over,
            .arg = jobs,
        });
    }
    pthread_mutex_unlock(&jobs->lock);
    if (err == 0)
        log_info("%s: begun", kind->name);
    return err;
}

bool jobs_stop(struct jobs *jobs)
{
    bool runs;

    pthread_mutex_lock(&jobs->lock);
    runs = jobs->running != NULL;
    if (runs)
        job_stop(jobs->running);
    pthread_mutex_unlock(&jobs->lock);
    return runs;
}

void jobs_close(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->closed = true;
    if (jobs->running)
        job_stop(jobs->running);
    pthread_mutex_unlock(&jobs->lock);
}

/* --- showing ----------------------------------------------------------------------- */
struct showing {
    FILE *out;
    const char *comma;
};

static void show_failure(void *arg, const struct job_failure *failure)
{
    struct showing *s = arg;
    char why[JSON_STRING_MAX(JOB_WHY)];
    size_t n = json_quote(str_of(failure->why), why);

    /* Percent-encoded: it needs no escapes. */
    fprintf(s->out, "%s{\"path\":\"%s\",\"why\":%.*s}", s->comma, failure->path, (int)n,
            why);
    s->comma = ",";
}

static void show_job(FILE *out, const struct kept_job *kept)
{
    static const char *const states[] = {
        [JOB_COUNTING] = "counting", [JOB_RUNNING] = "running", [JOB_ENDING] = "ending",
        [JOB_ENDED] = "ended",       [JOB_STOPPED] = "stopped",
    };
    struct showing showing = {.out = out, .comma = ""};
    struct job_counts c;

    job_counts(kept->job, &c);
    fprintf(out, "{\"id\":%llu,\"kind\":\"%s\",\"state\":\"%s\"", kept->id,
            job_kind_of(kept->job)->name, states[c.state]);
    fprintf(out, ",\"total\":%" PRIu64 ",\"done\":%" PRIu64 ",\"changed\":%" PRIu64,
            c.total, c.done, c.changed);
    fprintf(out, ",\"failed\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"bytes\":%" PRIu64,
            c.failed, c.retries, c.bytes);
    fprintf(out, ",\"rate\":%" PRIu64 ",\"started\":%" PRId64 ",\"ended\":%" PRId64,
            progress_rate(c.done, c.took_ms), c.started, c.ended);
    fputs(",\"failures\":[", out);
    job_failures(kept->job, show_failure, &showing);
    fputs("]}", out);
}

char *jobs_show(struct jobs *jobs, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    assure(out != NULL);
    fputs("{\"jobs\":[", out);
    pthread_mutex_lock(&jobs->lock);
    for (int i = 0; i < jobs->n; i++) {
        if (i > 0)
            fputc(',', out);
        show_job(out, &jobs->kept[i]);
    }
    pthread_mutex_unlock(&jobs->lock);
    fputs("]}\n", out);
    int closed = fclose(out);
    assure(closed == 0);
    return text;
}
