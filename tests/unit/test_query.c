/* A target's parts: where it is split, and what is left of odd ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/query.h"

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    if (s.n > 0)
        assert_memory_equal(s.p, expected, s.n);
}

static void split(const char *target, const char *path, const char *query)
{
    struct str p, q;

    query_split(str_of(target), &p, &q);
    assert_str(p, path);
    assert_str(q, query);
}

static void test_split(void **state)
{
    struct str path, query;

    (void)state;
    split("/a", "/a", "");
    split("/a?", "/a", "");
    split("/a?b", "/a", "b");
    split("/a?b?c", "/a", "b?c");
    split("?list", "", "list");
    split("", "", "");
    query_split((struct str){NULL, 0}, &path, &query); /* a head that was refused */
    assert_int_equal(path.n + query.n, 0);
}

/* Ends with NULL. */
static void parameters(const char *text, const char *const *expected)
{
    struct str query = str_of(text), one;

    for (; *expected; expected++) {
        assert_true(query_next(&query, &one));
        assert_str(one, *expected);
    }
    assert_false(query_next(&query, &one));
}

static void test_parameters(void **state)
{
    (void)state;
    parameters("", (const char *const[]){NULL});
    parameters("list", (const char *const[]){"list", NULL});
    parameters("list&limit=1&start=%2f",
               (const char *const[]){"list", "limit=1", "start=%2f", NULL});
    parameters("&a&&b", (const char *const[]){"", "a", "", "b", NULL});
    parameters("a&", (const char *const[]){"a", NULL});
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
