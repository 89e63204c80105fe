/* From a target to a path: nginx's decoding and merging in one pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "volumed/mime.h"
#include "volumed/path.h"

/* The target lies in a block of exactly its size, so that a byte too far is seen. */
static int parse(const char *target, size_t n, struct path *out)
{
    char *exact = xmalloc(n ? n : 1);
    memcpy(exact, target, n);
    memset(out, 0xaa, sizeof(*out));
    int result = path_parse((struct str){exact, n}, out);
    if (!result && out->query.n) { /* points into what is freed now */
        static char kept[PATH_ROOM];
        memcpy(kept, out->query.p, out->query.n);
        out->query.p = kept;
    }
    free(exact);
    return result;
}

static void expect(const char *target, const char *want)
{
    struct path path;
    int result = parse(target, strlen(target), &path);
    if (!want) {
        if (!result)
            fail_msg("%s: %s, not refused", target, path.z);
        return;
    }
    if (result)
        fail_msg("%s: refused", target);
    if (strcmp(path.z, want) != 0 || path.n != strlen(want))
        fail_msg("%s: %s, not %s", target, path.z, want);
}

static void plain(void **state)
{
    (void)state;
    expect("/", "/");
    expect("", "/");
    expect("/a", "/a");
    expect("/sv00/ab/cd/L2tleQ==", "/sv00/ab/cd/L2tleQ==");
    expect("/a/", "/a/");
    expect("a", NULL);
    expect("*", NULL);
}

static void dots_and_slashes(void **state)
{
    (void)state;
    expect("//", "/");
    expect("//a///b//", "/a/b/");
    expect("/.", "/");
    expect("/./", "/");
    expect("/a/.", "/a/");
    expect("/a/./b", "/a/b");
    expect("/a/..", "/");
    expect("/a/../", "/");
    expect("/a/b/..", "/a/");
    expect("/a/../b//c/./f", "/b/c/f");
    expect("/a//../b", "/b");
    expect("/...", "/...");
    expect("/..a/.b", "/..a/.b");
    expect("/a/b/c/../../d", "/a/d");
    expect("/..", NULL);
    expect("/../a", NULL);
    expect("/a/../..", NULL);
    expect("/a/../../b", NULL);
    expect("/./..", NULL);
    expect("//..", NULL);
}

static void encoded(void **state)
{
    (void)state;
    expect("/a%20b", "/a b");
    expect("/a%2fb", "/a/b");
    expect("/a%2F%2fb", "/a/b");
    expect("/a/%2e%2e/t", "/t");
    expect("/a/%2E./t", "/t");
    expect("/%2e%2e/x", NULL);
    expect("/a%2f..%2f..%2fb", NULL);
    expect("/a%252fb", "/a%2fb"); /* decoded once, not twice */
    expect("/t%23x", "/t#x");
    expect("/t%3fx", "/t?x");
    expect("/a+b", "/a+b");
    expect("/%c3%a9", "/\xc3\xa9");
    expect("/a%", NULL);
    expect("/a%2", NULL);
    expect("/a%zz", NULL);
    expect("/a%2g", NULL);
    expect("/a%00b", NULL);
    expect("/%00", NULL);
}

static void query_of(const char *target, const char *path_wanted, const char *query)
{
    struct path path;
    assert_int_equal(parse(target, strlen(target), &path), 0);
    assert_string_equal(path.z, path_wanted);
    assert_int_equal(path.query.n, strlen(query));
    assert_memory_equal(path.query.p ? path.query.p : "", query, strlen(query));
}

static void queries(void **state)
{
    (void)state;
    query_of("/a?b", "/a", "b");
    query_of("/a?", "/a", "");
    query_of("/a?b?c", "/a", "b?c");
    query_of("/a?b#c", "/a", "b");
    query_of("/a#b?c", "/a", "");
    query_of("/a/..?x", "/", "x");
    query_of("/a/.?%00", "/a/", "%00");
    query_of("?x", "/", "x");
}

static void bytes(void **state)
{
    struct path path;
    (void)state;
    assert_int_equal(parse("/a\0b", 4, &path), -1);
    /* Every byte but NUL, encoded, is that byte. */
    for (int c = 1; c < 256; c++) {
        char target[8];
        snprintf(target, sizeof(target), "/x%%%02xy", c);
        assert_int_equal(parse(target, 6, &path), 0);
        assert_int_equal(path.n, 4);
        assert_int_equal((unsigned char)path.z[2], c);
    }
    /* As long as a line may be, and longer. */
    static char longest[PATH_ROOM + 16];
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    assert_int_equal(parse(longest, PATH_ROOM - 1, &path), 0);
    assert_int_equal(path.n, PATH_ROOM - 1);
    assert_int_equal(parse(longest, PATH_ROOM, &path), -1);
}

static void subvolume_of(const char *target, const char *piece, const char *rest)
{
    struct path path;
    struct str got;
    const char *got_rest;
    assert_int_equal(parse(target, strlen(target), &path), 0);
    bool yes = path_subvolume(&path, &got, &got_rest);
    assert_int_equal(yes, piece != NULL);
    if (!yes || !piece || !rest)
        return;
    assert_int_equal(got.n, strlen(piece));
    assert_memory_equal(got.p, piece, got.n);
    assert_string_equal(got_rest, rest);
}

static void subvolumes(void **state)
{
    (void)state;
    subvolume_of("/sv00/aa/bb", "sv00", "aa/bb");
    subvolume_of("/sv0A", "sv0A", "");
    subvolume_of("/sv0A/", "sv0A", "");
    subvolume_of("/sv1FF/x", "sv1FF", "x");
    subvolume_of("/sv7FFFFFFE/x", "sv7FFFFFFE", "x");
    subvolume_of("/svFFFFFFFFF/x", NULL, NULL);
    subvolume_of("/sv001/x", NULL, NULL);
    subvolume_of("/sv0/x", NULL, NULL);
    subvolume_of("/sv0a/x", NULL, NULL);
    subvolume_of("/sv0G/x", NULL, NULL);
    subvolume_of("/xsv00/x", NULL, NULL);
    subvolume_of("/a/sv00", NULL, NULL);
    subvolume_of("/", NULL, NULL);
}

static void encoding(void **state)
{
    char out[64];
    (void)state;
    size_t n = path_encode(STR("/b c/\xc3\xa9#%?\"+=&<>\\^`{|}~@:;\x7f"), out);
    out[n] = '\0';
    assert_string_equal(out,
                        "/b%20c/%C3%A9%23%25%3F%22+=&%3C%3E%5C%5E%60%7B%7C%7D~@:;%7F");
}

static void types(void **state)
{
    (void)state;
    assert_string_equal(mime_type(STR("/a.html")), "text/html");
    assert_string_equal(mime_type(STR("/a/b.HTML")), "text/html");
    assert_string_equal(mime_type(STR("/a.gif")), "image/gif");
    assert_string_equal(mime_type(STR("/a.b.jpg")), "image/jpeg");
    assert_string_equal(mime_type(STR("/a.jpeg")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/a.html.x")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/.html")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/a/.html")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/html")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/a.html/b")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/a.")), "application/octet-stream");
    assert_string_equal(mime_type(STR("/")), "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),    cmocka_unit_test(dots_and_slashes),
        cmocka_unit_test(encoded),  cmocka_unit_test(queries),
        cmocka_unit_test(bytes),    cmocka_unit_test(subvolumes),
        cmocka_unit_test(encoding), cmocka_unit_test(types),
    };
    return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
