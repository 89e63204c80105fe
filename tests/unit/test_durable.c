/*
 * Durable names: which folders are synced, how often, and that a failed sync is not taken
 * for a good one. fsync() is ours here, so that each can be seen, slowed down and made to
 * fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "volumed/durable.h"

enum { THREADS = 8 };

static char base[64];
static int top;
static struct durable *durable;

static atomic_int syncs, slow_ms, fail_with;
static atomic_ullong fails_alone; /* the folder that fails; 0: every one */
static ino_t order[64];

int fsync(int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return -1;
    int n = atomic_fetch_add(&syncs, 1);
    if (n < 64)
        order[n] = st.st_ino;
    int ms = atomic_load(&slow_ms);
    if (ms)
        nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
    unsigned long long alone = atomic_load(&fails_alone);
    errno = alone == 0 || alone == st.st_ino ? atomic_load(&fail_with) : 0;
    return errno ? -1 : 0;
}

static int setup(void **state)
{
    (void)state;
    strcpy(base, "/tmp/test_durable.XXXXXX");
    assert_non_null(mkdtemp(base));
    top = open(base, O_RDONLY | O_DIRECTORY);
    assert_true(top >= 0);
    mkdirat(top, "a", 0755);
    mkdirat(top, "a/b", 0755);
    mkdirat(top, "a/c", 0755);
    durable = durable_new(top);
    syncs = 0;
    slow_ms = 0;
    fail_with = 0;
    fails_alone = 0;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    durable_free(&durable);
    close(top);
    snprintf(command, sizeof(command), "rm -r %s", base);
    return system(command);
}

static int folder(const char *path)
{
    int fd = openat(top, path, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    return fd;
}

static ino_t ino(const char *path)
{
    struct stat st;
    assert_int_equal(fstatat(top, path, &st, 0), 0);
    return st.st_ino;
}

/* Syncs of one call. */
static int names(const char *path)
{
    int before = syncs, fd = folder(path);
    assert_int_equal(durable_names(durable, fd), 0);
    close(fd);
    return syncs - before;
}

static void climbs_once(void **state)
{
    (void)state;
    assert_int_equal(names("a/b"), 3);
    assert_int_equal(order[0], ino("a/b"));
    assert_int_equal(order[1], ino("a"));
    assert_int_equal(order[2], ino("."));
    assert_int_equal(names("a/b"), 1);
    assert_int_equal(names("a/c"), 2); /* itself and a: what is above a is known */
    assert_int_equal(names("a/c"), 1);
    assert_int_equal(names("."), 1);
}

static void failure_is_not_remembered(void **state)
{
    (void)state;
    int fd = folder("a/b");
    fail_with = EIO;
    assert_int_equal(durable_names(durable, fd), -EIO);
    fail_with = EINVAL; /* nothing to sync there */
    assert_int_equal(durable_names(durable, fd), 0);
    fail_with = 0;
    close(fd);

    durable_free(&durable);
    durable = durable_new(top);
    fd = folder("a/b");
    fail_with = EIO;
    assert_int_equal(durable_names(durable, fd), -EIO);
    fail_with = 0;
    close(fd);
    assert_int_equal(names("a/b"), 3);
}

static void new_folder_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(names("a/b"), 3);
    int fd = folder("a/b");
    durable_forget(durable, fd);
    close(fd);
    assert_int_equal(names("a/b"), 2);
}

static void many_folders(void **state)
{
    char path[32];
    (void)state;
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "a/%d", i);
        mkdirat(top, path, 0755);
        names(path);
    }
    int again = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "a/%d", i);
        again += names(path) - 1;
    }
    /* Some fell out where two share a slot; most are known. */
    assert_true(again < 2000);
}

/* Deeper than what is asked for at once: every folder is synced, and then known. */
static void deep(void **state)
{
    enum { LEVELS = 40 };
    char path[2 * LEVELS + 2] = "a";
    (void)state;
    for (size_t i = 1; i < LEVELS; i++) {
        memcpy(path + 2 * i - 1, "/d", sizeof("/d"));
        mkdirat(top, path, 0755);
    }
    int n = names(path), again = 0;
    assert_in_range(n, LEVELS + 1, 64);
    for (char *end = path + strlen(path); end > path; end -= 2) {
        *end = '\0';
        bool synced = false;
        for (int i = 0; i < n; i++)
            synced |= order[i] == ino(path);
        assert_true(synced);
        again += names(path);
    }
    /* Two that share a slot are not both known. */
    assert_in_range(again, LEVELS, LEVELS + LEVELS / 2);
}

struct writer {
    const char *path;
    int result;
    pthread_t thread;
};

static void *one_writer(void *arg)
{
    struct writer *writer = arg;
    int fd = folder(writer->path);
    writer->result = durable_names(durable, fd);
    close(fd);
    return NULL;
}

/* Each writer's folder is paths[i]. Returns how many syncs they made. */
static int run_writers(char paths[THREADS][16], int results[THREADS])
{
    struct writer writers[THREADS];
    int before = syncs;
    for (int i = 0; i < THREADS; i++) {
        writers[i].path = paths[i];
        pthread_create(&writers[i].thread, NULL, one_writer, &writers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(writers[i].thread, NULL);
        results[i] = writers[i].result;
    }
    return syncs - before;
}

static void shared(void **state)
{
    char paths[THREADS][16];
    int results[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        strcpy(paths[i], "a/b");
    names("a/b");
    slow_ms = 100;
    int n = run_writers(paths, results);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(results[i], 0);
    /* The first, one for those that came while it ran, and perhaps a straggler's. */
    assert_in_range(n, 2, 4);
    fail_with = ENOSPC;
    run_writers(paths, results);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(results[i], -ENOSPC);
}

/* Each has a new folder of its own, and what is above they share. */
static void shared_above(void **state)
{
    char paths[THREADS][16];
    int results[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        snprintf(paths[i], sizeof(paths[i]), "a/%d", i);
        mkdirat(top, paths[i], 0755);
    }
    slow_ms = 50;
    fail_with = EIO;
    fails_alone = ino(".");
    run_writers(paths, results);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(results[i], -EIO);
    fail_with = 0;
    int n = run_writers(paths, results);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(results[i], 0);
    /* Their own, and what is above once or twice, or once more for stragglers. */
    assert_in_range(n, THREADS + 2, THREADS + 8);
    /* Now they are known, but for what shares a slot. */
    assert_in_range(run_writers(paths, results), THREADS, THREADS + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(climbs_once, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_is_not_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(new_folder_is_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(many_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(deep, setup, teardown),
        cmocka_unit_test_setup_teardown(shared, setup, teardown),
        cmocka_unit_test_setup_teardown(shared_above, setup, teardown),
    };
    return cmocka_run_group_tests_name("durable", tests, NULL, NULL);
}
