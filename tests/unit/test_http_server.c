/*
 * Requests and answers of the HTTP server: framing both ways, in whatever pieces the
 * bytes come, pipelines against a model, answers given early, late and by workers.
 */
#include <poll.h>

#include "tests/unit/scripted_server.h"

static struct client one;

static int start(void **state)
{
    struct service_config config;
    (void)state;
    service_defaults(&config);
    config.loops = 2;
    server_start(&config);
    return 0;
}

static int start_one_loop(void **state)
{
    struct service_config config;
    (void)state;
    service_defaults(&config);
    config.loops = 1;
    server_start(&config);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return server_stop();
}

static void answers_of_every_kind(void **state)
{
    static const char *const verbs[] = {"now",    "later", "worker",
                                        "stream", "file",  "length"};
    static const size_t sizes[] = {0, 1, 11, 100, 8191, 70000, 300001, 3000000};
    (void)state;
    client_open(&one);
    for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            char target[64];
            snprintf(target, sizeof target, "/%s?%zu&%zu", verbs[v], sizes[s], s);
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
        snprintf(target, sizeof target, "/status?%d", status);
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
        "POST /sum?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;x=y\r\nabc\r\n04\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n"
        "GET /later?3 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /early?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nabcdefg"
        "GET /worker?3 HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    (void)state;
    client_open(&one);
    for (size_t r = 0; r < sizeof requests / sizeof requests[0]; r++) {
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

/* --- pipelines ------------------------------------------------------------------ */
struct expected {
    int status;
    bool to_head;
    size_t body;
    char text[16]; /* of a sum */
};

struct pipeline {
    struct client client;
    char *bytes;
    size_t n;
    unsigned seed;
};

static size_t put_request(char *at, unsigned *seed, int id, struct expected *e)
{
    static const char *const verbs[] = {"now", "later", "worker", "stream", "file",
                                        "sum", "slow",  "early",  "status", "begin"};
    const char *verb = verbs[(size_t)rand_r(seed) % 10], *method = "GET";
    size_t number = (size_t)(rand_r(seed) % 100), n = 0, body = 0;
    if (rand_r(seed) % 8 == 0)
        number *= 1500;
    memset(e, 0, sizeof *e);
    e->status = 200;
    e->body = number;
    e->to_head = rand_r(seed) % 6 == 0;
    if (e->to_head)
        method = "HEAD";
    if (strcmp(verb, "early") == 0) {
        e->status = 403;
        e->body = 3;
    } else if (strcmp(verb, "status") == 0) {
        number = (const size_t[]){200, 204, 304, 404}[rand_r(seed) % 4];
        e->status = (int)number;
        e->body = 0;
    }
    int framing = rand_r(seed) % 3;
    if (framing)
        body = (size_t)(rand_r(seed) % (rand_r(seed) % 5 ? 50 : 150000));
    if (framing == 2 && (strcmp(verb, "early") == 0 || strcmp(verb, "begin") == 0))
        framing = 1; /* else it would rightly end the connection */
    if (framing == 0)
        body = 0;
    if (strcmp(verb, "sum") == 0 || strcmp(verb, "slow") == 0) {
        snprintf(e->text, sizeof e->text, "%zu", body);
        e->body = strlen(e->text);
    }
    n += (size_t)sprintf(at + n, "%s%s /%s?%zu&%d HTTP/1.1\r\nHost: x\r\n",
                         rand_r(seed) % 9 ? "" : "\r\n", method, verb, number, id);
    if (framing == 1)
        n += (size_t)sprintf(at + n, "Content-Length: %zu\r\n", body);
    if (framing == 2)
        n += (size_t)sprintf(at + n, "Transfer-Encoding: chunked\r\n");
    n += (size_t)sprintf(at + n, "\r\n");
    for (size_t i = 0; i < body;) {
        size_t len = body - i;
        if (framing == 2) {
            size_t most = (size_t)rand_r(seed) % (body / 8 + 2) + 1;
            len = len < most ? len : most;
            n += (size_t)sprintf(at + n, "%zx\r\n", len);
        }
        for (size_t to = i + len; i < to; i++)
            at[n++] = pattern(i);
        if (framing == 2)
            n += (size_t)sprintf(at + n, "\r\n");
    }
    if (framing == 2)
        n += (size_t)sprintf(at + n, "0\r\n\r\n");
    return n;
}

static void *send_pipeline(void *arg)
{
    struct pipeline *p = arg;
    for (size_t at = 0; at < p->n;) {
        size_t n = (size_t)rand_r(&p->seed) % (rand_r(&p->seed) % 4 ? 40000 : 60) + 1;
        n = n < p->n - at ? n : p->n - at;
        if (!client_send(&p->client, p->bytes + at, n))
            return NULL;
        at += n;
        if (rand_r(&p->seed) % 16 == 0)
            usleep(300);
    }
    if (p->seed % 2)
        shutdown(p->client.fd, SHUT_WR); /* the answers must come all the same */
    return NULL;
}

static void random_pipelines(void **state)
{
    enum { ROUNDS = 60, REQUESTS = 40 };
    static struct pipeline p;
    struct expected expected[REQUESTS];
    (void)state;
    p.bytes = malloc((size_t)REQUESTS * 1200000);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t sender;
        p.seed = round + 1;
        p.n = 0;
        for (int i = 0; i < REQUESTS; i++)
            p.n += put_request(p.bytes + p.n, &p.seed, i, &expected[i]);
        client_open(&p.client);
        assert_int_equal(pthread_create(&sender, NULL, send_pipeline, &p), 0);
        for (int i = 0; i < REQUESTS; i++) {
            const struct expected *e = &expected[i];
            struct answer a = client_answer(&p.client, e->to_head);
            if (a.status != e->status || !a.whole || (!e->to_head && a.body != e->body) ||
                (a.id[0] && atoi(a.id) != i))
                fail_msg("round %u, request %d: %d (%zu bytes, id %s, end %d), not %d "
                         "(%zu bytes)",
                         round, i, a.status, a.body, a.id, a.end, e->status, e->body);
            if (e->text[0] && !e->to_head)
                assert_string_equal(a.text, e->text);
        }
        pthread_join(sender, NULL);
        client_close(&p.client);
    }
    free(p.bytes);
}

/* --- bodies and answers that cross ---------------------------------------------- */
static void continues_only_when_it_reads(void **state)
{
    static const char head[] = "PUT /%s?1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               "Content-Length: 5\r\n\r\n%s";
    char text[200];
    (void)state;
    client_open(&one);
    snprintf(text, sizeof text, head, "sum", "");
    client_say(&one, text);
    assert_int_equal(client_answer(&one, false).status, 100);
    client_say(&one, "abcde");
    struct answer a = client_answer(&one, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.text, "5");
    /* One that does not wait is not told. */
    snprintf(text, sizeof text, head, "sum", "abcde");
    client_say(&one, text);
    assert_int_equal(client_answer(&one, false).status, 200);
    /* One that is refused is not asked for its body; the connection ends, since nobody
     * knows whether the body comes. */
    snprintf(text, sizeof text, head, "early", "");
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
        for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
            enum { BYTES = 40 << 20 };
            char text[200];
            client_open(&one);
            int n =
                snprintf(text, sizeof text, "PUT %s HTTP/1.1\r\nHost: x\r\n", targets[i]);
            snprintf(text + n, sizeof text - (size_t)n,
                     chunked ? "Transfer-Encoding: chunked\r\n\r\n%x\r\n"
                             : "Content-Length: %d\r\n\r\n",
                     BYTES);
            client_say(&one, text);
            assert_int_equal(client_send_pattern(&one, 0, BYTES), BYTES);
            struct answer a = client_answer(&one, false);
            assert_int_equal(a.status, i < 2 ? 403 : 200);
            assert_true(a.whole && !a.keep);
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
    }
    client_close(&one);
}

