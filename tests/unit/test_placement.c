/*
 * Placement against the golden vectors, line by line, and the two path forms that go
 * beyond them: pieces longer than a file name may be, and texts that end in '/'.
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

enum { FIELDS_MAX = 5, PREFIX = 7 };

/* --- the vectors ---------------------------------------------------------------- */
static FILE *open_vectors(const char *name)
{
    const char *tests = getenv("MKV_TESTS");
    char path[1024];

    snprintf(path, sizeof(path), "%s/vectors/%s", tests ? tests : "tests", name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot read %s (set MKV_TESTS to the tests folder)", path);
    return file;
}

/* Cuts a line at its tabs; false for comments and empty lines. */
static bool split(char *line, char *fields[FIELDS_MAX], int want)
{
    char *rest = line;

    line[strcspn(line, "\n")] = '\0';
    if (*line == '#' || *line == '\0')
        return false;
    for (int i = 0; i < want; i++) {
        fields[i] = strsep(&rest, "\t");
        assert_non_null(fields[i]);
    }
    assert_null(rest);
    return true;
}

/* A key in a block of exactly its size. */
static struct str key_of_hex(const char *hex)
{
    size_t n = strlen(hex) / 2;
    char *bytes = xmalloc(n);

    for (size_t i = 0; i < n; i++) {
        unsigned int byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    return (struct str){bytes, n};
}

/* Path and back; gives the path. */
static size_t there_and_back(struct str key, char path[PLACEMENT_PATH_MAX])
{
    char back[PLACEMENT_KEY_MAX];
    size_t n = placement_path(key, path);

    assert_true(n < PLACEMENT_PATH_MAX);
    assert_int_equal(path[n], '\0');
    char *tight = xrealloc(xmemdupz(path, n), n);
    assert_int_equal(placement_key((struct str){tight, n}, back), key.n);
    assert_memory_equal(back, key.p, key.n);
    free(tight);
    return n;
}

static void every_path_of_the_vectors(void **state)
{
    FILE *file = open_vectors("key2path.tsv");
    char *line = NULL, *fields[FIELDS_MAX];
    size_t room = 0;
    int lines = 0, unstorable = 0;

    (void)state;
    while (getline(&line, &room, file) > 0) {
        if (!split(line, fields, 2))
            continue;
        struct str key = key_of_hex(fields[0]);
        char path[PLACEMENT_PATH_MAX];
        size_t n = there_and_back(key, path);
        /* The vectors hold what the Go program computes, also where it then could not
         * store the value: for a path that no file can have, ours differs by its mark
         * alone. */
        if (fields[1][strlen(fields[1]) - 1] == '/') {
            assert_int_equal(path[--n], '-');
            path[n] = '\0';
            unstorable++;
        }
        assert_string_equal(path, fields[1]);
        free((char *)key.p);
        lines++;
    }
    assert_int_equal(lines, 1500);
    assert_int_equal(unstorable, 1);
    free(line);
    fclose(file);
}

static void every_choice_of_the_vectors(void **state)
{
    FILE *file = open_vectors("key2volume.tsv");
    char *line = NULL, *fields[FIELDS_MAX];
    size_t room = 0;
    int lines = 0;

    (void)state;
    while (getline(&line, &room, file) > 0) {
        struct str volumes[PLACEMENT_VOLUMES_MAX];
        struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
        int n = 0;

        if (!split(line, fields, 5))
            continue;
        struct str key = key_of_hex(fields[0]);
        for (char *rest = fields[1], *volume; (volume = strsep(&rest, ","));)
            volumes[n++] = str_of(volume);
        int replicas = atoi(fields[2]), subvolumes = atoi(fields[3]);
        placement_rank(key, volumes, n, rank);

        char *rest = fields[4];
        for (int i = 0; i < replicas; i++) {
            char place[256], sub[12];
            const char *want = strsep(&rest, ",");
            assert_non_null(want);
            struct str volume = volumes[rank[i].volume];
            size_t sub_len = placement_subvolume(rank[i].word, subvolumes, sub);
            assert_int_equal(sub_len, strlen(sub));
            snprintf(place, sizeof(place), "%.*s%s", (int)volume.n, volume.p, sub);
            assert_string_equal(place, want);
        }
        assert_null(rest);
        free((char *)key.p);
        lines++;
    }
    assert_int_equal(lines, 1500);
    free(line);
    fclose(file);
}

/* --- ranks ---------------------------------------------------------------------- */
static void ranks_are_whole_and_ordered(void **state)
{
    static char names[PLACEMENT_VOLUMES_MAX][24];
    struct str volumes[PLACEMENT_VOLUMES_MAX];
    struct placement_rank rank[PLACEMENT_VOLUMES_MAX];

    (void)state;
    /* Every name stands twice: equal scores must keep the list's order. */
    for (int i = 0; i < PLACEMENT_VOLUMES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "v%d:3001", i / 2);
        volumes[i] = str_of(names[i]);
    }
    for (int n = 0; n <= PLACEMENT_VOLUMES_MAX; n += n < 8 ? 1 : 31) {
        bool seen[PLACEMENT_VOLUMES_MAX] = {false};
        placement_rank(STR("/some/key"), volumes, n, rank);
        for (int i = 0; i < n; i++) {
            assert_false(seen[rank[i].volume]);
            seen[rank[i].volume] = true;
            if (i == 0)
                continue;
            int order = memcmp(rank[i - 1].score, rank[i].score, sizeof(rank[i].score));
            assert_true(order >= 0);
            if (order == 0)
                assert_true(rank[i - 1].volume < rank[i].volume);
        }
    }
}

static void subvolume_texts(void **state)
{
    char out[12];

    (void)state;
    assert_int_equal(placement_subvolume(7, 1, out), 0);
    assert_string_equal(out, "");
    assert_int_equal(placement_subvolume(7, 0, out), 0);
    assert_int_equal(placement_subvolume(17, 10, out), 5);
    assert_string_equal(out, "/sv07");
    assert_int_equal(placement_subvolume(254, 256, out), 5);
    assert_string_equal(out, "/svFE");
    assert_int_equal(placement_subvolume(282, 300, out), 6);
    assert_string_equal(out, "/sv11A");
    assert_int_equal(placement_subvolume(UINT32_MAX - 1, INT32_MAX, out), 5);
    assert_string_equal(out, "/sv00");
    assert_int_equal(placement_subvolume(INT32_MAX - 1, INT32_MAX, out), 11);
    assert_string_equal(out, "/sv7FFFFFFE");
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
            char *bytes = xmalloc(n), path[PLACEMENT_PATH_MAX];
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
            size_t len = there_and_back((struct str){bytes, n}, path);
            names_fit(path, len);
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
    there_and_back((struct str){key, (size_t)n}, path);
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

/* --- the inverse is strict ------------------------------------------------------ */
static ssize_t key_of(const char *path, size_t n, char *key)
{
    char *tight = xrealloc(xmemdupz(path, n), n);
    ssize_t len = placement_key((struct str){tight, n}, key);

    free(tight);
    return len;
}

static void refuse(const char *path, size_t n)
{
    char key[PLACEMENT_KEY_MAX];

    if (key_of(path, n, key) != -1)
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
    refuse_instead("L//A", "L/A"); /* as a server that merges slashes stores it */
    refuse_instead("L2AA", "L2-/AA");
    refuse_instead("L2AA", "L2AA/-");

    /* Upper case in the MD5 folders. */
    assert_int_equal(placement_path(STR("/b"), below.bytes), 11);
    char *hex = strpbrk(below.bytes, "abcdef");
    assert_true(hex && hex < below.bytes + PREFIX);
    *hex = (char)(*hex - 'a' + 'A');
    refuse(below.bytes, 11);

    /* Not cut where it must be, cut where it must not be, cut elsewhere. */
    stretch(&text, 256, 'A');
    refuse_instead(text.bytes, text.bytes);
    below.n = 0;
    stretch(&below, 255, 'A');
    literal(&below, "-/A");
    refuse_instead(text.bytes, below.bytes);
    below.n = 0;
    stretch(&below, 253, 'A');
    literal(&below, "-/AAA");
    refuse_instead(text.bytes, below.bytes);
    text.n = below.n = 0;
    stretch(&text, 255, 'A');
    literal(&text, "/");
    stretch(&below, 254, 'A');
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

/* Whatever is taken has that very path: over every path one byte away from a right
 * one. */
static void taken_means_canonical(void **state)
{
    static const char bytes[] = {'-', '/', 'A', '=', '.', '\0', 'L', '+', '\xff'};
    static const char *const texts[] = {"Lw==", "L2A/", "L//A", "L/A=", "L2FiYw==", NULL};
    struct text cut = {.n = 0};

    (void)state;
    stretch(&cut, 254, 'A');
    literal(&cut, "/");
    stretch(&cut, 508, 'A');
    literal(&cut, "/");
    for (int i = 0; i < 6; i++) {
        char key[BASE64_LEN(PLACEMENT_KEY_MAX)], path[PLACEMENT_PATH_MAX];
        ssize_t key_len = base64_decode(str_of(texts[i] ? texts[i] : cut.bytes), key);
        assert_in_range(key_len, 1, PLACEMENT_KEY_MAX);
        size_t n = placement_path((struct str){key, (size_t)key_len}, path);

        for (size_t at = 0; at <= n; at++) {
            for (size_t b = 0; b < sizeof(bytes); b++) {
                for (int how = 0; how < 3; how++) { /* change, insert, leave out */
                    char other[PLACEMENT_PATH_MAX + 1], again[PLACEMENT_PATH_MAX];
                    char got[PLACEMENT_KEY_MAX];
                    size_t m = 0;
                    memcpy(other, path, at);
                    m = at;
                    if (how < 2)
                        other[m++] = bytes[b];
                    size_t from = how == 1 ? at : at < n ? at + 1 : n;
                    memcpy(other + m, path + from, n - from);
                    m += n - from;
                    ssize_t len = key_of(other, m, got);
                    if (len == -1)
                        continue;
                    assert_in_range(len, 1, PLACEMENT_KEY_MAX);
                    assert_int_equal(
                        placement_path((struct str){got, (size_t)len}, again), m);
                    assert_memory_equal(again, other, m);
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
        cmocka_unit_test(every_path_of_the_vectors),
        cmocka_unit_test(every_choice_of_the_vectors),
        cmocka_unit_test(ranks_are_whole_and_ordered),
        cmocka_unit_test(subvolume_texts),
        cmocka_unit_test(every_key_length),
        cmocka_unit_test(slashes_in_the_text),
        cmocka_unit_test(long_pieces_are_cut),
        cmocka_unit_test(what_is_not_canonical_is_refused),
        cmocka_unit_test(taken_means_canonical),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
