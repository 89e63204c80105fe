/*
 * The requests about jobs: POST /?rebalance and POST /?verify begin one (202, or 409
 * while one runs), GET /?jobs shows how far they are, DELETE /?jobs stops the one that
 * runs (204, or 404). docs/operation.md says what the members mean.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "master/jobs/jobs.h"
#include "master/jobs/kinds.h"
#include "master/jobs/verify.h"
#include "master/operations.h"
#include "master/query.h"

static void over(struct exchange *ex, enum exchange_end how)
{
    struct request *request = exchange_arg(ex);

    (void)how;
    request_free(&request);
}

static struct jobs *own(struct request *request)
{
    static const struct exchange_ops ops = {.over = over};

    exchange_own(request->ex, &ops, request);
    return request->shard->master->jobs;
}

static void reply_json(const struct request *request, int status, struct str text)
{
    struct http_fields fields;

    http_fields_init(&fields);
    http_fields_add(&fields, "Content-Type", "application/json");
    exchange_reply(request->ex, status, &fields, text);
}

void operation_jobs(struct request *request)
{
    struct jobs *jobs = own(request);
    size_t n = 0;
    char *text = jobs_show(jobs, &n);

    reply_json(request, 200, (struct str){text, n});
    free(text);
}

static void start(struct request *request, const struct job_kind *kind,
                  const void *context)
{
    struct jobs *jobs = own(request);
    struct job_running now;
    char text[128];
    int err = jobs_start(jobs, kind, context, &now);

    if (err == 0 || err == -EBUSY) {
        /* Whoever goes on to watch it knows it even when it ends before that. */
        snprintf(text, sizeof(text), "{\"id\":%llu,\"kind\":\"%s\"%s}\n", now.id,
                 now.kind->name,
                 err == 0 ? "" : ",\"error\":\"a job runs already; see GET /?jobs\"");
        reply_json(request, err == 0 ? 202 : 409, str_of(text));
    } else {
        exchange_error(request->ex, 503, "the master is about to end");
    }
}

void operation_start_rebalance(struct request *request)
{
    start(request, &job_rebalance, NULL);
}

void operation_start_verify(struct request *request)
{
    struct str query = request->query, word;
    bool repair = false, delete_orphans = false;

    query_next(&query, &word); /* "verify" */
    while (query_next(&query, &word)) {
        if (str_eq(word, STR("repair"))) {
            repair = true;
        } else if (str_eq(word, STR("delete-orphans"))) {
            delete_orphans = true;
        } else {
            own(request);
            exchange_error(request->ex, 400, "verify takes &repair and &delete-orphans");
            return;
        }
    }
    start(request, &job_verify, verify_options(repair, delete_orphans));
}

void operation_stop_jobs(struct request *request)
{
    struct jobs *jobs = own(request);

    if (jobs_stop(jobs))
        request_answer(request, 204, NULL);
    else
        exchange_error(request->ex, 404, "no job runs");
}
