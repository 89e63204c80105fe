/*
 * Writes of the index that fail: a full disk (a small tmpfs, where mounting is allowed),
 * a file size limit that tears the log at any byte, a sync that fails though the bytes
 * are there. What was acknowledged stays, what was reported as failed is not there, and
 * with room again the index goes on by itself.
 *
 * fdatasync and posix_fallocate are this program's own, and LevelDB is linked to them: so
 * they fail when told to.
 */
#include "tests/unit/index_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int passing_syncs; /* how many of the next syncs do not fail */
static int failing_syncs; /* and how many fail then */
static bool no_room;      /* is there none to open again */

static bool countdown(int *n)
{
    int left = __atomic_load_n(n, __ATOMIC_RELAXED);
    if (left > 0)
        __atomic_store_n(n, left - 1, __ATOMIC_RELAXED);
    return left > 0;
}

int fdatasync(int fd)
{
    if (!countdown(&passing_syncs) && countdown(&failing_syncs)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    if (__atomic_load_n(&no_room, __ATOMIC_RELAXED))
        return ENOSPC;
    return syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
}

static const char *failing_write; /* the next write of this text fails */

ssize_t write(int fd, const void *data, size_t n)
{
    const char *text = __atomic_load_n(&failing_write, __ATOMIC_RELAXED);
    if (text && memmem(data, n, text, strlen(text))) {
        __atomic_store_n(&failing_write, NULL, __ATOMIC_RELAXED);
        errno = EIO;
        return -1;
    }
    return syscall(SYS_write, fd, data, n);
}

static void fail_write_of(const char *text)
{
    __atomic_store_n(&failing_write, text, __ATOMIC_RELAXED);
}

static void set_no_room(bool on)
{
    __atomic_store_n(&no_room, on, __ATOMIC_RELAXED);
}

static void fail_sync_after(int passing)
{
    __atomic_store_n(&passing_syncs, passing, __ATOMIC_RELAXED);
    __atomic_store_n(&failing_syncs, 1, __ATOMIC_RELAXED);
}

static struct writer_counts counts_of(struct rig *rig)
{
    struct writer_counts counts;
    index_counts(rig->index, &counts);
    return counts;
}

/* One try to take writes again. */
static void retry(struct rig *rig)
{
    uint64_t before = counts_of(rig).retries;
    index_retry(rig->index);
    while (counts_of(rig).retries == before)
        usleep(1000);
}

static void recover(struct rig *rig)
{
    retry(rig);
    assert_false(counts_of(rig).refusing);
}

/* --- the unknown batch ---------------------------------------------------------- */

static void test_found_at_once(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_commit(rig, put("/k", MD5_A, "a:1"), true), 0);
    struct scan *scan = index_scan(rig->index, STR(""), STR(""));
    struct str key;
    struct record record;
    assert_int_equal(scan_next(scan, &key, &record), 1);
    fail_sync_after(0);
    /* Its bytes are in the log: found when opened again, so it is done. */
    assert_int_equal(rig_commit(rig, put("/k", MD5_B, "b:1"), true), 0);
    struct writer_counts counts = counts_of(rig);
    assert_int_equal(counts.failures, 1);
    assert_int_equal(counts.reopened, 1);
    expect(rig, "/k", "live fedc b:1 | 1000 50");
    assert_int_equal(rig_commit(rig, put("/l", MD5_B, "b:1"), true), 0);
    /* A scan does not outlive its database. */
    assert_int_equal(scan_next(scan, &key, &record), -EIO);
    scan_rewind(scan);
    assert_int_equal(scan_next(scan, &key, &record), -EIO);
    scan_free(&scan);
    rig_reopen(rig);
    expect(rig, "/k", "live fedc b:1 | 1000 50");
    expect(rig, "/l", "live fedc b:1 | 1000 50");
}

