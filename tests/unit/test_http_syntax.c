/*
 * Percent-encoding, numbers, dates, reasons. Input stands at the end of a page behind
 * which nothing may be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "common/http/parse.h"
#include "tests/unit/wall.h"

static void test_percent(void **state)
{
    (void)state;
    char out[32];

    assert_int_equal(http_percent_decode(STR(""), out), 0);
    assert_int_equal(http_percent_decode(STR("/a%20b+%2f%2F%00%fF"), out), 9);
    assert_memory_equal(out, "/a b+//\0\xff", 9);
    assert_int_equal(http_percent_decode(STR("%"), out), -1);
    assert_int_equal(http_percent_decode(STR("%2"), out), -1);
    assert_int_equal(http_percent_decode(STR("a%2g"), out), -1);
    assert_int_equal(http_percent_decode(STR("a%g2"), out), -1);
    assert_int_equal(http_percent_decode(STR("%%30"), out), -1);
    assert_int_equal(http_percent_decode(STR("%2530"), out), 3);
    /* cut short by the end of the bytes */
    assert_int_equal(http_percent_decode((struct str){at_wall("%2", 2), 2}, out), -1);
    assert_int_equal(http_percent_decode((struct str){at_wall("a%", 2), 2}, out), -1);
}

static void test_u64(void **state)
{
    (void)state;
    uint64_t v = 7;

    assert_true(http_parse_u64(STR("0"), &v) && v == 0);
    assert_true(http_parse_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
    assert_true(http_parse_u64(STR("000000000000000000000001"), &v) && v == 1);
    assert_false(http_parse_u64(STR("18446744073709551616"), &v));
    assert_false(http_parse_u64(STR("28446744073709551615"), &v));
    assert_false(http_parse_u64(STR(""), &v));
    assert_false(http_parse_u64(STR(" 1"), &v));
    assert_false(http_parse_u64(STR("1 "), &v));
    assert_false(http_parse_u64(STR("+1"), &v));
    assert_false(http_parse_u64(STR("1a"), &v));
    assert_int_equal(v, 1);
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 06 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 01 Jan 1970 00:00:01 GMT", 1},
        {"Wed, 31 Dec 1969 23:59:58 GMT", -2},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
        {"Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Thursday, 01-Jan-70 00:00:00 GMT", 0},
        {"Friday, 31-Dec-69 23:59:59 GMT", 3155759999},
        /* lenient as nginx is */
        {", 06 Nov 1994 08:49:37", 784111777},
        {"Xyz,06 Nov 1994 08:49:37 XYZ", 784111777},
        {"Sun, 06 Nxx 1994 08:49:37 GMT", 784111777},
        {"Sun, 00 Nov 1994 08:49:37 GMT", 783593377},
        {"Sun NovA06 08:49:37 1994", 784111777},
        /* none */
        {"", -1},
        {"Sun", -1},
        {"784111777", -1},
        {"Sun, 06 Nov 1994 08:49:3", -1},
        {"Sun, 06 Nov 1994 08:49", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Xov 1994 08:49:37 GMT", -1},
        {"Sun, 06 nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 94 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:00:60 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Wed, 29 Feb 1900 00:00:00 GMT", -1},
        {"Wed, 29 Feb 2023 00:00:00 GMT", -1},
        {"Wed, 30 Feb 2024 00:00:00 GMT", -1},
        {"Sunday, 06-Nov 94 08:49:37 GMT", -1},
        {"Sunday, 06 Nov-94 08:49:37 GMT", -1},
        {"Sun Nov  6 08:49:37", -1},
        {"Sun Nov  6 08:49:37 19", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = strlen(cases[i].text);
        int64_t t = http_parse_date((struct str){at_wall(cases[i].text, n), n});
        if (t != cases[i].want)
            print_error("%s: %lld\n", cases[i].text, (long long)t);
        assert_int_equal(t, cases[i].want);
        for (size_t cut = 0; cut < n; cut++) /* reads nothing behind its bytes */
            http_parse_date((struct str){at_wall(cases[i].text, cut), cut});
    }

    /* There and back, every 12th hour and a bit of 250 years, then the odd ends. */
    char text[30];
    for (int64_t t = 0; t < INT64_C(250) * 366 * 86400; t += 43211) {
        http_format_date(t, text);
        assert_int_equal(strlen(text), 29);
        assert_int_equal(http_parse_date(str_of(text)), t);
    }
    /* The C library's calendar is the judge. */
    for (int64_t t = 0; t < INT64_C(253402300800); t += 36525361) {
        char want[30];
        struct tm tm;
        time_t when = (time_t)t;
        assert_non_null(gmtime_r(&when, &tm));
        strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        http_format_date(t, text);
        assert_string_equal(text, want);
    }
    http_format_date(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    http_format_date(-1, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_format_date(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
    http_format_date(INT64_MIN, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void test_percent_encode(void **state)
{
    char all[256], text[3 * 256], back[3 * 256];
    size_t n;

    (void)state;
    n = http_percent_encode(STR("/a b/\xc3\xa9?%&.-_~"), text);
    assert_int_equal(n, strlen("/a%20b/%C3%A9%3F%25%26.-_~"));
    assert_memory_equal(text, "/a%20b/%C3%A9%3F%25%26.-_~", n);
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    n = http_percent_encode((struct str){all, sizeof(all)}, text);
    assert_int_equal(http_percent_decode((struct str){text, n}, back), sizeof(all));
    assert_memory_equal(back, all, sizeof(all));
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(http_reason(200), "OK");
    assert_string_equal(http_reason(404), "Not Found");
    assert_string_equal(http_reason(414), "Request-URI Too Large");
    assert_string_equal(http_reason(299), "");
    assert_string_equal(http_reason(-1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent), cmocka_unit_test(test_percent_encode),
        cmocka_unit_test(test_u64),     cmocka_unit_test(test_dates),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests_name("http_syntax", tests, NULL, NULL);
}
