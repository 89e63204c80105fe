/*
 * The HTTP client against servers that misbehave. Each test has a *peer*, a thread that
 * plays a script over real loopback sockets, and *probes*, calls that note all that they
 * are told. Checks made by a peer are noted as well and asserted once it has been joined,
 * for cmocka's asserts are for the main thread alone.
 */
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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/http_client.h"
#include "common/net.h"

enum { MIB = 1024 * 1024 };

/* --- peers -----------------------------------------------------------------------------
 */
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

static void *peer_main(void *arg)
{
    struct peer *peer = arg;
    peer->script(peer);
    return NULL;
}

static int listen_local(int backlog, int *port)
{
    int fd = net_listen("127.0.0.1", 0, backlog);
    assert_true(fd >= 0);
    *port = net_port(fd);
    fcntl(fd, F_SETFL, 0);
    return fd;
}

static struct peer *peer_new(void (*script)(struct peer *), const char *answer)
{
    struct peer *peer = calloc(1, sizeof *peer);
    peer->fd = listen_local(256, &peer->port);
    peer->script = script;
    if (answer) {
        peer->answer = strdup(answer);
        peer->answer_len = strlen(answer);
    }
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
    return peer;
}

static int peer_end(struct peer *peer)
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

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

static int peer_accept(struct peer *peer)
{
    int one = 1;
    if (!readable(peer->fd, 5000)) {
        CHECK(peer, !"a connection came");
        return -1;
    }
    int c = accept4(peer->fd, NULL, NULL, SOCK_CLOEXEC);
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer->accepted++;
    return c;
}

