/*
 * Watching a job in a running master, see watch.h: POST to begin it, then GET /?jobs
 * twice a second. A master that does not answer for a while is asked again: it may be
 * under load. One that was restarted knows nothing of the job, which ended with it.
 */
#include "master/jobs/watch.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/http/client.h"
#include "common/stock.h"
#include "common/workers.h"
#include "master/client_config.h"
#include "master/jobs/progress.h"
#include "master/jobs/tally.h"

enum {
    POLL_MS = 500,
    TICK_MS = 100, /* looks whether a signal came */
    ANSWER_MS = 5000,
    SILENCE_MS = 30 * 1000, /* then it is given up */
    ANSWER_MAX = 1024 * 1024,
};

struct watched {
    const char *master;
    const struct job_kind *kind;
    const char *query;
    struct loop *loop;
    struct http_client *client;
    struct timer tick;
    struct call *call;
    bool begun;    /* the POST has been answered */
    json_int_t id; /* of the job */
    uint64_t heard, due;
    int answer; /* the status of the one that is coming */
    size_t used;
    char *text;
    struct progress *progress;
    int exit_status;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void leave(struct watched *w, int exit_status)
{
    progress_free(&w->progress);
    w->exit_status = exit_status;
    loop_stop(w->loop);
}

/* --- what the master says ---------------------------------------------------------- */
static json_int_t number(const json_t *job, const char *name)
{
    return json_integer_value(json_object_get(job, name));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value ? value : "";
}

static bool has_ended(const json_t *job)
{
    const char *state = text(job, "state");

    return strcmp(state, "ended") == 0 || strcmp(state, "stopped") == 0;
}

/* The job that is watched; NULL: the master does not know it. */
static const json_t *find_job(const struct watched *w, const json_t *answer)
{
    const json_t *jobs = json_object_get(answer, "jobs");

    for (size_t i = 0; i < json_array_size(jobs); i++) {
        const json_t *job = json_array_get(jobs, i);

        if (number(job, "id") == w->id)
            return job;
    }
    return NULL;
}

static void conclude(struct watched *w, const json_t *job)
{
    const json_t *failures = json_object_get(job, "failures");
    const struct job_counts counts = {
        .state = strcmp(text(job, "state"), "ended") == 0 ? JOB_ENDED : JOB_STOPPED,
        .done = (uint64_t)number(job, "done"),
        .changed = (uint64_t)number(job, "changed"),
        .failed = (uint64_t)number(job, "failed"),
    };
    char told[TALLY_MAX];

    progress_free(&w->progress);
    for (size_t i = 0; i < json_array_size(failures); i++) {
        const json_t *failure = json_array_get(failures, i);

        fprintf(stderr, "%s: %s: %s\n", w->kind->name, text(failure, "path"),
                text(failure, "why"));
    }
    if (counts.failed > json_array_size(failures))
        fprintf(stderr, "%s: those were the last; all are in the master's log\n",
                w->kind->name);
    fprintf(stderr, "%s: %s: %s\n", w->kind->name, tally_verdict(counts.state),
            tally_text(w->kind, &counts, false, told));
    leave(w, tally_is_well(&counts) ? 0 : 1);
}

static void take_state(struct watched *w, const json_t *answer)
{
    const json_t *job = find_job(w, answer);
    json_int_t total, done;

    if (!job) {
        fprintf(stderr, "mkv: the master was restarted, which ended the job; running it "
                        "again goes on\n");
        leave(w, 1);
        return;
    }
    if (has_ended(job)) {
        conclude(w, job);
        return;
    }
    total = number(job, "total");
    done = number(job, "done");
    progress_at(w->progress, (uint64_t)done,
                total > 0 ? (double)done / (double)total : 0);
}

/* The POST's answer: our job has begun, or which one runs. */
static void take_begun(struct watched *w, const json_t *answer)
{
    if (strcmp(text(answer, "kind"), w->kind->name) != 0) {
        fprintf(stderr, "mkv: another job runs in the master; see GET /?jobs\n");
        leave(w, 1);
        return;
    }
    w->begun = true;
    w->id = number(answer, "id");
    if (w->answer == 409)
        fprintf(stderr, "%s: one runs already\n", w->kind->name);
}

/* A complete answer of the status the call wanted, or of one that says no. */
static void take_answer(struct watched *w)
{
    json_t *answer = NULL;

    if (w->answer == (w->begun ? 200 : 202) || (!w->begun && w->answer == 409))
        answer = json_loadb(w->text, w->used, 0, NULL);
    if (w->begun && answer) {
        take_state(w, answer);
    } else if (answer) {
        take_begun(w, answer);
    } else {
        fprintf(stderr, "mkv: %s answered %d: %.*s", w->master, w->answer, (int)w->used,
                w->text);
        leave(w, 1);
    }
    json_decref(answer);
}

/* --- asking ------------------------------------------------------------------------ */
static void on_answer(struct call *call, const struct http_head *head)
{
    struct watched *w = call_arg(call);

    w->answer = head->status;
    w->used = 0;
}

static size_t on_body(struct call *call, struct block *block, const char *data,
                      size_t len)
{
    struct watched *w = call_arg(call);
    size_t room = ANSWER_MAX - w->used;

    (void)block;
    memcpy(w->text + w->used, data, len < room ? len : room);
    w->used += len < room ? len : room;
    return len;
}

static void on_done(struct call *call, enum call_result result)
{
    struct watched *w = call_arg(call);
    uint64_t now = loop_now(w->loop);

    w->call = NULL;
    w->due = now + POLL_MS;
    if (result == CALL_OK) {
        w->heard = now;
        if (!w->begun)
            w->due = now;
        take_answer(w);
    } else if (!w->begun) {
        /* It may have begun all the same, but that is for the user to look at. */
        fprintf(stderr, "mkv: %s does not answer\n", w->master);
        leave(w, 1);
    } else if (now - w->heard > SILENCE_MS) {
        fprintf(stderr, "mkv: %s does not answer any more; the job may go on there\n",
                w->master);
        leave(w, 1);
    }
}

static void ask(struct watched *w)
{
    static const struct call_ops ops = {
        .answer = on_answer, .body = on_body, .done = on_done};
    char target[64];

    snprintf(target, sizeof(target), "/?%s", w->begun ? "jobs" : w->query);
    w->call =
        call_start(w->client,
                   &(struct call_spec){.authority = str_of(w->master),
                                       .method = w->begun ? STR("GET") : STR("POST"),
                                       .target = str_of(target),
                                       .body = HTTP_BODY_NONE},
                   &ops, w);
}

static void on_tick(struct timer *timer)
{
    struct watched *w = container_of(timer, struct watched, tick);

    if (interrupted) {
        progress_free(&w->progress);
        fprintf(stderr, "%s: the job goes on in the master; GET /?jobs shows it\n",
                w->kind->name);
        leave(w, 1);
        return;
    }
    timer_set(w->loop, timer, TICK_MS);
    if (!w->call && loop_now(w->loop) >= w->due)
        ask(w);
}

int watch_job(const char *master, const struct job_kind *kind, const char *query)
{
    struct sigaction catch = {.sa_handler = on_signal};
    struct watched w = {.master = master, .kind = kind, .query = query, .exit_status = 1};
    struct http_client_config config;

    sigemptyset(&catch.sa_mask);
    sigaction(SIGINT, &catch, NULL);
    sigaction(SIGTERM, &catch, NULL);
    w.loop = loop_new();
    if (!w.loop) {
        perror("mkv: cannot make an event loop");
        return 1;
    }
    struct workers *lookups = workers_new("lookup", 1);
    client_config(&config, lookups);
    config.answer_ms = ANSWER_MS;
    w.client = http_client_new(w.loop, &config);
    w.text = xmalloc(ANSWER_MAX);
    w.progress = progress_new(kind->name, "keys");
    w.heard = loop_now(w.loop);
    w.tick.fire = on_tick;
    timer_set(w.loop, &w.tick, 0);
    loop_run(w.loop);

    http_client_free(&w.client);
    workers_free(&lookups);
    loop_free(&w.loop);
    free(w.text);
    stock_free_all();
    return w.exit_status;
}
