/*
 * The path of a key below a volume, beyond what the vectors show: pieces longer than a
 * file name may be, texts that end in '/', and a reader of paths that takes nothing else.
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
#include "common/base64.h"
#include "common/placement.h"

enum { PREFIX = 7 };

/* What placement_disk_key() makes of a path that lies in memory of just its size. */
static int read_path(const char *path, size_t n, char *key, size_t *key_len)
{
    char *tight = xrealloc(xmemdupz(path, n), n > 0 ? n : 1);
    int r = placement_disk_key((struct str){tight, n}, key, key_len);

    free(tight);
    return r;
}

/* A key that is taken off a path has that path, but for slashes that a disk merges. */
static void has_path(struct str key, const char *path, size_t n)
{
    char again[PLACEMENT_PATH_MAX];
    size_t len = placement_merge(again, placement_path(key, again));

    assert_int_equal(len, n);
    assert_memory_equal(again, path, n);
}

/* --- the forms of a path -------------------------------------------------------- */
/* Every name on the path can be a file's or a folder's, but for those that base64 leaves
 * empty. */
static void names_fit(const char *path, size_t n)
{
    const char *end = path + n;

    assert_int_not_equal(end[-1], '/');
    for (const char *name = path + 1; name <= end;) {
        const char *slash = memchr(name, '/', (size_t)(end - name));
        if (!slash)
            slash = end;
        assert_true(slash - name <= 255);
        name = slash + 1;
    }
}

static void every_key_length(void **state)
{
    unsigned short seed[3] = {7, 8, 9};

    (void)state;
    for (size_t n = 1; n <= PLACEMENT_KEY_MAX; n++) {
        /* random; no '/' in the text; nothing but '/'; some; a '/' at the end where it
         * can be */
        for (int kind = 0; kind < 5; kind++) {
            char *bytes = xmalloc(n), path[PLACEMENT_PATH_MAX], got[PLACEMENT_KEY_MAX];
            for (size_t i = 0; i < n; i++) {
                char random = (char)nrand48(seed);
                bytes[i] = kind == 0                          ? random
                           : kind == 1                        ? 'a'
                           : kind == 2                        ? '\xff'
                           : kind == 3 && nrand48(seed) % 100 ? 'b'
                                                              : '\xff';
                if (kind == 4 && i + 1 < n)
                    bytes[i] = 'c';
            }
            bytes[0] = '/';
            size_t len = placement_path((struct str){bytes, n}, path), got_len = 0;
            names_fit(path, len);
            /* What a disk would merge may read as another key: test_placement_disk.c. */
            if (placement_merge(path, len) == len) {
                assert_int_equal(read_path(path, len, got, &got_len), 1);
                assert_int_equal(got_len, n);
                assert_memory_equal(got, bytes, n);
            }
            free(bytes);
        }
    }
}

/* The path's part behind "/xx/yy/" for the key whose base64 is `text`. */
static void expect(const char *text, const char *below)
{
    char key[BASE64_LEN(PLACEMENT_KEY_MAX)], path[PLACEMENT_PATH_MAX];

    ssize_t n = base64_decode(str_of(text), key);
    assert_in_range(n, 1, PLACEMENT_KEY_MAX);
    size_t len = placement_path((struct str){key, (size_t)n}, path);
    assert_int_equal(len, strlen(path));
    assert_string_equal(path + PREFIX, below);
}

/* A text out of stretches: repeat('A', 254), "-/", … */
struct text {
    char bytes[2048];
    size_t n;
};

static void stretch(struct text *t, size_t count, char c)
{
    assert_true(t->n + count < sizeof(t->bytes));
    memset(t->bytes + t->n, c, count);
    t->n += count;
    t->bytes[t->n] = '\0';
}

static void literal(struct text *t, const char *s)
{
    for (; *s; s++)
        stretch(t, 1, *s);
}

static void slashes_in_the_text(void **state)
{
    (void)state;
    expect("Lw==", "Lw==");
    expect("L2A/", "L2A/-");
    expect("L2//", "L2//-");
    expect("////", "////-");
    expect("L//A", "L//A");
    expect("/AAA", "/AAA");
    expect("L/A=", "L/A=");
    expect("AA8/", "AA8/-");
}

