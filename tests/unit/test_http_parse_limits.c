/* How long lines and heads may be, and how many fields there may be of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/head_cases.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_answer_limits),
    };
    return cmocka_run_group_tests_name("http_parse_limits", tests, NULL, NULL);
}
