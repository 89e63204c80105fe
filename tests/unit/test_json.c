/*
 * JSON strings: jansson is the judge of what is valid UTF-8 and of how the rest reads; a
 * reader of our own undoes the escapes, which shows that no two byte strings look the
 * same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/json.h"

static void expect(const char *bytes, size_t n, const char *want)
{
    char *out = xmalloc(JSON_STRING_MAX(n));
    size_t len = json_quote((struct str){bytes, n}, out);

    assert_int_equal(len, strlen(want));
    assert_memory_equal(out, want, len);
    free(out);
}

#define EXPECT(lit, want) expect(lit, sizeof(lit) - 1, want)

static void known_strings(void **state)
{
    (void)state;
    EXPECT("", "\"\"");
    EXPECT("/a key", "\"/a key\"");
    EXPECT("\"\\/", "\"\\\"\\\\/\"");
    EXPECT("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    EXPECT("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\"");
    EXPECT("é€😀", "\"é€😀\"");
    EXPECT("\x80", "\"\\udc80\"");
    EXPECT("a\xff"
           "b",
           "\"a\\udcffb\"");
    EXPECT("\xc3", "\"\\udcc3\""); /* cut short */
    EXPECT("\xe2\x82", "\"\\udce2\\udc82\"");
    EXPECT("\xf0\x9f\x98", "\"\\udcf0\\udc9f\\udc98\"");
    EXPECT("\xc0\x80", "\"\\udcc0\\udc80\""); /* overlong */
    EXPECT("\xe0\x80\x80", "\"\\udce0\\udc80\\udc80\"");
    EXPECT("\xf0\x80\x80\x80", "\"\\udcf0\\udc80\\udc80\\udc80\"");
    EXPECT("\xed\xb2\x80",
           "\"\\udced\\udcb2\\udc80\""); /* a surrogate, as \udc80 would be */
    EXPECT("\xf4\x90\x80\x80", "\"\\udcf4\\udc90\\udc80\\udc80\"");
    EXPECT("\\udc80", "\"\\\\udc80\""); /* the text of an escape is not the escape */
}

/* Undoes json_quote; what it reads must use no other form. Returns the length; *alien
 * tells whether there was a byte outside UTF-8. */
static size_t unescape(const char *in, size_t n, char *out, bool *alien)
{
    size_t len = 0;

    *alien = false;
    assert_true(n >= 2 && in[0] == '"' && in[n - 1] == '"');
    for (size_t i = 1; i < n - 1;) {
        unsigned int code;
        if (in[i] != '\\') {
            assert_true((unsigned char)in[i] >= 0x20 && in[i] != '"');
            out[len++] = in[i++];
        } else if (in[i + 1] != 'u') {
            static const char from[] = "\"\\bfnrt", to[] = "\"\\\b\f\n\r\t";
            const char *at = strchr(from, in[i + 1]);
            assert_true(at && *at);
            out[len++] = to[at - from];
            i += 2;
        } else {
            assert_int_equal(sscanf(in + i + 2, "%4x", &code), 1);
            assert_true(code < 0x20 || (code >= 0xdc80 && code <= 0xdcff));
            *alien |= code >= 0x80;
            out[len++] = (char)code;
            i += 6;
        }
    }
    return len;
}

static void check(const char *bytes, size_t n)
{
    char *tight = xmalloc(n), *out = xmalloc(JSON_STRING_MAX(n)), *back = xmalloc(6 * n);

    bool alien;

    memcpy(tight, bytes, n);
    size_t len = json_quote((struct str){tight, n}, out);
    assert_true(len <= JSON_STRING_MAX(n));
    assert_int_equal(unescape(out, len, back, &alien), n);
    assert_memory_equal(back, bytes, n);

    json_t *valid = json_stringn(bytes, n); /* NULL when it is not UTF-8 */
    assert_int_equal(!valid, alien);
    if (valid) {
        json_t *read = json_loadb(out, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        assert_true(json_equal(valid, read));
        json_decref(read);
        json_decref(valid);
    }
    free(back);
    free(out);
    free(tight);
}

static void every_short_string(void **state)
{
    /* The bytes on both sides of every limit in UTF-8. */
    static const unsigned char edge[] = {
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
        0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    enum { EDGE = sizeof(edge) };
    char s[4];

    (void)state;
    for (int a = 0; a < 256; a++) {
        s[0] = (char)a;
        check(s, 1);
        for (int b = 0; b < 256; b++) {
            s[1] = (char)b;
            check(s, 2);
        }
    }
    for (int a = 0; a < EDGE; a++) {
        for (int b = 0; b < EDGE; b++) {
            for (int c = 0; c < EDGE; c++) {
                s[0] = (char)edge[a];
                s[1] = (char)edge[b];
                s[2] = (char)edge[c];
                check(s, 3);
                for (int d = 0; a >= 13 && d < EDGE; d++) {
                    s[3] = (char)edge[d];
                    check(s, 4);
                }
            }
        }
    }
}

static void random_strings(void **state)
{
    unsigned short seed[3] = {1, 2, 3};
    char s[64];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)nrand48(seed) % sizeof(s);
        for (size_t k = 0; k < n; k++)
            s[k] = (char)nrand48(seed);
        check(s, n);
    }
}

/* Wherever it is cut, what is left reads, and is the beginning of the whole. */
static void readable(void **state)
{
    const struct str bytes = STR("/a é€😀 \xff\xe2\x82 \"\n\xc3");
    static const char want[] = "/a é€😀 %FF%E2%82 \"\n%C3";
    char out[sizeof(want)], quoted[JSON_STRING_MAX(sizeof(want))];

    (void)state;
    for (size_t size = 1; size <= sizeof(want); size++) {
        memset(out, 'x', sizeof(out));
        json_readable(bytes, out, size);
        assert_true(strlen(out) < size && strlen(out) + 4 >= size);
        assert_memory_equal(out, want, strlen(out));
        size_t n = json_quote(str_of(out), quoted);
        json_t *read = json_loadb(quoted, n, JSON_DECODE_ANY, NULL);
        assert_non_null(read);
        assert_string_equal(json_string_value(read), out);
        json_decref(read);
    }
    assert_string_equal(out, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_strings),
        cmocka_unit_test(every_short_string),
        cmocka_unit_test(random_strings),
        cmocka_unit_test(readable),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
