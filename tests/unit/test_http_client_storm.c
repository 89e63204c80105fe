/* Many calls at once, and many to a server that throws dice: each ends once, in time. */
#include "tests/unit/http_bench.h"

/* --- connections of a peer --------------------------------------------------------- */
/* Takes one more at fds[0], to where none is any more. false: all `room` are taken. */
static bool take_connection(struct peer *peer, struct pollfd *fds, int *n, int room)
{
    int c = peer_accept(peer), at = 1;
    while (at < *n && fds[at].fd >= 0)
        at++;
    if (at == room) {
        close(c);
        return false;
    }
    fds[at] = (struct pollfd){.fd = c, .events = POLLIN};
    *n = at == *n ? *n + 1 : *n;
    return true;
}

static void close_connections(const struct pollfd *fds, int n)
{
    for (int i = 1; i < n; i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
}

/* --- many at once ---------------------------------------------------------------- */
enum { MANY = 100, ROUNDS = 20 };

static void serve_many(struct peer *peer)
{
    struct pollfd fds[1 + MANY] = {{.fd = peer->fd, .events = POLLIN}};
    int n = 1, answered = 0;
    while (answered < MANY * ROUNDS) {
        if (poll(fds, (nfds_t)n, 5000) <= 0) {
            peer->wrong = "no requests come";
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
        if (fds[0].revents)
            CHECK(peer, take_connection(peer, fds, &n, 1 + MANY));
    }
    close_connections(fds, n);
}

static void many_next(struct probe *p)
{
    if (p->steps > 0)
        assert_int_equal(p->result, CALL_OK);
    if (p->steps < ROUNDS)
        probe_begin(p, "GET", HTTP_BODY_NONE, 0);
}

static void test_many(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(serve_many, NULL);
    (void)state;
    bench_open(&b);
    b.port = peer->port;
    b.config.max_idle = 50;
    bench_client(&b);
    struct probe *probes = run_many(&b, MANY, many_next);
    bench_close(&b);
    peer_end(peer);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(probes[i].steps, ROUNDS);
        assert_int_equal(probes[i].body_len, 2 * ROUNDS);
        probe_free(&probes[i]);
    }
    free(probes);
}

/* --- a storm -------------------------------------------------------------------- */
enum { PROBES = 40, STORM_ROUNDS = 60, STORM_CONNS = 512 };

/* Does to each stretch of bytes that comes whatever the dice say, until it is told to
 * stop. */
static void play_dice(struct peer *peer)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel",
        "HTTP/1.1 20",
        "what?\r\n\r\n",
    };
    struct pollfd fds[STORM_CONNS] = {{.fd = peer->fd, .events = POLLIN}};
    unsigned seed = 7;
    int n = 1;
    char *drop = malloc(256 * 1024);
    while (atomic_load(&peer->step) == 0) {
        if (poll(fds, (nfds_t)n, 20) <= 0)
            continue;
        for (int i = 1; i < n; i++) {
            if (fds[i].fd < 0 || !fds[i].revents)
                continue;
            ssize_t got = recv(fds[i].fd, drop, 256 * 1024, MSG_DONTWAIT);
            unsigned dice = (unsigned)rand_r(&seed) % 16;
            if (got > 0 && dice < 12)
                peer_say(fds[i].fd, answers[dice < 7 ? dice : dice % 4]);
            if (got <= 0 || dice == 12 || dice == 13) {
                if (dice & 1)
                    peer_reset(fds[i].fd);
                else
                    close(fds[i].fd);
                fds[i].fd = -1;
            }
        }
        if (fds[0].revents)
            take_connection(peer, fds, &n, STORM_CONNS);
    }
    close_connections(fds, n);
    free(drop);
}

static unsigned dice_seed = 11;
static int results[CALL_GARBAGE + 1], cancels;

static void storm_next(struct probe *p);

static void storm_cancel(struct timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);
    cancels++;
    call_cancel(&p->call);
    p->steps++;
    storm_next(p);
    bench_leave(p->bench);
}

static void storm_next(struct probe *p)
{
    unsigned dice = (unsigned)rand_r(&dice_seed);
    if (p->result <= CALL_GARBAGE && p->done)
        results[p->result]++;
    p->done = false;
    if (p->steps >= STORM_ROUNDS)
        return;
    if (dice % 4 == 0)
        probe_begin(p, "PUT", HTTP_BODY_LENGTH, dice / 16 % (512 * 1024));
    else if (dice % 4 == 1)
        probe_begin(p, "PUT", HTTP_BODY_CHUNKED, 1 + dice / 16 % (512 * 1024));
    else
        probe_begin(p, dice % 4 == 2 ? "GET" : "HEAD", HTTP_BODY_NONE, 0);
    p->take = dice & 8 ? 2 : 0;
    p->timer.fire = storm_cancel;
    if (dice / 64 % 4 == 0)
        timer_set(p->bench->loop, &p->timer, dice / 256 % 20);
}

/* Whatever the server does and whenever a call is cancelled: each call ends once, in
 * time, and nothing is left (which the sanitizers see). */
static void test_storm(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(play_dice, NULL);
    (void)state;
    bench_open(&b);
    b.port = peer->port;
    b.config.answer_ms = b.config.send_ms = 50;
    bench_client(&b);
    struct probe *probes = run_many(&b, PROBES, storm_next);
    atomic_store(&peer->step, 1);
    bench_close(&b);
    peer_end(peer);
    for (int i = 0; i < PROBES; i++) {
        assert_int_equal(probes[i].steps, STORM_ROUNDS);
        probe_free(&probes[i]);
    }
    free(probes);
    assert_true(results[CALL_OK] && results[CALL_TIMEOUT] && results[CALL_BROKEN] &&
                results[CALL_GARBAGE] && cancels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
