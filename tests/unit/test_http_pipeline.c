/*
 * Pipelined requests that are answered at once leave together. The connection is a pair
 * of sockets that keep messages apart, so what one receive brings is what one send took.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/http/server.h"
#include "common/loop.h"
#include "common/stock.h"

enum { REQUESTS = 50 };

static void on_request(void *ctx, struct exchange *ex)
{
    static const struct exchange_ops ops = {0};
    (void)ctx;
    exchange_own(ex, &ops, NULL);
    exchange_reply(ex, 200, NULL, STR("a body"));
}

static int answers_in(const char *text)
{
    int n = 0;
    while ((text = strstr(text, "HTTP/1.1 200 OK\r\n"))) {
        text++;
        n++;
    }
    return n;
}

/* The answers that one send brought; 0: none is there. */
static int answers_of_a_send(int fd)
{
    static char bytes[64 * 1024];
    ssize_t n = recv(fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT);
    if (n < 0)
        return 0;
    bytes[n] = '\0';
    return answers_in(bytes);
}

static void answers_of_a_turn_leave_in_one_send(void **state)
{
    struct http_server_config config;
    char bytes[REQUESTS * 64];
    size_t n = 0;
    int fds[2];

    (void)state;
    struct loop *loop = loop_new();
    assert_non_null(loop);
    http_server_defaults(&config);
    config.name = "test";
    config.on_request = on_request;
    struct http_server *server = http_server_new(loop, &config);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < REQUESTS; i++)
        n += (size_t)sprintf(bytes + n, "%s /%d HTTP/1.1\r\nHost: x\r\n\r\n",
                             i % 2 ? "GET" : "HEAD", i);
    assert_int_equal(send(fds[0], bytes, n, 0), n);
    http_server_expect(server);
    http_server_take(server, fds[1]);
    assert_int_equal(answers_of_a_send(fds[0]), REQUESTS);
    assert_int_equal(answers_of_a_send(fds[0]), 0);
    http_server_free(&server);
    loop_free(&loop);
    stock_free_all();
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_a_turn_leave_in_one_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
