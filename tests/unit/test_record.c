/* The record's text and that of marks, removals and meta: both ways, and what is
 * refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "master/index/entry_text.h"
#include "master/record.h"

#define MD5 "0123456789abcdef0123456789abcdef"

static void takes(const char *text, enum record_state state, const char *md5, int n)
{
    struct record record;
    assert_int_equal(record_parse(str_of(text), &record), 0);
    assert_int_equal(record.state, state);
    assert_string_equal(record.md5, md5);
    assert_int_equal(record.n, n);
    char out[RECORD_TEXT_MAX];
    long len = record_format(&record, out, sizeof(out));
    assert_true(str_eq((struct str){out, (size_t)len}, str_of(text)));
    assert_int_equal(record_format(&record, out, (size_t)len), len);
    assert_int_equal(record_format(&record, out, (size_t)len - 1), -ENOSPC);
}

static void refuses(struct str text)
{
    struct record record;
    assert_int_equal(record_parse(text, &record), -EINVAL);
}

static void test_record_text(void **state)
{
    (void)state;
    takes("localhost:3001", RECORD_LIVE, "", 1);
    takes("localhost:3001/sv03,localhost:3002/sv00", RECORD_LIVE, "", 2);
    takes("HASH" MD5 "a:1,b:2,c:3", RECORD_LIVE, MD5, 3);
    takes("DELETEDHASH" MD5 "a:1", RECORD_UNLINKED, MD5, 1);
    takes("DELETEDa:1,b:2", RECORD_UNLINKED, "", 2);
    takes("[::1]:3001/prefix/sv0A", RECORD_LIVE, "", 1);

    refuses(STR(""));
    refuses(STR("DELETED"));
    refuses(STR("HASH" MD5));
    refuses(STR("HASH0123a:1"));
    refuses(STR("HASH0123456789abcdef0123456789abcdegx:1"));
    refuses(STR("a:1,"));
    refuses(STR(",a:1"));
    refuses(STR("a:1,,b:1"));
    refuses(STR("a 1"));
    refuses(STR("a:1\r\nX: y"));
    refuses(STR("a:1\0b"));
}

static void test_record_places(void **state)
{
    (void)state;
    char text[RECORD_TEXT_MAX + 64] = "";
    size_t at = 0;
    for (int i = 0; i < RECORD_PLACES_MAX; i++)
        at += (size_t)sprintf(text + at, "%sv%d:80", i > 0 ? "," : "", i);
    takes(text, RECORD_LIVE, "", RECORD_PLACES_MAX);
    memcpy(text + at, ",more:80", sizeof(",more:80"));
    refuses(str_of(text));

    memset(text, 'x', RECORD_PLACE_MAX + 1);
    text[RECORD_PLACE_MAX] = '\0';
    takes(text, RECORD_LIVE, "", 1);
    refuses((struct str){memset(text, 'x', RECORD_PLACE_MAX + 1), RECORD_PLACE_MAX + 1});

    struct record record;
    record_parse(STR("a:1,b:2"), &record);
    assert_true(record_names(&record, STR("b:2")));
    assert_false(record_names(&record, STR("b:")));
    record.state = RECORD_ABSENT;
    assert_false(record_names(&record, STR("a:1")));
}

static void expect_places(const struct places *p, const char *want)
{
    size_t n = places_size(p);
    char *text = malloc(n + 1);
    places_format(p, text);
    text[n] = '\0';
    assert_string_equal(text, want);

    struct places again = {0};
    assert_int_equal(places_parse((struct str){text, n}, &again), 0);
    assert_int_equal(again.n_marks, p->n_marks);
    assert_int_equal(again.n_removals, p->n_removals);
    assert_int_equal(places_size(&again), n);
    places_free(&again);
    free(text);
}

static void test_places(void **state)
{
    (void)state;
    struct places p = {0};
    expect_places(&p, "");
    assert_true(places_mark(&p, STR("a:1")));
    assert_false(places_mark(&p, STR("a:1")));
    places_mark(&p, STR("b:1"));
    expect_places(&p, "mark a:1\nmark b:1\n");
    assert_true(places_remove(&p, STR("b:1"), 7, 0)); /* ends its mark */
    expect_places(&p, "mark a:1\nremoval 7 0 b:1\n");
    assert_true(places_remove(&p, STR("b:1"), 5, 100));
    assert_true(places_remove(&p, STR("b:1"), 6, 50)); /* this due, the later late */
    expect_places(&p, "mark a:1\nremoval 6 100 b:1\n");
    assert_false(places_remove(&p, STR("b:1"), 6, 50));
    assert_true(places_remove(&p, STR("c:1"), -3, INT64_MIN));
    expect_places(&p, "mark a:1\nremoval 6 100 b:1\nremoval 0 0 c:1\n");
    assert_true(places_orphan_marks(&p, 9));
    assert_false(places_orphan_marks(&p, 9));
    expect_places(&p, "removal 6 100 b:1\nremoval 0 0 c:1\nremoval 0 9 a:1\n");
    struct record record;
    record_parse(STR("c:1,x:1"), &record);
    assert_true(places_drop_named(&p, &record));
    assert_false(places_drop_named(&p, &record));
    assert_true(places_cleared(&p, STR("b:1")));
    assert_false(places_cleared(&p, STR("b:1")));
    expect_places(&p, "removal 0 9 a:1\n");
    places_free(&p);
}

static void test_places_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "mark",
        "mark a:1",
        "mark \n",
        "\n",
        "mark a b\n",
        "removal 1 a:1\n",
        "removal 1 2\n",
        "removal -1 2 a:1\n",
        "removal 1  a\n",
        "removal 1 2 a,b\n",
        "removal 1 2 a:1x",
        "note a:1\n",
        "mark a:1\n\n",
        "removal 9223372036854775808 0 a:1\n",
    };
    struct places p = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(places_parse(str_of(bad[i]), &p), -EINVAL);
        assert_int_equal(p.n_marks + p.n_removals, 0);
    }
    assert_int_equal(places_parse(STR("removal 9223372036854775807 0 a:1\n"), &p), 0);
    assert_true(p.removal[0].due == INT64_MAX);
    places_free(&p);
}

static void test_meta(void **state)
{
    (void)state;
    char text[META_TEXT_MAX];
    uint64_t size;
    int64_t time;
    size_t n = meta_format(MD5, UINT64_MAX, INT64_MAX, text);
    assert_true(meta_parse((struct str){text, n}, MD5, &size, &time));
    assert_true(size == UINT64_MAX && time == INT64_MAX);
    n = meta_format(MD5, 0, -5, text);
    assert_true(meta_parse((struct str){text, n}, MD5, &size, &time));
    assert_true(size == 0 && time == 0);
    assert_false(meta_parse((struct str){text, n}, "0123456789abcdef0123456789abcdee",
                            &size, &time));
    for (size_t i = 0; i < n; i++)
        assert_false(meta_parse((struct str){text, i}, MD5, &size, &time));
    assert_false(meta_parse(STR(MD5 " 1 2 3"), MD5, &size, &time));
    assert_false(meta_parse(STR(MD5 " 18446744073709551616 2"), MD5, &size, &time));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_text), cmocka_unit_test(test_record_places),
        cmocka_unit_test(test_places),      cmocka_unit_test(test_places_refused),
        cmocka_unit_test(test_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
