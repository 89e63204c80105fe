/* The HTTP client and what servers do: keep alive, close, answer in all ways, talk
 * nonsense. */
#include "tests/unit/http_bench.h"

/* --- keep-alive ------------------------------------------------------------------ */
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

/* --- answers --------------------------------------------------------------------- */
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

#define TWO_INTERIMS "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
#define EIGHT_INTERIMS TWO_INTERIMS TWO_INTERIMS TWO_INTERIMS TWO_INTERIMS

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
        {EIGHT_INTERIMS, CALL_BROKEN, 0, NULL},
        {EIGHT_INTERIMS "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CALL_OK, 1, NULL},
        {EIGHT_INTERIMS "HTTP/1.1 100 Continue\r\n\r\n", CALL_GARBAGE, 0, NULL},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", CALL_GARBAGE, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", CALL_GARBAGE, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
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
    memset(line, 'x', sizeof(line));
    memcpy(line, "X-Fill: ", 8);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    while (sent < 1024u * MIB && peer_send(c, line, sizeof(line)))
        sent += sizeof(line);
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
    memset(line, 'x', sizeof(line));
    while (sent < 1024u * MIB && peer_send(c, line, sizeof(line)))
        sent += sizeof(line);
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

/* --- bodies nobody takes --------------------------------------------------------- */
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
    snprintf(authority, sizeof(authority), "127.0.0.1:%d", p->bench->port);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),    cmocka_unit_test(test_idle),
        cmocka_unit_test(test_answers_split), cmocka_unit_test(test_answers_ended),
        cmocka_unit_test(test_huge_head),     cmocka_unit_test(test_head_has_no_body),
        cmocka_unit_test(test_unwanted_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
