/* Placement against the golden vectors, line by line; ranks, and subvolumes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/placement.h"

enum { FIELDS_MAX = 5 };

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
        size_t n = placement_path(key, path);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_of_the_vectors),
        cmocka_unit_test(every_choice_of_the_vectors),
        cmocka_unit_test(ranks_are_whole_and_ordered),
        cmocka_unit_test(subvolume_texts),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
