/*
 * Requests and answers of the HTTP server: framing both ways, in whatever pieces the
 * bytes come, answers given early, late and by workers.
 */
#include "tests/unit/scripted_client.h"

static struct client one;

static void answers_of_every_kind(void **state)
{
    static const char *const verbs[] = {"now",    "later", "worker",
                                        "stream", "file",  "length"};
    static const size_t sizes[] = {0, 1, 11, 100, 8191, 70000, 300001, 3000000};
    (void)state;
    client_open(&one);
    for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++)
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            char target[64];
            snprintf(target, sizeof(target), "/%s?%zu&%zu", verbs[v], sizes[s], s);
            struct answer a = client_ask(&one, "GET", target);
            assert_int_equal(a.status, 200);
            assert_true(a.whole && a.keep && !a.wrong);
            assert_int_equal(a.body, sizes[s]);
            assert_int_equal(atoi(a.id), s);
            a = client_ask(&one, "HEAD", target);
            assert_int_equal(a.status, 200);
            assert_true(a.keep);
            if (a.has_length)
                assert_int_equal(a.length, sizes[s]);
        }
    for (int status = 200; status < 400; status += 104) { /* 304 among them */
        char target[64];
        snprintf(target, sizeof(target), "/status?%d", status);
        struct answer a = client_ask(&one, "GET", target);
        assert_int_equal(a.status, status);
        assert_int_equal(a.has_length, status != 304);
    }
    struct answer a = client_ask(&one, "GET", "/status?204");
    assert_int_equal(a.status, 204);
    assert_false(a.has_length);
    assert_int_equal(client_ask(&one, "GET", "/now?3").body, 3);
    client_close(&one);
}

/* Each request, cut in two at each byte, and byte by byte. */
static void split_at_every_byte(void **state)
{
    static const char *const requests[] = {
        "GET /now?3&1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /sum?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nabcdefg",
        ("POST /sum?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3;x=y\r\nabc\r\n04\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n"
         "GET /later?3 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("POST /early?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nabcdefg"
         "GET /worker?3 HTTP/1.1\r\nHost: x\r\n\r\n"),
    };
    (void)state;
    client_open(&one);
    for (size_t r = 0; r < sizeof(requests) / sizeof(requests[0]); r++) {
        size_t n = strlen(requests[r]);
        for (size_t at = 0; at < n; at++) {
            for (size_t from = 0; from < n;) {
                size_t to = at == 0 ? from + 1 : from < at ? at : n;
                assert_true(client_send(&one, requests[r] + from, to - from));
                from = to;
                usleep(at == 0 ? 300 : 500);
            }
            struct answer a = client_answer(&one, false);
            assert_true(a.whole && a.keep);
            assert_int_equal(a.status, r == 3 ? 403 : 200);
            if (r == 1 || r == 2)
                assert_string_equal(a.text, "7");
            if (r > 1)
                assert_int_equal(client_answer(&one, false).body, 3);
        }
    }
    client_close(&one);
}

/* --- bodies and answers that cross ---------------------------------------------- */
static void continues_only_when_it_reads(void **state)
{
    static const char head[] = "PUT /%s?1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               "Content-Length: 5\r\n\r\n%s";
    char text[200];
    (void)state;
    client_open(&one);
    snprintf(text, sizeof(text), head, "sum", "");
    client_say(&one, text);
    assert_int_equal(client_answer(&one, false).status, 100);
    client_say(&one, "abcde");
    struct answer a = client_answer(&one, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.text, "5");
    /* One that does not wait is not told. */
    snprintf(text, sizeof(text), head, "sum", "abcde");
    client_say(&one, text);
    assert_int_equal(client_answer(&one, false).status, 200);
    /* One that is refused is not asked for its body; the connection ends, since nobody
     * knows whether the body comes. */
    snprintf(text, sizeof(text), head, "early", "");
    client_say(&one, text);
    a = client_answer(&one, false);
    assert_int_equal(a.status, 403);
    assert_false(a.keep);
    assert_int_equal(client_byte(&one), -1);
    client_close(&one);
}

/* An upload that is refused at once, or half way, by a client that sends all before it
 * reads: the answer arrives, not a reset. */
static void early_answers_are_not_reset(void **state)
{
    static const char *const targets[] = {"/early?1", "/midway?100000", "/begin?8000000",
                                          "/blurt?8000000", "/offer?8000000"};
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++)
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
            enum { BYTES = 40 << 20 };
            char text[200];
            client_open(&one);
            int n = snprintf(text, sizeof(text), "PUT %s HTTP/1.1\r\nHost: x\r\n",
                             targets[i]);
            snprintf(text + n, sizeof(text) - (size_t)n,
                     chunked ? "Transfer-Encoding: chunked\r\n\r\n%x\r\n"
                             : "Content-Length: %d\r\n\r\n",
                     BYTES);
            client_say(&one, text);
            assert_int_equal(client_send_pattern(&one, 0, BYTES), BYTES);
            struct answer a = client_answer(&one, false);
            assert_int_equal(a.status, i < 2 ? 403 : 200);
            /* How long chunks go on is not known when the answer's head is sent. */
            assert_true(a.whole && (chunked || !a.keep));
            if (i >= 2)
                assert_int_equal(a.body, 8000000);
            assert_int_equal(client_byte(&one), -1);
            client_close(&one);
        }
}