static void test_undone(void **state)
{
    struct rig *rig = *state;
    struct change *c = put("/k", MD5_A, "a:1");
    change_removal(c, STR("old:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    struct scan *scan = index_scan(rig->index, STR(""), STR(""));

    fail_sync_after(0);
    set_no_room(true);
    c = put("/k", MD5_B, "b:1");
    change_removal(c, STR("a:1"), 0, 0);
    change_cleared(c, STR("old:1"));
    assert_int_equal(rig_commit(rig, c, true), -EIO);
    /* Writes are refused, reads go on and show what was acknowledged. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_commit(rig, put("/new", MD5_A, "a:1"), true), -EIO);
    assert_true(counts_of(rig).refusing);
    expect(rig, "/k", "live 0123 a:1 | 1000 50 | removal old:1 0");
    expect(rig, "/new", "absent");
    struct str key;
    struct record record;
    assert_int_equal(scan_next(scan, &key, &record), 1);
    assert_int_equal(scan_next(scan, &key, &record), 0);
    scan_free(&scan);

    set_no_room(false);
    recover(rig);
    for (int round = 0; round < 2; round++) {
        expect(rig, "/k", "live 0123 a:1 | 1000 50 | removal old:1 0");
        expect(rig, "/new", "absent");
        assert_int_equal(index_removals(rig->index), 1);
        rig_reopen(rig);
    }
    assert_int_equal(rig_commit(rig, put("/new", MD5_A, "a:1"), true), 0);
}

/* The way back fails at each of its steps, the undoing included, and is gone once more.
 * Each time with a fresh index: in one that was opened often LevelDB compacts, and syncs
 * when it likes. */
static bool stumble_after(int passing)
{
    struct rig rig;
    rig_begin(&rig);
    assert_int_equal(rig_commit(&rig, put("/k", MD5_A, "a:1"), true), 0);
    set_no_room(true);
    fail_sync_after(0);
    assert_int_equal(rig_commit(&rig, put("/k", MD5_B, "b:1"), true), -EIO);
    expect(&rig, "/k", "live 0123 a:1 | 1000 50");
    fail_sync_after(passing);
    set_no_room(false);
    retry(&rig);
    bool stumbled = counts_of(&rig).refusing;
    if (stumbled) {
        expect(&rig, "/k", "error -5"); /* shut */
        assert_int_equal(rig_commit(&rig, put("/l", MD5_B, "b:1"), true), -EIO);
        recover(&rig);
    }
    fail_sync_after(0);
    countdown(&failing_syncs);
    for (int round = 0; round < 2; round++) {
        expect(&rig, "/k", "live 0123 a:1 | 1000 50");
        expect(&rig, "/l", "absent");
        rig_reopen(&rig);
    }
    rig_end(&rig);
    return stumbled;
}

static void test_undone_late(void **state)
{
    (void)state;
    int passing = 0;
    while (stumble_after(passing))
        passing++;
    assert_true(passing >= 3);
    print_message("%d steps of the way back failed\n", passing);
}

/* A PUT is under way when the disk fills: its end cannot be written, and its marks must
 * not stand for ever. */
static void test_marks_outlive(void **state)
{
    struct rig *rig = *state;
    rig_claim_marked(rig, "/k", "a:1");
    set_no_room(true);
    fail_sync_after(0);
    struct change *c = put("/k", MD5_B, "a:1");
    change_end_marks(c);
    assert_int_equal(rig_commit(rig, c, true), -EIO);
    c = change_new(STR("/k"));
    change_end_marks(c);
    change_removal(c, STR("a:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), -EIO);
    index_release(rig->index, STR("/k"));
    expect(rig, "/k", "absent | mark a:1");
    set_no_room(false);
    recover(rig);
    assert_int_equal(rig_commit(rig, put("/l", MD5_B, "b:1"), true), 0);
    expect(rig, "/k", "absent | removal a:1 0 late");
    assert_int_equal(index_removals(rig->index), 1);
}

/* Writes fail while commits of one thread come without pause: each is answered after the
 * one before it, also those that the index refuses at once. */
enum { STREAM = 50 * 1000 };

struct streamed {
    struct waiter *waiter;
    int number;
};

static void streamed_done(void *arg, int err)
{
    static int last = -1;
    struct streamed *s = arg;
    assure(s->number == (s->number == 0 ? 0 : last + 1));
    last = s->number;
    waiter_done(s->waiter, err);
}

static void test_order(void **state)
{
    struct rig *rig = *state;
    struct streamed *streamed = xcalloc(STREAM, sizeof(*streamed));
    for (int round = 0; round < 4; round++) {
        struct waiter w;
        waiter_init(&w, STREAM);
        for (int i = 0; i < STREAM; i++) {
            struct change *c = put("/k", MD5_A, "a:1");
            streamed[i] = (struct streamed){&w, i};
            if (i == STREAM / 4) {
                set_no_room(true);
                fail_sync_after(0);
            }
            index_commit(rig->index, rig->loop, &c, true, streamed_done, &streamed[i]);
        }
        int err = waiter_wait(&w); /* no room: what a retry amid the stream found */
        assert_true(err == -EIO || err == -ENOSPC);
        set_no_room(false);
        recover(rig);
    }
    free(streamed);
}

/* What becomes of marks whose claim has ended is the index's own to write: also when that
 * fails again it is not given up. */
static void test_marks_outlive_twice(void **state)
{
    struct rig *rig = *state;
    rig_claim_marked(rig, "/k", "a:1");
    set_no_room(true);
    fail_sync_after(0);
    struct change *c = change_new(STR("/k"));
    change_end_marks(c);
    assert_int_equal(rig_commit(rig, c, true), -EIO);
    index_release(rig->index, STR("/k"));
    set_no_room(false);
    fail_write_of("removal ");
    recover(rig);
    while (__atomic_load_n(&failing_write, __ATOMIC_RELAXED))
        usleep(1000);
    assert_int_equal(rig_commit(rig, put("/l", MD5_B, "b:1"), true), 0);
    expect(rig, "/k", "absent | removal a:1 0 late");
    assert_int_equal(index_removals(rig->index), 1);
}

/* Ended while writes are refused. */
static void test_closed_refusing(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_commit(rig, put("/k", MD5_A, "a:1"), true), 0);
    set_no_room(true);
    fail_sync_after(0);
    struct change *c = change_new(STR("/other"));
    change_removal(c, STR("a:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), -EIO);
    index_close(&rig->index);
    set_no_room(false);
    rig_open(rig);
    expect(rig, "/k", "live 0123 a:1 | 1000 50");
}

/* --- running out of room -------------------------------------------------------- */

enum { KEYS = 40 };

/* One commit of every key at once, each to number n; notes which were acknowledged. */
struct one {
    struct waiter *waiter;
    int err;
};

static void one_done(void *arg, int err)
{
    struct one *one = arg;
    one->err = err;
    waiter_done(one->waiter, err);
}

static int round_of_commits(struct rig *rig, uint64_t n, uint64_t acknowledged[KEYS])
{
    struct waiter w;
    struct one one[KEYS];
    waiter_init(&w, KEYS);
    for (int i = 0; i < KEYS; i++) {
        char key[16], place[320];
        snprintf(key, sizeof(key), "/%d", i);
        snprintf(place, sizeof(place), "v%llu-%0250d:1", (unsigned long long)n, i);
        struct change *c = change_new(str_of(key));
        struct record r = record_of(RECORD_LIVE, MD5_A, place);
        change_record(c, &r, true, n, 1);
        place[0] = 'r';
        change_removal(c, str_of(place), (int64_t)n, 0);
        snprintf(place, sizeof(place), "r%llu-%0250d:1",
                 (unsigned long long)acknowledged[i], i);
        change_cleared(c, str_of(place));
        one[i].waiter = &w;
        index_commit(rig->index, rig->loop, &c, i % 2 == 0, one_done, &one[i]);
    }
    int err = waiter_wait(&w);
    for (int i = 0; i < KEYS; i++)
        if (one[i].err == 0)
            acknowledged[i] = n;
    return err;
}

static void check_acknowledged(struct rig *rig, const uint64_t acknowledged[KEYS])
{
    uint64_t listed = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "/%d", i);
        struct entry e;
        assert_int_equal(rig_claim(rig, str_of(key), &e), 0);
        assert_int_equal(e.size, acknowledged[i]);
        assert_int_equal(e.n_removals, acknowledged[i] > 0);
        if (acknowledged[i] > 0)
            assert_int_equal(e.removal[0].due, acknowledged[i]);
        listed += acknowledged[i] > 0;
        entry_clear(&e);
        index_release(rig->index, str_of(key));
    }
    assert_int_equal(index_removals(rig->index), listed);
}

static off_t log_size(struct rig *rig)
{
    char command[PATH_MAX + 64];
    snprintf(command, sizeof(command), "cat '%s'/*.log | wc -c", rig->path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    long long size = 0;
    assert_int_equal(fscanf(f, "%lld", &size), 1);
    pclose(f);
    return (off_t)size;
}

static void set_file_limit(rlim_t limit)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = limit == RLIM_INFINITY ? r.rlim_max : limit;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_file_limit(void **state)
{
    struct rig *rig = *state;
    uint64_t acknowledged[KEYS] = {0}, n = 0;
    unsigned seed = 11;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(round_of_commits(rig, ++n, acknowledged), 0);
        set_file_limit((rlim_t)log_size(rig) + (rlim_t)(rand_r(&seed) % 40000));
        int err = 0;
        for (int i = 0; i < 10 && err == 0; i++)
            err = round_of_commits(rig, ++n, acknowledged);
        assert_int_equal(err, -ENOSPC);
        assert_int_equal(round_of_commits(rig, ++n, acknowledged), -ENOSPC);
        check_acknowledged(rig, acknowledged);
        set_file_limit(RLIM_INFINITY);
        recover(rig);
        check_acknowledged(rig, acknowledged);
    }
    rig_reopen(rig);
    check_acknowledged(rig, acknowledged);
}

static void fill(const char *dir, char name[PATH_MAX])
{
    snprintf(name, PATH_MAX, "%s/filler", dir);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    static char block[4096];
    while (write(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
}

static char mount_point[32];

static int unmount(void **state)
{
    (void)state;
    umount2(mount_point, MNT_DETACH); /* a test that failed still has files open */
    return rmdir(mount_point);
}

static void test_full_disk(void **state)
{
    (void)state;
    memcpy(mount_point, "/tmp/mkv-tmpfs-XXXXXX", sizeof("/tmp/mkv-tmpfs-XXXXXX"));
    assert_non_null(mkdtemp(mount_point));
    if (mount("tmpfs", mount_point, "tmpfs", 0, "size=24m") != 0) {
        print_message("no tmpfs can be mounted here\n");
        skip();
    }
    struct rig rig;
    rig_folder(&rig, mount_point);
    rig_start_loop(&rig);
    rig_open(&rig);
    uint64_t acknowledged[KEYS] = {0}, n = 0;
    char filler[PATH_MAX];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 60; i++)
            assert_int_equal(round_of_commits(&rig, ++n, acknowledged), 0);
        fill(mount_point, filler);
        int err = 0;
        for (int i = 0; i < 1000 && err == 0; i++)
            err = round_of_commits(&rig, ++n, acknowledged);
        assert_int_equal(err, -ENOSPC);
        check_acknowledged(&rig, acknowledged);
        retry(&rig);
        assert_true(counts_of(&rig).refusing);
        check_acknowledged(&rig, acknowledged);
        assert_int_equal(unlink(filler), 0);
        recover(&rig);
        check_acknowledged(&rig, acknowledged);
    }
    rig_reopen(&rig);
    check_acknowledged(&rig, acknowledged);
    /* Not even opened on a full disk, and nothing lost by the attempt. */
    assert_int_equal(round_of_commits(&rig, ++n, acknowledged), 0);
    index_close(&rig.index);
    fill(mount_point, filler);
    char err[512];
    struct index_options options = {.path = rig.path, .sync = true};
    assert_null(index_open(&options, err, sizeof(err)));
    assert_non_null(strstr(err, "No space left"));
    assert_int_equal(unlink(filler), 0);
    rig_open(&rig);
    check_acknowledged(&rig, acknowledged);
    rig_end(&rig);
}

int main(void)
{
    if (!getenv("INDEX_TEST_LOG"))
        log_set_level((enum log_level) - 1); /* the errors are meant */
    signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        IN_RIG(test_found_at_once),
        IN_RIG(test_undone),
        cmocka_unit_test(test_undone_late),
        IN_RIG(test_marks_outlive),
        IN_RIG(test_order),
        IN_RIG(test_marks_outlive_twice),
        IN_RIG(test_closed_refusing),
        IN_RIG(test_file_limit),
        cmocka_unit_test_teardown(test_full_disk, unmount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
