/*
 * Volumes that are left alone for a while: for how long, and that the clock on the wall
 * has no say in it. clock_gettime is this program's own: its time is the tests'.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "master/volumes/resting.h"

static uint64_t now_ms = 5000;

int clock_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    t->tv_sec = (time_t)(now_ms / 1000);
    t->tv_nsec = (long)(now_ms % 1000) * 1000000;
    return 0;
}

/* Rests for so long from now on, and then there is one trial. */
static void assert_rests(struct resting *resting, struct str place, unsigned seconds)
{
    now_ms += (uint64_t)seconds * 1000 - 1;
    assert_false(resting_admit(resting, place));
    now_ms++;
    assert_true(resting_admit(resting, place));
    assert_false(resting_admit(resting, place));
}

static void rests_grow(void **state)
{
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 30, 30};
    struct resting *resting = resting_new();
    struct str place = STR("a:3001/sv00"), same = STR("a:3001/sv07"),
               other = STR("b:3001/sv00");

    (void)state;
    assert_true(resting_admit(resting, place));
    resting_note(resting, place, false);
    for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        assert_rests(resting, place, seconds[i]);
        resting_note(resting, place, false); /* what came of the trial */
        assert_false(resting_admit(resting, same));
        assert_true(resting_admit(resting, other));
    }
    resting_note(resting, same, true);
    assert_true(resting_admit(resting, place));
    resting_note(resting, place, false);
    assert_rests(resting, place, 1);
    resting_free(&resting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rests_grow)};

    return cmocka_run_group_tests_name("resting", tests, NULL, NULL);
}