/* A rest of a body that is small is read, and the connection goes on. */
static void small_rests_are_skipped(void **state)
{
    (void)state;
    client_open(&one);
    for (int i = 0; i < 5; i++) {
        client_say(&one,
                   "PUT /early?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n");
        assert_int_equal(client_send_pattern(&one, 0, 500000), 500000);
        struct answer a = client_answer(&one, false);
        assert_true(a.keep);
        assert_int_equal(a.status, 403);
        assert_int_equal(client_ask(&one, "GET", "/now?5").body, 5);
        client_say(&one, "PUT /early?1 HTTP/1.1\r\nHost: x\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n7a120\r\n");
        assert_int_equal(client_send_pattern(&one, 0, 500000), 500000);
        client_say(&one, "\r\n0\r\nT: x\r\n\r\n");
        a = client_answer(&one, false);
        assert_true(a.keep);
        assert_int_equal(a.status, 403);
        assert_int_equal(client_ask(&one, "GET", "/now?5").body, 5);
    }
    client_close(&one);
}

static void malformed_requests_end_it(void **state)
{
    static const char *const bad[] = {
        "GARBAGE\r\n\r\n",
        "POST /sum?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ("POST /sum?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3\r\nabcd\r\n"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        client_open(&one);
        client_say(&one, "GET /later?5 HTTP/1.1\r\nHost: x\r\n\r\n");
        client_say(&one, bad[i]);
        client_say(&one, "GET /now?5 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(client_answer(&one, false).status, 200);
        struct answer a = client_answer(&one, false);
        assert_int_equal(a.status, 400);
        assert_true(a.whole && !a.keep);
        assert_int_equal(client_byte(&one), -1);
        client_close(&one);
    }
    /* One that has its answer keeps it. */
    client_open(&one);
    client_say(&one, "POST /begin?300000 HTTP/1.1\r\nHost: x\r\n"
                     "Transfer-Encoding: chunked\r\n\r\nxyz\r\n");
    struct answer a = client_answer(&one, false);
    assert_true(a.whole);
    assert_int_equal(a.body, 300000);
    client_close(&one);
}

static void older_versions(void **state)
{
    (void)state;
    client_open(&one);
    for (int i = 0; i < 3; i++) {
        client_say(&one, "GET /later?50 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        struct answer a = client_answer(&one, false);
        assert_true(a.whole && a.keep);
        assert_int_equal(a.body, 50);
    }
    /* Without chunks the end of the connection is the end of the body. */
    client_say(&one, "GET /stream?300000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct answer a = client_answer(&one, false);
    assert_true(a.whole && !a.keep && !a.chunked && !a.has_length);
    assert_int_equal(a.body, 300000);
    client_close(&one);

    /* A body that is cut must not look whole. */
    client_open(&one);
    client_say(&one, "GET /abort-mid?1 HTTP/1.0\r\n\r\n");
    a = client_answer(&one, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.end, -2);
    client_close(&one);

    /* HTTP/0.9 has no heads. */
    client_open(&one);
    client_say(&one, "GET /file?100000\r\n");
    a = (struct answer){0};
    body_bytes(&one, &a, SIZE_MAX);
    assert_int_equal(a.body, 100000);
    assert_false(a.wrong);
    assert_int_equal(a.end, -1);
    client_close(&one);
}

static void aborts_in_every_state(void **state)
{
    static const char *const verbs[] = {"now",   "end", "later", "mid",
                                        "after", "mid", "later", "short"};
    (void)state;
    for (int i = 0; i < 64; i++) {
        char target[64];
        const char *verb = verbs[i % 8];
        client_open(&one);
        snprintf(target, sizeof(target),
                 strcmp(verb, "short") == 0 ? "/%s?%d" : "/abort-%s?%d", verb, i);
        struct answer a = client_ask(&one, i % 3 ? "GET" : "PUT", target);
        assert_false(a.whole);
        client_close(&one);
    }
    assert_true(wait_over(64));
    assert_int_equal(server.over_by[EXCHANGE_ABORT], 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(answers_of_every_kind),
        SERVED(split_at_every_byte),
        SERVED(continues_only_when_it_reads),
        SERVED(early_answers_are_not_reset),
        SERVED(small_rests_are_skipped),
        SERVED(malformed_requests_end_it),
        SERVED(older_versions),
        SERVED(aborts_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
