/*
 * The parser of requests. Every case is a line of a table: bytes, and in words what must
 * be made of them, which is what nginx 1.22.1 did with the same bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <ctype.h>

#include "tests/unit/head_cases.h"

#define PH "PUT /p HTTP/1.1\r\nHost: x\r\n"
#define OK "GET /f x 1.1 none keep"

static void test_request_line(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        CASE(GH "\r\n", OK),
        CASE("", "more"),
        CASE("GET /f HTTP/1.1\r\nHost: x\r\n", "more"),
        CASE_REST(GH "\r\nGET /g", OK, 6),
        /* empty lines in front, line ends */
        CASE("\r\n\r\n\n\r" GH "\r\n", OK),
        CASE("\r\n\r\n", "more"),
        CASE(" " GH "\r\n", "400"),
        CASE("GET /f HTTP/1.1\nHost: x\n\n", OK),
        CASE("GET /f HTTP/1.1\r\nHost: x\r\n\n", OK),
        CASE("GET /f HTTP/1.1\nHost: x\n\r\n", OK),
        CASE("GET /f HTTP/1.1\r\r\nHost: x\r\n\r\n", "400"),
        CASE("GET /f\rHTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        /* method */
        CASE("get /f HTTP/1.1\r\n", "400"),
        CASE("G1 /f HTTP/1.1\r\n", "400"),
        CASE("GET\n", "400"),
        CASE("GET\t/f HTTP/1.1\r\n", "400"),
        CASE("G", "more"),
        CASE("\x16\x03\x01", "400"),
        CASE("G-E_T /f HTTP/1.1\r\nHost: x\r\n\r\n", "G-E_T /f x 1.1 none keep"),
        CASE("- /f HTTP/1.1\r\nHost: x\r\n\r\n", "- /f x 1.1 none keep"),
        CASE("CONNECT h:80 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        CASE("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        CASE("TRACE / HTTP/1.1\r\n\r\n", "400"),
        CASE("TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", "501"),
        /* target */
        CASE("GET    /f    HTTP/1.1   \r\nHost: x\r\n\r\n", OK),
        CASE("GET  HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET h:80 HTTP/1.1\r\n", "400"),
        CASE("GET /f g HTTP/1.1\r\n", "400"),
        CASE("GET /f Hg HTTP/1.1\r\n", "400"),
        CASE("GET /f\tg HTTP/1.1\r\n", "400"),
        CASE("GET /f\0 HTTP/1.1\r\n", "400"),
        CASE("GET /f\x01 HTTP/1.1\r\n", "400"),
        CASE("GET /f?\x01 HTTP/1.1\r\n", "400"),
        CASE("GET /f\x7f HTTP/1.1\r\n", "400"),
        CASE("GET /f#\x1f HTTP/1.1\r\n", "400"),
        CASE("GET /f\x80\xff HTTP/1.1\r\nHost: x\r\n\r\n",
             "GET /f\x80\xff x 1.1 none keep"),
        CASE("GET /f#x HTTP/1.1\r\nHost: x\r\n\r\n", "GET /f#x x 1.1 none keep"),
        CASE("GET /\"<>\\^`{|} HTTP/1.1\r\nHost: x\r\n\r\n",
             "GET /\"<>\\^`{|} x 1.1 none keep"),
        CASE("GET /%2f%zz/../?a=b&c HTTP/1.1\r\nHost: x\r\n\r\n",
             "GET /%2f%zz/../?a=b&c x 1.1 none keep"),
        /* absolute form */
        CASE("GET http://h/f HTTP/1.1\r\nHost: x\r\n\r\n", "GET /f h 1.1 none keep"),
        CASE("GET http://h/f HTTP/1.1\r\n\r\n", "400"),
        CASE("GET http://h HTTP/1.1\r\nHost: x\r\n\r\n", "GET / h 1.1 none keep"),
        CASE("GET http://h?a HTTP/1.1\r\nHost: x\r\n\r\n", "GET ?a h 1.1 none keep"),
        CASE("GET http://h#a HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://h:80/f HTTP/1.1\r\nHost: x\r\n\r\n",
             "GET /f h:80 1.1 none keep"),
        CASE("GET http://h:/f HTTP/1.1\r\nHost: x\r\n\r\n", "GET /f h: 1.1 none keep"),
        CASE("GET http://h:8a/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://h:8?x HTTP/1.1\r\nHost: x\r\n\r\n", "GET ?x h:8 1.1 none keep"),
        CASE("GET http://h:8 HTTP/1.1\r\nHost: x\r\n\r\n", "GET / h:8 1.1 none keep"),
        CASE("GET http:///f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://:80/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://./f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://a..b/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://a_b/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://u@h/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://[::1]:8/f HTTP/1.1\r\nHost: x\r\n\r\n",
             "GET /f [::1]:8 1.1 none keep"),
        CASE("GET http://[]/f HTTP/1.1\r\nHost: x\r\n\r\n", "GET /f [] 1.1 none keep"),
        CASE("GET http://[!a~z_]/f HTTP/1.1\r\nHost: x\r\n\r\n",
             "GET /f [!a~z_] 1.1 none keep"),
        CASE("GET http://[a/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://[a]b/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://[a%]/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET h2+x-y.z://h/f HTTP/1.1\r\nHost: x\r\n\r\n", "GET /f h 1.1 none keep"),
        CASE("GET 2h://h/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http:/h/f HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        CASE("GET http://h/f HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        CASE("GET http://./f HTTP/2.0\r\nHost: x\r\n\r\n", "505"),
    };
    RUN(REQUEST, cases);
}

static void test_version(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        CASE("GET /f\r\n", "GET /f  1.0 none 0.9"),
        CASE("GET /f\n", "GET /f  1.0 none 0.9"),
        CASE("GET /f   \r\n", "GET /f  1.0 none 0.9"),
        CASE("GET http://h/f\r\n", "GET /f h 1.0 none 0.9"),
        CASE("GET http://h \r\n", "GET / h 1.0 none 0.9"),
        CASE("GET http://h\r\n", "400"),
        CASE("PUT /f\r\n", "400"),
        CASE("HEAD /f\r\n", "400"),
        CASE("GET /f HTTP/1.0\r\nHost: x\r\n\r\n", "GET /f x 1.0 none"),
        CASE("GET /f HTTP/1.0\r\n\r\n", "GET /f  1.0 none"),
        CASE("GET /f HTTP/1.2\r\nHost: x\r\n\r\n", "GET /f x 1.2 none keep"),
        CASE("GET /f HTTP/1.10\r\nHost: x\r\n\r\n", "GET /f x 1.10 none keep"),
        CASE("GET /f HTTP/1.01\r\nHost: x\r\n\r\n", OK),
        CASE("GET /f HTTP/1.000\r\n\r\n", "GET /f  1.0 none"),
        CASE("GET /f HTTP/1.999\r\nHost: x\r\n\r\n", "GET /f x 1.999 none keep"),
        CASE("GET /f HTTP/1.1000\r\nHost: x\r\n\r\n", "400"),
        CASE("GET /f HTTP/2.0\r\n", "505"),
        CASE("GET /f HTTP/2\r\n", "505"),
        CASE("GET /f HTTP/3.x\r\n", "505"),
        CASE("GET /f HTTP/10.1\r\n", "505"),
        CASE("GET /f HTTP/11\r\n", "505"),
        CASE("GET /f HTTP/9", "505"),
        CASE("GET /f HTTP/01.1\r\n", "400"),
        CASE("GET /f HTTP/0.9\r\n", "400"),
        CASE("GET /f HTTP/1\r\n", "400"),
        CASE("GET /f HTTP/1.\r\n", "400"),
        CASE("GET /f HTTP/.1\r\n", "400"),
        CASE("GET /f HTTP/1.1x\r\n", "400"),
        CASE("GET /f HTTP/1.1\t\r\n", "400"),
        CASE("GET /f HTTP/1x\r\n", "400"),
        CASE("GET /f HTTP/1.a\r\n", "400"),
        CASE("GET /f HTTP/1.-1\r\n", "400"),
        CASE("GET /f http/1.1\r\n", "400"),
        CASE("GET /f HTTQ/1.1\r\n", "400"),
        CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        CASE("GET /f HTTP/1.1\r\n\r\n", "400"),
        CASE("GET /f HTTP/1.2\r\n\r\n", "400"),
        CASE("GET /f HTTP/1.01\r\n\r\n", "400"),
        CASE("GET /f HTTP/1.00\r\n\r\n", "GET /f  1.0 none"),
    };
    RUN(REQUEST, cases);
}

