/*
 * The reader of listings: what nginx and volumed send, cut at every byte, and what is no
 * listing of a folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "master/jobs/listing_reader.h"

/* What was read, as text: "kind name size mtime\n" an entry, then how it ended. */
struct outcome {
    char text[4096];
    size_t n;
};

static void note(struct outcome *o, const struct listing_entry *e)
{
    static const char kinds[] = "dfo";
    o->n +=
        (size_t)snprintf(o->text + o->n, sizeof(o->text) - o->n, "%c ", kinds[e->kind]);
    assert_true(o->n + e->name.n < sizeof(o->text));
    memcpy(o->text + o->n, e->name.p, e->name.n);
    o->n += e->name.n;
    o->n += (size_t)snprintf(o->text + o->n, sizeof(o->text) - o->n, " %llu %lld\n",
                             (unsigned long long)e->size, (long long)e->mtime);
}

/* Feeds one piece from memory of its own; false: no listing. */
static bool feed(struct listing_reader *r, struct outcome *o, const char *p, size_t n)
{
    char *piece = xmemdupz(p, n);
    piece = xrealloc(piece, n > 0 ? n : 1);
    struct str in = {piece, n};
    struct listing_entry entry;
    int got;
    while ((got = listing_reader_next(r, &in, &entry)) == 1)
        note(o, &entry);
    if (got == 0)
        assert_int_equal(in.n, 0);
    free(piece);
    return got == 0;
}

static void finish(const struct listing_reader *r, struct outcome *o, bool good)
{
    const char *end = !good ? "broken" : listing_reader_ended(r) ? "end" : "more";
    o->n += (size_t)snprintf(o->text + o->n, sizeof(o->text) - o->n, "%s", end);
}

/* The outcome is the same whole, and cut at any byte. */
static void expect(const char *p, size_t n, const char *want)
{
    struct listing_reader *r = listing_reader_new();
    for (size_t cut = 0; cut <= n; cut++) {
        struct outcome o = {.n = 0};
        listing_reader_restart(r);
        bool good = feed(r, &o, p, cut) && feed(r, &o, p + cut, n - cut);
        finish(r, &o, good);
        assert_string_equal(o.text, want);
    }
    listing_reader_free(&r);
}

static void expect_z(const char *text, const char *want)
{
    expect(text, strlen(text), want);
}

static void a_listing_as_nginx_sends_it(void **state)
{
    (void)state;
    expect_z(
        "[\r\n"
        "{ \"name\":\"sv00\", \"type\":\"directory\", "
        "\"mtime\":\"Wed, 14 Jan 2026 10:20:30 GMT\" },\r\n"
        "{ \"name\":\"L2E=\", \"type\":\"file\", "
        "\"mtime\":\"Thu, 01 Jan 1970 00:01:00 GMT\", \"size\":9007199254740993 },\r\n"
        "{ \"name\":\"pipe\", \"type\":\"other\", "
        "\"mtime\":\"Thu, 01 Jan 1970 00:00:00 GMT\" }\r\n"
        "]",
        "d sv00 0 1768386030\nf L2E= 9007199254740993 60\no pipe 0 0\nend");
    expect_z("[\r\n]", "end");
    expect_z("[]", "end");
    expect_z(" [ ] \r\n\t", "end");
}

static void the_same_in_other_words(void **state)
{
    (void)state;
    expect_z(
        "[{\"size\":7,\"new\":null,\"type\":\"file\",\"x\":-1.5e3,\"mtime\":\"never\","
        "\"a name that is longer than any of ours\":\"v\\u00e4lue\",\"name\":\"a\"}]",
        "f a 7 0\nend");
    expect_z("[{\"n\\u0061me\":\"b\",\"type\":\"directory\"},"
             "{\"type\":\"block\",\"name\":\"c\"}]",
             "d b 0 0\no c 0 0\nend");
}

static void names_of_any_bytes(void **state)
{
    (void)state;
    expect_z(
        "[{\"name\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u001F\\u007f\",\"type\":\"directory\"}]",
        "d \"\\\b\f\n\r\t\x1f\x7f 0 0\nend");
    /* Raw UTF-8, and bytes that are none, as nginx sends them. */
    expect_z("[{\"name\":\"\xc3\xa4\xff\xfe\x80\",\"type\":\"directory\"}]",
             "d \xc3\xa4\xff\xfe\x80 0 0\nend");
    /* Escaped: characters of two, three and four bytes, and bytes as our lists write
     * them. */
    expect_z("[{\"name\":\"\\u00e4\\u20AC\\ud83d\\ude00\\udcff\\udc80\","
             "\"type\":\"directory\"}]",
             "d \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xff\x80 0 0\nend");
}

