/*
 * The HTTP server's limits and ends: clients too slow for each of them, the drain with
 * requests in every state, descriptors that run out, and how loops are shared.
 */
#include <sys/resource.h>

#include "tests/unit/scripted_client.h"

static struct client one, two;

static void start(int loops, int drain_ms)
{
    struct service_config config;
    service_defaults(&config);
    config.loops = loops;
    config.drain_ms = drain_ms;
    server_start(&config);
}

/* --- limits --------------------------------------------------------------------- */
enum { HEAD_MS = 250, BODY_MS = 300, SEND_MS = 350, IDLE_MS = 400, LINGER_MS = 300 };
/* Not how fast, but that it ends: the machine may be busy. */
enum { FAR_TOO_LONG = 20000 };

static void start_with(int send_ms)
{
    struct service_config config;
    service_defaults(&config);
    config.loops = 1;
    config.http.head_ms = HEAD_MS;
    config.http.body_ms = BODY_MS;
    config.http.send_ms = send_ms;
    config.http.idle_ms = IDLE_MS;
    config.http.linger_ms = LINGER_MS;
    server_start(&config);
}

static void start_short(void)
{
    start_with(SEND_MS);
}

/* The connection ends after `ms`, more or less. Like trickle(), it counts from a time
 * before the server can have begun to, however long this thread has waited since. */
static void ends_after(struct client *c, uint64_t since, uint64_t ms)
{
    while (client_byte(c) >= 0)
        ;
    uint64_t took = clock_ms() - since;
    assert_in_range(took, ms - 20, FAR_TOO_LONG);
    client_close(c);
}

/* Says a byte every few milliseconds until `ms` have passed, or it cannot; returns how
 * many did. */
static uint64_t trickle(struct client *c, uint64_t since, uint64_t ms)
{
    for (size_t i = 0; clock_ms() - since < ms; i++) {
        char byte = pattern(i);
        if (send(c->fd, &byte, 1, MSG_NOSIGNAL) != 1)
            break;
        sleep_ms(10);
    }
    return clock_ms() - since;
}