/* Reads exactly len bytes; buf may be NULL. false at the end of the connection. */
static bool peer_read(int c, char *buf, size_t len)
{
    char drop[64 * 1024];
    while (len) {
        size_t want = buf ? len : len < sizeof drop ? len : sizeof drop;
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

static bool peer_head(struct peer *peer, int c)
{
    size_t n = 0;
    while (n + 1 < sizeof peer->head) {
        if (!peer_read(c, peer->head + n, 1))
            return false;
        peer->head[++n] = '\0';
        if (n >= 4 && strcmp(peer->head + n - 4, "\r\n\r\n") == 0)
            return true;
    }
    return false;
}

static bool peer_send(int c, const char *data, size_t len)
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

static bool peer_say(int c, const char *text)
{
    return peer_send(c, text, strlen(text));
}

/* The client has closed (in either way), and sent nothing more. */
static bool peer_sees_end(int c)
{
    char byte;
    return readable(c, 5000) && read(c, &byte, 1) <= 0;
}

static void peer_reset(int c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(c);
}

static char pattern(size_t i)
{
    return (char)(i * 31 + i / 251 + i / 65537);
}

/* --- probes ----------------------------------------------------------------------------
 */
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
    char *body;
    size_t body_len, body_room, take; /* take: at most so much per body(); 0: all */
    bool slow;                        /* resumes later */
    size_t to_send, sent;             /* a pattern body */
    size_t most_queued;
    char cancel_in; /* 'r'oom, 'a'nswer, 'b'ody, 'd'one */
    bool cancelled;
    struct timer timer;
    char field[64]; /* X-Note of the answer */
};

static void guard_fire(struct timer *timer)
{
    (void)timer;
    fprintf(stderr, "the test hangs\n");
    abort();
}

static void bench_timer(struct timer *timer)
{
    struct bench *b = container_of(timer, struct bench, timer);
    b->on_timer(b);
}

static void bench_open(struct bench *b)
{
    memset(b, 0, sizeof *b);
    b->loop = loop_new();
    assert_non_null(b->loop);
    b->lookups = workers_new("lookup", 2);
    http_client_defaults(&b->config);
    b->config.lookups = b->lookups;
    b->guard.fire = guard_fire;
    b->timer.fire = bench_timer;
    timer_set(b->loop, &b->guard, 30 * 1000);
}

static void bench_client(struct bench *b)
{
    b->client = http_client_new(b->loop, &b->config);
}

static void bench_close(struct bench *b)
{
    http_client_free(&b->client);
    timer_clear(b->loop, &b->guard);
    timer_clear(b->loop, &b->timer);
    workers_free(&b->lookups);
    loop_free(&b->loop);
    block_stock_free();
}

static void bench_leave(struct bench *b)
{
    if (--b->running == 0)
        loop_stop(b->loop);
}

static void probe_push(struct probe *p)
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

static void probe_cancel(struct probe *p)
{
    p->cancelled = true;
    call_cancel(&p->call);
    assert_null(p->call);
    bench_leave(p->bench);
}

static void on_room(struct call *call)
{
    struct probe *p = call_arg(call);
    assert_false(p->in_start || p->cancelled);
    p->rooms++;
    if (p->cancel_in == 'r')
        probe_cancel(p);
    else
        probe_push(p);
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct probe *p = call_arg(call);
    struct str note;
    assert_false(p->in_start || p->cancelled);
    p->answers++;
    p->status = head->status;
    if (p->cancel_in == 'a')
        probe_cancel(p);
    if (http_field(head, STR("X-Note"), &note) && note.n < sizeof p->field)
        memcpy(p->field, note.p, note.n);
}

static void probe_resume(struct timer *timer)
{
    call_resume(container_of(timer, struct probe, timer)->call);
}

static size_t on_body(struct call *call, struct block *block, const char *data,
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

static void on_done(struct call *call, enum call_result result)
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

static void probe_begin_at(struct probe *p, const char *authority, const char *method,
                           enum http_body body, size_t length, const struct call_ops *o)
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

static void probe_begin(struct probe *p, const char *method, enum http_body body,
                        size_t length)
{
    char authority[32];
    snprintf(authority, sizeof authority, "127.0.0.1:%d", p->bench->port);
    probe_begin_at(p, authority, method, body, length, &ops);
}

static void probe_free(struct probe *p)
{
    free(p->body);
    p->body = NULL;
    p->body_len = p->body_room = 0;
}

/* One GET to a peer that plays `script`; leaves what came of it in *p. */
static int one_get(struct bench *b, struct probe *p, struct peer *peer)
{
    *p = (struct probe){.bench = b, .take = p->take, .slow = p->slow};
    b->port = peer->port;
    bench_client(b);
    probe_begin(p, "GET", HTTP_BODY_NONE, 0);
    loop_run(b->loop);
    bench_close(b);
    return peer_end(peer);
}

/* --- keep-alive ------------------------------------------------------------------------
 */
static void serve_three(struct peer *peer)
{
    int c = peer_accept(peer);
    for (int i = 0; i < 3; i++) {
        CHECK(peer, peer_head(peer, c));
        CHECK(peer, strncmp(peer->head, "GET /some/where HTTP/1.1\r\n", 26) == 0);
        CHECK(peer, strstr(peer->head, "\r\nHost: 127.0.0.1:") != NULL);
        peer_say(c, "HTTP/1.1 200 OK\r\nX-Note: hello\r\nContent-Length: 4\r\n\r\nbody");
    }
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void again_twice(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    assert_int_equal(p->answers, 1);
    if (p->steps < 3)
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
}

static void test_keep_alive(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(serve_three, NULL);
    (void)state;
    bench_open(&b);
    struct probe p = {.bench = &b, .then = again_twice};
    b.port = peer->port;
    bench_client(&b);
    probe_begin(&p, "GET", HTTP_BODY_NONE, 0);
    loop_run(b.loop);
    bench_close(&b);
    assert_int_equal(peer_end(peer), 1);
    assert_int_equal(p.steps, 3);
    assert_int_equal(p.status, 200);
    assert_string_equal(p.body, "bodybodybody");
    assert_string_equal(p.field, "hello");
    assert_true(p.sent_all && p.sent_any);
    probe_free(&p);
}

/* Answers once, then closes while the connection is idle; then serves a fresh one. */
static void close_idle(struct peer *peer)
{
    for (int i = 0; i < 2; i++) {
        int c = peer_accept(peer);
        CHECK(peer, peer_head(peer, c));
        peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
        close(c);
    }
}

/* Says something while nothing is asked. */
static void talk_idle(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    usleep(20 * 1000);
    peer_say(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
    c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    close(c);
}

/* Closed by the client when it has been idle for long enough. */
static void wait_idle(struct peer *peer)
{
    for (int i = 0; i < 2; i++) {
        int c = peer_accept(peer);
        CHECK(peer, peer_head(peer, c));
        peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
        CHECK(peer, peer_sees_end(c));
        close(c);
    }
}

static void second_call(struct bench *b)
{
    probe_begin(b->probe, "GET", HTTP_BODY_NONE, 0);
    b->running--;
}

static void pause_then_again(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    assert_int_equal(p->status, 204);
    if (p->steps > 1)
        return;
    p->bench->probe = p;
    p->bench->on_timer = second_call;
    p->bench->running++;
    timer_set(p->bench->loop, &p->bench->timer, 150);
}

static void test_idle(void **state)
{
    void (*scripts[])(struct peer *) = {close_idle, talk_idle, wait_idle};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bench b;
        struct peer *peer = peer_new(scripts[i], NULL);
        bench_open(&b);
        struct probe p = {.bench = &b, .then = pause_then_again};
        b.port = peer->port;
        b.config.idle_ms = 60;
        if (scripts[i] != wait_idle)
            b.config.idle_ms = 10000;
        bench_client(&b);
        probe_begin(&p, "GET", HTTP_BODY_NONE, 0);
        loop_run(b.loop);
        bench_close(&b);
        assert_int_equal(peer_end(peer), 2);
        assert_int_equal(p.steps, 2);
    }
}

/* --- the resend ------------------------------------------------------------------------
 */
enum { RESEND_BODY = 100 * 1000 };

static bool read_pattern(int c, size_t len)
{
    char *buf = malloc(len);
    bool right = peer_read(c, buf, len);
    for (size_t i = 0; right && i < len; i++)
        right = buf[i] == pattern(i);
    free(buf);
    return right;
}

/* Serves one GET, takes a PUT on the same connection and drops it without a word. */
static void drop_second(struct peer *peer, bool reset, size_t taken)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, peer_read(c, NULL, taken));
    if (reset)
        peer_reset(c);
    else
        close(c);
}

static void serve_resent(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, strncmp(peer->head, "PUT ", 4) == 0);
    CHECK(peer, strstr(peer->head, "\r\nContent-Length: 100000\r\n") != NULL);
    CHECK(peer, read_pattern(c, RESEND_BODY));
    peer_say(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void resend_after_close(struct peer *peer)
{
    drop_second(peer, false, RESEND_BODY);
    serve_resent(peer);
}

static void resend_after_reset(struct peer *peer)
{
    drop_second(peer, true, 1000);
    serve_resent(peer);
}

static void drop_all(struct peer *peer)
{
    drop_second(peer, false, RESEND_BODY);
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    close(c);
}

static void drop_then_refuse(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    CHECK(peer, peer_head(peer, c));
    shutdown(peer->fd, SHUT_RDWR);
    peer_reset(c);
}

static void put_second(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "PUT", HTTP_BODY_LENGTH, RESEND_BODY);
}

static void run_two(struct peer *peer, struct probe *p, void (*then)(struct probe *))
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

static void test_resend(void **state)
{
    struct probe p;
    struct peer *peer;
    (void)state;
    peer = peer_new(resend_after_close, NULL);
    run_two(peer, &p, put_second);
    assert_int_equal(peer_end(peer), 2);
    assert_int_equal(p.result, CALL_OK);
    assert_int_equal(p.status, 201);
    assert_true(p.sent_all);

    peer = peer_new(resend_after_reset, NULL);
    run_two(peer, &p, put_second);
    assert_int_equal(peer_end(peer), 2);
    assert_int_equal(p.result, CALL_OK);
    assert_int_equal(p.status, 201);

    peer = peer_new(drop_all, NULL); /* once, not for ever */
    run_two(peer, &p, put_second);
    assert_int_equal(peer_end(peer), 2);
    assert_int_equal(p.result, CALL_BROKEN);
    assert_true(p.sent_all && p.sent_any);

    /* It has seen bytes of the request: that is not "refused" any more. */
    peer = peer_new(drop_then_refuse, NULL);
    run_two(peer, &p, put_second);
    assert_int_equal(peer_end(peer), 1);
    assert_int_equal(p.result, CALL_BROKEN);
    assert_true(p.sent_any);
}

static void drop_large(struct peer *peer)
{
    drop_second(peer, false, 600 * 1000);
}

static void put_large_second(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "PUT", HTTP_BODY_LENGTH, 8 * MIB);
}

