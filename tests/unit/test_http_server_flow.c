/*
 * The pace of the HTTP server: slow readers and slow handlers hold the other side back, and
 * clients that leave in the middle hold nothing.
 */
#include <poll.h>

#include "tests/unit/scripted_client.h"

static struct client one;

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
        int n = snprintf(text, sizeof(text),
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
            assert_true(wait_begun(i + 1)); /* a reset takes what was not read */
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
        snprintf(text, sizeof(text), "GET /length?%zu HTTP/1.1\r\nHost: x\r\n\r\n",
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(a_slow_reader_holds_the_handler),
        SERVED(a_slow_handler_holds_the_client),
        SERVED(short_reads_share_a_block),
        SERVED(held_back_bodies_come_whole),
        cmocka_unit_test_setup_teardown(let_go_and_readable_at_once, serve_on_one_loop,
                                        serve_no_more),
        SERVED(resets_at_any_moment),
        SERVED(cold_files),
        SERVED(half_closed_clients_get_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
