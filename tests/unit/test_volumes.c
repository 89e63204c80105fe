/*
 * The set of volumes: homes held against the golden vectors, the further places a value
 * may go to, public names, what is refused, and health.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "master/volumes/volume_health.h"
#include "master/volumes/volumes.h"

#define VECTORS "tests/vectors/key2volume.tsv"

static struct volumes *volumes_of(const char *list, int replicas, int subvolumes,
                                  const char *public_names)
{
    char err[512] = "";
    struct volumes *v =
        volumes_new(list, replicas, subvolumes, public_names, err, sizeof(err));

    if (!v)
        fail_msg("%s: %s", list, err);
    return v;
}

static size_t from_hex(const char *hex, char *out)
{
    size_t n = 0;

    for (; hex[0] != '\0'; hex += 2) {
        char digits[3] = {hex[0], hex[1], '\0'};

        out[n++] = (char)strtoul(digits, NULL, 16);
    }
    return n;
}

static void homes_are_the_golden_ones(void **state)
{
    FILE *file = fopen(VECTORS, "r");
    char *line = NULL;
    size_t room = 0;
    int checked = 0;

    (void)state;
    if (!file)
        fail_msg("%s: %s", VECTORS, strerror(errno));
    while (getline(&line, &room, file) > 0) {
        struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
        char *rest = line, key[4096], homes[8192] = "", place[PLACE_MAX];
        char *hex, *list, *replicas, *subvolumes, *want;
        struct record record = {.state = RECORD_LIVE};
        struct volumes *v;
        struct str k;
        size_t at = 0;

        if (line[0] == '#')
            continue;
        hex = strsep(&rest, "\t");
        list = strsep(&rest, "\t");
        replicas = strsep(&rest, "\t");
        subvolumes = strsep(&rest, "\t");
        want = strsep(&rest, "\n");
        k = (struct str){key, from_hex(hex, key)};
        v = volumes_of(list, atoi(replicas), atoi(subvolumes), "");

        volumes_rank(v, k, rank);
        for (int i = 0; i < volumes_replicas(v); i++) {
            size_t n = volumes_place(v, &rank[i], 0, place);

            assert_int_equal(n, strlen(place));
            at += (size_t)snprintf(homes + at, sizeof(homes) - at, "%s%s",
                                   i > 0 ? "," : "", place);
            assert_true(at < sizeof(homes));
        }
        assert_string_equal(homes, want);

        /* A record with these places, in the other order, is balanced; one less is
         * not. */
        for (char *p = want; p && record.n < RECORD_PLACES_MAX;)
            record.place[record.n++] = str_of(strsep(&p, ","));
        for (int i = 0; i < record.n / 2; i++) {
            struct str swap = record.place[i];

            record.place[i] = record.place[record.n - 1 - i];
            record.place[record.n - 1 - i] = swap;
        }
        assert_true(volumes_balanced(v, k, &record));
        record.n--;
        assert_false(volumes_balanced(v, k, &record));
        record.place[record.n++] = STR("elsewhere:3001/sv00");
        assert_false(volumes_balanced(v, k, &record));
        volumes_free(&v);
        checked++;
    }
    free(line);
    fclose(file);
    assert_true(checked >= 1500);
}

static void attempts_take_every_subvolume_once(void **state)
{
    struct volumes *v = volumes_of("a:1,b:2", 2, 10, "");
    struct placement_rank rank = {.volume = 1, .word = 4000000007U};
    char place[PLACE_MAX], want[PLACE_MAX];

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(volumes_place(v, &rank, i, place), strlen("b:2/sv00"));
        snprintf(want, sizeof(want), "b:2/sv%02X", (7 + i) % 10);
        assert_string_equal(place, want);
    }
    assert_int_equal(volumes_place(v, &rank, 10, place), 0);
    volumes_free(&v);
}

static void attempts_of_a_volume_without_subvolumes(void **state)
{
    struct volumes *v = volumes_of("a:1", 1, 1, "");
    struct placement_rank rank = {.volume = 0, .word = 12345};
    char place[PLACE_MAX];

    (void)state;
    assert_int_equal(volumes_place(v, &rank, 0, place), 3);
    assert_string_equal(place, "a:1");
    assert_true(volumes_place(v, &rank, 1, place) > 0);
    assert_string_equal(place, "a:1/sv00");
    assert_true(volumes_place(v, &rank, 255, place) > 0);
    assert_string_equal(place, "a:1/svFE");
    assert_int_equal(volumes_place(v, &rank, 256, place), 0);
    volumes_free(&v);
}

static void attempts_are_bounded(void **state)
{
    struct volumes *v = volumes_of("a:1", 1, 65536, "");
    struct placement_rank rank = {.volume = 0, .word = 65535};
    char place[PLACE_MAX];

    (void)state;
    volumes_place(v, &rank, 0, place);
    assert_string_equal(place, "a:1/svFFFF");
    volumes_place(v, &rank, 1, place);
    assert_string_equal(place, "a:1/sv00");
    assert_true(volumes_place(v, &rank, 255, place) > 0);
    assert_int_equal(volumes_place(v, &rank, 256, place), 0);
    volumes_free(&v);
}