static void half_answer_second(struct peer *peer)
{
    drop_second(peer, false, RESEND_BODY);
}

static void answer_a_byte_second(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, peer_read(c, NULL, RESEND_BODY));
    peer_say(c, "H");
    close(c);
}

static void close_at_once(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    close(c);
}

static void test_no_resend(void **state)
{
    struct probe p = {0};
    struct bench b;
    struct peer *peer;
    (void)state, (void)half_answer_second;
    peer = peer_new(drop_large, NULL); /* more sent than is held */
    run_two(peer, &p, put_large_second);
    assert_int_equal(peer_end(peer), 1);
    assert_int_equal(p.result, CALL_BROKEN);
    assert_true(p.sent_any && !p.sent_all);

    peer = peer_new(answer_a_byte_second, NULL); /* an answer had begun */
    run_two(peer, &p, put_second);
    assert_int_equal(peer_end(peer), 1);
    assert_int_equal(p.result, CALL_BROKEN);

    bench_open(&b); /* a fresh connection */
    p = (struct probe){0};
    assert_int_equal(one_get(&b, &p, peer_new(close_at_once, NULL)), 1);
    assert_int_equal(p.result, CALL_BROKEN);
    assert_true(p.sent_all);
}

/* --- answers ---------------------------------------------------------------------------
 */
/* Sends peer->answer in one go, then closes. */
static void say_answer(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_send(c, peer->answer, peer->answer_len);
    close(c);
}

/* Byte by byte; the client sees each alone. */
static void drip_answer(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    for (size_t i = 0; i < peer->answer_len; i++) {
        peer_send(c, peer->answer + i, 1);
        usleep(300);
    }
    CHECK(peer, peer_sees_end(c));
    close(c);
}

