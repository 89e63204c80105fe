/* Choosing places: never one that is named, in the order of rank, the unwell last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "master/volumes/choose.h"

#define KEY STR("/some/key")

static struct volumes *set(int subvolumes)
{
    char err[256];
    struct volumes *v =
        volumes_new("a:1,b:2,c:3,d:4", 3, subvolumes, "", err, sizeof(err));

    assert_non_null(v);
    return v;
}

/* The place of the volume at that rank. */
static struct str place_at(const struct volumes *v, int rank, int attempt,
                           char text[PLACE_MAX])
{
    struct placement_rank ranks[PLACEMENT_VOLUMES_MAX];

    volumes_rank(v, KEY, ranks);
    return (struct str){text, volumes_place(v, &ranks[rank], attempt, text)};
}

static void expect(struct choice *choice, struct str place, int rank)
{
    char text[PLACE_MAX];
    int got;
    size_t n = choice_next(choice, text, &got);

    assert_int_equal(n, place.n);
    assert_memory_equal(text, place.p, n);
    assert_int_equal(got, rank);
}

static void expect_none(struct choice *choice)
{
    char text[PLACE_MAX];
    int rank;

    assert_int_equal(choice_next(choice, text, &rank), 0);
}

static void homes_in_order(void **state)
{
    struct volumes *v = set(10);
    struct entry entry = {0};
    struct choice *choice = choice_new(v, KEY, &entry);
    char text[PLACE_MAX];

    (void)state;
    for (int i = 0; i < 4; i++)
        expect(choice, place_at(v, i, 0, text), i);
    expect_none(choice);
    choice_free(&choice);
    volumes_free(&v);
}

static void named_places_are_passed_over(void **state)
{
    for (int subvolumes = 1; subvolumes <= 10; subvolumes += 9) {
        struct volumes *v = set(subvolumes);
        char home[4][PLACE_MAX], second[PLACE_MAX], text[PLACE_MAX];
        struct entry entry = {0};
        struct removal removals[2];
        struct str mark;
        struct choice *choice;

        (void)state;
        entry.record.state = RECORD_UNLINKED;
        entry.record.n = 1;
        entry.record.place[0] = place_at(v, 0, 0, home[0]);
        mark = place_at(v, 1, 0, home[1]);
        entry.mark = &mark;
        entry.n_marks = 1;
        removals[0].place = place_at(v, 2, 0, home[2]);
        removals[1].place = place_at(v, 2, 1, second);
        entry.removal = removals;
        entry.n_removals = 2;

        choice = choice_new(v, KEY, &entry);
        expect(choice, place_at(v, 0, 1, text), 0);
        expect(choice, place_at(v, 1, 1, text), 1);
        expect(choice, place_at(v, 2, 2, text), 2);
        expect(choice, place_at(v, 3, 0, text), 3);
        expect_none(choice);
        choice_free(&choice);
        volumes_free(&v);
    }
}

static void a_volume_with_nothing_free_is_left_out(void **state)
{
    struct volumes *v = set(2);
    char a[PLACE_MAX], b[PLACE_MAX], text[PLACE_MAX];
    struct entry entry = {0};
    struct choice *choice;

    (void)state;
    entry.record.state = RECORD_UNLINKED;
    entry.record.n = 2;
    entry.record.place[0] = place_at(v, 1, 0, a);
    entry.record.place[1] = place_at(v, 1, 1, b);
    choice = choice_new(v, KEY, &entry);
    expect(choice, place_at(v, 0, 0, text), 0);
    expect(choice, place_at(v, 2, 0, text), 2);
    expect(choice, place_at(v, 3, 0, text), 3);
    expect_none(choice);
    choice_free(&choice);
    volumes_free(&v);
}

static void the_unwell_come_last(void **state)
{
    struct volumes *v = set(10);
    struct entry entry = {0};
    struct choice *choice = choice_new(v, KEY, &entry);
    char text[PLACE_MAX];

    (void)state;
    volumes_saw(v, place_at(v, 0, 0, text), CALL_REFUSED);
    volumes_write_failed(v, place_at(v, 1, 0, text));
    expect(choice, place_at(v, 2, 0, text), 2);
    expect(choice, place_at(v, 3, 0, text), 3);
    expect(choice, place_at(v, 1, 1, text), 1); /* another subvolume */
    expect(choice, place_at(v, 0, 0, text), 0);
    expect_none(choice);
    choice_free(&choice);
    volumes_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(homes_in_order),
        cmocka_unit_test(named_places_are_passed_over),
        cmocka_unit_test(a_volume_with_nothing_free_is_left_out),
        cmocka_unit_test(the_unwell_come_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
