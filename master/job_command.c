/*
 * A job in a process of its own, see job_command.h: all parts of a master but for the
 * listening socket. The index is this process's, so no server can run beside it.
 *
 * When the keys are through, the places that they left are cleared as far as their
 * volumes answer; what is left is in the index, for the next master.
 */
#include "master/job_command.h"

#include <stdio.h>

#include "common/log.h"
#include "master/jobs/progress.h"
#include "master/jobs/tally.h"
#include "master/jobs/watch.h"
#include "master/server.h"

enum {
    LOOK_MS = 100,
    /* As long as removals go away now and then, they are waited for. */
    CLEARING_MS = 2000,
};

struct command {
    const struct config *config;
    const struct job_kind *kind;
    const void *context;
    struct service *service;
    struct shard *lead;
    struct keys_job *job;
    struct progress *progress;
    struct timer look;
    bool over;
    uint64_t removals; /* as of the last look, and since when there are so many */
    uint64_t since;
};

static void on_over(void *arg)
{
    struct command *c = arg;

    c->over = true;
}

/* Have the places left behind been cleared, as far as they can be now? */
static bool is_clear(struct command *c)
{
    uint64_t now = loop_now(c->lead->loop);
    uint64_t removals = index_removals(c->lead->master->index);

    if (removals != c->removals || !c->over) {
        c->removals = removals;
        c->since = now;
    }
    return removals == 0 || now - c->since >= CLEARING_MS;
}

static void on_look(struct timer *timer)
{
    struct command *c = container_of(timer, struct command, look);
    struct job_counts counts;

    if (is_clear(c) && c->over) {
        service_stop(c->service);
        return;
    }
    job_counts(c->job, &counts);
    progress_at(c->progress, counts.done,
                counts.total > 0 ? (double)counts.done / (double)counts.total : 0);
    timer_set(c->lead->loop, timer, LOOK_MS);
}

static void begin(void *arg, struct shard *const *shards, int n, struct service *service)
{
    struct command *c = arg;

    c->service = service;
    c->lead = shards[0];
    c->progress = progress_new(c->kind->name, "keys");
    c->job = job_start(&(struct job_spec){
        .kind = c->kind,
        .context = c->context,
        .shards = shards,
        .n_shards = n,
        .at_once = (unsigned)c->config->jobs,
        .over = on_over,
        .arg = c,
    });
    timer_set(c->lead->loop, &c->look, LOOK_MS);
}

static void stop(void *arg)
{
    struct command *c = arg;

    job_stop(c->job);
}

static int status(void *arg)
{
    struct command *c = arg;
    struct job_counts counts;
    char text[TALLY_MAX], removals[32];

    job_counts(c->job, &counts);
    progress_free(&c->progress);
    log_info("%s: %s", c->kind->name, tally_text(c->kind, &counts, true, text));
    if (counts.state != JOB_ENDED)
        log_info("%s: %s", c->kind->name, tally_verdict(counts.state));
    if (c->removals > 0)
        log_info("%s: a master will clear %s places when their volumes answer",
                 c->kind->name, progress_number(c->removals, removals));
    return tally_is_well(&counts) ? 0 : 1;
}

int job_command(const struct config *config, const struct job_kind *kind,
                const void *context, const char *query)
{
    struct command c = {.config = config, .kind = kind, .context = context};
    struct server_work work = {.begin = begin, .stop = stop, .status = status, .arg = &c};
    int result;

    if (config->master[0] != '\0')
        return watch_job(config->master, kind, query);
    c.look.fire = on_look;
    result = server_run(config, &work);
    progress_free(&c.progress);
    job_free(&c.job);
    return result;
}