/* In two parts, split at peer->step; one connection for all splits. */
static void split_answers(struct peer *peer)
{
    int c = peer_accept(peer);
    for (size_t i = 1; i < peer->answer_len; i++) {
        CHECK(peer, peer_head(peer, c));
        peer_send(c, peer->answer, i);
        usleep(1500);
        peer_send(c, peer->answer + i, peer->answer_len - i);
    }
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static int splits;

static void next_split(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    assert_int_equal(p->answers, 1);
    assert_string_equal(p->body, "Hello, World");
    probe_free(p);
    if (p->steps < splits)
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
}

static const char *const whole_answers[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-Note: a\r\n\r\nHello, World",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    "7\r\nHello, \r\n5;ext=1\r\nWorld\r\n0\r\nTrailer: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello, World",
};

static void test_answers_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct bench b;
        struct probe p = {0};
        bench_open(&b);
        assert_int_equal(one_get(&b, &p, peer_new(drip_answer, whole_answers[i])), 1);
        assert_int_equal(p.result, CALL_OK);
        assert_int_equal(p.status, 200);
        assert_int_equal(p.answers, 1);
        assert_string_equal(p.body, "Hello, World");
        probe_free(&p);

        struct peer *peer = peer_new(split_answers, whole_answers[i]);
        splits = (int)peer->answer_len - 1;
        run_two(peer, &p, next_split);
        assert_int_equal(peer_end(peer), 1);
        assert_int_equal(p.steps, splits);
    }
}