static void slow_clients_are_cut(void **state)
{
    uint64_t since;
    (void)state;
    start_short();
    /* Silent from the start; after a part of a head; after a request. */
    since = clock_ms();
    client_open(&one);
    ends_after(&one, since, HEAD_MS);
    since = clock_ms();
    client_open(&one);
    client_say(&one, "GET /now?1 HTTP");
    ends_after(&one, since, HEAD_MS);
    client_open(&one);
    since = clock_ms();
    assert_int_equal(client_ask(&one, "GET", "/now?1").status, 200);
    ends_after(&one, since, IDLE_MS);
    /* Bytes of a head are no excuse, bytes of a body are. */
    since = clock_ms();
    client_open(&one);
    client_say(&one, "GET /now?1 HTTP/1.1\r\nX: ");
    assert_in_range(trickle(&one, since, 2 * FAR_TOO_LONG), HEAD_MS - 20, FAR_TOO_LONG);
    client_close(&one);
    client_open(&one);
    assert_int_equal(client_ask(&one, "GET", "/now?1").status, 200);
    since = clock_ms();
    client_say(&one, "GET /now?1 HTTP/1.1\r\nX: ");
    assert_in_range(trickle(&one, since, 2 * FAR_TOO_LONG), HEAD_MS - 20, FAR_TOO_LONG);
    client_close(&one);
    client_open(&one);
    client_say(&one, "PUT /sum?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    assert_true(trickle(&one, clock_ms(), 1000) >= 1000);
    since = clock_ms();
    client_say(&one, "x");
    ends_after(&one, since, BODY_MS);
    assert_true(wait_over(3));
    assert_int_equal(server.over_by[EXCHANGE_GONE], 1);
    /* A handler may take its time. */
    client_open(&one);
    client_say(&one, "GET /hold?1 HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep_ms(2 * IDLE_MS);
    assert_int_equal(server.over, 3);
    client_reset(&one);
    server_stop();
}

/* A client that takes nothing is cut, also when it goes on sending. */
static void unread_answers_are_cut(void **state)
{
    (void)state;
    start_short();
    for (int sends = 0; sends < 2; sends++) {
        uint64_t since = clock_ms();
        client_open_with(&one, 8192);
        client_say(&one, sends
                             ? "PUT /endless?1 HTTP/1.1\r\nHost: x\r\n\r\nGET /now?1 HTT"
                             : "GET /endless?1 HTTP/1.1\r\nHost: x\r\n\r\n");
        if (sends)
            trickle(&one, since, 2 * FAR_TOO_LONG);
        assert_true(wait_over(sends + 1));
        assert_in_range(clock_ms() - since, SEND_MS - 20, FAR_TOO_LONG);
        client_close(&one);
    }
    server_stop();
}

/* One that reads little by little, but reads, gets all. */
static void slow_readers_are_not_cut(void **state)
{
    struct answer a = {0};
    char line[200];
    (void)state;
    start_with(1500);
    client_open_with(&one, 8192);
    client_say(&one, "GET /length?6000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    while (client_line(&one, line, sizeof(line)) && line[0])
        ;
    for (int i = 0; i < 40; i++) {
        assert_true(body_bytes(&one, &a, 150000));
        sleep_ms(50); /* longer than the limit, all together */
    }
    assert_false(a.wrong);
    client_close(&one);
    server_stop();
}

static void lingering_ends(void **state)
{
    (void)state;
    start_short();
    client_open(&one);
    uint64_t since = clock_ms();
    client_say(&one,
               "PUT /early?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    assert_int_equal(client_answer(&one, false).status, 403);
    assert_in_range(trickle(&one, since, 2 * FAR_TOO_LONG), LINGER_MS - 20, FAR_TOO_LONG);
    client_close(&one);
    server_stop();
}

/* --- the drain ------------------------------------------------------------------ */
static void drains_in_every_state(void **state)
{
    static struct client idle, fresh, partial, nap, waiting, upload, download, socketed,
        lingering, skipping, pipelined;
    struct answer a;
    (void)state;
    start(1, 10000);
    client_open(&idle);
    assert_int_equal(client_ask(&idle, "GET", "/now?1").status, 200);
    client_open(&fresh);
    client_open(&partial);
    client_say(&partial, "GET /now?1 HTTP/1.1\r\nHo");
    client_open(&upload);
    client_say(&upload,
               "PUT /sum?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    client_open_with(&download, 8192);
    client_say(&download, "GET /file?8000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    client_open(&lingering);
    client_say(&lingering, "PUT /early?1 HTTP/1.1\r\nHost: x\r\n"
                           "Content-Length: 50000000\r\n\r\n");
    client_open(&skipping);
    client_say(&skipping, "PUT /early?1 HTTP/1.1\r\nHost: x\r\n"
                          "Content-Length: 5\r\n\r\nabc");
    assert_true(client_answer(&skipping, false).keep);
    client_open(&pipelined);
    client_open(&socketed);
    client_open(&waiting);
    client_open(&nap);
    sleep_ms(50);
    client_say(&nap, "GET /nap?200 HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep_ms(50);
    /* All of this the loop sees when it wakes, together with the stop. */
    service_stop(server.service);
    client_say(&waiting, "GET /later?6 HTTP/1.1\r\nHost: x\r\n\r\n");
    client_say(&socketed, "GET /now?7 HTTP/1.1\r\nHost: x\r\n\r\n");
    client_say(&pipelined, "GET /later?7 HTTP/1.1\r\nHost: x\r\n\r\n"
                           "GET /now?7 HTTP/1.1\r\nHost: x\r\n\r\n");
    client_answer(&nap, false);
    a = client_answer(&waiting, false);
    assert_int_equal(a.body, 6);
    assert_int_equal(client_answer(&socketed, false).body, 7);
    assert_int_equal(client_answer(&pipelined, false).body, 7);
    assert_int_equal(client_byte(&pipelined), -1);
    assert_int_equal(client_byte(&idle), -1);
    assert_int_equal(client_byte(&fresh), -1);
    assert_int_equal(client_byte(&partial), -1); /* soon, not at the head's limit */
    client_send_pattern(&upload, 0, 100000);
    a = client_answer(&upload, false);
    assert_string_equal(a.text, "100000");
    assert_false(a.keep);
    a = client_answer(&download, false);
    assert_true(a.whole && !a.wrong);
    assert_int_equal(client_answer(&lingering, false).status, 403);
    client_say(&skipping, "de");
    assert_int_equal(client_byte(&skipping), -1);
    struct client *const all[] = {&idle,     &fresh,    &partial,  &nap,
                                  &waiting,  &upload,   &download, &lingering,
                                  &skipping, &socketed, &pipelined};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        client_close(all[i]);
    assert_int_equal(server_join(), 0);
}

static void the_drain_is_limited(void **state)
{
    (void)state;
    for (int loops = 1; loops < 4; loops++)
        for (int ms = 0; ms < 150; ms += 50) {
            start(loops, ms);
            client_open(&one);
            client_say(&one, "GET /hold?1 HTTP/1.1\r\nHost: x\r\n\r\n");
            client_open(&two);
            client_say(&two, "GET /endless?1 HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_true(wait_begun(2));
            uint64_t begin = clock_ms();
            assert_int_equal(server_stop(), 1);
            assert_in_range(clock_ms() - begin, (uint64_t)ms, 30000); /* not for ever */
            assert_int_equal(server.over_by[EXCHANGE_GONE], 2);
            client_close(&one);
            client_close(&two);
        }
}

/* Who connects while the server drains is refused, and does not wait for its end. */
static void draining_refuses(void **state)
{
    (void)state;
    start(2, 10000);
    client_open(&one);
    client_say(&one, "GET /hold?1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(wait_begun(1));
    service_stop(server.service);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)service_port(server.service))};
    int refused = 0;
    /* Its loops have to wake first, and what comes as they close is reset. */
    for (int i = 0; i < 5000 && refused != ECONNREFUSED; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        refused = connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ? errno : 0;
        close(fd);
        sleep_ms(1);
    }
    assert_int_equal(refused, ECONNREFUSED);
    client_reset(&one);
    server_join();
}

static void *connect_all_the_time(void *arg)
{
    atomic_bool *end = arg;
    static _Thread_local struct client c;
    while (!atomic_load(end)) {
        struct sockaddr_in sin = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port =
                                      htons((uint16_t)service_port(server.service))};
        c.at = c.used = 0;
        c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(c.fd, (struct sockaddr *)&sin, sizeof(sin)) < 0) {
            close(c.fd);
            break;
        }
        client_ask(&c, "GET", "/worker?100");
        client_close(&c);
    }
    return NULL;
}

static void stops_under_load(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        enum { CLIENTS = 6 };
        pthread_t clients[CLIENTS];
        atomic_bool end = false;
        start(i % 3 + 1, i % 5 ? 5000 : 0);
        for (int k = 0; k < CLIENTS; k++)
            pthread_create(&clients[k], NULL, connect_all_the_time, &end);
        sleep_ms(20 + i);
        service_stop(server.service);
        for (int k = 0; k < CLIENTS; k++)
            pthread_join(clients[k], NULL);
        server_join();
    }
}

/* --- loops and descriptors ------------------------------------------------------ */
static void connections_are_spread(void **state)
{
    enum { CONNECTIONS = 8 };
    static struct client all[CONNECTIONS];
    (void)state;
    for (int round = 0; round < 10; round++) {
        int on_first = 0;
        start(2, 5000);
        for (int i = 0; i < CONNECTIONS; i++)
            client_open(&all[i]);
        for (int i = 0; i < CONNECTIONS; i++)
            on_first += client_ask(&all[i], "GET", "/loop").length == 1;
        assert_int_equal(on_first, CONNECTIONS / 2);
        for (int i = 0; i < CONNECTIONS; i++)
            client_close(&all[i]);
        server_stop();
    }
}

static void *read_all_the_time(void *arg)
{
    atomic_bool *end = arg;
    static struct client c;
    client_open(&c);
    client_say(&c, "GET /endless?1 HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!atomic_load(end) && recv(c.fd, c.buf, sizeof(c.buf), 0) > 0)
        ;
    client_reset(&c);
    return NULL;
}

static void a_fast_reader_leaves_room(void **state)
{
    atomic_bool end = false;
    pthread_t reader;
    (void)state;
    start(1, 5000);
    pthread_create(&reader, NULL, read_all_the_time, &end);
    client_open(&one);
    uint64_t begin = clock_ms();
    for (int i = 0; i < 50; i++)
        assert_int_equal(client_ask(&one, "GET", "/now?1").status, 200);
    assert_true(clock_ms() - begin < 5000);
    atomic_store(&end, true);
    pthread_join(reader, NULL);
    client_close(&one);
    server_stop();
}

static void running_out_of_descriptors(void **state)
{
    enum { MORE = 20 };
    static struct client all[MORE];
    struct rlimit before, few;
    (void)state;
    start(2, 5000);
    client_open(&one);
    assert_int_equal(client_ask(&one, "GET", "/now?1").status, 200);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < MORE; i++)
        client_open(&all[i]);
    for (int i = 0; i < MORE; i++)
        assert_int_equal(client_ask(&all[i], "GET", "/now?1").status, 200);
    /* None to be had, while somebody connects. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    few = before;
    few.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)service_port(server.service))};
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    two = (struct client){.fd = fd};
    client_say(&two, "GET /now?2 HTTP/1.1\r\nHost: x\r\n\r\n");
    struct timespec cpu, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    sleep_ms(400);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    /* The others are served meanwhile, and it does not spin. */
    assert_int_equal(client_ask(&one, "GET", "/now?1").status, 200);
    assert_true((after.tv_sec - cpu.tv_sec) * 1000 +
                    (after.tv_nsec - cpu.tv_nsec) / 1000000 <
                200);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(client_answer(&two, false).body, 2);
    for (int i = 0; i < MORE; i++)
        client_close(&all[i]);
    client_close(&one);
    client_close(&two);
    server_stop();
}

/* A thousand connections, most of them idle, one after the other and again. */
static void many_connections(void **state)
{
    enum { MANY = 1000 };
    static int fds[MANY];
    static struct client c;
    (void)state;
    start(2, 5000);
    for (int i = 0; i < MANY; i++) {
        client_open(&c);
        if (i % 2)
            assert_int_equal(client_ask(&c, "GET", "/now?10").body, 10);
        fds[i] = c.fd;
    }
    for (int i = 0; i < MANY; i += 3) {
        c.fd = fds[i];
        c.at = c.used = 0;
        assert_int_equal(client_ask(&c, "GET", "/worker?10").body, 10);
    }
    for (int i = 0; i < MANY; i++)
        if (i % 2)
            close(fds[i]);
    assert_int_equal(server_stop(), 0);
    for (int i = 0; i < MANY; i += 2)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_clients_are_cut),
        cmocka_unit_test(unread_answers_are_cut),
        cmocka_unit_test(slow_readers_are_not_cut),
        cmocka_unit_test(lingering_ends),
        cmocka_unit_test(drains_in_every_state),
        cmocka_unit_test(the_drain_is_limited),
        cmocka_unit_test(draining_refuses),
        cmocka_unit_test(stops_under_load),
        cmocka_unit_test(connections_are_spread),
        cmocka_unit_test(a_fast_reader_leaves_room),
        cmocka_unit_test(running_out_of_descriptors),
        cmocka_unit_test(many_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
