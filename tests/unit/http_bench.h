/*
 * The bench the HTTP client is tested on. Each test has a *peer*, a thread that plays a
 * script over real loopback sockets, and *probes*, calls that note all that they are
 * told. Checks made by a peer are noted as well and asserted once it has been joined, for
 * cmocka's asserts are for the main thread alone.
 */
#ifndef TESTS_UNIT_HTTP_BENCH_H
#define TESTS_UNIT_HTTP_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/http/client.h"
#include "common/net.h"
#include "common/stock.h"
#include "tests/unit/pattern.h"

enum { MIB = 1024 * 1024 };

/* --- peers ----------------------------------------------------------------------- */
struct peer {
    int fd, port;
    pthread_t thread;
    void (*script)(struct peer *peer);
    const char *wrong; /* the first check that failed */
    int accepted;
    char head[64 * 1024]; /* the last request's head */
    char *answer;         /* what some scripts send */
    size_t answer_len;
    atomic_int step; /* tells the main thread how far it is */
};

#define CHECK(peer, what)              \
    do {                               \
        if (!(what) && !(peer)->wrong) \
            (peer)->wrong = #what;     \
    } while (0)

static inline void *peer_main(void *arg)
{
    struct peer *peer = arg;
    peer->script(peer);
    return NULL;
}

static inline int listen_local(int backlog, int *port)
{
    int fd = net_listen("127.0.0.1", 0, backlog);
    assert_true(fd >= 0);
    *port = net_port(fd);
    fcntl(fd, F_SETFL, 0);
    return fd;
}

static inline struct peer *peer_new(void (*script)(struct peer *), const char *answer)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    peer->fd = listen_local(256, &peer->port);
    peer->script = script;
    if (answer) {
        peer->answer = strdup(answer);
        peer->answer_len = strlen(answer);
    }
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
    return peer;
}

static inline int peer_end(struct peer *peer)
{
    int accepted;
    pthread_join(peer->thread, NULL);
    accepted = peer->accepted;
    if (peer->wrong)
        fail_msg("peer: %s", peer->wrong);
    close(peer->fd);
    free(peer->answer);
    free(peer);
    return accepted;
}

static inline bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

static inline int peer_accept(struct peer *peer)
{
    int one = 1;
    if (!readable(peer->fd, 5000)) {
        peer->wrong = "no connection came";
        return -1;
    }
    int c = accept4(peer->fd, NULL, NULL, SOCK_CLOEXEC);
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    peer->accepted++;
    return c;
}

/* Reads exactly len bytes; buf may be NULL. false at the end of the connection. */
static inline bool peer_read(int c, char *buf, size_t len)
{
    char drop[64 * 1024];
    while (len) {
        size_t want = buf ? len : len < sizeof(drop) ? len : sizeof(drop);
        if (!readable(c, 5000))
            return false;
        ssize_t n = read(c, buf ? buf : drop, want);
        if (n <= 0)
            return false;
        len -= (size_t)n;
        if (buf)
            buf += n;
    }
    return true;
}