static void test_answers_ended(void **state)
{
    static const struct {
        const char *answer;
        enum call_result result;
        int answers;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\nto the end", CALL_OK, 1, "to the end"},
        {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", CALL_OK, 1, "abc"},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", CALL_OK,
         1, "abc"},
        {"HTTP/1.1 304 Not Modified\r\n\r\n", CALL_OK, 1, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CALL_OK, 1, NULL},
        {"", CALL_BROKEN, 0, NULL},
        {"HTTP/1.1 20", CALL_BROKEN, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Le", CALL_BROKEN, 0, NULL},
        {"HTTP/1.1 100 Continue\r\n\r\n", CALL_BROKEN, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", CALL_BROKEN, 1, "abc"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", CALL_BROKEN,
         1, "abc"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
         CALL_GARBAGE, 1, "abc"},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", CALL_GARBAGE, 0, NULL},
        {"\x16\x03\x01\x02 hello there, this is not what you think\r\n\r\n", CALL_GARBAGE,
         0, NULL},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", CALL_GARBAGE, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", CALL_GARBAGE, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        struct probe p = {0};
        bench_open(&b);
        assert_int_equal(one_get(&b, &p, peer_new(say_answer, cases[i].answer)), 1);
        if (p.result != cases[i].result || p.answers != cases[i].answers)
            fail_msg("case %zu: result %d, %d answers", i, p.result, p.answers);
        assert_string_equal(p.body ? p.body : "", cases[i].body ? cases[i].body : "");
        probe_free(&p);
    }
}

static void huge_head(struct peer *peer)
{
    char line[1024];
    size_t sent = 0;
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 200 OK\r\n");
    memset(line, 'x', sizeof line);
    memcpy(line, "X-Fill: ", 8);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    while (sent < 1024u * MIB && peer_send(c, line, sizeof line))
        sent += sizeof line;
    CHECK(peer, sent < 64u * MIB);
    close(c);
}

static void huge_line(struct peer *peer)
{
    char line[4096];
    size_t sent = 0;
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 200 OK\r\nX-Fill: ");
    memset(line, 'x', sizeof line);
    while (sent < 1024u * MIB && peer_send(c, line, sizeof line))
        sent += sizeof line;
    CHECK(peer, sent < 64u * MIB);
    close(c);
}

static void test_huge_head(void **state)
{
    struct bench b;
    struct probe p = {0};
    (void)state;
    bench_open(&b);
    one_get(&b, &p, peer_new(huge_head, NULL));
    assert_int_equal(p.result, CALL_GARBAGE);
    bench_open(&b);
    one_get(&b, &p, peer_new(huge_line, NULL));
    assert_int_equal(p.result, CALL_GARBAGE);
}

static void serve_head_and_get(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, strncmp(peer->head, "HEAD ", 5) == 0);
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void get_second(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    if (p->steps == 1) {
        assert_null(p->body);
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
    }
}

static void test_head_has_no_body(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(serve_head_and_get, NULL);
    (void)state;
    bench_open(&b);
    struct probe p = {.bench = &b, .then = get_second};
    b.port = peer->port;
    bench_client(&b);
    probe_begin(&p, "HEAD", HTTP_BODY_NONE, 0);
    loop_run(b.loop);
    bench_close(&b);
    assert_int_equal(peer_end(peer), 1);
    assert_string_equal(p.body, "ok");
    probe_free(&p);
}

/* --- bodies nobody takes ---------------------------------------------------------------
 */
static void serve_unwanted(struct peer *peer)
{
    char *body = calloc(1, MIB);
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 500 Sorry\r\nContent-Length: 100000\r\n\r\n");
    CHECK(peer, peer_send(c, body, 100000));
    CHECK(peer, peer_head(peer, c)); /* the connection was kept */
    peer_say(c, "HTTP/1.1 500 Sorry\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
    peer_send(c, body, MIB);
    close(c); /* with more to come: it was cut */
    c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 500 Sorry\r\nContent-Length: 1000000000\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
    free(body);
}

static void bare_call(struct probe *p)
{
    char authority[32];
    snprintf(authority, sizeof authority, "127.0.0.1:%d", p->bench->port);
    probe_begin_at(p, authority, "GET", HTTP_BODY_NONE, 0, &bare_ops);
}

static void bare_again(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    assert_int_equal(p->status, 500);
    if (p->steps < 3)
        bare_call(p);
}

static void test_unwanted_body(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(serve_unwanted, NULL);
    (void)state;
    bench_open(&b);
    struct probe p = {.bench = &b, .then = bare_again};
    b.port = peer->port;
    bench_client(&b);
    bare_call(&p);
    loop_run(b.loop);
    bench_close(&b);
    assert_int_equal(peer_end(peer), 2);
    assert_int_equal(p.steps, 3);
}

/* --- large bodies ----------------------------------------------------------------------
 */
enum { LARGE = 8 * MIB };

static void read_slowly_length(struct peer *peer)
{
    char *buf = malloc(64 * 1024);
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    for (size_t at = 0; at < LARGE; at += 64 * 1024) {
        bool right = peer_read(c, buf, 64 * 1024);
        for (size_t i = 0; right && i < 64 * 1024; i++)
            right = buf[i] == pattern(at + i);
        CHECK(peer, right);
        usleep(1000);
    }
    peer_say(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
    free(buf);
}

static bool read_chunk_line(int c, size_t *len)
{
    char line[16];
    for (size_t n = 0; n + 1 < sizeof line; n++) {
        if (!peer_read(c, line + n, 1))
            return false;
        line[n + 1] = '\0';
        if (n && strcmp(line + n - 1, "\r\n") == 0) {
            *len = strtoul(line, NULL, 16);
            return true;
        }
    }
    return false;
}

static void read_slowly_chunked(struct peer *peer)
{
    char *buf = malloc(MIB), crlf[2];
    size_t at = 0, n = 0;
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, strstr(peer->head, "\r\nTransfer-Encoding: chunked\r\n") != NULL);
    while (read_chunk_line(c, &n) && n > 0 && n <= MIB) {
        bool right = peer_read(c, buf, n);
        for (size_t i = 0; right && i < n; i++)
            right = buf[i] == pattern(at + i);
        CHECK(peer, right);
        CHECK(peer, peer_read(c, crlf, 2) && memcmp(crlf, "\r\n", 2) == 0);
        at += n;
        usleep(500);
    }
    CHECK(peer, at == LARGE && n == 0);
    CHECK(peer, peer_read(c, crlf, 2) && memcmp(crlf, "\r\n", 2) == 0);
    peer_say(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
    free(buf);
}

static void test_large_requests(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct bench b;
        struct peer *peer = peer_new(i ? read_slowly_chunked : read_slowly_length, NULL);
        bench_open(&b);
        struct probe p = {.bench = &b};
        b.port = peer->port;
        bench_client(&b);
        probe_begin(&p, "PUT", i ? HTTP_BODY_CHUNKED : HTTP_BODY_LENGTH, LARGE);
        loop_run(b.loop);
        bench_close(&b);
        assert_int_equal(peer_end(peer), 1);
        assert_int_equal(p.result, CALL_OK);
        assert_int_equal(p.status, 201);
        assert_true(p.sent_all && p.rooms > 5); /* it was full now and then */
    }
}

static void send_large(struct peer *peer, const char *head, bool chunked)
{
    char *buf = malloc(LARGE), line[16];
    int c = peer_accept(peer);
    for (size_t i = 0; i < LARGE; i++)
        buf[i] = pattern(i);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, head);
    for (size_t at = 0, n; at < LARGE; at += n) {
        n = 1 + at % 100000;
        if (n > LARGE - at)
            n = LARGE - at;
        snprintf(line, sizeof line, "%zx\r\n", n);
        CHECK(peer, !chunked || peer_say(c, line));
        CHECK(peer, peer_send(c, buf + at, n));
        CHECK(peer, !chunked || peer_say(c, "\r\n"));
    }
    if (chunked)
        peer_say(c, "0\r\n\r\n");
    free(buf);
    close(c);
}

static void send_large_length(struct peer *peer)
{
    send_large(peer, "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n", false);
}

static void send_large_chunked(struct peer *peer)
{
    send_large(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true);
}

static void send_large_close(struct peer *peer)
{
    send_large(peer, "HTTP/1.1 200 OK\r\n\r\n", false);
}

static void test_large_answers(void **state)
{
    void (*scripts[])(struct peer *) = {send_large_length, send_large_chunked,
                                        send_large_close};
    (void)state;
    for (int i = 0; i < 9; i++) {
        struct bench b;
        /* Takes all; in parts, at once again; in parts, a while later. */
        struct probe p = {.take = i % 3 ? 20000 : 0, .slow = i % 3 == 2};
        bench_open(&b);
        assert_int_equal(one_get(&b, &p, peer_new(scripts[i / 3], NULL)), 1);
        assert_int_equal(p.result, CALL_OK);
        assert_int_equal(p.body_len, LARGE);
        for (size_t j = 0; j < LARGE; j++)
            if (p.body[j] != pattern(j))
                fail_msg("byte %zu of case %d", j, i);
        probe_free(&p);
    }
}

/* A reset while the client takes nothing: what came before it is lost or not, the end is.
 */
static void reset_untaken(struct peer *peer)
{
    char *buf = calloc(1, 4096);
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    peer_send(c, buf, 4096);
    usleep(30 * 1000);
    peer_reset(c);
    free(buf);
}

static size_t take_none(struct call *call, struct block *block, const char *data,
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

static void test_reset_while_paused(void **state)
{
    const struct call_ops none = {NULL, on_answer, take_none, on_done};
    struct bench b;
    struct peer *peer = peer_new(reset_untaken, NULL);
    char authority[32];
    struct timespec before, after;
    (void)state;
    bench_open(&b);
    struct probe p = {.bench = &b};
    snprintf(authority, sizeof authority, "127.0.0.1:%d", peer->port);
    bench_client(&b);
    probe_begin_at(&p, authority, "GET", HTTP_BODY_NONE, 0, &none);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    loop_run(b.loop);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    bench_close(&b);
    peer_end(peer);
    assert_int_equal(p.result, CALL_BROKEN);
    /* And nothing spun meanwhile. */
    assert_true((after.tv_sec - before.tv_sec) * 1000 +
                    (after.tv_nsec - before.tv_nsec) / 1000000 <
                100);
}

/* --- early answers ---------------------------------------------------------------------
 */
static void answer_early(struct peer *peer, bool close_it)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 5\r\n\r\nfull\n");
    if (!close_it) {
        while (peer_read(c, NULL, 1))
            continue;
    }
    close(c);
    c = peer_accept(peer); /* the first is not used again */
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    close(c);
}

static void answer_early_and_close(struct peer *peer)
{
    answer_early(peer, true);
}

static void answer_early_and_wait(struct peer *peer)
{
    answer_early(peer, false);
}

static void after_early(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    assert_int_equal(p->status, p->steps == 1 ? 507 : 204);
    if (p->steps == 1) {
        assert_false(p->sent_all);
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
    }
}

static void test_early_answer(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct bench b;
        struct peer *peer =
            peer_new(i ? answer_early_and_wait : answer_early_and_close, NULL);
        bench_open(&b);
        struct probe p = {.bench = &b, .then = after_early};
        b.port = peer->port;
        bench_client(&b);
        probe_begin(&p, "PUT", HTTP_BODY_LENGTH, 64 * MIB);
        loop_run(b.loop);
        bench_close(&b);
        assert_int_equal(peer_end(peer), 2);
        assert_int_equal(p.steps, 2);
        assert_string_equal(p.body, "full\n");
        probe_free(&p);
    }
}

