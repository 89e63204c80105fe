/*
 * The HTTP parser. Every case is a line of a table: bytes, and in words what must be made
 * of them; for requests the words are what nginx 1.22.1 did with the same bytes. Each
 * case runs whole, cut in two at every byte, and byte by byte, always at the end of a
 * page behind which nothing may be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/http_parse.h"
#include "tests/unit/wall.h"

/* --- heads -------------------------------------------------------------------------- */

enum kind { REQUEST, ANSWER, ANSWER_TO_HEAD };

struct outcome {
    ssize_t n;
    char text[512];
};

static void describe(struct outcome *o, enum kind kind, const struct http_head *h)
{
    static const char *const bodies[] = {"none", "length", "chunked", "close"};
    char length[32] = "";
    size_t used = 0;

    if (o->n == 0) {
        strcpy(o->text, "more");
        return;
    }
    if (o->n < 0) {
        if (kind == REQUEST)
            sprintf(o->text, "%d", h->status);
        else
            strcpy(o->text, "bad");
        return;
    }
    if (h->has_length)
        sprintf(length, " %llu", (unsigned long long)h->length);
    if (kind == REQUEST)
        used = (size_t)snprintf(o->text, sizeof(o->text), "%.*s %.*s %.*s",
                                (int)h->method.n, h->method.p, (int)h->target.n,
                                h->target.p, (int)h->host.n, h->host.p ? h->host.p : "");
    else
        used = (size_t)snprintf(o->text, sizeof(o->text), "%d", h->status);
    if (used < sizeof(o->text))
        snprintf(o->text + used, sizeof(o->text) - used, " 1.%d %s%s%s%s%s", h->minor,
                 bodies[h->body], length, h->keep_alive ? " keep" : "",
                 h->expect_continue ? " expect" : "", h->http_09 ? " 0.9" : "");
}

static void parse(struct outcome *o, enum kind kind, const char *p, size_t n,
                  size_t *seen)
{
    struct http_head head;

    if (kind == REQUEST)
        o->n = http_parse_request(p, n, seen, &head);
    else
        o->n = http_parse_answer(p, n, seen, kind == ANSWER_TO_HEAD, &head);
    describe(o, kind, &head);
}

/* Parses all of it, and in pieces: [0, cut) first and all of it then, for every cut that
 * is a multiple of `step`; then `step` bytes more each time. */
static void parse_every_way(struct outcome *whole, enum kind kind, const char *p,
                            size_t n, size_t step)
{
    struct outcome o;
    size_t seen = 0;

    parse(whole, kind, at_wall(p, n), n, &seen);
    for (size_t cut = 0; cut <= n; cut += step) {
        seen = 0;
        parse(&o, kind, at_wall(p, cut), cut, &seen);
        if (o.n == 0)
            parse(&o, kind, at_wall(p, n), n, &seen);
        else if (o.n > 0)
            assert_true((size_t)o.n <= cut);
        assert_int_equal(o.n, whole->n);
        assert_string_equal(o.text, whole->text);
    }
    seen = 0;
    for (size_t have = 0;; have = have + step < n ? have + step : n) {
        parse(&o, kind, at_wall(p, have), have, &seen);
        if (o.n != 0 || have == n)
            break;
    }
    assert_int_equal(o.n, whole->n);
    assert_string_equal(o.text, whole->text);
}

struct head_case {
    const char *bytes;
    size_t n;
    const char *want;
    size_t rest; /* bytes behind the head, when it is one */
};

#define CASE(bytes, want)                 \
    {                                     \
        bytes, sizeof(bytes) - 1, want, 0 \
    }
#define CASE_REST(bytes, want, rest)         \
    {                                        \
        bytes, sizeof(bytes) - 1, want, rest \
    }

static void run_cases(enum kind kind, const struct head_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct head_case *c = &cases[i];
        struct outcome o;
        parse_every_way(&o, kind, c->bytes, c->n, 1);
        if (strcmp(o.text, c->want) != 0)
            print_error("case %zu: %s\n", i, c->bytes);
        assert_string_equal(o.text, c->want);
        if (o.n > 0)
            assert_int_equal(o.n, c->n - c->rest);
    }
}