static void places_are_split(void **state)
{
    static const struct {
        const char *place, *authority, *prefix;
    } cases[] = {
        {"localhost:3001/sv03", "localhost:3001", "/sv03"},
        {"localhost:3001", "localhost:3001", ""},
        {"larry/sv00", "larry", "/sv00"},
        {"[::1]:3001/disk/7/svFF", "[::1]:3001", "/disk/7/svFF"},
        {"", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str authority, prefix;

        place_split(str_of(cases[i].place), &authority, &prefix);
        assert_true(str_eq(authority, str_of(cases[i].authority)));
        assert_true(str_eq(prefix, str_of(cases[i].prefix)));
    }
}

static void public_names_are_the_longest_match(void **state)
{
    static const struct {
        const char *place, *public;
    } cases[] = {
        {"v1:3001/sv00", "host:9001/sv00"},
        {"v1:3001", "host:9001"},
        {"v1:30011/sv00", "v1:30011/sv00"}, /* another volume */
        {"v1:3001/disk/sv00", "host:9009/sv00"},
        {"v1:3001/disks/sv00", "host:9001/disks/sv00"},
        {"gone:1/sv02", "old.example/a/sv02"}, /* in no list, yet in a record */
        {"v2:3001/sv00", "v2:3001/sv00"},
    };
    struct volumes *v =
        volumes_of("v1:3001,v1:3001/disk,v2:3001", 1, 10,
                   "v1:3001=host:9001,v1:3001/disk=host:9009,gone:1=old.example/a");
    char out[PLACE_MAX], long_place[PLACE_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = volumes_public(v, str_of(cases[i].place), out);

        assert_string_equal(out, cases[i].public);
        assert_int_equal(n, strlen(out));
    }
    memset(long_place, 'x', sizeof(long_place));
    assert_int_equal(volumes_public(v, (struct str){long_place, PLACE_MAX}, out), 0);
    assert_int_equal(volumes_public(v, (struct str){long_place, PLACE_MAX - 1}, out),
                     PLACE_MAX - 1);
    volumes_free(&v);
}

static void wrong_lists_are_refused(void **state)
{
    static const struct {
        const char *list;
        int replicas, subvolumes;
        const char *public_names, *says;
    } cases[] = {
        {"", 1, 1, "", "need -volumes"},
        {"a:1,", 1, 1, "", "is empty"},
        {"a:1,,b:1", 1, 1, "", "is empty"},
        {"a:1,b:1,a:1", 1, 1, "", "named twice"},
        {"a:1,b:1", 3, 1, "", "fewer than the 3 replicas"},
        {"a:1", 0, 1, "", "-replicas"},
        {"a:1", 1, 0, "", "-subvolumes"},
        {"a:1", 1, 65537, "", "-subvolumes"},
        {"http://a:1", 1, 1, "", "scheme"},
        {"a:1, b:1", 1, 1, "", "character"},
        {"a:1/x?y", 1, 1, "", "character"},
        {"a:1\n", 1, 1, "", "character"},
        {"a:x", 1, 1, "", "host:port"},
        {"a\x7f:1", 1, 1, "", "character"},
        {"DELETED1:80", 1, 1, "", "begins"},
        {"a:1,HASHes:1", 1, 1, "", "begins"},
        {"/a", 1, 1, "", "host:port"},
        {"a:1", 1, 1, "a:1", "name=public"},
        {"a:1", 1, 1, "a:1=", "is empty"},
        {"a:1", 1, 1, "=b:1", "is empty"},
        {"a:1", 1, 1, "a:1=http://b:1", "scheme"},
        {"a:1", 1, 1, "a:1=b:1,a:1=c:1", "named twice"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char err[512] = "";
        struct volumes *v =
            volumes_new(cases[i].list, cases[i].replicas, cases[i].subvolumes,
                        cases[i].public_names, err, sizeof(err));

        assert_null(v);
        if (!strstr(err, cases[i].says))
            fail_msg("'%s' does not say '%s'", err, cases[i].says);
    }
}

/* Every place stands in records, lines of the index and request lines. */
static void places_of_the_longest_name_are_places(void **state)
{
    char name[302] = "a:1/", place[PLACE_MAX], err[512];
    struct placement_rank rank = {.volume = 0, .word = 65535};
    struct volumes *v;

    (void)state;
    memset(name + 4, 'x', 297);
    assert_null(volumes_new(name, 1, 65536, "", err, sizeof(err)));
    name[300] = '\0';
    v = volumes_of(name, 1, 65536, "");
    for (int attempt = 0; attempt < 256; attempt++) {
        size_t n = volumes_place(v, &rank, attempt, place);

        assert_true(record_place_ok((struct str){place, n}));
    }
    volumes_free(&v);
}

static void odd_names_are_kept_as_they_are(void **state)
{
    struct volumes *v = volumes_of("larry,[::1]:3001,10.0.0.9:80/disk7/", 3, 1, "");

    (void)state;
    assert_int_equal(volumes_count(v), 3);
    assert_true(str_eq(volumes_name(v, 0), STR("larry")));
    assert_true(str_eq(volumes_name(v, 1), STR("[::1]:3001")));
    assert_true(str_eq(volumes_name(v, 2), STR("10.0.0.9:80/disk7/")));
    volumes_free(&v);
}

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

static void refused_is_down_at_once(void **state)
{
    struct volumes *v = volumes_of("a:1,a:11", 1, 10, "");

    (void)state;
    assert_true(volumes_well(v, STR("a:1/sv00")));
    volumes_saw(v, STR("a:1/sv00"), CALL_REFUSED);
    assert_false(volumes_well(v, STR("a:1/sv00")));
    assert_false(volumes_well(v, STR("a:1/sv05"))); /* the volume, not the subvolume */
    assert_true(volumes_well(v, STR("a:11/sv00")));
    assert_true(volumes_well(v, STR("b:1/sv00"))); /* not in the list */
    volumes_saw(v, STR("b:1/sv00"), CALL_REFUSED);
    assert_true(volumes_well(v, STR("b:1/sv00")));
    volumes_saw(v, STR("a:1/sv05"), CALL_OK);
    assert_true(volumes_well(v, STR("a:1/sv00")));
    volumes_free(&v);
}

static void silence_is_down_when_it_repeats(void **state)
{
    struct volumes *v = volumes_of("a:1", 1, 10, "");
    struct str place = STR("a:1/sv00");

    (void)state;
    volumes_saw(v, place, CALL_TIMEOUT);
    volumes_saw(v, place, CALL_BROKEN);
    assert_true(volumes_well(v, place));
    volumes_saw(v, place, CALL_OK); /* not in a row */
    volumes_saw(v, place, CALL_TIMEOUT);
    volumes_saw(v, place, CALL_GARBAGE);
    volumes_saw(v, place, CALL_LOCAL); /* says nothing */
    assert_true(volumes_well(v, place));
    volumes_saw(v, place, CALL_TIMEOUT);
    assert_false(volumes_well(v, place));
    volumes_free(&v);
}

static void a_standing_tells_what_was_seen(void **state)
{
    struct volumes *v = volumes_of("a:1,b:1", 1, 10, "");
    struct volume_standing s = volumes_standing(v, 0);

    (void)state;
    assert_true(s.well);
    assert_int_equal(s.failures, 0);
    assert_int_equal(s.last_end, CALL_OK);
    volumes_saw(v, STR("a:1/sv00"), CALL_TIMEOUT);
    s = volumes_standing(v, 0);
    assert_true(s.well);
    assert_int_equal(s.failures, 1);
    assert_int_equal(s.last_end, CALL_TIMEOUT);
    volumes_saw(v, STR("a:1/sv00"), CALL_REFUSED);
    sleep_ms(50);
    s = volumes_standing(v, 0);
    assert_false(s.well);
    assert_true(s.since_ms >= 20 && s.since_ms < 60000);
    assert_int_equal(s.failures, 2);
    volumes_saw(v, STR("a:1/sv00"), CALL_OK);
    s = volumes_standing(v, 0);
    assert_true(s.well);
    assert_int_equal(s.failures, 2);
    assert_int_equal(s.last_end, CALL_REFUSED);
    assert_int_equal(volumes_standing(v, 1).failures, 0);
    volumes_free(&v);
}

static void the_longest_name_answers_for_a_place(void **state)
{
    struct volumes *v = volumes_of("a:1,a:1/disk", 1, 10, "");

    (void)state;
    volumes_saw(v, STR("a:1/disk/sv00"), CALL_REFUSED);
    assert_true(volumes_well(v, STR("a:1/sv00")));
    assert_false(volumes_well(v, STR("a:1/disk/sv03")));
    volumes_free(&v);
}

static void a_failed_write_shuns_its_subvolume(void **state)
{
    struct volumes *v = volumes_of("a:1", 1, 10, "");

    (void)state;
    assert_false(volumes_write_shunned(v, STR("a:1/sv00")));
    volumes_write_failed(v, STR("a:1/sv00"));
    assert_true(volumes_write_shunned(v, STR("a:1/sv00")));
    assert_false(volumes_write_shunned(v, STR("a:1/sv01")));
    assert_true(volumes_well(v, STR("a:1/sv00"))); /* reads go on */
    volumes_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(homes_are_the_golden_ones),
        cmocka_unit_test(attempts_take_every_subvolume_once),
        cmocka_unit_test(attempts_of_a_volume_without_subvolumes),
        cmocka_unit_test(attempts_are_bounded),
        cmocka_unit_test(places_are_split),
        cmocka_unit_test(public_names_are_the_longest_match),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(places_of_the_longest_name_are_places),
        cmocka_unit_test(odd_names_are_kept_as_they_are),
        cmocka_unit_test(refused_is_down_at_once),
        cmocka_unit_test(silence_is_down_when_it_repeats),
        cmocka_unit_test(a_standing_tells_what_was_seen),
        cmocka_unit_test(the_longest_name_answers_for_a_place),
        cmocka_unit_test(a_failed_write_shuns_its_subvolume),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
