/*
 * A real service on a port the kernel gave, in a thread of the test, whose handler does
 * what the request's target says; and a raw client for it. For the tests of the HTTP
 * server.
 *
 * A target is "/verb?number" with an optional "&id" that comes back in the answer's Id
 * header. Bodies are made of pattern(), so that a byte out of place is found.
 */
#ifndef TESTS_UNIT_SCRIPTED_SERVER_H
#define TESTS_UNIT_SCRIPTED_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/http/fields.h"
#include "common/http/server.h"
#include "common/log.h"
#include "common/service.h"
#include "common/str.h"
#include "common/workers.h"
#include "tests/unit/pattern.h"

#define UNUSED __attribute__((unused))

static UNUSED void sleep_ms(int ms)
{
    usleep((useconds_t)ms * 1000);
}

/* --- the handler ---------------------------------------------------------------- */
struct script {
    struct exchange *ex; /* NULL once it is over */
    char verb[16];
    char id[16];
    size_t n;           /* the target's number */
    size_t sent;        /* of a streamed answer */
    uint64_t got;       /* of the body */
    bool wrong;         /* the body was not the pattern */
    bool timed, worked; /* the timer is set; a worker has it */
    struct timer timer;
    struct job job;
    struct block *kept; /* the last stretch's block, as a handler that is slow keeps it */
};

static struct {
    struct service *service;
    pthread_t thread;
    int result; /* of service_run */
    struct workers *workers;
    int file; /* FILE_BYTES of the pattern */
    atomic_int begun, over, over_by[4], finished, taken;
    struct script *gated; /* takes nothing until kicked; of its loop */
    _Atomic(uint64_t) streamed, kept_back;
} server;

enum { FILE_BYTES = 8 << 20 };

static void script_fields(struct script *s, struct http_fields *fields)
{
    http_fields_init(fields);
    http_fields_add(fields, "Id", "%s", s->id);
}

static void script_free(struct script *s)
{
    if (!s->ex && !s->worked) {
        block_unref(&s->kept);
        free(s);
    }
}

static void stream_more(struct script *s)
{
    char piece[5000];
    while (s->sent < s->n) {
        size_t n = s->n - s->sent < sizeof(piece) ? s->n - s->sent : sizeof(piece);
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern(s->sent + i);
        s->sent += n;
        atomic_fetch_add(&server.streamed, n);
        if (!exchange_write(s->ex, piece, n))
            return;
    }
    exchange_end(s->ex);
}

static bool is(const struct script *s, const char *verb)
{
    return strcmp(s->verb, verb) == 0;
}

/* The answer, when its time has come. */
static void script_answer(struct script *s)
{
    struct http_fields fields;
    script_fields(s, &fields);
    if (is(s, "stream") || is(s, "endless")) {
        exchange_begin(s->ex, 200, &fields, EXCHANGE_CHUNKED);
        if (is(s, "endless"))
            s->n = SIZE_MAX;
        stream_more(s);
    } else if (is(s, "length")) {
        exchange_begin(s->ex, 200, &fields, (int64_t)s->n);
        stream_more(s);
    } else if (is(s, "file")) {
        exchange_begin(s->ex, 200, &fields, (int64_t)s->n);
        if (s->n > 10) { /* bytes before, and after */
            size_t piece = s->n - 10;
            exchange_write(s->ex, "abcde", 5);
            exchange_write_file(s->ex, dup(server.file), 5, (int64_t)piece);
            char tail[5];
            for (size_t i = 0; i < 5; i++)
                tail[i] = pattern(s->n - 5 + i);
            exchange_write(s->ex, tail, 5);
        } else {
            exchange_write_file(s->ex, dup(server.file), 0, (int64_t)s->n);
        }
        exchange_end(s->ex);
    } else if (is(s, "status")) {
        exchange_reply(s->ex, (int)s->n, &fields, STR(""));
    } else if (is(s, "short")) {
        exchange_begin(s->ex, 200, &fields, 1000);
        exchange_write(s->ex, "abc", 3);
        exchange_end(s->ex);
    } else if (is(s, "sum")) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%s%ju", s->wrong ? "wrong " : "",
                         (uintmax_t)s->got);
        exchange_reply(s->ex, 200, &fields, (struct str){text, (size_t)n});
    } else {
        char *text = malloc(s->n + 1);
        for (size_t i = 0; i < s->n; i++)
            text[i] = pattern(i);
        exchange_reply(s->ex, 200, &fields, (struct str){text, s->n});
        free(text);
    }
}