static void malformed_requests_end_it(void **state)
{
    static const char *const bad[] = {
        "GARBAGE\r\n\r\n",
        "POST /sum?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /sum?1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabcd\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
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
        snprintf(target, sizeof target,
                 strcmp(verb, "short") == 0 ? "/%s?%d" : "/abort-%s?%d", verb, i);
        struct answer a = client_ask(&one, i % 3 ? "GET" : "PUT", target);
        assert_false(a.whole);
        client_close(&one);
    }
    assert_true(wait_over(64));
    assert_int_equal(server.over_by[EXCHANGE_ABORT], 64);
}

/* --- back-pressure -------------------------------------------------------------- */
static uint64_t streamed_until_stuck(void)
{
    uint64_t before, now = 0;
    do {
        before = now;
        sleep_ms(300);
        now = atomic_load(&server.streamed);
    } while (now != before || now == 0);
    return now;
}

static void a_slow_reader_holds_the_handler(void **state)
{
    (void)state;
    client_open(&one);
    client_say(&one, "GET /endless?1 HTTP/1.1\r\nHost: x\r\n\r\n");
    /* What the sockets take, and not a byte more. */
    assert_true(streamed_until_stuck() < 16 << 20);
    client_close(&one);
    assert_true(wait_over(1));
}

static void a_slow_handler_holds_the_client(void **state)
{
    (void)state;
    client_open(&one);
    fcntl(one.fd, F_SETFL, O_NONBLOCK);
    client_say(&one,
               "PUT /stuck?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    size_t sent = 0, n;
    for (int i = 0; i < 100 && sent < 100 << 20; i++) {
        while ((n = client_send_pattern(&one, sent, 23000)) > 0)
            sent += n;
        sleep_ms(5);
    }
    assert_true(sent < 32 << 20);
    client_reset(&one);
    assert_true(wait_over(1));
}

/* A client that sends byte by byte to a handler that keeps what it gets. */
static void short_reads_share_a_block(void **state)
{
    (void)state;
    client_open(&one);
    client_say(&one, "PUT /keep?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(client_send_pattern(&one, i, 1), 1);
        usleep(100);
    }
    client_send_pattern(&one, 1000, 99000);
    struct answer a = client_answer(&one, false);
    assert_string_equal(a.text, "100000");
    assert_true(atomic_load(&server.kept_back) < 16);
    client_close(&one);
}

/* A body that fills the block while the handler takes nothing, and then some. */
static void held_back_bodies_come_whole(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        client_open(&one);
        client_say(&one,
                   "PUT /slow?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
        assert_int_equal(client_send_pattern(&one, 0, 3000000), 3000000);
        struct answer a = client_answer(&one, false);
        assert_string_equal(a.text, "3000000");
        client_close(&one);
    }
}

/* A body held back in a full block; it is let go, and bytes come, in one turn of the
 * loop, in that order. */
static void let_go_and_readable_at_once(void **state)
{
    static struct client gated, other, third;
    (void)state;
    client_open(&gated);
    client_open(&other);
    client_open(&third);
    client_say(&gated,
               "PUT /gated?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
    sleep_ms(30);
    client_say(&third, "GET /nap?60 HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep_ms(20);
    client_send_pattern(&gated, 0, 65536);
    assert_int_equal(client_answer(&third, false).status, 200);
    client_say(&third, "GET /nap?60 HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep_ms(20);
    client_say(&other, "GET /kick?0 HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep_ms(1);
    client_send_pattern(&gated, 65536, 1);
    assert_string_equal(client_answer(&gated, false).text, "65537");
    client_close(&gated);
    client_close(&other);
    client_close(&third);
}

/* --- clients that leave --------------------------------------------------------- */
static void resets_at_any_moment(void **state)
{
    static const char *const targets[] = {
        "/now?100000", "/later?5",      "/worker?70000", "/endless?1", "/file?8000000",
        "/hold?1",     "/early?100000", "/begin?200000", "/slow?1",    "/stuck?1",
    };
    unsigned seed = 5;
    (void)state;
    for (int i = 0; i < 400; i++) {
        char text[300];
        client_open(&one);
        int n = snprintf(text, sizeof text,
                         "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                         targets[i % 10], i % 3 ? 200000 : 0);
        if (i % 7 == 0)
            n = rand_r(&seed) % n;
        client_send(&one, text, (size_t)n);
        if (i % 2)
            client_send_pattern(&one, 0, (size_t)(rand_r(&seed) % 30000));
        if (i % 5 == 0)
            usleep((useconds_t)(rand_r(&seed) % 3000));
        if (i % 11 == 0)
            for (int k = rand_r(&seed) % 40000; k > 0 && n > 60; k--)
                if (poll(&(struct pollfd){.fd = one.fd, .events = POLLIN}, 1, 20) <= 0 ||
                    client_byte(&one) < 0)
                    break;
        if (i % 13 == 0)
            shutdown(one.fd, SHUT_WR);
        if (i % 4)
            client_reset(&one);
        else
            client_close(&one);
    }
    sleep_ms(100);
    client_open(&one);
    assert_int_equal(client_ask(&one, "GET", "/now?5").body, 5);
    client_close(&one);
    for (int i = 0; i < 2000 && atomic_load(&server.over) < atomic_load(&server.begun);
         i++)
        sleep_ms(1);
    assert_int_equal(server.over, server.begun);
}

/* Files that are not in memory, read by workers, also for clients that leave
 * meanwhile. */
static void cold_files(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        fdatasync(server.file);
        posix_fadvise(server.file, 0, 0, POSIX_FADV_DONTNEED);
        client_open(&one);
        if (i % 3 == 0) {
            struct answer a = client_ask(&one, "GET", "/file?8000000");
            assert_true(a.whole && !a.wrong);
            assert_int_equal(a.body, 8000000);
        } else {
            client_say(&one, "GET /file?8000000 HTTP/1.1\r\nHost: x\r\n\r\n");
            usleep((useconds_t)i * 150);
        }
        client_reset(&one);
    }
    assert_true(wait_over(30));
}

static void half_closed_clients_get_all(void **state)
{
    (void)state;
    /* The end of an answer is still queued when the client's end is seen: let the queue
     * hold a part of what an endless one makes it hold. */
    client_open_with(&one, 8192);
    client_say(&one, "GET /endless?1 HTTP/1.1\r\nHost: x\r\n\r\n");
    size_t enough = streamed_until_stuck();
    client_close(&one);
    for (size_t less = 10000; less < 60000; less += 10000) {
        char text[100];
        client_open_with(&one, 8192);
        snprintf(text, sizeof text, "GET /length?%zu HTTP/1.1\r\nHost: x\r\n\r\n",
                 enough - less);
        client_say(&one, text);
        shutdown(one.fd, SHUT_WR);
        sleep_ms(100);
        struct answer a = client_answer(&one, false);
        assert_true(a.whole && !a.wrong);
        client_close(&one);
    }

    client_open(&one);
    for (int i = 0; i < 5; i++)
        client_say(&one, "GET /later?3 HTTP/1.1\r\nHost: x\r\n\r\n"
                         "GET /length?3000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(one.fd, SHUT_WR);
    sleep_ms(100);
    for (int i = 0; i < 10; i++) {
        struct answer a = client_answer(&one, false);
        assert_true(a.whole && !a.wrong);
        assert_int_equal(a.body, i % 2 ? 3000000 : 3);
    }
    assert_int_equal(client_byte(&one), -1);
    client_close(&one);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(answers_of_every_kind),
        CASE(split_at_every_byte),
        CASE(random_pipelines),
        CASE(continues_only_when_it_reads),
        CASE(early_answers_are_not_reset),
        CASE(small_rests_are_skipped),
        CASE(malformed_requests_end_it),
        CASE(older_versions),
        CASE(aborts_in_every_state),
        CASE(a_slow_reader_holds_the_handler),
        CASE(a_slow_handler_holds_the_client),
        CASE(short_reads_share_a_block),
        CASE(held_back_bodies_come_whole),
        cmocka_unit_test_setup_teardown(let_go_and_readable_at_once, start_one_loop,
                                        stop),
        CASE(resets_at_any_moment),
        CASE(cold_files),
        CASE(half_closed_clients_get_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
