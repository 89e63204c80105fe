/*
 * Chunked framing: what is taken and what is refused is what nginx 1.22.1 did with the
 * same bytes. Each body is fed cut in two at every byte, and byte by byte, at the end of
 * a page behind which nothing may be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/http/parse.h"
#include "tests/unit/wall.h"

/* Feeds bytes[0..n) in pieces that end at the cuts; data goes to out. Returns the bytes
 * of the body, 0 when it is not over, -1 when it is malformed. */
static ssize_t feed(const char *bytes, size_t n, size_t cut, size_t step, char *out,
                    size_t *out_n)
{
    struct http_chunks c;
    size_t at = 0;

    http_chunks_init(&c);
    *out_n = 0;
    while (at < n && !http_chunks_end(&c)) {
        size_t end = at < cut ? cut : at + step < n ? at + step : n;
        const char *p = at_wall(bytes + at, end - at);
        size_t i = 0, len = end - at;
        while (i < len && !http_chunks_end(&c)) {
            if (c.left > 0) {
                size_t take = len - i < c.left ? len - i : (size_t)c.left;
                memcpy(out + *out_n, p + i, take);
                *out_n += take;
                http_chunks_took(&c, take);
                i += take;
                continue;
            }
            ssize_t eaten = http_chunks_eat(&c, p + i, len - i);
            if (eaten < 0)
                return -1;
            i += (size_t)eaten;
            assert_true(c.left > 0 || i == len || http_chunks_end(&c));
        }
        at += i;
    }
    return http_chunks_end(&c) ? (ssize_t)at : 0;
}

struct chunk_case {
    const char *bytes;
    size_t n;
    const char *data; /* NULL: malformed */
};

#define CHUNKS(bytes, data)            \
    {                                  \
        bytes, sizeof(bytes) - 1, data \
    }

static void test_chunks(void **state)
{
    (void)state;
    static const struct chunk_case cases[] = {
        CHUNKS("0\r\n\r\n", ""),
        CHUNKS("5\r\nhello\r\n0\r\n\r\n", "hello"),
        CHUNKS("5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n", "helloyou"),
        CHUNKS("5\nhello\n0\n\n", "hello"),
        CHUNKS("5\r\nhello\n0\n\r\n", "hello"),
        CHUNKS("5;\nhello\r\n0;\n\n", "hello"),
        CHUNKS("5 \t x\r\nhello\r\n0 y\r\n\r\n", "hello"),
        CHUNKS("5;a=b;\0\x01\r\nhello\r\n0;c=d\r\n\r\n", "hello"),
        CHUNKS("0000000000000000000000000000000005\r\nhello\r\n000\r\n\r\n", "hello"),
        CHUNKS("A\r\n0123456789\r\na\n0123456789\n00\n\n", "01234567890123456789"),
        CHUNKS("0\r\na: b\r\nc\r\n : \r\n\r\n", ""),
        CHUNKS("0\r\na\0: b\n\n", ""),
        CHUNKS("\r\n0\r\n\r\n", NULL),
        CHUNKS("x", NULL),
        CHUNKS(" 5\r\n", NULL),
        CHUNKS("-5\r\n", NULL),
        CHUNKS("+5\r\n", NULL),
        CHUNKS("0x5\r\n", NULL),
        CHUNKS("5x", NULL),
        CHUNKS("5,", NULL),
        CHUNKS("5\rh", NULL),
        CHUNKS("5\r\r", NULL),
        CHUNKS("5;a\rb", NULL),
        CHUNKS("5;\"\r\n\"\r\nhello", NULL),
        CHUNKS("5\r\nhelloX", NULL),
        CHUNKS("5\r\nhello0", NULL),
        CHUNKS("5\r\nhello\r0", NULL),
        CHUNKS("5\r\nhello\r\n\r", NULL),
        CHUNKS("0\r\r", NULL),
        CHUNKS("0;\rx", NULL),
        CHUNKS("0\r\na\rb", NULL),
        CHUNKS("0\r\n\rx", NULL),
        CHUNKS("800000000000000\r", NULL),
        CHUNKS("7fffffffffffffff\r", NULL),
        CHUNKS("ffffffffffffffff0", NULL),
        CHUNKS("10000000000000000000000000000005\r\n", NULL),
    };
    char out[256];
    size_t out_n;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct chunk_case *c = &cases[i];
        for (size_t cut = 0; cut <= c->n; cut++) {
            for (size_t step = 1; step <= c->n; step += c->n - 1 ? c->n - 1 : 1) {
                ssize_t n = feed(c->bytes, c->n, cut, step, out, &out_n);
                if (n != (c->data ? (ssize_t)c->n : -1))
                    print_error("case %zu, cut at %zu: %s\n", i, cut, c->bytes);
                assert_int_equal(n, c->data ? (ssize_t)c->n : -1);
                if (c->data) {
                    assert_int_equal(out_n, strlen(c->data));
                    assert_memory_equal(out, c->data, out_n);
                }
            }
        }
    }
    /* What follows the body is not touched. */
    assert_int_equal(feed("0\r\n\r\nGET /", 10, 0, 10, out, &out_n), 5);

    /* The largest size; left says nothing before its line is over. */
    struct http_chunks c;
    http_chunks_init(&c);
    assert_int_equal(http_chunks_eat(&c, "7ffffffffffffff\r", 16), 16);
    assert_int_equal(c.left, 0);
    assert_int_equal(http_chunks_eat(&c, "\nabc", 4), 1);
    assert_int_equal(c.left, UINT64_C(0x7ffffffffffffff));
    assert_int_equal(http_chunks_eat(&c, "abc", 3), 0);
    http_chunks_took(&c, c.left);
    assert_int_equal(http_chunks_eat(&c, "\r\n0\r\n\r\n", 7), 7);
    assert_true(http_chunks_end(&c));
    assert_int_equal(http_chunks_eat(&c, "5", 1), 0);
}

static void test_chunk_limits(void **state)
{
    (void)state;
    /* Framing that never ends, by state: digits, extension, trailer line, trailers. */
    static const struct {
        const char *start, *more;
        size_t limit;
    } cases[] = {
        {"0", "0", HTTP_LINE_MAX},           {"5;", "a", HTTP_LINE_MAX},
        {"0\r\na", "b", HTTP_HEAD_MAX},      {"0\r\n", "a: b\r\n", HTTP_HEAD_MAX},
        {"1\r\nx\r\n0", "0", HTTP_LINE_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_chunks c;
        size_t eaten = 0;
        ssize_t n = 0;
        http_chunks_init(&c);
        for (const char *p = cases[i].start; *p; p++) {
            if (c.left > 0)
                http_chunks_took(&c, 1);
            else
                assert_true(http_chunks_eat(&c, p, 1) == 1);
        }
        while (eaten < 3 * HTTP_HEAD_MAX && n >= 0) {
            n = http_chunks_eat(&c, cases[i].more, strlen(cases[i].more));
            eaten += n > 0 ? (size_t)n : 0;
        }
        assert_int_equal(n, -1);
        assert_true(eaten <= cases[i].limit + 16 && eaten + 16 >= cases[i].limit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_chunk_limits),
    };
    return cmocka_run_group_tests_name("http_chunks", tests, NULL, NULL);
}
