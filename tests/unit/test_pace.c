/* The pace of a job: never more than its rate, over any stretch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/jobs/pace.h"

/* Takes what may be taken at that millisecond. */
static unsigned take_all(struct pace *pace, uint64_t now)
{
    unsigned n = 0;

    while (n < 100000 && pace_take(pace, now) == 0)
        n++;
    return n;
}

static void no_bound(void **state)
{
    struct pace *pace = pace_new(0);

    (void)state;
    pace_owe(pace, 1000 * 1000);
    assert_int_equal(take_all(pace, 1), 100000);
    pace_free(&pace);
}

static void keeps_its_rate(void **state)
{
    static const unsigned rates[] = {1, 7, 100, 3000, 1000 * 1000};

    (void)state;
    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct pace *pace = pace_new(rates[i]);
        uint64_t n = 0;

        /* Ten seconds, looked at every millisecond. */
        for (uint64_t now = 50000; now < 60000; now++)
            n += take_all(pace, now);
        assert_in_range(n, 10 * (uint64_t)rates[i] - 1,
                        10 * (uint64_t)rates[i] + rates[i] / 10 + 1);
        pace_free(&pace);
    }
}

static void says_how_long_to_wait(void **state)
{
    struct pace *pace = pace_new(10);
    uint64_t wait;

    (void)state;
    take_all(pace, 70000);
    wait = pace_take(pace, 70000);
    assert_in_range(wait, 1, 100);
    assert_int_equal(pace_take(pace, 70000 + wait - 1), 1);
    assert_int_equal(pace_take(pace, 70000 + wait), 0);
    pace_free(&pace);
}

static void idle_time_is_not_saved_up(void **state)
{
    struct pace *pace = pace_new(100);

    (void)state;
    take_all(pace, 1000);
    assert_in_range(take_all(pace, 3600 * 1000), 10, 11);
    pace_free(&pace);
}

static void what_is_owed_is_waited_for(void **state)
{
    struct pace *pace = pace_new(100);
    uint64_t wait;

    (void)state;
    take_all(pace, 5000);
    pace_owe(pace, 1000); /* a value of 1000 MiB */
    wait = pace_take(pace, 5000);
    assert_in_range(wait, 10000, 10010);
    assert_int_equal(pace_take(pace, 5000 + wait), 0);
    pace_free(&pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bound),
        cmocka_unit_test(keeps_its_rate),
        cmocka_unit_test(says_how_long_to_wait),
        cmocka_unit_test(idle_time_is_not_saved_up),
        cmocka_unit_test(what_is_owed_is_waited_for),
    };

    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
