/*
 * Putting a new index in the old one's place, with each rename and each sync made to fail
 * in all combinations that there are: what is told of where the old index lies is true.
 *
 * fsync, rename and renameat2 are this program's own: they fail when told to.
 */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "master/index/folder_swap.h"

enum { CALLS_MAX = 16 };

static bool can_exchange;
static int calls;             /* syncs and renames so far */
static bool fails[CALLS_MAX]; /* which of them do */
static bool unsynced;         /* a name was changed, and no folder synced since */

static bool is_to_fail(void)
{
    assert_in_range(calls, 0, CALLS_MAX - 1);
    return fails[calls++];
}

int fsync(int fd)
{
    (void)fd;
    if (is_to_fail()) {
        errno = EIO;
        return -1;
    }
    unsynced = false;
    return 0;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (flags != 0 && !can_exchange) {
        errno = EINVAL;
        return -1;
    }
    if (is_to_fail()) {
        errno = EIO;
        return -1;
    }
    unsynced = true;
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int rename(const char *from, const char *to)
{
    return renameat2(-1, from, -1, to, 0);
}

static void make_index(const char *path, const char *what)
{
    char mark[PATH_MAX];

    assert_int_equal(mkdir(path, 0777), 0);
    assert_in_range(snprintf(mark, sizeof(mark), "%s/%s", path, what), 1, PATH_MAX - 1);
    assert_int_equal(mkdir(mark, 0777), 0);
}

static bool is_index(const char *path, const char *what)
{
    char mark[PATH_MAX];

    assert_in_range(snprintf(mark, sizeof(mark), "%s/%s", path, what), 1, PATH_MAX - 1);
    return access(mark, F_OK) == 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

/* The next rebuild puts the new one where there is none. */
static void assert_is_ended(const char *index)
{
    const int made = calls;
    bool failing[CALLS_MAX];
    char err[512];

    memcpy(failing, fails, sizeof(fails));
    memset(fails, 0, sizeof(fails));
    struct folder_swap *swap = folder_swap_new(index, err, sizeof(err));
    assert_non_null(swap);
    assert_true(is_index(index, "new"));
    folder_swap_free(&swap);
    memcpy(fails, failing, sizeof(fails));
    calls = made;
}

/* One swap with these faults; 0: all was well. */
static int swap_once(void)
{
    char dir[] = "/tmp/swap-XXXXXX", index[64], err[512];
    const char *kept = "";
    bool left;

    assert_non_null(mkdtemp(dir));
    snprintf(index, sizeof(index), "%s/db", dir);
    make_index(index, "old");
    struct folder_swap *swap = folder_swap_new(index, err, sizeof(err));
    assert_non_null(swap);
    assert_int_equal(folder_swap_make(swap, &left), 0);
    make_index(folder_swap_fresh(swap), "new");

    calls = 0;
    unsynced = true;
    int r = folder_swap_names(swap, &kept);
    if (r == 0) {
        assert_true(is_index(index, "new"));
        assert_true(is_index(kept, "old"));
        assert_false(unsynced);
    } else if (!kept) {
        assert_true(is_index(index, "old"));
    } else {
        assert_true(is_index(kept, "old"));
        /* There is an index, or one for the next rebuild to put there. */
        assert_true(is_index(index, "new") || is_index(folder_swap_fresh(swap), "new"));
    }
    bool waits = access(index, F_OK) != 0;
    folder_swap_free(&swap);
    if (waits)
        assert_is_ended(index);
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    return r;
}

/* The last call made that did not fail does next time, and none after it. */
static bool next_combination(void)
{
    int i = calls - 1;

    while (i >= 0 && fails[i])
        i--;
    if (i < 0)
        return false;
    fails[i] = true;
    memset(fails + i + 1, 0, sizeof(fails) - sizeof(fails[0]) * (size_t)(i + 1));
    return true;
}

static void calls_fail(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        can_exchange = i == 1;
        memset(fails, 0, sizeof(fails));
        assert_int_equal(swap_once(), 0);
        while (next_combination())
            swap_once();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_fail),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("folder_swap", tests, NULL, NULL);
}
