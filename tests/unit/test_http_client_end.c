/* How the HTTP client's calls end: limits, no connection, cancelled
 * anywhere. */
#include "tests/unit/http_bench.h"

#include <sys/resource.h>

/* --- limits ---------------------------------------------------------------------- */
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

/* An answer that nobody takes, a byte at a time. */
static void answer_drips(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 100 && peer_say(c, "x"); i++)
        usleep(20 * 1000);
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
    b.config.answer_ms = 100;
    struct peer *drip = peer_new(answer_drips, NULL);
    p = (struct probe){.bench = &b};
    b.port = drip->port;
    bench_client(&b);
    char authority[32];
    snprintf(authority, sizeof(authority), "127.0.0.1:%d", b.port);
    probe_begin_at(&p, authority, "DELETE", HTTP_BODY_NONE, 0, &bare_ops);
    loop_run(b.loop);
    bench_close(&b);
    peer_end(drip);
    assert_int_equal(p.result, CALL_TIMEOUT);
    assert_int_equal(p.status, 500);

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
    snprintf(authority, sizeof(authority), "127.0.0.1:%d", port);
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
    snprintf(authority, sizeof(authority), "localhost:%d", p->bench->port);
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
    snprintf(authority, sizeof(authority), "localhost:%d", peer->port);
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

/* --- cancelling ------------------------------------------------------------------ */
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
        snprintf(authority, sizeof(authority), "%s:%d",
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
        snprintf(authority, sizeof(authority), "127.0.0.1:%d", peer->port);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_second_address),
        cmocka_unit_test(test_unsendable),
        cmocka_unit_test(test_cancel_in_callbacks),
        cmocka_unit_test(test_cancel_in_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
