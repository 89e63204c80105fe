/* HEADs that share a connection: in one write, answered in order; and how each still gets
 * its answer when the one before it gets none. */
#include "common/clock.h"
#include "tests/unit/http_bench.h"

enum { HEADS = 5 };

static struct probe heads[HEADS], after;
static const char *method = "HEAD";

static void say_note(int c, int note, const char *more)
{
    char text[200];
    snprintf(text, sizeof(text),
             "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Note: %d\r\n%s\r\n", note, more);
    peer_say(c, text);
}

/* One HEAD that leaves a connection in the pool. */
static int warm(struct peer *peer)
{
    int c = peer_accept(peer);
    CHECK(peer, peer_head(peer, c));
    say_note(c, 99, "");
    return c;
}

static void read_heads(struct peer *peer, int c, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK(peer, peer_head(peer, c));
        CHECK(peer, strncmp(peer->head, "HEAD ", 5) == 0);
    }
}

/* Serves n HEADs, each on a connection of its own, which it leaves open. */
static void serve_apart(struct peer *peer, int n, int *conns)
{
    for (int i = 0; i < n; i++) {
        conns[i] = peer_accept(peer);
        CHECK(peer, peer_head(peer, conns[i]));
        CHECK(peer, !readable(conns[i], 0));
        say_note(conns[i], 50, "");
    }
}

static void see_ends(struct peer *peer, int n, const int *conns)
{
    for (int i = 0; i < n; i++) {
        CHECK(peer, peer_sees_end(conns[i]));
        close(conns[i]);
    }
}

static void head_begin(struct probe *p, struct bench *b)
{
    *p = (struct probe){.bench = b, .cancel_in = p->cancel_in, .then = p->then};
    probe_begin(p, method, HTTP_BODY_NONE, 0);
}

static void all_heads(struct probe *p)
{
    if (p->steps == 1)
        for (int i = 0; i < HEADS; i++)
            head_begin(&heads[i], p->bench);
}

static struct peer *server;

/* The script is met by a HEAD alone, and by whatever then() begins when that has its
 * answer. `answer_ms` is the limit for an answer, 0: the usual one. Returns the number of
 * connections made. */
static int run_then(void (*script)(struct peer *), void (*then)(struct probe *),
                    int answer_ms)
{
    struct bench b;
    struct probe first = {.bench = &b, .then = then};
    server = peer_new(script, NULL);
    bench_open(&b);
    if (answer_ms > 0)
        b.config.answer_ms = answer_ms;
    b.port = server->port;
    bench_client(&b);
    probe_begin(&first, "HEAD", HTTP_BODY_NONE, 0);
    loop_run(b.loop);
    bench_close(&b);
    return peer_end(server);
}

/* The same with five HEADs in one turn. */
static int run_heads(void (*script)(struct peer *))
{
    return run_then(script, all_heads, 700);
}

static void expect(int i, enum call_result result, const char *note)
{
    if (heads[i].result != result || strcmp(heads[i].field, note) != 0)
        fail_msg("HEAD %d: result %d, note '%s'", i, heads[i].result, heads[i].field);
}

/* Those from `i` on were answered when they were sent again. */
static void expect_again(int i)
{
    for (; i < HEADS; i++)
        expect(i, CALL_OK, "50");
}

/* --- as it should be ------------------------------------------------------------- */
static void answer_in_order(struct peer *peer)
{
    int c = warm(peer);
    read_heads(peer, c, HEADS); /* all are there before any is answered */
    for (int i = 0; i < HEADS; i++)
        say_note(c, i, "");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

/* The answers in stretches that end anywhere. */
static void answer_in_bits(struct peer *peer)
{
    char text[2000];
    int c = warm(peer), n = 0;
    read_heads(peer, c, HEADS);
    for (int i = 0; i < HEADS; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "HTTP/1.1 404 No\r\nX-Note: %d\r\n\r\n", i);
    for (int at = 0; at < n; at += 11) {
        peer_send(c, text + at, (size_t)(n - at < 11 ? n - at : 11));
        usleep(1000);
    }
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void test_shared(void **state)
{
    void (*const scripts[])(struct peer *) = {answer_in_order, answer_in_bits};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(run_heads(scripts[k]), 1);
        for (int i = 0; i < HEADS; i++)
            expect(i, CALL_OK, (const char *[]){"0", "1", "2", "3", "4"}[i]);
    }
}

/* What is not a HEAD has a connection to itself. */
static void serve_gets(struct peer *peer)
{
    int conns[HEADS] = {warm(peer)};
    for (int i = 1; i < HEADS; i++)
        conns[i] = peer_accept(peer);
    for (int i = 0; i < HEADS; i++) {
        CHECK(peer, peer_head(peer, conns[i]));
        CHECK(peer, !readable(conns[i], 0));
    }
    for (int i = 0; i < HEADS; i++)
        peer_say(conns[i], "HTTP/1.1 204 No Content\r\n\r\n");
    see_ends(peer, HEADS, conns);
}

static void test_others_do_not_share(void **state)
{
    static const char *const methods[] = {"GET", "DELETE"};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        method = methods[k];
        int made = run_heads(serve_gets);
        method = "HEAD";
        assert_int_equal(made, HEADS);
        for (int i = 0; i < HEADS; i++)
            expect(i, CALL_OK, "");
    }
}

