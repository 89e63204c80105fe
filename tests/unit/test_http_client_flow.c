/* The HTTP client under way: large bodies, early answers, cancelled calls, many at
 * once. */
#include "tests/unit/http_bench.h"

#include <time.h>

/* --- large bodies ---------------------------------------------------------------- */
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
    for (size_t n = 0; n + 1 < sizeof(line); n++) {
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
        snprintf(line, sizeof(line), "%zx\r\n", n);
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
        struct probe p = {.take = i % 3 ? 50000 : 0, .slow = i % 3 == 2};
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

/* A reset while the client takes nothing: what came before it is lost or not, the end
 * is. */
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
    snprintf(authority, sizeof(authority), "127.0.0.1:%d", peer->port);
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

/* --- early answers --------------------------------------------------------------- */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_requests),
        cmocka_unit_test(test_large_answers),
        cmocka_unit_test(test_reset_while_paused),
        cmocka_unit_test(test_early_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
