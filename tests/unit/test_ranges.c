/* The Range header's arithmetic: what nginx 1.22 was seen to answer, and the edges of
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "volumed/ranges.h"

/* What a value gives for a file of `size` bytes: "200", "416", or "start-end" of each
 * range, the end included, as in a Content-Range. The value lies in a block of exactly
 * its size. */
static void expect(const char *value, int64_t size, const char *want)
{
    struct range one, *ranges;
    char got[512] = "";
    size_t at = 0, n = strlen(value);
    int count;

    char *exact = xmalloc(n ? n : 1);
    memcpy(exact, value, n);
    switch (ranges_parse((struct str){exact, n}, size, &one, &ranges, &count)) {
    case RANGES_WHOLE:
        strcpy(got, "200");
        break;
    case RANGES_NONE:
        strcpy(got, "416");
        break;
    case RANGES_SOME:
        for (int i = 0; i < count; i++) {
            assert_true(ranges[i].start >= 0 && ranges[i].start < ranges[i].end);
            assert_true(ranges[i].end <= size);
            at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%lld-%lld",
                                   i ? "," : "", (long long)ranges[i].start,
                                   (long long)ranges[i].end - 1);
        }
        if (count > 1)
            free(ranges);
        break;
    }
    free(exact);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\" of %lld bytes: %s, not %s", value, (long long)size, got, want);
}

static void single(void **state)
{
    (void)state;
    expect("bytes=0-2", 10, "0-2");
    expect("bytes=0-0", 10, "0-0");
    expect("bytes=5-", 10, "5-9");
    expect("bytes=9-9", 10, "9-9");
    expect("bytes=0-100", 10, "0-9");
    expect("BYTES=1-2", 10, "1-2");
    expect("bytes= 1 - 2 ", 10, "1-2");
}

static void suffix(void **state)
{
    (void)state;
    expect("bytes=-3", 10, "7-9");
    expect("bytes=-10", 10, "0-9");
    expect("bytes=-100", 10, "0-9");
    expect("bytes=-0", 10, "416");
    expect("bytes=-", 10, "416");
}

static void outside(void **state)
{
    (void)state;
    expect("bytes=10-", 10, "416");
    expect("bytes=20-30", 10, "416");
    expect("bytes=5-4", 10, "416");
    expect("bytes=0-1,20-40", 10, "0-1");
    expect("bytes=20-,30-", 10, "416");
}

static void several(void **state)
{
    (void)state;
    expect("bytes=0-1,3-4", 10, "0-1,3-4");
    expect("bytes=3-4,0-1", 10, "3-4,0-1");
    expect("bytes= 1 - 2 , 4 - ", 10, "1-2,4-9");
    expect("bytes=0-4,-5", 10, "0-4,5-9");
    expect("bytes=0-5,2-5", 10, "0-5,2-5");
    expect("bytes=0-9,0-9", 10, "200"); /* more than the file */
    expect("bytes=1-2,", 10, "416");
    expect("bytes=,1-2", 10, "416");
}

static void garbage(void **state)
{
    (void)state;
    expect("", 10, "200");
    expect("bytes=", 10, "200"); /* too short to be one */
    expect("bits=0-1", 10, "200");
    expect("bytes =0-1", 10, "200");
    expect("bytes=a-4", 10, "416");
    expect("bytes=1-b", 10, "416");
    expect("bytes=1", 10, "416");
    expect("bytes=1-2x", 10, "416");
    expect("bytes=--1", 10, "416");
    expect("bytes=\t1-2", 10, "416");
}

static void overflow(void **state)
{
    (void)state;
    expect("bytes=9223372036854775807-", 10, "416");
    expect("bytes=9223372036854775808-", 10, "416");
    expect("bytes=99999999999999999999999-", 10, "416");
    expect("bytes=0-9223372036854775807", 10, "0-9");
    expect("bytes=0-9223372036854775808", 10, "416");
    expect("bytes=-9223372036854775807", 10, "0-9");
    expect("bytes=0-9223372036854775806,0-9223372036854775806", INT64_MAX, "416");
}

static void empty_file(void **state)
{
    (void)state;
    expect("bytes=0-", 0, "200");
    expect("bytes=0-0", 0, "200");
    expect("bytes=-1", 0, "200");
    expect("bytes=1-", 0, "416");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single),     cmocka_unit_test(suffix),
        cmocka_unit_test(outside),    cmocka_unit_test(several),
        cmocka_unit_test(garbage),    cmocka_unit_test(overflow),
        cmocka_unit_test(empty_file),
    };
    return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
