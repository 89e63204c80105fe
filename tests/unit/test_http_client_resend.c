/* A request that meets a pooled connection that has closed: when the HTTP client sends it
 * once more, and when it must not. */
#include "tests/unit/http_bench.h"

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

/* Serves one request; the connection stays. */
static int serve_first(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    peer_say(c, "HTTP/1.1 204 No Content\r\n\r\n");
    return c;
}

/* Serves one GET, takes another request on the same connection and drops it without a
 * word. */
static void drop_second(struct peer *peer, size_t body)
{
    int c = serve_first(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, peer_read(c, NULL, body));
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

/* Is gone when the next request comes, and the client has not looked. */
static void close_unnoticed(struct peer *peer)
{
    int c = serve_first(peer);
    close(c);
    atomic_store(&peer->step, 1);
    serve_resent(peer);
}

static void drop_get(struct peer *peer)
{
    drop_second(peer, 0);
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, strncmp(peer->head, "GET ", 4) == 0);
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void drop_all(struct peer *peer)
{
    drop_second(peer, 0);
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    close(c);
}

static void drop_then_refuse(struct peer *peer)
{
    int c = serve_first(peer);
    CHECK(peer, peer_head(peer, c));
    shutdown(peer->fd, SHUT_RDWR);
    peer_reset(c);
}

static struct peer *playing; /* now */

static void put_unnoticing(struct probe *p)
{
    if (p->steps > 1)
        return;
    while (atomic_load(&playing->step) == 0)
        usleep(1000);
    probe_begin(p, "PUT", HTTP_BODY_LENGTH, RESEND_BODY);
}

static void get_again(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
}

static void put_second(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "PUT", HTTP_BODY_LENGTH, RESEND_BODY);
}

static void delete_second(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "DELETE", HTTP_BODY_NONE, 0);
}

/* A GET to a peer that plays `script`, and what then() begins once it is over. */
static struct probe run_again(void (*script)(struct peer *), void (*then)(struct probe *),
                              int connections, enum call_result result)
{
    struct probe p;
    struct peer *peer = peer_new(script, NULL);
    playing = peer;
    run_two(peer, &p, then);
    assert_int_equal(peer_end(peer), connections);
    assert_int_equal(p.result, result);
    return p;
}

static void test_resend(void **state)
{
    struct probe p;
    (void)state;
    p = run_again(close_unnoticed, put_unnoticing, 2, CALL_OK);
    assert_int_equal(p.status, 201);
    assert_true(p.sent_all);

    /* Read and dropped, but it may be asked twice; */
    p = run_again(drop_get, get_again, 2, CALL_OK);
    assert_int_equal(p.status, 200);

    /* once, not for ever. */
    p = run_again(drop_all, get_again, 2, CALL_BROKEN);
    assert_true(p.sent_all && p.sent_any);

    /* It has seen bytes of the request: that is not "refused" any more. */
    p = run_again(drop_then_refuse, get_again, 1, CALL_BROKEN);
    assert_true(p.sent_any);
}

static void drop_put(struct peer *peer)
{
    drop_second(peer, RESEND_BODY);
}

static void drop_delete(struct peer *peer)
{
    drop_second(peer, 0);
}

static void drop_large(struct peer *peer)
{
    drop_second(peer, 600 * 1000);
}

static void put_large_second(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "PUT", HTTP_BODY_LENGTH, 8 * MIB);
}

static void answer_a_byte_second(struct peer *peer)
{
    int c = serve_first(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, peer_read(c, NULL, RESEND_BODY));
    peer_say(c, "H");
    close(c);
}

static void test_no_resend(void **state)
{
    struct probe p;
    struct bench b;
    (void)state;
    /* The server has all of it, and may carry it out after all. */
    p = run_again(drop_put, put_second, 1, CALL_BROKEN);
    assert_true(p.sent_all);
    p = run_again(drop_delete, delete_second, 1, CALL_BROKEN);
    assert_true(p.sent_all);

    /* More is sent than is held. */
    p = run_again(drop_large, put_large_second, 1, CALL_BROKEN);
    assert_true(p.sent_any && !p.sent_all);

    /* An answer had begun. */
    run_again(answer_a_byte_second, put_second, 1, CALL_BROKEN);

    bench_open(&b); /* a fresh connection */
    p = (struct probe){0};
    assert_int_equal(one_get(&b, &p, peer_new(close_at_once, NULL)), 1);
    assert_int_equal(p.result, CALL_BROKEN);
    assert_true(p.sent_all);
}

/* The connection closes while the call on it waits for its body's first byte. */
static void close_under_corked(struct peer *peer)
{
    int c = serve_first(peer);
    usleep(30 * 1000);
    close(c);
    serve_resent(peer);
}

static size_t held_back;

static void push_late(struct bench *b)
{
    b->probe->to_send = held_back;
    probe_push(b->probe);
}

static void put_late(struct probe *p)
{
    if (p->steps > 1)
        return;
    probe_begin(p, "PUT", HTTP_BODY_LENGTH, RESEND_BODY);
    held_back = p->to_send;
    p->to_send = 0;
    p->bench->probe = p;
    p->bench->on_timer = push_late;
    timer_set(p->bench->loop, &p->bench->timer, 100);
}

static void test_closed_before_body(void **state)
{
    (void)state;
    struct probe p = run_again(close_under_corked, put_late, 2, CALL_OK);
    assert_int_equal(p.status, 201);
}

static void serve_empty_put(struct peer *peer)
{
    int c = serve_first(peer);
    CHECK(peer, peer_head(peer, c));
    CHECK(peer, strstr(peer->head, "\r\nContent-Length: 0\r\n") != NULL);
    peer_say(c, "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void put_empty(struct probe *p)
{
    if (p->steps == 1)
        probe_begin(p, "PUT", HTTP_BODY_LENGTH, 0);
}

static void test_empty_body(void **state)
{
    (void)state;
    struct probe p = run_again(serve_empty_put, put_empty, 1, CALL_OK);
    assert_int_equal(p.status, 411);
    assert_true(p.sent_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resend),
        cmocka_unit_test(test_no_resend),
        cmocka_unit_test(test_closed_before_body),
        cmocka_unit_test(test_empty_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
