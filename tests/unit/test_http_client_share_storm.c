/* HEADs that share connections to a server that now and then does the wrong thing, while
 * callers leave: each ends once, and none without its answer or a reason. */
#include "tests/unit/http_bench.h"

enum { STORM = 40, STORM_ROUNDS = 60 };

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";

/* Serves whatever comes, and now and then does the wrong thing. */
static void *serve_badly(void *arg)
{
    int c = (int)(intptr_t)arg;
    unsigned seed = (unsigned)c * 7919u;
    static __thread struct peer own;
    while (peer_head(&own, c)) {
        int dice = rand_r(&seed) % 200;
        if (dice == 0)
            break;
        if (dice == 1)
            peer_say(c, "nonsense\r\n\r\n");
        else if (dice == 2)
            usleep(70 * 1000);
        if (dice == 3) {
            peer_say(c, "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n");
            break;
        }
        if (dice == 4) {
            peer_say(c, "HTTP/1.1 200");
            break;
        }
        peer_say(c, answer);
    }
    close(c);
    return NULL;
}

static void accept_all(struct peer *peer)
{
    static pthread_t threads[20000];
    int n = 0;
    while (atomic_load(&peer->step) == 0)
        if (readable(peer->fd, 20)) {
            int c = accept4(peer->fd, NULL, NULL, SOCK_CLOEXEC);
            CHECK(peer, n < 20000);
            CHECK(peer, pthread_create(&threads[n], NULL, serve_badly,
                                       (void *)(intptr_t)c) == 0);
            n++;
        }
    while (n > 0)
        pthread_join(threads[--n], NULL);
}

static int results[CALL_GARBAGE + 1], cancels;

static void storm_next(struct probe *p)
{
    if (p->steps > 0)
        results[p->result]++;
    if (p->steps < STORM_ROUNDS)
        probe_begin(p, "HEAD", HTTP_BODY_NONE, 0);
}

static void storm_cancel(struct bench *b)
{
    static unsigned seed = 5;
    struct probe *p = b->probe + rand_r(&seed) % STORM;
    if (p->call) {
        call_cancel(&p->call);
        cancels++;
        p->steps++;
        storm_next(p);
        bench_leave(b);
    }
    timer_set(b->loop, &b->timer, 1);
}

static void test_storm(void **state)
{
    struct bench b;
    struct peer *peer = peer_new(accept_all, NULL);
    (void)state;
    bench_open(&b);
    b.port = peer->port;
    b.on_timer = storm_cancel;
    bench_client(&b);
    timer_set(b.loop, &b.timer, 1);
    struct probe *probes = run_many(&b, STORM, storm_next);
    for (int i = 0; i < STORM; i++)
        assert_int_equal(probes[i].steps, STORM_ROUNDS);
    bench_close(&b);
    atomic_store(&peer->step, 1);
    peer_end(peer);
    free(probes);
    assert_true(results[CALL_OK] > STORM && cancels);
    assert_int_equal(results[CALL_TIMEOUT], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