static void test_request_fields(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        /* the lines */
        CASE(GH "a : b\r\n\r\n", "400"),
        CASE(GH "a\t: b\r\n\r\n", "400"),
        CASE(GH "a: b\r\n c\r\n\r\n", "400"),
        CASE(G " Host: x\r\n\r\n", "400"),
        CASE(GH "foo\r\n\r\n", OK),
        CASE(GH "foo bar\r\n\r\n", "400"),
        CASE(GH ": x\r\n\r\n", "400"),
        CASE(GH "a_b: c\r\n_: \r\na!b: c\r\na\xff: c\r\na/b\r\n\"\": c\r\n!: x\r\n\r\n",
             OK),
        CASE(GH "HTTP/1.1 200 OK\r\n\r\n", "400"),
        CASE(GH "a\x7f: c\r\n\r\n", "400"),
        CASE(GH "a\x01: c\r\n\r\n", "400"),
        CASE(GH "a\0: c\r\n\r\n", "400"),
        CASE(GH "a\rb: c\r\n\r\n", "400"),
        CASE(GH "a_ b: c\r\n\r\n", "400"),
        CASE(GH "a: b\rc\r\n\r\n", "400"),
        CASE(GH "a: b\r\r\r\n\r\n", OK),
        CASE(GH "a: b  \r\r\n\r\n", OK),
        CASE(GH "\r\r\n", "400"),
        CASE(GH "\rx", "400"),
        CASE(GH "a: b\0c\r\n\r\n", "400"),
        CASE(GH "a:\0\r\n\r\n", "400"),
        CASE(GH "a: b \0\r\n\r\n", "400"),
        CASE(GH "a_: b\0c\r\n\r\n", "400"),
        CASE(GH "a: b\x01\x1f\x7f\xff\tc\r\n\r\n", OK),
        /* Host */
        CASE(GH "Host: x\r\n\r\n", "400"),
        CASE("GET /f HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n", "400"),
        CASE("GET /f HTTP/1.0\r\nHost: a/b\r\n\r\n", "400"),
        CASE(G "Host\r\n\r\n", "400"),
        CASE(G "Host:\r\n\r\n", "400"),
        CASE(G "Host: \r\n\r\n", "400"),
        CASE(G "hOST:a:80\r\n\r\n", "GET /f a:80 1.1 none keep"),
        CASE(G "Host: a:x\r\n\r\n", "GET /f a:x 1.1 none keep"),
        CASE(G "Host: a:\r\n\r\n", "GET /f a: 1.1 none keep"),
        CASE(G "Host: :80\r\n\r\n", "400"),
        CASE(G "Host: .\r\n\r\n", "400"),
        CASE(G "Host: a.\r\n\r\n", "GET /f a. 1.1 none keep"),
        CASE(G "Host: a..\r\n\r\n", "400"),
        CASE(G "Host: a..b\r\n\r\n", "400"),
        CASE(G "Host: a.:80\r\n\r\n", "GET /f a.:80 1.1 none keep"),
        CASE(G "Host: .:80\r\n\r\n", "400"),
        CASE(G "Host: a/b\r\n\r\n", "400"),
        CASE(G "Host: a b\r\n\r\n", "400"),
        CASE(G "Host: a\tb\r\n\r\n", "400"),
        CASE(G "Host:\ta\r\n\r\n", "400"),
        CASE(G "Host: [::1]:80\r\n\r\n", "GET /f [::1]:80 1.1 none keep"),
        CASE(G "Host: [\r\n\r\n", "GET /f [ 1.1 none keep"),
        CASE(G "Host: [.\r\n\r\n", "GET /f [. 1.1 none keep"),
        CASE(G "Host: ]\r\n\r\n", "GET /f ] 1.1 none keep"),
        CASE(G "Host: a@b\r\n\r\n", "GET /f a@b 1.1 none keep"),
        CASE(G "Host: a,b\x80\r\n\r\n", "GET /f a,b\x80 1.1 none keep"),
        CASE(G "Host: a\x7f\r\n\r\n", "400"),
        CASE(G "Host: a:80:90\r\n\r\n", "GET /f a:80:90 1.1 none keep"),
        CASE(G "Host: a:b/c\r\n\r\n", "400"),
        CASE(G "Host: a:..\r\n\r\n", "400"),
        CASE(G "Host: [a..b]\r\n\r\n", "400"),
        CASE(G "Host: [::1].\r\n\r\n", "GET /f [::1]. 1.1 none keep"),
        CASE(G "Host: a:.\r\n\r\n", "GET /f a:. 1.1 none keep"),
        CASE(G "Host: ::\r\n\r\n", "400"),
        CASE(G "Host: [/]\r\n\r\n", "400"),
        /* of which there may be one */
        CASE(GH "If-Modified-Since: x\r\nif-modified-since: x\r\n\r\n", "400"),
        CASE(GH "If-Unmodified-Since: x\r\nIf-Unmodified-Since: x\r\n\r\n", "400"),
        CASE(GH "If-Match: x\r\nIf-Match: x\r\n\r\n", "400"),
        CASE(GH "If-None-Match: x\r\nIf-None-Match: x\r\n\r\n", "400"),
        CASE(GH "If-Range: x\r\nIf-Range: x\r\n\r\n", "400"),
        CASE(GH "Content-Range: x\r\nContent-Range: x\r\n\r\n", "400"),
        CASE(GH "Authorization: x\r\nAuthorization: x\r\n\r\n", "400"),
        CASE(GH "Expect: x\r\nExpect: x\r\n\r\n", "400"),
        CASE(GH "If-Match: x\r\nIf-None-Match: x\r\nIf-Range: x\r\nAuthorizatiom: x\r\n"
                "Authorization: x\r\nContent-Range: x\r\nIf-None_Match: x\r\n\r\n",
             OK),
        CASE(GH "Range: a\r\nRange: b\r\nDate: a\r\nDate: b\r\nUser-Agent: a\r\n"
                "User-Agent: b\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n",
             OK),
    };
    RUN(REQUEST, cases);
}