/* `a` letters, a slash where `slash`, `b` letters more. */
static void cut_case(size_t a, bool slash, size_t b)
{
    struct text text = {.n = 0}, below = {.n = 0};
    size_t lengths[2] = {a, b};

    for (int i = 0; i < (slash ? 2 : 1); i++) {
        size_t left = lengths[i];
        stretch(&text, left, 'A');
        if (left > 255) {
            while (left > 254) {
                stretch(&below, 254, 'A');
                literal(&below, "-/");
                left -= 254;
            }
        }
        stretch(&below, left, 'A');
        if (i == 0 && slash) {
            literal(&text, "/");
            literal(&below, "/");
            if (b == 0)
                literal(&below, "-");
        }
    }
    assert_int_equal(text.n % 4, 0);
    expect(text.bytes, below.bytes);
}

static void long_pieces_are_cut(void **state)
{
    static const size_t near[] = {0,   1,   2,   3,   252, 253, 254, 255,
                                  256, 257, 258, 259, 507, 508, 509, 510,
                                  511, 512, 513, 762, 763, 764, 765, 766};
    enum { NEAR = sizeof(near) / sizeof(near[0]) };
    struct text below = {.n = 0};

    (void)state;
    cut_case(252, false, 0);
    cut_case(256, false, 0);
    cut_case(508, false, 0); /* two whole pieces: no empty third */
    cut_case(512, false, 0);
    cut_case(1016, false, 0);
    cut_case(1364, false, 0); /* a key of 1,023 bytes */
    for (int i = 0; i < NEAR; i++)
        for (int k = 0; k < NEAR; k++)
            if ((near[i] + 1 + near[k]) % 4 == 0 && near[i] + 1 + near[k] <= 1364)
                cut_case(near[i], true, near[k]);

    /* By hand: a text of 256 letters is 254, a mark, and 2. */
    struct text text = {.n = 0};
    stretch(&text, 256, 'B');
    stretch(&below, 254, 'B');
    literal(&below, "-/BB");
    expect(text.bytes, below.bytes);
    /* The longest key: 1,368 characters in five cuts. */
    text.n = below.n = 0;
    stretch(&text, 1366, 'C');
    literal(&text, "==");
    text.bytes[1365] = 'A';
    for (int i = 0; i < 5; i++) {
        stretch(&below, 254, 'C');
        literal(&below, "-/");
    }
    stretch(&below, 95, 'C');
    literal(&below, "A==");
    expect(text.bytes, below.bytes);
}

/* --- the reader is strict ------------------------------------------------------- */
static void refuse(const char *path, size_t n)
{
    char key[PLACEMENT_KEY_MAX];
    size_t len;

    if (read_path(path, n, key, &len) == 1)
        fail_msg("taken: %.*s", (int)n, path);
}

/* The path of the key whose base64 is `text`, with the part below the MD5 folders
 * replaced. */
static void refuse_instead(const char *text, const char *below)
{
    char key[BASE64_LEN(PLACEMENT_KEY_MAX)], path[2 * PLACEMENT_PATH_MAX];

    ssize_t n = base64_decode(str_of(text), key);
    assert_in_range(n, 1, PLACEMENT_KEY_MAX);
    placement_path((struct str){key, (size_t)n}, path);
    int len = snprintf(path + PREFIX, sizeof(path) - PREFIX, "%s", below);
    refuse(path, PREFIX + (size_t)len);
}

