/* The parser of answers: bytes, and in words what must be made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/head_cases.h"

static void test_answers(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        CASE_REST("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                  "200 1.1 length 5 keep", 5),
        CASE("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             "201 1.1 length 0"),
        CASE("HTTP/1.1 204 No Content\r\n\r\n", "204 1.1 none keep"),
        CASE("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
             "304 1.1 none 7 keep"),
        CASE("HTTP/1.1 100 Continue\r\n\r\n", "100 1.1 none keep"),
        CASE("HTTP/1.1 101 Switching Protocols\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\n\r\n", "200 1.1 close"),
        CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
             "200 1.1 chunked keep"),
        CASE("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "200 1.0 length 1"),
        CASE("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
             "200 1.0 length 1 keep"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n"
             "Connection: keep-alive\r\n\r\n",
             "200 1.1 length 1"),
        CASE("HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", "200 1.1 length 1 keep"),
        CASE("HTTP/1.1 200 \nContent-Length: 1\n\n", "200 1.1 length 1 keep"),
        CASE("HTTP/1.1 299 \x80 any \t reason\r\nContent-Length: 1\r\n\r\n",
             "299 1.1 length 1 keep"),
        CASE("", "more"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "more"),
        /* not HTTP */
        CASE("\r\nHTTP/1.1 200 OK\r\n\r\n", "bad"),
        CASE("SSH-2.0-OpenSSH_9.2\r\n", "bad"),
        CASE("http/1.1 200 OK\r\n\r\n", "bad"),
        CASE("HTTP/2.0 200 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.10 200 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1  200 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 099 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 20 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 2000 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 -20 OK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 O\rK\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 O\0K\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\na: b\0\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\n: b\r\n\r\n", "bad"),
        /* not clear where the body ends */
        CASE("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
             "bad"),
        CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding:\tchunked\r\n\r\n", "bad"),
        CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
             "Transfer-Encoding: chunked\r\n\r\n",
             "bad"),
        CASE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "bad"),
    };
    RUN(ANSWER, cases);

    static const struct head_case to_head[] = {
        CASE("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n",
             "200 1.1 none 1048576 keep"),
        CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
             "200 1.1 none keep"),
        CASE("HTTP/1.1 404 Not Found\r\n\r\n", "404 1.1 none keep"),
        CASE("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad"),
    };
    RUN(ANSWER_TO_HEAD, to_head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests_name("http_parse_answer", tests, NULL, NULL);
}