#define RUN(kind, cases) run_cases(kind, cases, sizeof(cases) / sizeof((cases)[0]))

#define G "GET /f HTTP/1.1\r\n"
#define GH G "Host: x\r\n"
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

/* --- limits ------------------------------------------------------------------------- */

struct text {
    char *p;
    size_t n;
};

static void add(struct text *t, const char *s)
{
    size_t n = strlen(s);
    memcpy(t->p + t->n, s, n);
    t->n += n;
}

static void add_bytes(struct text *t, char c, size_t n)
{
    memset(t->p + t->n, c, n);
    t->n += n;
}

/* A field line of n bytes. */
static void add_field(struct text *t, size_t n)
{
    add(t, "a:");
    add_bytes(t, 'b', n - 4);
    add(t, "\r\n");
}

static void check(struct text *t, size_t step, const char *want)
{
    struct outcome o;
    parse_every_way(&o, REQUEST, t->p, t->n, step);
    if (want)
        assert_string_equal(o.text, want);
    else
        assert_int_equal(o.n, t->n);
    t->n = 0;
}

static void test_limits(void **state)
{
    (void)state;
    struct text t = {malloc(WALL_ROOM), 0};
    assert_non_null(t.p);

    /* A request line of n bytes, its end included; then one field line of n bytes. */
    for (size_t n = HTTP_LINE_MAX - 2; n <= HTTP_LINE_MAX + 2; n++) {
        add(&t, "GET /f?");
        add_bytes(&t, 'a', n - 18);
        add(&t, " HTTP/1.1\r\nHost: x\r\n\r\n");
        check(&t, 501, n <= HTTP_LINE_MAX ? NULL : "414");
        add(&t, GH);
        add_field(&t, n);
        add(&t, "\r\n");
        check(&t, 501, n <= HTTP_LINE_MAX ? NULL : "400");
        /* the same, unfinished: n bytes of it */
        add(&t, "GET /f?");
        add_bytes(&t, 'a', n - 7);
        check(&t, 501, n < HTTP_LINE_MAX ? "more" : "414");
        add(&t, GH "a:");
        add_bytes(&t, 'b', n - 2);
        check(&t, 501, n < HTTP_LINE_MAX ? "more" : "400");
        add(&t, GH "_:");
        add_bytes(&t, 'b', n - 4);
        add(&t, "\r\n\r\n");
        check(&t, 501, n <= HTTP_LINE_MAX ? NULL : "400");
    }
    add_bytes(&t, 'A', 9000);
    check(&t, 501, "414");
    add(&t, "GET /f\x01");
    add_bytes(&t, 'a', 9000);
    check(&t, 501, "400");
    add(&t, "GET /f");
    add_bytes(&t, 'a', 9000);
    add(&t, "\x01");
    check(&t, 501, "414");
    for (int i = 0; i < 500; i++)
        add(&t, "\r\n");
    add(&t, "GET /f?");
    add_bytes(&t, 'a', HTTP_LINE_MAX - 18);
    add(&t, " HTTP/1.1\r\nHost: x\r\n\r\n");
    check(&t, 501, NULL);

    /* Fields, those that are ignored not counted. */
    for (int n = 999; n <= 1000; n++) {
        add(&t, GH);
        for (int i = 0; i < n; i++)
            add(&t, i % 2 ? "a:b\r\n" : "a:b\r\n_:b\r\n");
        add(&t, "\r\n");
        check(&t, 251, n < 1000 ? NULL : "400");
    }

    /* nginx's buffers, 1k and four times 8k, no line lying across two: filled to the
     * brim, and a byte more. */
    for (size_t more = 0; more < 2; more++) {
        add(&t, GH);
        add_field(&t, 1024 - 26);
        for (int i = 0; i < 3; i++)
            add_field(&t, 8192);
        add_field(&t, 8190 + more);
        add(&t, "\r\n");
        check(&t, 997, more ? "400" : NULL);
        add(&t, GH); /* the second line does not fit the first buffer */
        add_field(&t, 1024 - 26 + 1);
        add_field(&t, 8192 - (1024 - 26 + 1));
        for (int i = 0; i < 2; i++)
            add_field(&t, 8192);
        add_field(&t, 8190 + more);
        add(&t, "\r\n");
        check(&t, 997, more ? "400" : NULL);
    }
    add(&t, GH);
    for (int i = 0; i < 8; i++)
        add_field(&t, 4097); /* one to each large buffer */
    add(&t, "\r\n");
    check(&t, 997, "400");

    /* Never "more" once HTTP_HEAD_MAX bytes are there. */
    for (size_t n = HTTP_HEAD_MAX - 1; n <= HTTP_HEAD_MAX + 1; n++) {
        add_bytes(&t, '\n', n);
        check(&t, 997, n < HTTP_HEAD_MAX ? "more" : "400");
        add_bytes(&t, '\n', HTTP_HEAD_MAX - 100);
        add(&t, "GET /");
        add_bytes(&t, 'a', n - t.n);
        check(&t, 997, n < HTTP_HEAD_MAX ? "more" : "400");
        add(&t, GH);
        while (t.n < n)
            add_field(&t, n - t.n < 4100 ? n - t.n : 4000);
        check(&t, 997, n < HTTP_HEAD_MAX ? "more" : "400");
    }
    free(t.p);
}