/* --- an answer that is the last -------------------------------------------------- */
static struct {
    void (*say)(struct peer *peer, int c);
    int answered;
} ending;

/* All HEADs are there; say() answers some of them and ends the connection. Those that are
 * left come again, each on its own. */
static void serve_ending(struct peer *peer)
{
    int conns[HEADS], c = warm(peer), left = HEADS - ending.answered;
    read_heads(peer, c, HEADS);
    ending.say(peer, c);
    serve_apart(peer, left, conns);
    see_ends(peer, left, conns);
}

static void announce_after_two(struct peer *peer, int c)
{
    say_note(c, 0, "");
    say_note(c, 1, "Connection: close\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void cut_after_two(struct peer *peer, int c)
{
    (void)peer;
    say_note(c, 0, "");
    say_note(c, 1, "");
    close(c);
}

static void cut_at_once(struct peer *peer, int c)
{
    (void)peer;
    peer_reset(c);
}

static void cut_within_second(struct peer *peer, int c)
{
    (void)peer;
    say_note(c, 0, "");
    peer_say(c, "HTTP/1.1 200 OK\r\nContent-");
    usleep(10 * 1000);
    close(c);
}

static void garbage_second(struct peer *peer, int c)
{
    say_note(c, 0, "");
    peer_say(c, "what?\r\n\r\n");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

/* `second` is what becomes of the second HEAD, where it is not among those sent again. */
static void try_ending(void (*say)(struct peer *, int), int answered,
                       enum call_result second)
{
    ending.say = say;
    ending.answered = answered;
    assert_int_equal(run_heads(serve_ending), 1 + HEADS - answered);
    if (answered > 0) {
        expect(0, CALL_OK, "0");
        expect(1, second, second == CALL_OK ? "1" : "");
    }
    expect_again(answered);
}

static void test_connection_ends(void **state)
{
    (void)state;
    try_ending(announce_after_two, 2, CALL_OK);
    try_ending(cut_after_two, 2, CALL_OK);
    try_ending(cut_at_once, 0, CALL_OK);
    try_ending(cut_within_second, 2, CALL_BROKEN);
    try_ending(garbage_second, 2, CALL_GARBAGE);
}

/* --- one that hangs -------------------------------------------------------------- */
/* The second is never answered, and those behind it are, each on its own connection. Then
 * HEADs do not share for a while. */
static void hang_second(struct peer *peer)
{
    int conns[2 * HEADS], c = warm(peer);
    read_heads(peer, c, HEADS);
    say_note(c, 0, "");
    serve_apart(peer, HEADS - 2, conns);
    conns[HEADS - 2] = peer_accept(peer);
    for (int i = 0; i < HEADS - 1; i++) {
        CHECK(peer, peer_head(peer, conns[i]));
        CHECK(peer, !readable(conns[i], 0));
        say_note(conns[i], 60, "");
    }
    CHECK(peer, peer_sees_end(c)); /* at its own limit, and nothing more came */
    close(c);
    see_ends(peer, HEADS - 1, conns);
}

static int moved;

static void again_apart(struct probe *p)
{
    static struct probe again[HEADS - 1];
    (void)p;
    if (++moved == HEADS - 2)
        for (int i = 0; i < HEADS - 1; i++)
            head_begin(&again[i], p->bench);
}

static void test_hung(void **state)
{
    (void)state;
    moved = 0;
    for (int i = 2; i < HEADS; i++)
        heads[i].then = again_apart;
    int made = run_heads(hang_second);
    for (int i = 2; i < HEADS; i++)
        heads[i].then = NULL;
    assert_int_equal(made, 1 + HEADS - 1);
    expect(0, CALL_OK, "0");
    expect(1, CALL_TIMEOUT, "");
    expect_again(2);
}

/* A turn that takes long after its HEADs were begun takes nothing from the server's time:
 * it counts from when they were sent. */
static uint64_t turn_ended, all_again;

static void answer_when_asked_again(struct peer *peer)
{
    int conns[HEADS - 1], c = warm(peer);
    read_heads(peer, c, HEADS);
    serve_apart(peer, HEADS - 1, conns);
    all_again = clock_ms();
    say_note(c, 0, "");
    CHECK(peer, peer_sees_end(c));
    close(c);
    see_ends(peer, HEADS - 1, conns);
}

static void see_the_time(struct bench *b)
{
    (void)b;
}

static void all_in_a_long_turn(struct probe *p)
{
    all_heads(p);
    if (p->steps != 1)
        return;
    p->bench->on_timer = see_the_time;
    timer_set(p->bench->loop, &p->bench->timer, 1);
    usleep(100 * 1000);
    turn_ended = clock_ms();
}

static void test_long_turn(void **state)
{
    (void)state;
    assert_int_equal(run_then(answer_when_asked_again, all_in_a_long_turn, 0), HEADS);
    expect(0, CALL_OK, "0");
    expect_again(1);
    assert_true(all_again >= turn_ended + 50);
}

/* --- cancelled ------------------------------------------------------------------- */
/* The third leaves; its answer is read all the same, and the connection lives on. */
static void serve_left(struct peer *peer)
{
    int c = warm(peer);
    read_heads(peer, c, HEADS);
    atomic_store(&peer->step, 1);
    usleep(20 * 1000);
    for (int i = 0; i < HEADS; i++)
        say_note(c, i, "");
    read_heads(peer, c, 1);
    say_note(c, 70, "");
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void leave_third(struct bench *b)
{
    if (atomic_load(&server->step) == 0)
        timer_set(b->loop, &b->timer, 1);
    else
        probe_cancel(&heads[2]);
}

static void all_then_leave(struct probe *p)
{
    all_heads(p);
    if (p->steps != 1)
        return;
    p->bench->on_timer = leave_third;
    timer_set(p->bench->loop, &p->bench->timer, 1);
}

static void one_after(struct probe *p)
{
    head_begin(&after, p->bench);
}

static void test_cancelled(void **state)
{
    (void)state;
    heads[HEADS - 1].then = one_after;
    int made = run_then(serve_left, all_then_leave, 0);
    heads[HEADS - 1].then = NULL;
    assert_int_equal(made, 1);
    expect(1, CALL_OK, "1");
    assert_true(heads[2].cancelled && !heads[2].done);
    expect(3, CALL_OK, "3");
    expect(4, CALL_OK, "4");
    assert_string_equal(after.field, "70");
}

/* Each callback may cancel its own call, or the client may go with all of them. */
static void test_cancelled_within(void **state)
{
    (void)state;
    for (const char *in = "ad"; *in; in++) {
        for (int i = 0; i < HEADS; i += 2)
            heads[i].cancel_in = *in;
        assert_int_equal(run_heads(answer_in_order), 1);
        for (int i = 0; i < HEADS; i++)
            heads[i].cancel_in = 0;
        expect(1, CALL_OK, "1");
        expect(3, CALL_OK, "3");
    }
}

static void read_and_wait(struct peer *peer)
{
    int c = warm(peer);
    read_heads(peer, c, HEADS);
    atomic_store(&peer->step, 1);
    CHECK(peer, peer_sees_end(c));
    close(c);
}

static void stop_when_read(struct bench *b)
{
    if (atomic_load(&server->step) == 0)
        timer_set(b->loop, &b->timer, 1);
    else
        loop_stop(b->loop);
}

static void all_then_stop(struct probe *p)
{
    all_heads(p);
    p->bench->on_timer = stop_when_read;
    timer_set(p->bench->loop, &p->bench->timer, 1);
}

static void test_freed_with_all_under_way(void **state)
{
    (void)state;
    assert_int_equal(run_then(read_and_wait, all_then_stop, 0), 1);
    for (int i = 0; i < HEADS; i++)
        assert_false(heads[i].done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_others_do_not_share),
        cmocka_unit_test(test_connection_ends),
        cmocka_unit_test(test_hung),
        cmocka_unit_test(test_long_turn),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_cancelled_within),
        cmocka_unit_test(test_freed_with_all_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
