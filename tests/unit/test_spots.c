/* What is known of a key's places, and what its record becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "master/spots.h"

#define KEY STR("/some/key")

/* A key on four volumes with two replicas; `home` are its places. */
struct set {
    struct volumes *volumes;
    char text[2][PLACE_MAX];
    struct str home[2];
    struct entry entry;
    struct spots spots;
};

static int set_up(void **state)
{
    static struct set set;
    struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
    char err[256];

    set = (struct set){0};
    set.volumes = volumes_new("a:1,b:2,c:3,d:4", 2, 10, "", err, sizeof(err));
    assert_non_null(set.volumes);
    volumes_rank(set.volumes, KEY, rank);
    for (int i = 0; i < 2; i++)
        set.home[i] = (struct str){set.text[i],
                                   volumes_place(set.volumes, &rank[i], 0, set.text[i])};
    set.entry.record.state = RECORD_LIVE;
    *state = &set;
    return 0;
}

static int tear_down(void **state)
{
    struct set *set = *state;

    spots_free(&set->spots);
    volumes_free(&set->volumes);
    return 0;
}

static void name(struct set *set, struct str place)
{
    set->entry.record.place[set->entry.record.n++] = place;
}

static void find(struct set *set)
{
    spots_find_homes(&set->spots, set->volumes, KEY, &set->entry);
}

static void expect_record(const struct set *set, int n, const struct str *place)
{
    struct record record = set->entry.record;

    spots_record(&set->spots, &record);
    assert_int_equal(record.n, n);
    for (int i = 0; i < n; i++)
        assert_true(str_eq(record.place[i], place[i]));
}

static void homes_then_others(void **state)
{
    struct set *set = *state;
    struct removal removal = {.place = set->home[1], .late = time(NULL) + 100};

    name(set, STR("old:1/sv00"));
    name(set, set->home[0]);
    set->entry.removal = &removal;
    set->entry.n_removals = 1;
    find(set);
    assert_int_equal(set->spots.n, 3);
    assert_true(set->spots.spot[0].wanted && set->spots.spot[0].named);
    assert_int_equal(set->spots.spot[0].state, SPOT_UNKNOWN);
    assert_int_equal(set->spots.spot[1].state, SPOT_TAKEN);
    assert_true(set->spots.spot[1].late);
    assert_false(set->spots.spot[2].wanted);
    assert_true(str_eq(set->spots.spot[2].place, STR("old:1/sv00")));
    /* A home that is to be cleared gets no copy. */
    set->spots.spot[0].state = SPOT_HOLDS;
    assert_null(spots_target(&set->spots));
}

/* Worth another try only where nothing else keeps the value from its homes, in whatever
 * order they come. */
static void soon_free(void **state)
{
    struct set *set = *state;

    name(set, STR("old:1/sv00"));
    find(set);
    assert_false(spots_soon_free(&set->spots)); /* nothing is in the way */
    for (int i = 0; i < 2; i++) {
        struct spot *taken = &set->spots.spot[i], *other = &set->spots.spot[1 - i];

        *taken = (struct spot){.state = SPOT_TAKEN, .wanted = true};
        *other = (struct spot){.state = SPOT_FREE, .wanted = true};
        assert_true(spots_soon_free(&set->spots));
        other->given_up = true;
        assert_false(spots_soon_free(&set->spots));
        *other = (struct spot){.state = SPOT_HOLDS, .wanted = true, .named = true};
        assert_true(spots_soon_free(&set->spots));
        other->state = SPOT_UNKNOWN;
        assert_false(spots_soon_free(&set->spots));
        *other = *taken;
        assert_true(spots_soon_free(&set->spots));
        other->late = true;
        assert_false(spots_soon_free(&set->spots));
        *other = *taken;
        other->given_up = true;
        assert_false(spots_soon_free(&set->spots));
    }
}

static void old_places_stay_until_all_are_home(void **state)
{
    struct set *set = *state;
    const struct str old = STR("old:1/sv00");

    name(set, old);
    name(set, set->home[0]);
    find(set);
    set->spots.spot[0].state = SPOT_HOLDS;
    assert_ptr_equal(spots_target(&set->spots), &set->spots.spot[1]);
    expect_record(set, 2, (struct str[]){set->home[0], old});
    set->spots.spot[1].state = SPOT_SPOILT;
    expect_record(set, 2, (struct str[]){set->home[0], old});
    assert_false(spots_complete(&set->spots));
    set->spots.spot[1].state = SPOT_COPIED;
    assert_true(spots_complete(&set->spots));
    expect_record(set, 2, (struct str[]){set->home[0], set->home[1]});
}

/* One that is named but has lost its file: out of the record while it is written to, back
 * in it when that did not even begin, and not when the copy may still arrive. */
static void a_home_that_lost_its_file(void **state)
{
    struct set *set = *state;
    struct record record = set->entry.record;

    name(set, set->home[0]);
    name(set, set->home[1]);
    find(set);
    set->spots.spot[0].state = SPOT_LACKS;
    set->spots.spot[1].state = SPOT_HOLDS;
    spots_record_meanwhile(&set->spots, &record);
    assert_int_equal(record.n, 1);
    assert_true(str_eq(record.place[0], set->home[1]));
    set->spots.spot[0].given_up = true;
    assert_null(spots_target(&set->spots));
    expect_record(set, 2, set->home);
    set->spots.spot[0].state = SPOT_SPOILT;
    expect_record(set, 1, &set->home[1]);
}

/* A checkup's: what the record names is where the value is to be, wherever its home. */
static void named_ones_alone(void **state)
{
    struct set *set = *state;
    struct record record = set->entry.record;
    const struct str place[] = {STR("old:1/sv00"), set->home[1]};

    name(set, place[0]);
    name(set, place[1]);
    spots_find_named(&set->spots, &set->entry);
    assert_int_equal(set->spots.n, 2);
    set->spots.spot[0].state = SPOT_LACKS;
    set->spots.spot[1].state = SPOT_HOLDS;
    assert_ptr_equal(spots_target(&set->spots), &set->spots.spot[0]);
    assert_false(spots_complete(&set->spots));
    spots_record_meanwhile(&set->spots, &record);
    assert_int_equal(record.n, 1);
    assert_true(str_eq(record.place[0], place[1]));
    set->spots.spot[0].state = SPOT_COPIED;
    assert_true(spots_complete(&set->spots));
    expect_record(set, 2, place);
    set->spots.spot[0].state = SPOT_SPOILT;
    expect_record(set, 1, &place[1]);
}

static void sizes(void **state)
{
    struct set *set = *state;
    uint64_t size = 0;

    name(set, set->home[0]);
    name(set, set->home[1]);
    find(set);
    assert_int_equal(spots_sizes_differ(&set->spots, &size), -1);
    for (int i = 0; i < 2; i++) {
        set->spots.spot[i].state = SPOT_HOLDS;
        set->spots.spot[i].has_length = true;
        set->spots.spot[i].length = 7;
    }
    assert_int_equal(spots_sizes_differ(&set->spots, &size), 0);
    assert_int_equal(size, 7);
    set->spots.spot[1].length = 8;
    assert_int_equal(spots_sizes_differ(&set->spots, &size), 1);
    /* Not written to on the way: nothing is marked there. */
    spots_learn_size(&set->spots, 7);
    assert_int_equal(set->spots.spot[1].state, SPOT_LACKS);
    assert_null(spots_target(&set->spots));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(homes_then_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(soon_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_places_stay_until_all_are_home, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_home_that_lost_its_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(named_ones_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("spots", tests, NULL, NULL);
}
