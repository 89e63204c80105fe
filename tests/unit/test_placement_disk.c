/*
 * Paths as a disk has them, read back: every path of the golden vectors with its slashes
 * merged, keys made of the bytes that give slashes, and what is no file of ours.
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
#include "common/hex.h"
#include "common/placement.h"

/* The path of a key on a disk. */
static size_t disk_path(struct str key, char path[PLACEMENT_PATH_MAX])
{
    return placement_merge(path, placement_path(key, path));
}

/* 1 when the path reads as this key; else what placement_disk_key() gave, or -1 when that
 * was another key. */
static int reads_as(const char *path, size_t n, struct str key)
{
    char *tight = xmemdupz(path, n), got[PLACEMENT_KEY_MAX];
    size_t len = 0;
    tight = xrealloc(tight, n);
    int r = placement_disk_key((struct str){tight, n}, got, &len);
    free(tight);
    return r != 1 || str_eq((struct str){got, len}, key) ? r : -1;
}

static void every_path_of_the_vectors(void **state)
{
    const char *tests = getenv("MKV_TESTS");
    char name[1024], *line = NULL;
    size_t room = 0;
    int lines = 0, merged = 0;

    (void)state;
    snprintf(name, sizeof(name), "%s/vectors/key2path.tsv", tests ? tests : "tests");
    FILE *file = fopen(name, "r");
    if (!file)
        fail_msg("cannot read %s (set MKV_TESTS to the tests folder)", name);
    while (getline(&line, &room, file) > 0) {
        char key[PLACEMENT_KEY_MAX], path[PLACEMENT_PATH_MAX];
        size_t n = 0;
        if (*line == '#' || *line == '\n')
            continue;
        for (; hex_value(line[2 * n]) >= 0; n++)
            key[n] = (char)(hex_value(line[2 * n]) << 4 | hex_value(line[2 * n + 1]));
        size_t whole = placement_path((struct str){key, n}, path);
        size_t len = placement_merge(path, whole);
        assert_int_equal(reads_as(path, len, (struct str){key, n}), 1);
        merged += len < whole;
        lines++;
    }
    assert_int_equal(lines, 1500);
    assert_true(merged > 0);
    free(line);
    fclose(file);
}

/* Of keys whose base64 is full of slashes, nearly all come back, and the others are told
 * to be in doubt or read as a key that would lie in the same two folders. */
static void keys_that_are_not_text(void **state)
{
    unsigned short seed[3] = {4, 5, 6};
    int same = 0, other = 0;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        char key[PLACEMENT_KEY_MAX], path[PLACEMENT_PATH_MAX];
        size_t n = 2 + (size_t)nrand48(seed) % 60;
        key[0] = '/';
        for (size_t k = 1; k < n; k++)
            key[k] = nrand48(seed) % 8 ? (char)nrand48(seed) : '\xff';
        size_t len = disk_path((struct str){key, n}, path);
        int r = reads_as(path, len, (struct str){key, n});
        assert_int_not_equal(r, 0);
        same += r == 1;
        other += r != 1;
    }
    assert_true(same > 1950);
    assert_true(other < 50);
}

static void long_runs_of_slashes(void **state)
{
    (void)state;
    for (size_t n = 1; n <= PLACEMENT_KEY_MAX; n += n < 40 ? 1 : 97) {
        char key[PLACEMENT_KEY_MAX], path[PLACEMENT_PATH_MAX];
        memset(key, '\xff', n);
        key[0] = '/';
        size_t len = disk_path((struct str){key, n}, path);
        assert_true(len < 40);
        assert_int_equal(reads_as(path, len, (struct str){key, n}), 1);
    }
}

static void text_reads_as_itself(void **state)
{
    (void)state;
    /* No text has "//" in its path: the first reading is the right one at any length. */
    for (size_t n = 1; n <= PLACEMENT_KEY_MAX; n++) {
        char key[PLACEMENT_KEY_MAX], path[PLACEMENT_PATH_MAX];
        for (size_t k = 0; k < n; k++)
            key[k] = "/o?ab~oo\x7f"[k % 9];
        size_t len = disk_path((struct str){key, n}, path);
        assert_int_equal(len, placement_path((struct str){key, n}, path));
        assert_int_equal(reads_as(path, len, (struct str){key, n}), 1);
    }
}

static void what_is_not_ours(void **state)
{
    static const char *const bad[] = {
        "",
        "/66/66",
        "/66/66/",
        "/66/66/Lw=",
        "/66/67/Lw==", /* another folder */
        "/66/66/Lw==.tmp",
        "/66/66/index.html",
        "/66/66/Lx==", /* not canonical */
        "/66/66/L/w==",
        "/66/66/Lw==/-",
        "/66/66/-",
        "/66/66//Lw==", /* no disk gives such a path */
        "/66/66/../66/Lw==",
    };
    char path[PLACEMENT_PATH_MAX];

    (void)state;
    assert_int_equal(reads_as("/66/66/Lw==", 11, STR("/")), 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(reads_as(bad[i], strlen(bad[i]), STR("")), 0);
    /* Not a key of ours: it does not begin with '/'. */
    size_t n = disk_path(STR("a key"), path);
    assert_int_equal(reads_as(path, n, STR("a key")), 0);
    /* Names of very many readings end soon. */
    memcpy(path, "/00/00/", 7);
    for (n = 7; n < PLACEMENT_PATH_MAX - 1; n++)
        path[n] = n % 2 ? 'L' : '/';
    reads_as(path, 1300, STR(""));
    reads_as(path, PLACEMENT_PATH_MAX - 2, STR(""));
}

static void names_of_subvolumes(void **state)
{
    static const char *const bad[] = {"",           "sv",     "sv0",         "sv000",
                                      "sv0A0",      "sv0a",   "SV00",        "sv0G",
                                      "sv00/",      "sv7FFF", "sv100000000", "sv7FFFFFFF",
                                      "svFFFFFFFF", "sv 0",   "xv00"};
    char text[12];

    (void)state;
    for (uint32_t i = 0; i < 70000; i++) {
        size_t n = placement_subvolume(i, INT32_MAX, text);
        assert_true(placement_names_subvolume((struct str){text + 1, n - 1}));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(placement_names_subvolume(str_of(bad[i])),
                         strcmp(bad[i], "sv7FFF") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_of_the_vectors),
        cmocka_unit_test(keys_that_are_not_text),
        cmocka_unit_test(long_runs_of_slashes),
        cmocka_unit_test(text_reads_as_itself),
        cmocka_unit_test(what_is_not_ours),
        cmocka_unit_test(names_of_subvolumes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