static void cut_off(void **state)
{
    static const char whole[] = "[{\"name\":\"a\",\"type\":\"file\",\"size\":1}]";
    (void)state;
    for (size_t n = 0; n < sizeof(whole) - 1; n++)
        expect(whole, n, n < sizeof(whole) - 2 ? "more" : "f a 1 0\nmore");
    expect(whole, sizeof(whole) - 1, "f a 1 0\nend");
}

static void no_listing(void **state)
{
    static const char *const bad[] = {
        "<html>",
        "{}",
        "null",
        "[1]",
        "[\"a\"]",
        "[[]]",
        "[{}]",
        "[,]",
        "[{\"name\":\"a\",\"type\":\"directory\",}]",
        "[{\"name\":\"a\"}]",
        "[{\"type\":\"directory\"}]",
        "[{\"name\":\"a\",\"type\":\"file\"}]",
        "[{\"name\":\"\",\"type\":\"directory\"}]",
        "[{\"name\":\".\",\"type\":\"directory\"}]",
        "[{\"name\":\"..\",\"type\":\"directory\"}]",
        "[{\"name\":\"a/b\",\"type\":\"directory\"}]",
        "[{\"name\":\"a\\/b\",\"type\":\"directory\"}]",
        "[{\"name\":\"a\\u0000\",\"type\":\"directory\"}]",
        "[{\"name\":1,\"type\":\"directory\"}]",
        "[{\"name\":\"a\",\"name\":\"b\",\"type\":\"directory\"}]",
        "[{\"name\":\"a\",\"type\":\"file\",\"size\":\"1\"}]",
        "[{\"name\":\"a\",\"type\":\"file\",\"size\":-1}]",
        "[{\"name\":\"a\",\"type\":\"file\",\"size\":1.5}]",
        "[{\"name\":\"a\",\"type\":\"file\",\"size\":9223372036854775808}]",
        "[{\"name\":\"a\",\"type\":\"directory\",\"more\":{}}]",
        "[{\"name\":\"a\",\"type\":\"directory\",\"more\":[]}]",
        "[{\"name\" \"a\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\x\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\u00g0\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\u00\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\ud83d\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\ud83dx\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\ud83d\\n\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\ud83d\\u0041\",\"type\":\"directory\"}]",
        "[{\"name\":\"\\udc41\",\"type\":\"directory\"}]",
        "[{\"name\":\"\n\",\"type\":\"directory\"}]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_z(bad[i], "broken");
    expect_z("[]x", "broken");
    expect_z("[{\"name\":\"a\",\"type\":\"directory\"} {", "d a 0 0\nbroken");
    expect_z("[{\"name\":\"a\",\"type\":\"directory\"},]", "d a 0 0\nbroken");
}

/* A name or value without end is not gathered without end. */
static void bounded(void **state)
{
    static char text[8192];
    char want[2048];
    (void)state;
    for (size_t n = 1020; n < 1030; n++) {
        int at = snprintf(text, sizeof(text), "[{\"name\":\"");
        memset(text + at, 'a', n);
        snprintf(text + at + n, sizeof(text) - (size_t)at - n,
                 "\",\"type\":\"directory\"}]");
        want[0] = 'd';
        want[1] = ' ';
        memset(want + 2, 'a', n);
        snprintf(want + 2 + n, 64, " 0 0\nend");
        expect_z(text, n <= 1024 ? want : "broken");
    }
    for (int i = 0; i < 3; i++) {
        static const char *const begin[] = {"[{\"other\":\"", "[{\"", "[{\"other\":1"};
        size_t at = strlen(begin[i]);
        memcpy(text, begin[i], at);
        memset(text + at, '1', 2000);
        expect(text, at + 1000, "more");
        expect(text, at + 2000, "broken");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_as_nginx_sends_it),
        cmocka_unit_test(the_same_in_other_words),
        cmocka_unit_test(names_of_any_bytes),
        cmocka_unit_test(cut_off),
        cmocka_unit_test(no_listing),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