static inline bool peer_head(struct peer *peer, int c)
{
    size_t n = 0;
    while (n + 1 < sizeof(peer->head)) {
        if (!peer_read(c, peer->head + n, 1))
            return false;
        peer->head[++n] = '\0';
        if (n >= 4 && strcmp(peer->head + n - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static inline bool peer_send(int c, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(c, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool peer_say(int c, const char *text)
{
    return peer_send(c, text, strlen(text));
}

/* The client has closed (in either way), and sent nothing more. */
static inline bool peer_sees_end(int c)
{
    char byte;
    return readable(c, 5000) && read(c, &byte, 1) <= 0;
}

static inline void peer_reset(int c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(c);
}

/* --- probes ---------------------------------------------------------------------- */
struct probe;

struct bench {
    struct loop *loop;
    struct workers *lookups;
    struct http_client_config config;
    struct http_client *client;
    int running;
    struct timer guard;
    struct timer timer; /* a test's own */
    void (*on_timer)(struct bench *);
    struct probe *probe; /* of that */
    int port;
};

struct probe {
    struct bench *bench;
    struct call *call;
    void (*then)(struct probe *); /* after done() */
    int steps;
    bool in_start, done, told_done;
    int answers, rooms, status;
    enum call_result result;
    bool sent_all, sent_any;
    bool slow; /* resumes later */
    bool cancelled;
    char cancel_in; /* 'r'oom, 'a'nswer, 'b'ody, 'd'one */
    char *body;
    size_t body_len, body_room, take; /* take: at most so much per body(); 0: all */
    size_t to_send, sent;             /* a pattern body */
    size_t most_queued;
    struct timer timer;
    char field[64]; /* X-Note of the answer */
};

static inline void guard_fire(struct timer *timer)
{
    (void)timer;
    fprintf(stderr, "the test hangs\n");
    abort();
}

static inline void bench_timer(struct timer *timer)
{
    struct bench *b = container_of(timer, struct bench, timer);
    b->on_timer(b);
}

static inline void bench_open(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    b->loop = loop_new();
    assert_non_null(b->loop);
    b->lookups = workers_new("lookup", 2);
    http_client_defaults(&b->config);
    b->config.agent = "mkv";
    b->config.lookups = b->lookups;
    b->guard.fire = guard_fire;
    b->timer.fire = bench_timer;
    timer_set(b->loop, &b->guard, 30 * 1000);
}

static inline void bench_client(struct bench *b)
{
    b->client = http_client_new(b->loop, &b->config);
}

static inline void bench_close(struct bench *b)
{
    http_client_free(&b->client);
    timer_clear(b->loop, &b->guard);
    timer_clear(b->loop, &b->timer);
    workers_free(&b->lookups);
    loop_free(&b->loop);
    stock_free_all();
}

static inline void bench_leave(struct bench *b)
{
    if (--b->running == 0)
        loop_stop(b->loop);
}

static inline void probe_push(struct probe *p)
{
    while (p->sent < p->to_send && !call_full(p->call)) {
        struct block *block = block_get(BLOCK_LARGE);
        size_t n =
            p->to_send - p->sent < block->size ? p->to_send - p->sent : block->size;
        for (size_t i = 0; i < n; i++)
            block->data[i] = pattern(p->sent + i);
        call_send(p->call, block, block->data, n);
        block_unref(&block);
        p->sent += n;
        if (p->sent == p->to_send)
            call_send_end(p->call);
    }
}

static inline void probe_cancel(struct probe *p)
{
    p->cancelled = true;
    call_cancel(&p->call);
    assert_null(p->call);
    bench_leave(p->bench);
}

static inline void on_room(struct call *call)
{
    struct probe *p = call_arg(call);
    assert_false(p->in_start || p->cancelled);
    p->rooms++;
    if (p->cancel_in == 'r')
        probe_cancel(p);
    else
        probe_push(p);
}

static inline void on_answer(struct call *call, const struct http_head *head)
{
    struct probe *p = call_arg(call);
    struct str note;
    assert_false(p->in_start || p->cancelled);
    p->answers++;
    p->status = head->status;
    if (p->cancel_in == 'a')
        probe_cancel(p);
    if (http_field(head, STR("X-Note"), &note) && note.n < sizeof(p->field))
        memcpy(p->field, note.p, note.n);
}

static inline void probe_resume(struct timer *timer)
{
    call_resume(container_of(timer, struct probe, timer)->call);
}

static inline size_t on_body(struct call *call, struct block *block, const char *data,
                             size_t len)
{
    struct probe *p = call_arg(call);
    assert_false(p->in_start || p->cancelled);
    assert_true(data >= block->data && data + len <= block->data + block->used &&
                len > 0);
    if (p->cancel_in == 'b') {
        probe_cancel(p);
        return data[0] ? len : 0; /* still readable */
    }
    size_t n = p->take && p->take < len ? p->take : len;
    while (p->body_len + n + 1 > p->body_room) {
        p->body_room = p->body_room ? p->body_room * 2 : 1024;
        p->body = realloc(p->body, p->body_room);
    }
    memcpy(p->body + p->body_len, data, n);
    p->body_len += n;
    p->body[p->body_len] = '\0';
    if (n < len && p->slow)
        timer_set(p->bench->loop, &p->timer, 1);
    else if (n < len)
        call_resume(call);
    return n;
}

static inline void on_done(struct call *call, enum call_result result)
{
    struct probe *p = call_arg(call);
    assert_false(p->in_start || p->cancelled);
    assert_int_equal(p->told_done, false);
    p->done = p->told_done = true;
    p->result = result;
    p->sent_all = call_sent_all(call);
    p->sent_any = call_sent_any(call);
    if (p->cancel_in == 'd') {
        call_cancel(&p->call);
        assert_null(p->call);
    }
    p->call = NULL;
    timer_clear(p->bench->loop, &p->timer);
    if (p->then) {
        p->told_done = false;
        p->steps++;
        p->then(p);
    }
    bench_leave(p->bench);
}

static const struct call_ops ops = {on_room, on_answer, on_body, on_done};
static const struct call_ops bare_ops = {NULL, on_answer, NULL, on_done};

static inline void probe_begin_at(struct probe *p, const char *authority,
                                  const char *method, enum http_body body, size_t length,
                                  const struct call_ops *o)
{
    struct call_spec spec = {
        .authority = str_of(authority),
        .method = str_of(method),
        .target = STR("/some/where"),
        .body = body,
        .length = length,
    };
    p->bench->running++;
    p->timer.fire = probe_resume;
    p->to_send = body == HTTP_BODY_NONE ? 0 : length;
    p->sent = 0;
    p->answers = 0;
    p->in_start = true;
    p->call = call_start(p->bench->client, &spec, o, p);
    p->in_start = false;
}

static inline void probe_begin(struct probe *p, const char *method, enum http_body body,
                               size_t length)
{
    char authority[32];
    snprintf(authority, sizeof(authority), "127.0.0.1:%d", p->bench->port);
    probe_begin_at(p, authority, method, body, length, &ops);
}

static inline void probe_free(struct probe *p)
{
    free(p->body);
    p->body = NULL;
    p->body_len = p->body_room = 0;
}

/* One GET to a peer that plays `script`; leaves what came of it in *p. */
static inline int one_get(struct bench *b, struct probe *p, struct peer *peer)
{
    *p = (struct probe){.bench = b, .take = p->take, .slow = p->slow};
    b->port = peer->port;
    bench_client(b);
    probe_begin(p, "GET", HTTP_BODY_NONE, 0);
    loop_run(b->loop);
    bench_close(b);
    return peer_end(peer);
}

/* One GET, and what then() begins once it is over; leaves what came of the last in *p. */
static inline void run_two(struct peer *peer, struct probe *p,
                           void (*then)(struct probe *))
{
    struct bench b;
    bench_open(&b);
    *p = (struct probe){.bench = &b, .then = then};
    b.port = peer->port;
    bench_client(&b);
    probe_begin(p, "GET", HTTP_BODY_NONE, 0);
    loop_run(b.loop);
    bench_close(&b);
    probe_free(p);
}

/* So many probes, which next() begins and, as then(), begins again; runs until it begins
 * none. To be freed, with each probe. */
static inline struct probe *run_many(struct bench *b, int n, void (*next)(struct probe *))
{
    struct probe *probes = calloc((size_t)n, sizeof(*probes));
    b->probe = probes;
    for (int i = 0; i < n; i++) {
        probes[i] = (struct probe){.bench = b, .then = next};
        next(&probes[i]);
    }
    loop_run(b->loop);
    return probes;
}

/* Takes nothing of the body for 200 ms, then all. */
static inline size_t take_none(struct call *call, struct block *block, const char *data,
                               size_t len)
{
    struct probe *p = call_arg(call);
    (void)block, (void)data;
    if (p->rooms > 10)
        return len;
    p->rooms += 10;
    timer_set(p->bench->loop, &p->timer, 200);
    return 0;
}

/* --- scripts of more than one test -------------------------------------------- */
static inline void close_at_once(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    close(c);
}

/* Sends peer->answer in one go, then closes. */
static inline void say_answer(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_send(c, peer->answer, peer->answer_len);
    close(c);
}

#endif
