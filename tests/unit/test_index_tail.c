/*
 * The end of the log after a power cut, made by hand: the last batch cut short, with a
 * hole, with other bytes in it. Such an index opens with all that was acknowledged; one
 * that is damaged before the last batch does not.
 */
#include "tests/unit/index_rig.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

#include "master/index/log_tail.h"

enum { ACKNOWLEDGED = 150 }; /* some 40 KiB of log: more than one of its blocks */

struct made {
    struct rig rig;
    char copy[PATH_MAX + 8];
    char log[64];       /* its name */
    off_t last_but_one; /* end of each of the last batches */
    off_t acknowledged;
    off_t end; /* of one more batch, 50 KiB and more */
};

static off_t log_end(struct made *made)
{
    char path[PATH_MAX + 80];
    snprintf(path, sizeof(path), "%s/%s", made->rig.path, made->log);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void make(struct made *made)
{
    rig_begin(&made->rig);
    snprintf(made->copy, sizeof(made->copy), "%s-copy", made->rig.path);
    char pattern[PATH_MAX + 16];
    snprintf(pattern, sizeof(pattern), "%s/*.log", made->rig.path);
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    snprintf(made->log, sizeof(made->log), "%s", strrchr(found.gl_pathv[0], '/') + 1);
    globfree(&found);

    for (int i = 0; i < ACKNOWLEDGED; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/key/%d", i);
        if (i == ACKNOWLEDGED - 1)
            made->last_but_one = log_end(made);
        struct change *c = put(
            key, MD5_A, "localhost:3001/sv03,localhost:3002/sv07,localhost:3003/sv01");
        assert_int_equal(rig_commit(&made->rig, c, true), 0);
    }
    made->acknowledged = log_end(made);
    struct change *c = change_new(STR("/torn"));
    for (int i = 0; i < 1000; i++) {
        char place[80];
        snprintf(place, sizeof(place), "localhost:3001/with-a-long-prefix-%032d", i);
        change_removal(c, str_of(place), 0, 0);
    }
    assert_int_equal(rig_commit(&made->rig, c, true), 0);
    made->end = log_end(made);
    assert_true(made->end - made->acknowledged > 64 * 1024);
}

/* A fresh copy's log. */
static int copied_log(struct made *made)
{
    char command[4 * PATH_MAX], path[PATH_MAX + 80];
    snprintf(command, sizeof(command), "rm -rf '%s' && cp -r '%s' '%s'", made->copy,
             made->rig.path, made->copy);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof(path), "%s/%s", made->copy, made->log);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static bool opens(struct made *made, int keys)
{
    struct rig rig = {.loop = made->rig.loop};
    struct index_options options = {.path = made->copy, .sync = true};
    char err[512], key[32];
    rig.index = index_open(&options, err, sizeof(err));
    if (!rig.index) {
        assert_non_null(strstr(err, "mkv rebuild"));
        return false;
    }
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof(key), "/key/%d", i);
        expect(&rig, key,
               "live 0123 localhost:3001/sv03,localhost:3002/sv07,localhost:3003/sv01 | "
               "1000 50");
    }
    expect(&rig, "/torn", "absent");
    assert_int_equal(rig_commit(&rig, put("/new", MD5_A, "a:1"), true), 0);
    index_close(&rig.index);
    return true;
}

static void overwrite(int fd, off_t from, off_t to, int byte)
{
    static char bytes[16 * 1024];
    memset(bytes, byte, sizeof(bytes));
    while (from < to) {
        size_t n =
            (size_t)(to - from) < sizeof(bytes) ? (size_t)(to - from) : sizeof(bytes);
        assert_int_equal(pwrite(fd, bytes, n, from), (ssize_t)n);
        from += (off_t)n;
    }
}

static off_t least(off_t a, off_t b)
{
    return a < b ? a : b;
}

static void test_torn(void **state)
{
    struct made *made = *state;
    for (off_t at = made->acknowledged; at < made->end - 1; at += 3999) {
        int fd = copied_log(made);
        assert_int_equal(ftruncate(fd, at), 0);
        close(fd);
        assert_true(opens(made, ACKNOWLEDGED));

        fd = copied_log(made);
        overwrite(fd, at, made->end, 0);
        close(fd);
        assert_true(opens(made, ACKNOWLEDGED));

        fd = copied_log(made);
        off_t page = at / 4096 * 4096;
        page = page > made->acknowledged ? page : made->acknowledged;
        overwrite(fd, page, least(page + 4096, made->end), 0);
        close(fd);
        assert_true(opens(made, ACKNOWLEDGED));

        fd = copied_log(made);
        overwrite(fd, at, least(at + 512, made->end), 0xa5);
        close(fd);
        assert_true(opens(made, ACKNOWLEDGED));
    }
}

/* Damage to a batch with a whole one behind it, though that be in the same block of the
 * log. (In what batches hold: a length that is wrong in the log's last block LevelDB
 * takes for a record cut short, and passes over it.) */
static void test_damaged(void **state)
{
    struct made *made = *state;
    static const char wanted[] = "localhost:3002/sv07";
    size_t n = (size_t)made->last_but_one;
    char *log = malloc(n);
    int fd = copied_log(made);
    assert_int_equal(read(fd, log, n), (ssize_t)n);
    close(fd);
    int damaged = 0;
    for (const char *at = log;
         (at = memmem(at, (size_t)(log + n - at), wanted, sizeof(wanted) - 1)) != NULL;
         at += sizeof(wanted) * 100) {
        fd = copied_log(made);
        assert_int_equal(ftruncate(fd, made->acknowledged), 0);
        overwrite(fd, at - log, at - log + 3, 'x');
        close(fd);
        assert_false(opens(made, 0));
        damaged++;
        if ((size_t)(log + n - at) < sizeof(wanted) * 100)
            break;
    }
    assert_true(damaged > 5);
    free(log);
}

static void test_judge(void **state)
{
    struct made *made = *state;
    int fd = copied_log(made);
    off_t cut;
    assert_int_equal(log_tail_judge(fd, &cut), 0);
    assert_int_equal(cut, made->end);
    overwrite(fd, made->end - 1, made->end, 0xa5);
    assert_int_equal(log_tail_judge(fd, &cut), 1);
    assert_int_equal(cut, made->acknowledged);
    overwrite(fd, made->last_but_one + 9, made->last_but_one + 10, 0xa5);
    assert_int_equal(log_tail_judge(fd, &cut), 1);
    assert_int_equal(cut, made->last_but_one);
    overwrite(fd, 0, 1, 0xa5);
    assert_int_equal(log_tail_judge(fd, &cut), -EBADMSG);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(log_tail_judge(fd, &cut), 0);
    close(fd);
    assert_int_equal(log_tail_judge(-1, &cut), -EBADF);
}

static int begin_made(void **state)
{
    struct made *made = xcalloc(1, sizeof(*made));
    make(made);
    *state = made;
    return 0;
}

static int end_made(void **state)
{
    struct made *made = *state;
    rig_end(&made->rig);
    free(made);
    return 0;
}

int main(void)
{
    if (!getenv("INDEX_TEST_LOG"))
        log_set_level((enum log_level) - 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_judge, begin_made, end_made),
        cmocka_unit_test_setup_teardown(test_torn, begin_made, end_made),
        cmocka_unit_test_setup_teardown(test_damaged, begin_made, end_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