static void what_is_not_canonical_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "/",
        "/66",
        "/66/66",
        "/66/66/",
        "66/66/Lw==",
        "/66/66/Lw",
        "/66/66/Lw=",
        "/66/67/Lw==",
        "/67/66/Lw==",
        "/6666/Lw==",
        "/66/66/Lw==/",
        "/66/66/Lx==",
        "/66/66//Lw==",
        "//66/66/Lw==",
        "/66/66/Lw==-",
        "/66/66/-",
        "/66/66/Lw==\n",
        "/66/66/./Lw==",
        "/66/66/../66/Lw==",
        "/66-66/Lw==",
        "/66/66-Lw==",
    };
    struct text text = {.n = 0}, below = {.n = 0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse(bad[i], strlen(bad[i]));
    refuse("/66/66/Lw==", 12); /* its NUL as well */
    refuse_instead("L2A/", "L2A/");
    refuse_instead("L2A/", "L2A");
    refuse_instead("L2A/", "L2A-");
    refuse_instead("L2A/", "L2A/--");
    refuse_instead("L2A/", "L2A/-/");
    refuse_instead("L2AA", "L2-/AA");
    refuse_instead("L2AA", "L2AA/-");

    /* Upper case in the MD5 folders. */
    assert_int_equal(placement_path(STR("/b"), below.bytes), 11);
    char *hex = strpbrk(below.bytes, "abcdef");
    assert_true(hex && hex < below.bytes + PREFIX);
    *hex = (char)(*hex - 'a' + 'A');
    refuse(below.bytes, 11);

    /* Not cut where it must be, cut where it must not be, cut elsewhere. */
    literal(&text, "L");
    stretch(&text, 255, 'A');
    refuse_instead(text.bytes, text.bytes);
    below.n = 0;
    literal(&below, "L");
    stretch(&below, 254, 'A');
    literal(&below, "-/A");
    refuse_instead(text.bytes, below.bytes);
    below.n = 0;
    literal(&below, "L");
    stretch(&below, 252, 'A');
    literal(&below, "-/AAA");
    refuse_instead(text.bytes, below.bytes);
    text.n = below.n = 0;
    literal(&text, "L");
    stretch(&text, 254, 'A');
    literal(&text, "/");
    literal(&below, "L");
    stretch(&below, 253, 'A');
    literal(&below, "-/A/-");
    refuse_instead(text.bytes, below.bytes);

    /* Keys too long to be, in proper form. */
    for (size_t n = 1025; n <= 1100; n++) {
        char key[1100], long_text[BASE64_LEN(1100)], path[2048] = "/00/00/";
        memset(key, '\xff', n);
        size_t len = base64_encode(key, n, long_text);
        memcpy(path + PREFIX, long_text, len);
        refuse(path, PREFIX + len);
        below.n = 0;
        literal(&below, "/00/00/");
        for (size_t left = len; left > 0;) {
            size_t take = left > 254 ? 254 : left;
            stretch(&below, take, 'A');
            left -= take;
            if (left)
                literal(&below, "-/");
        }
        refuse(below.bytes, below.n);
    }
    below.n = 0;
    literal(&below, "/00/00/");
    stretch(&below, 1800, '/');
    refuse(below.bytes, below.n);
    refuse(below.bytes, PLACEMENT_PATH_MAX - 1);
}

/* Whatever is taken has that very path, but for slashes that a disk merges: over every
 * path one byte away from a right one. */
static void taken_means_canonical(void **state)
{
    static const char bytes[] = {'-', '/', 'A', '=', '.', '\0', 'L', '+', '\xff'};
    static const char *const texts[] = {"Lw==", "L2A/", "L//A", "L/A=", "L2FiYw==", NULL};
    struct text cut = {.n = 0};

    (void)state;
    literal(&cut, "L");
    stretch(&cut, 759, 'A');
    for (int i = 0; i < 6; i++) {
        char key[BASE64_LEN(PLACEMENT_KEY_MAX)], path[PLACEMENT_PATH_MAX];
        ssize_t key_len = base64_decode(str_of(texts[i] ? texts[i] : cut.bytes), key);
        assert_in_range(key_len, 1, PLACEMENT_KEY_MAX);
        size_t n = placement_path((struct str){key, (size_t)key_len}, path);

        for (size_t at = 0; at <= n; at++) {
            for (size_t b = 0; b < sizeof(bytes); b++) {
                for (int how = 0; how < 3; how++) { /* change, insert, leave out */
                    char other[PLACEMENT_PATH_MAX + 1], got[PLACEMENT_KEY_MAX];
                    size_t m = 0, len = 0;
                    memcpy(other, path, at);
                    m = at;
                    if (how < 2)
                        other[m++] = bytes[b];
                    size_t from = how == 1 ? at : at < n ? at + 1 : n;
                    memcpy(other + m, path + from, n - from);
                    m += n - from;
                    if (read_path(other, m, got, &len) == 1)
                        has_path((struct str){got, len}, other, m);
                }
            }
        }
        for (size_t short_of = 0; short_of < n; short_of++)
            refuse(path, short_of);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_length),
        cmocka_unit_test(slashes_in_the_text),
        cmocka_unit_test(long_pieces_are_cut),
        cmocka_unit_test(what_is_not_canonical_is_refused),
        cmocka_unit_test(taken_means_canonical),
    };
    return cmocka_run_group_tests_name("placement_path", tests, NULL, NULL);
}