/* --- answers ------------------------------------------------------------------------ */

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

static void test_answer_limits(void **state)
{
    (void)state;
    struct text t = {malloc(WALL_ROOM), 0};
    struct outcome o;
    assert_non_null(t.p);

    for (size_t n = HTTP_LINE_MAX - 1; n <= HTTP_LINE_MAX + 1; n++) {
        add(&t, "HTTP/1.1 204 ");
        add_bytes(&t, 'a', n - t.n - 2);
        add(&t, "\r\n\r\n");
        parse_every_way(&o, ANSWER, t.p, t.n, 501);
        assert_string_equal(o.text, n <= HTTP_LINE_MAX ? "204 1.1 none keep" : "bad");
        t.n = 0;
        add(&t, "HTTP/1.1 204\r\n");
        add_field(&t, n);
        add(&t, "\r\n");
        parse_every_way(&o, ANSWER, t.p, t.n, 501);
        assert_string_equal(o.text, n <= HTTP_LINE_MAX ? "204 1.1 none keep" : "bad");
        t.n = 0;
    }
    for (size_t n = HTTP_HEAD_MAX - 1; n <= HTTP_HEAD_MAX + 1; n++) {
        add(&t, "HTTP/1.1 204\r\n");
        while (t.n < n - 2)
            add_field(&t, n - 2 - t.n < 4100 ? n - 2 - t.n : 4000);
        add(&t, "\r\n");
        parse_every_way(&o, ANSWER, t.p, t.n, 997);
        assert_string_equal(o.text, n <= HTTP_HEAD_MAX ? "204 1.1 none keep" : "bad");
        t.n = 0;
    }
    free(t.p);
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

    /* None at all, and HTTP/0.9. */
    static const char *const bare[] = {"GET / HTTP/1.0\r\n\r\n", "GET /\r\n"};
    for (i = 0; i < 2; i++) {
        seen = pos = 0;
        assert_true(http_parse_request(bare[i], strlen(bare[i]), &seen, &head) > 0);
        assert_false(http_field_next(&head, &pos, &name, &value));
        assert_false(http_field(&head, STR("host"), &value));
    }
}

static void test_tokens(void **state)
{
    (void)state;
    assert_true(http_has_token(STR("close"), STR("close")));
    assert_true(http_has_token(STR("a, ,\tCLOSE\t,b"), STR("close")));
    assert_true(http_has_token(STR("a,close"), STR("close")));
    assert_false(http_has_token(STR("a close"), STR("close")));
    assert_false(http_has_token(STR("closed, xclose"), STR("close")));
    assert_false(http_has_token(STR(""), STR("close")));
    assert_false(http_has_token(STR(" , "), STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_line),   cmocka_unit_test(test_version),
        cmocka_unit_test(test_request_fields), cmocka_unit_test(test_request_framing),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answer_limits),  cmocka_unit_test(test_fields),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests_name("http_parse", tests, NULL, NULL);
}