/* --- limits ----------------------------------------------------------------------------
 */
static void never_answer(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void answer_half(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void never_read(struct peer *peer)
{
    int c = peer_accept(peer);
    while (atomic_load(&peer->step) == 0)
        usleep(1000);
    close(c);
}

static void test_timeouts(void **state)
{
    struct bench b;
    struct probe p = {0};
    (void)state;
    bench_open(&b);
    b.config.answer_ms = 100;
    one_get(&b, &p, peer_new(never_answer, NULL));
    assert_int_equal(p.result, CALL_TIMEOUT);
    assert_true(p.sent_all);

    bench_open(&b);
    b.config.answer_ms = 100;
    one_get(&b, &p, peer_new(answer_half, NULL));
    assert_int_equal(p.result, CALL_TIMEOUT);
    assert_int_equal(p.status, 200);
    probe_free(&p);

    bench_open(&b);
    b.config.send_ms = 100;
    struct peer *peer = peer_new(never_read, NULL);
    p = (struct probe){.bench = &b};
    b.port = peer->port;
    bench_client(&b);
    probe_begin(&p, "PUT", HTTP_BODY_LENGTH, 64 * MIB);
    loop_run(b.loop);
    atomic_store(&peer->step, 1);
    bench_close(&b);
    peer_end(peer);
    assert_int_equal(p.result, CALL_TIMEOUT);
    assert_true(p.sent_any && !p.sent_all);
}

/* A listening socket whose queue is full: the kernel drops what comes further. */
static int full_listener(int *port, int *clients, int n)
{
    int fd = listen_local(0, port);
    for (int i = 0; i < n; i++) {
        struct net_addrs to;
        net_numeric("127.0.0.1", *port, &to);
        clients[i] = net_connect(&to.addr[0]);
    }
    usleep(20 * 1000);
    return fd;
}

static void test_no_connection(void **state)
{
    struct bench b;
    struct probe p;
    int clients[4], port, fd;
    char authority[32];
    (void)state;
    static const char *const names[] = {"127.0.0.1:1", "nowhere.invalid:80", "not a name",
                                        "127.0.0.1:port", "localhost:1"};
    for (size_t i = 0; i < 5; i++) {
        bench_open(&b);
        bench_client(&b);
        p = (struct probe){.bench = &b};
        b.config.connect_ms = 10000;
        probe_begin_at(&p, names[i], "GET", HTTP_BODY_NONE, 0, &ops);
        loop_run(b.loop);
        bench_close(&b);
        if (p.result != CALL_REFUSED || p.sent_any || p.answers)
            fail_msg("%s: %d", names[i], p.result);
    }

    fd = full_listener(&port, clients, 4);
    bench_open(&b);
    b.config.connect_ms = 100;
    bench_client(&b);
    p = (struct probe){.bench = &b};
    snprintf(authority, sizeof authority, "127.0.0.1:%d", port);
    probe_begin_at(&p, authority, "GET", HTTP_BODY_NONE, 0, &ops);
    loop_run(b.loop);
    bench_close(&b);
    assert_int_equal(p.result, CALL_REFUSED);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(fd);
}

static void test_no_descriptors(void **state)
{
    struct bench b;
    struct rlimit was, none;
    int port, fd = listen_local(4, &port);
    (void)state;
    bench_open(&b);
    bench_client(&b);
    struct probe p = {.bench = &b};
    b.port = port;
    probe_begin(&p, "GET", HTTP_BODY_NONE, 0);
    getrlimit(RLIMIT_NOFILE, &was);
    none = was;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    loop_run(b.loop);
    setrlimit(RLIMIT_NOFILE, &was);
    bench_close(&b);
    close(fd);
    assert_int_equal(p.result, CALL_LOCAL);
    assert_false(p.sent_any);
}

static void serve_names(struct peer *peer)
{
    int c = peer_accept(peer);
    for (int i = 0; i < 3; i++) {
        CHECK(peer, peer_head(peer, c));
        CHECK(peer, strstr(peer->head, "\r\nHost: localhost:") != NULL);
        peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    }
    close(c);
}

static void name_again(struct probe *p)
{
    char authority[32];
    assert_int_equal(p->result, CALL_OK);
    snprintf(authority, sizeof authority, "localhost:%d", p->bench->port);
    if (p->steps < 3)
        probe_begin_at(p, authority, "GET", HTTP_BODY_NONE, 0, &ops);
}

/* "localhost" is ::1 as well, which refuses here. */
static void test_second_address(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(serve_names, NULL);
    char authority[32];
    (void)state;
    bench_open(&b);
    struct probe p = {.bench = &b, .then = name_again};
    b.port = peer->port;
    bench_client(&b);
    snprintf(authority, sizeof authority, "localhost:%d", peer->port);
    probe_begin_at(&p, authority, "GET", HTTP_BODY_NONE, 0, &ops);
    loop_run(b.loop);
    bench_close(&b);
    assert_int_equal(peer_end(peer), 1);
    assert_int_equal(p.steps, 3);
}

static void test_unsendable(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b);
    bench_client(&b);
    struct probe p = {.bench = &b};
    struct call_spec spec = {.authority = STR("127.0.0.1:1"),
                             .method = STR("GET"),
                             .target = STR("/a HTTP/1.1\r\nX: y")};
    b.running = 1;
    p.call = call_start(b.client, &spec, &ops, &p);
    loop_run(b.loop);
    bench_close(&b);
    assert_int_equal(p.result, CALL_REFUSED);
}

/* --- cancelling ------------------------------------------------------------------------
 */
static void cancel_now(struct bench *b)
{
    probe_cancel(b->probe);
}

static void test_cancel_in_callbacks(void **state)
{
    (void)state;
    for (const char *in = "rabd"; *in; in++) {
        struct bench b;
        struct peer *peer = peer_new(*in == 'r' ? close_at_once : say_answer,
                                     "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-Note: "
                                     "still there\r\n\r\nHello, World");
        bench_open(&b);
        struct probe p = {.bench = &b, .cancel_in = *in};
        b.port = peer->port;
        bench_client(&b);
        probe_begin(&p, "GET", HTTP_BODY_NONE, 0);
        loop_run(b.loop);
        bench_close(&b);
        if (*in == 'r') { /* nothing was sent */
            pthread_join(peer->thread, NULL);
            assert_non_null(peer->wrong);
            close(peer->fd);
            free(peer->answer);
            free(peer);
        } else {
            peer_end(peer);
        }
        assert_int_equal(p.cancelled, *in != 'd');
        if (*in != 'r')
            assert_string_equal(p.field, "still there");
        probe_free(&p);
    }
}

static void read_until_end(struct peer *peer)
{
    int c = peer_accept(peer);
    while (peer_read(c, NULL, 1))
        continue;
    close(c);
}

static void test_cancel_in_states(void **state)
{
    struct bench b;
    struct probe p;
    int clients[4], port, fd = full_listener(&port, clients, 4);
    (void)state;

    bench_open(&b); /* STARTING, and once more with the client freed under it */
    bench_client(&b);
    p = (struct probe){.bench = &b};
    b.port = port;
    b.running = 1;
    probe_begin(&p, "GET", HTTP_BODY_NONE, 0);
    probe_cancel(&p);
    probe_begin(&p, "GET", HTTP_BODY_NONE, 0);
    bench_close(&b);

    for (int i = 0; i < 3; i++) { /* DIALING: a socket, a look-up; and freed */
        char authority[32];
        bench_open(&b);
        bench_client(&b);
        p = (struct probe){.bench = &b};
        snprintf(authority, sizeof authority, "%s:%d",
                 i == 1 ? "nowhere.invalid" : "127.0.0.1", port);
        probe_begin_at(&p, authority, "GET", HTTP_BODY_NONE, 0, &ops);
        b.probe = &p;
        b.on_timer = cancel_now;
        timer_set(b.loop, &b.timer, i == 1 ? 0 : 20);
        if (i == 2)
            loop_stop(b.loop);
        loop_run(b.loop);
        bench_close(&b);
    }
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(fd);

    for (int i = 0; i < 4; i++) { /* SENDING, WAITING, READING, and paused */
        static const char *const answers[] = {
            "", "", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"};
        const struct call_ops none = {on_room, on_answer, take_none, on_done};
        char authority[32];
        struct peer *peer = peer_new(i == 0   ? never_read
                                     : i == 1 ? read_until_end
                                              : answer_half,
                                     answers[i]);
        bench_open(&b);
        bench_client(&b);
        p = (struct probe){.bench = &b};
        snprintf(authority, sizeof authority, "127.0.0.1:%d", peer->port);
        probe_begin_at(&p, authority, "PUT", HTTP_BODY_LENGTH, i == 0 ? 64 * MIB : 0,
                       i == 3 ? &none : &ops);
        b.probe = &p;
        b.on_timer = cancel_now;
        timer_set(b.loop, &b.timer, 50);
        loop_run(b.loop);
        timer_clear(b.loop, &p.timer);
        atomic_store(&peer->step, 1);
        bench_close(&b);
        peer_end(peer);
        assert_true(p.cancelled && !p.done);
        probe_free(&p);
    }
}

/* --- many at once ----------------------------------------------------------------------
 */
enum { MANY = 100, ROUNDS = 20 };

static void serve_many(struct peer *peer)
{
    struct pollfd fds[1 + MANY] = {{.fd = peer->fd, .events = POLLIN}};
    int n = 1, answered = 0;
    while (answered < MANY * ROUNDS) {
        if (poll(fds, (nfds_t)n, 5000) <= 0) {
            CHECK(peer, !"requests come");
            return;
        }
        for (int i = 1; i < n; i++)
            if (fds[i].fd >= 0 && fds[i].revents) {
                if (!peer_head(peer, fds[i].fd)) {
                    close(fds[i].fd);
                    fds[i].fd = -1;
                    continue;
                }
                /* Now and then one is closed under the client, or after its answer. */
                answered++;
                peer_say(fds[i].fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                if (answered % 37 == 0) {
                    close(fds[i].fd);
                    fds[i].fd = -1;
                }
            }
        if (fds[0].revents) {
            int c = peer_accept(peer), at = 1;
            while (at < n && fds[at].fd >= 0)
                at++;
            CHECK(peer, at <= MANY);
            fds[at] = (struct pollfd){.fd = c, .events = POLLIN};
            n = at == n ? n + 1 : n;
        }
    }
    for (int i = 1; i < n; i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
}

static void many_again(struct probe *p)
{
    assert_int_equal(p->result, CALL_OK);
    if (p->steps < ROUNDS)
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
}

static void test_many(void **state)
{
    struct bench b;
    struct probe *probes = calloc(MANY, sizeof *probes);
    struct peer *peer = peer_new(serve_many, NULL);
    (void)state;
    bench_open(&b);
    b.port = peer->port;
    b.config.max_idle = 50;
    bench_client(&b);
    for (int i = 0; i < MANY; i++) {
        probes[i] = (struct probe){.bench = &b, .then = many_again};
        probe_begin(&probes[i], "GET", HTTP_BODY_NONE, 0);
    }
    loop_run(b.loop);
    bench_close(&b);
    peer_end(peer);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(probes[i].steps, ROUNDS);
        assert_int_equal(probes[i].body_len, 2 * ROUNDS);
        probe_free(&probes[i]);
    }
    free(probes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_resend),
        cmocka_unit_test(test_no_resend),
        cmocka_unit_test(test_answers_split),
        cmocka_unit_test(test_answers_ended),
        cmocka_unit_test(test_huge_head),
        cmocka_unit_test(test_head_has_no_body),
        cmocka_unit_test(test_unwanted_body),
        cmocka_unit_test(test_large_requests),
        cmocka_unit_test(test_large_answers),
        cmocka_unit_test(test_reset_while_paused),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_second_address),
        cmocka_unit_test(test_unsendable),
        cmocka_unit_test(test_cancel_in_callbacks),
        cmocka_unit_test(test_cancel_in_states),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
