/*
 * The index and SIGKILL: marks become removals, and what was acknowledged is there,
 * however often the process is killed while many commits are under way. The process is a
 * child that writes down on a pipe what has been acknowledged to it.
 */
#include "tests/unit/index_rig.h"

#include <signal.h>
#include <time.h>

/* Forks; the child opens the index of `rig`, runs `body` and ends without closing
 * anything. */
static pid_t fork_child(struct rig *rig, void (*body)(struct rig *rig, int out),
                        int *from)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        rig_start_loop(rig);
        rig_open(rig);
        body(rig, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    *from = fds[0];
    return pid;
}

static void reap(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* --- marks at a crash ----------------------------------------------------------- */

static void leave_marks(struct rig *rig, int out)
{
    struct change *c = change_new(STR("/new"));
    change_mark(c, STR("a:1"));
    change_mark(c, STR("b:1"));
    assure(rig_commit(rig, c, true) == 0);
    c = put("/finished", MD5_A, "a:1");
    change_mark(c, STR("z:1"));
    change_end_marks(c);
    assure(rig_commit(rig, c, true) == 0);
    c = put("/mended", MD5_A, "a:1,b:1");
    assure(rig_commit(rig, c, true) == 0);
    c = change_new(STR("/mended"));
    change_mark(c, STR("a:1"));
    change_mark(c, STR("c:1"));
    change_removal(c, STR("d:1"), 44, 0);
    assure(rig_commit(rig, c, true) == 0);
    assure(write(out, "x", 1) == 1);
    pause();
}

static void test_marks(void **state)
{
    (void)state;
    struct rig rig;
    char byte;
    int from;
    rig_folder(&rig, NULL);
    pid_t pid = fork_child(&rig, leave_marks, &from);
    assert_int_equal(read(from, &byte, 1), 1);
    kill(pid, SIGKILL);
    reap(pid);
    close(from);

    int64_t now = (int64_t)time(NULL);
    rig_start_loop(&rig);
    rig_open(&rig);
    for (int round = 0; round < 2; round++) {
        expect(&rig, "/new", "absent | removal b:1 0 late | removal a:1 0 late");
        expect(&rig, "/finished", "live 0123 a:1 | 1000 50");
        expect(&rig, "/mended",
               "live 0123 a:1,b:1 | 1000 50 | removal d:1 44 | removal c:1 0 late");
        assert_int_equal(index_removals(rig.index), 4);
        rig_reopen(&rig);
    }
    struct entry e;
    assert_int_equal(rig_claim(&rig, STR("/new"), &e), 0);
    assert_true(e.removal[0].late >= now + 3600 && e.removal[0].late <= now + 3660);
    entry_clear(&e);
    index_release(rig.index, STR("/new"));
    rig_end(&rig);
}

/* --- killed under load ---------------------------------------------------------- */

enum { KEYS = 64, KILLS = 12 };

/* Each key counts up: record "vN:1", size N, a removal rN:1 and none of the number
 * before. What is acknowledged goes to the pipe. */
struct counter {
    struct rig *rig;
    int out;
    int key;
    uint64_t n;
};

struct report {
    int key;
    uint64_t n;
};

static void count_on(struct counter *counter);

static void counted(void *arg, int err)
{
    struct counter *counter = arg;
    assure(err == 0);
    struct report report = {counter->key, counter->n};
    assure(write(counter->out, &report, sizeof(report)) == sizeof(report));
    counter->n++;
    count_on(counter);
}

static void count_on(struct counter *counter)
{
    char key[16], place[32], before[32];
    snprintf(key, sizeof(key), "/%d", counter->key);
    snprintf(place, sizeof(place), "v%llu:1", (unsigned long long)counter->n);
    struct change *c = change_new(str_of(key));
    struct record r = record_of(RECORD_LIVE, MD5_A, place);
    change_record(c, &r, true, counter->n, 1);
    place[0] = 'r';
    change_removal(c, str_of(place), 0, 0);
    snprintf(before, sizeof(before), "r%llu:1", (unsigned long long)(counter->n - 1));
    change_cleared(c, str_of(before));
    index_commit(counter->rig->index, counter->rig->loop, &c, true, counted, counter);
}

static uint64_t read_counter(struct rig *rig, int number)
{
    char key[16], text[128];
    snprintf(key, sizeof(key), "/%d", number);
    struct entry e;
    assure(rig_claim(rig, str_of(key), &e) == 0);
    uint64_t n = e.size;
    entry_clear(&e);
    index_release(rig->index, str_of(key));
    /* Whole or not at all. */
    if (n > 0) {
        snprintf(text, sizeof(text), "live 0123 v%llu:1 | %llu 1 | removal r%llu:1 0",
                 (unsigned long long)n, (unsigned long long)n, (unsigned long long)n);
        expect(rig, key, text);
    } else {
        expect(rig, key, "absent");
    }
    return n;
}

static void count_up(struct rig *rig, int out)
{
    static struct counter counter[KEYS];
    for (int i = 0; i < KEYS; i++) {
        counter[i] = (struct counter){rig, out, i, read_counter(rig, i) + 1};
        count_on(&counter[i]);
    }
    for (;;)
        pause();
}

static void test_killed(void **state)
{
    (void)state;
    struct rig rig;
    rig_folder(&rig, NULL);
    uint64_t acknowledged[KEYS] = {0}, sum = 0;
    unsigned seed = 7;
    for (int round = 0; round < KILLS; round++) {
        int from;
        pid_t pid = fork_child(&rig, count_up, &from);
        struct report report;
        int left = rand_r(&seed) % 2000;
        while (read(from, &report, sizeof(report)) == sizeof(report)) {
            acknowledged[report.key] = report.n;
            sum++;
            if (left-- == 0)
                kill(pid, SIGKILL);
        }
        reap(pid);
        close(from);
        rig_start_loop(&rig);
        rig_open(&rig);
        uint64_t listed = 0;
        for (int i = 0; i < KEYS; i++) {
            uint64_t n = read_counter(&rig, i);
            assert_true(n == acknowledged[i] || n == acknowledged[i] + 1);
            acknowledged[i] = n;
            listed += n > 0;
        }
        assert_int_equal(index_removals(rig.index), listed);
        index_close(&rig.index);
        loop_stop(rig.loop);
        pthread_join(rig.thread, NULL);
        loop_free(&rig.loop);
    }
    print_message("%llu acknowledged, %d kills\n", (unsigned long long)sum, KILLS);
    rig_end(&rig);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