static void script_timer(struct timer *timer)
{
    struct script *s = container_of(timer, struct script, timer);
    s->timed = false;
    if (is(s, "slow"))
        exchange_resume(s->ex);
    else if (strncmp(s->verb, "abort", 5) == 0)
        exchange_abort(s->ex);
    else
        script_answer(s);
}

static void script_delay(struct script *s, uint64_t ms)
{
    s->timed = true;
    timer_set(exchange_loop(s->ex), &s->timer, ms);
}

static void script_work(struct job *job)
{
    (void)job;
    usleep(200);
}

static void script_worked(struct job *job)
{
    struct script *s = container_of(job, struct script, job);
    s->worked = false;
    if (s->ex)
        script_answer(s);
    else
        script_free(s);
}

static size_t script_body(struct exchange *ex, struct block *block, const char *data,
                          size_t len)
{
    struct script *s = exchange_arg(ex);
    assure(len > 0 && data >= block->data && data + len <= block->data + block->used);
    if (is(s, "stuck"))
        return 0;
    if (is(s, "gated")) {
        strcpy(s->verb, "sum"); /* next time */
        return 0;
    }
    if (is(s, "slow")) {
        /* Nothing at first, so that the block is full; then in small pieces. */
        if (!s->timed)
            script_delay(s, s->got ? 0 : 20);
        if (!s->kept) {
            s->kept = block_ref(block);
            return 0;
        }
        len = len < 30000 ? len : 30000;
    }
    if (is(s, "keep") && s->kept != block) { /* one at a time is enough to pin it */
        block_unref(&s->kept);
        s->kept = block_ref(block);
        atomic_fetch_add(&server.kept_back, 1);
    }
    for (size_t i = 0; i < len; i++)
        if (data[i] != pattern((size_t)s->got + i))
            s->wrong = true;
    s->got += len;
    if (is(s, "midway") && s->got >= s->n)
        exchange_error(ex, 403, "enough");
    return len;
}

static void script_body_end(struct exchange *ex)
{
    struct script *s = exchange_arg(ex);
    if (is(s, "slow") || is(s, "keep"))
        strcpy(s->verb, "sum");
    if (is(s, "hold") || is(s, "stuck") || is(s, "early") || is(s, "midway") ||
        is(s, "begin") || is(s, "blurt") || is(s, "offer"))
        return;
    if (is(s, "later") || is(s, "abort-later")) {
        script_delay(s, s->n % 7);
    } else if (is(s, "abort-end")) {
        exchange_abort(ex);
    } else if (is(s, "abort-mid")) {
        exchange_begin(ex, 200, NULL, EXCHANGE_CHUNKED);
        exchange_write(ex, "abc", 3);
        script_delay(s, 20);
    } else if (is(s, "abort-after")) {
        exchange_reply(ex, 200, NULL, STR("abc"));
        exchange_abort(ex);
    } else if (is(s, "worker")) {
        s->worked = true;
        s->job.work = script_work;
        s->job.done = script_worked;
        workers_submit(server.workers, exchange_loop(ex), &s->job);
    } else {
        script_answer(s);
    }
}

static void script_writable(struct exchange *ex)
{
    stream_more(exchange_arg(ex));
}

static void script_over(struct exchange *ex, enum exchange_end how)
{
    struct script *s = exchange_arg(ex);
    assure(s->ex == ex);
    if (s->timed)
        timer_clear(exchange_loop(ex), &s->timer);
    s->ex = NULL;
    atomic_fetch_add(&server.over_by[how], 1);
    atomic_fetch_add(&server.over, 1);
    script_free(s);
}

static const struct exchange_ops script_ops = {
    .body = script_body,
    .body_end = script_body_end,
    .writable = script_writable,
    .over = script_over,
};