static void test_request_framing(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        CASE_REST(PH "Content-Length: 5\r\n\r\nhello", "PUT /p x 1.1 length 5 keep", 5),
        CASE(PH "Content-Length: 0\r\n\r\n", "PUT /p x 1.1 length 0 keep"),
        CASE(PH "content-LENGTH:05  \r\n\r\n", "PUT /p x 1.1 length 5 keep"),
        CASE(PH "Content-Length: 00000000000000000000000000000005\r\n\r\n",
             "PUT /p x 1.1 length 5 keep"),
        CASE(PH "Content-Length: 9223372036854775807\r\n\r\n",
             "PUT /p x 1.1 length 9223372036854775807 keep"),
        CASE(PH "Content-Length: 9223372036854775808\r\n\r\n", "400"),
        CASE(PH "Content-Length: 18446744073709551616\r\n\r\n", "400"),
        CASE(PH "Content-Length: 99999999999999999999999\r\n\r\n", "400"),
        CASE(PH "Content-Length\r\n\r\n", "400"),
        CASE(PH "Content-Length:\r\n\r\n", "400"),
        CASE(PH "Content-Length: +5\r\n\r\n", "400"),
        CASE(PH "Content-Length: -5\r\n\r\n", "400"),
        CASE(PH "Content-Length: 5x\r\n\r\n", "400"),
        CASE(PH "Content-Length: 0x5\r\n\r\n", "400"),
        CASE(PH "Content-Length: 5\t\r\n\r\n", "400"),
        CASE(PH "Content-Length:\t5\r\n\r\n", "400"),
        CASE(PH "Content-Length: 5, 5\r\n\r\n", "400"),
        CASE(PH "Content-Length: 5 5\r\n\r\n", "400"),
        CASE(PH "Content-Length: 1e1\r\n\r\n", "400"),
        CASE(PH "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "400"),
        CASE(PH "Content_Length: x\r\n\r\n", "PUT /p x 1.1 none keep"),
        CASE(PH "\r\n", "PUT /p x 1.1 none keep"),
        CASE(PH "Transfer-Encoding: chunked\r\n\r\n", "PUT /p x 1.1 chunked keep"),
        CASE(PH "Transfer-Encoding: Chunked \r\n\r\n", "PUT /p x 1.1 chunked keep"),
        CASE(PH "Transfer-Encoding: chunked\t\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding:\tchunked\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding: identity\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding: gzip, chunked\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding: chunked, chunked\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding: xchunked\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding: chunked;a\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding:\r\n\r\n", "501"),
        CASE(PH "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", "400"),
        CASE(PH "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "400"),
        CASE(PH "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n", "501"),
        CASE(PH "Content-Length: z\r\nTransfer-Encoding: x\r\n\r\n", "400"),
        CASE("PUT /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        CASE("PUT /p HTTP/1.0\r\nTransfer-Encoding: x\r\n\r\n", "400"),
        CASE("PUT /p HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n", "400"),
        CASE(PH "Transfer_Encoding: x\r\nContent-Length: 0\r\n\r\n",
             "PUT /p x 1.1 length 0 keep"),
        /* Expect */
        CASE(PH "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
             "PUT /p x 1.1 length 5 keep expect"),
        CASE(PH "Expect: x\r\n\r\n", "PUT /p x 1.1 none keep"),
        CASE(PH "Expect: 100-continue, x\r\n\r\n", "PUT /p x 1.1 none keep"),
        CASE("PUT /p HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "PUT /p  1.0 none"),
        /* Connection */
        CASE(GH "Connection: close\r\n\r\n", "GET /f x 1.1 none"),
        CASE(GH "Connection: x, Close\r\n\r\n", "GET /f x 1.1 none"),
        CASE(GH "Connection: notclose\r\n\r\n", "GET /f x 1.1 none"),
        CASE(GH "Connection: close, keep-alive\r\n\r\n", "GET /f x 1.1 none"),
        CASE(GH "Connection: keep-alive, close\r\n\r\n", "GET /f x 1.1 none"),
        CASE(GH "Connection: close\r\nConnection: keep-alive\r\n\r\n", OK),
        CASE(GH "Connection: keep-alive\r\nConnection: close\r\n\r\n",
             "GET /f x 1.1 none"),
        CASE(GH "Connection: close\r\nConnection: x\r\n\r\n", "GET /f x 1.1 none"),
        CASE(GH "Connection: clo se\r\n\r\n", OK),
        CASE(GH "Proxy-Connection: close\r\n\r\n", OK),
        CASE("GET /f HTTP/1.0\r\nConnection: KEEP-alive\r\n\r\n",
             "GET /f  1.0 none keep"),
        CASE("GET /f HTTP/1.0\r\nConnection: upgrade\r\n\r\n", "GET /f  1.0 none"),
        CASE("GET /f HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n",
             "GET /f  1.0 none"),
    };
    RUN(REQUEST, cases);
}

/* --- fields ------------------------------------------------------------------------- */

static void test_fields(void **state)
{
    (void)state;
    static const char bytes[] = "GET / HTTP/1.1\r\n"
                                "Host: x\r\n"
                                "A:  b  c  \r\n"
                                "a_b: ignored\r\n"
                                "empty:\r\n"
                                "bare\r\n"
                                "Tab:\tt\t\n"
                                "a: second\r\r\n"
                                "X!: ignored\r\n"
                                "\r\n";
    static const char *const want[] = {
        "Host=x", "A=b  c", "empty=", "bare=", "Tab=\tt\t", "a=second"};
    struct http_head head;
    size_t seen = 0, pos = 0, i = 0;
    struct str name, value;

    const char *p = at_wall(bytes, sizeof(bytes) - 1);
    assert_int_equal(http_parse_request(p, sizeof(bytes) - 1, &seen, &head),
                     sizeof(bytes) - 1);
    while (http_field_next(&head, &pos, &name, &value)) {
        char text[64];
        snprintf(text, sizeof(text), "%.*s=%.*s", (int)name.n, name.p, (int)value.n,
                 value.p);
        assert_true(i < sizeof(want) / sizeof(want[0]));
        assert_string_equal(text, want[i++]);
    }
    assert_int_equal(i, sizeof(want) / sizeof(want[0]));
    assert_false(http_field_next(&head, &pos, &name, &value));
    assert_true(http_field(&head, STR("a"), &value));
    assert_true(str_eq(value, STR("b  c")));
    assert_true(http_field(&head, STR("TAB"), &value));
    assert_false(http_field(&head, STR("a_b"), &value));
    assert_false(http_field(&head, STR("b"), &value));
    assert_int_equal(value.n, 0);

    assert_false(http_field(&head, STR("hos"), &value));
    assert_false(http_field(&head, STR("empt"), &value));

    /* A name of any length, any letter first, in any case, alone or with others. */
    for (size_t n = 1; n <= 70; n++)
        for (int c = 'a'; c <= 'z'; c++) {
            char low[71], high[71], text[256];
            for (i = 0; i < n; i++)
                low[i] = (char)(i ? "x-7"[i % 3] : c), high[i] = (char)toupper(low[i]);
            int len = snprintf(text, sizeof(text),
                               "GET / HTTP/1.0\r\nA: 1\r\n%.*s: it\r\n\r\n", (int)n, low);
            seen = 0;
            assert_int_equal(http_parse_request(text, (size_t)len, &seen, &head), len);
            assert_true(http_field(&head, (struct str){high, n}, &value));
            assert_true(str_eq(value, n == 1 && c == 'a' ? STR("1") : STR("it")));
        }

    /* None at all, and HTTP/0.9. */
    static const char *const bare[] = {"GET / HTTP/1.0\r\n\r\n", "GET /\r\n"};
    for (i = 0; i < 2; i++) {
        seen = pos = 0;
        assert_true(http_parse_request(bare[i], strlen(bare[i]), &seen, &head) > 0);
        assert_false(http_field_next(&head, &pos, &name, &value));
        assert_false(http_field(&head, STR("host"), &value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_line),   cmocka_unit_test(test_version),
        cmocka_unit_test(test_request_fields), cmocka_unit_test(test_request_framing),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests_name("http_parse", tests, NULL, NULL);
}