static void on_request(void *ctx, struct exchange *ex)
{
    struct script *s = calloc(1, sizeof(*s));
    struct str target = exchange_head(ex)->target;
    char text[128];
    atomic_fetch_add(&server.begun, 1);
    exchange_own(ex, &script_ops, s);
    exchange_readers(ex, server.workers);
    s->ex = ex;
    s->timer.fire = script_timer;
    assure(target.n < sizeof(text));
    memcpy(text, target.p, target.n);
    text[target.n] = '\0';
    sscanf(text, "/%15[^?]?%zu&%15s", s->verb, &s->n, s->id);
    if (is(s, "early")) {
        exchange_error(ex, 403, "no");
    } else if (is(s, "begin")) { /* an answer of n bytes while the body comes */
        exchange_begin(ex, 200, NULL, (int64_t)s->n);
        stream_more(s);
    } else if (is(s, "blurt")) { /* the same, all of it queued at once */
        script_answer(s);
    } else if (is(s, "offer")) { /* the same as a file */
        strcpy(s->verb, "file");
        script_answer(s);
        strcpy(s->verb, "offer");
    } else if (is(s, "nap")) { /* the loop does not come to anything else */
        sleep_ms((int)s->n);
    } else if (is(s, "kick")) {
        exchange_resume(server.gated->ex);
    } else if (is(s, "gated")) {
        server.gated = s;
    } else if (is(s, "abort-now")) {
        exchange_abort(ex);
    } else if (is(s, "loop")) {
        s->n = (size_t)(uintptr_t)ctx;
    }
}

static void on_finished(void *ctx, const struct exchange *ex)
{
    struct exchange_stats stats;
    (void)ctx;
    exchange_stats(ex, &stats);
    atomic_fetch_add(&server.finished, 1);
}

static void *shard_new(void *arg, struct loop *loop, int number)
{
    (void)arg, (void)loop;
    return (void *)(uintptr_t)(number + 1);
}

static void *run_service(void *arg)
{
    (void)arg;
    server.result = service_run(server.service);
    return NULL;
}

static void server_start(const struct service_config *given)
{
    struct service_config config = *given;
    char err[200], name[] = "/tmp/mkv-test-XXXXXX";
    static char chunk[1 << 16];
    log_set_level(LOG_LEVEL_ERROR);
    memset(&server, 0, sizeof(server));
    server.workers = workers_new("script", 3);
    server.file = mkstemp(name);
    assert_true(server.file >= 0);
    unlink(name);
    for (size_t at = 0; at < FILE_BYTES; at += sizeof(chunk)) {
        for (size_t i = 0; i < sizeof(chunk); i++)
            chunk[i] = pattern(at + i);
        assert_int_equal(write(server.file, chunk, sizeof(chunk)), sizeof(chunk));
    }
    config.bind = "127.0.0.1";
    config.http.on_request = on_request;
    config.http.on_finished = on_finished;
    config.http.name = "mkv";
    config.shard_new = shard_new;
    server.service = service_new(&config, err, sizeof(err));
    assert_non_null(server.service);
    assert_int_equal(pthread_create(&server.thread, NULL, run_service, NULL), 0);
}

/* service_run()'s result. Whatever happened, each exchange must have ended once. */
static int server_join(void)
{
    pthread_join(server.thread, NULL);
    workers_free(&server.workers);
    service_free(&server.service);
    close(server.file);
    assert_int_equal(server.begun, server.over);
    assert_true(server.finished >= server.over);
    return server.result;
}

static UNUSED int server_stop(void)
{
    service_stop(server.service);
    return server_join();
}

static bool wait_for(atomic_int *count, int n)
{
    for (int i = 0; i < 5000 && atomic_load(count) < n; i++)
        sleep_ms(1);
    return atomic_load(count) >= n;
}

/* Waits until n requests have come; false after some seconds. */
static UNUSED bool wait_begun(int n)
{
    return wait_for(&server.begun, n);
}

/* The same until n exchanges are over. */
static UNUSED bool wait_over(int n)
{
    return wait_for(&server.over, n);
}

/* --- what tests set up, and tear down ------------------------------------------- */
static UNUSED int serve_on(int loops)
{
    struct service_config config;
    service_defaults(&config);
    config.loops = loops;
    server_start(&config);
    return 0;
}

static UNUSED int serve_on_one_loop(void **state)
{
    (void)state;
    return serve_on(1);
}

static UNUSED int serve_on_two_loops(void **state)
{
    (void)state;
    return serve_on(2);
}

static UNUSED int serve_no_more(void **state)
{
    (void)state;
    return server_stop();
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, serve_on_two_loops, serve_no_more)

#endif
