/* The loop's promises: order of timers and tasks, what a turn drops, workers' results. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/loop.h"
#include "common/str.h"
#include "common/workers.h"

enum { TIMERS = 500, TASKS = 20000, POSTERS = 4, JOBS = 300 };

static struct loop *loop;

static int open_loop(void **state)
{
    (void)state;
    loop = loop_new();
    return loop ? 0 : -1;
}

static int close_loop(void **state)
{
    (void)state;
    loop_free(&loop);
    return 0;
}

/* --- timers --------------------------------------------------------------------- */
struct numbered {
    struct timer timer;
    uint64_t wanted; /* when it is to fire, by the loop's clock */
    bool fired;
};

static struct numbered timers[TIMERS];
static uint64_t last_fired;
static int n_fired, n_wanted;

static void timer_fired(struct timer *timer)
{
    struct numbered *t = container_of(timer, struct numbered, timer);
    assert_false(t->fired);
    assert_true(t->wanted > 0);
    assert_true(loop_now(loop) >= t->wanted);
    assert_true(t->wanted >= last_fired);
    last_fired = t->wanted;
    t->fired = true;
    if (++n_fired == n_wanted)
        loop_stop(loop);
}

static void timers_fire_once_in_order(void **state)
{
    (void)state;
    srand(7);
    last_fired = 0;
    n_fired = n_wanted = 0;
    for (int i = 0; i < TIMERS; i++) {
        uint64_t ms = (uint64_t)(rand() % 200) + 1;
        timers[i] = (struct numbered){.timer.fire = timer_fired};
        timer_set(loop, &timers[i].timer, ms);
        timers[i].wanted = loop_now(loop) + ms;
    }
    /* Some later, some earlier, some not at all. */
    for (int i = 0; i < TIMERS; i += 3) {
        uint64_t ms = (uint64_t)(rand() % 300) + 1;
        timer_set(loop, &timers[i].timer, ms);
        timers[i].wanted = loop_now(loop) + ms;
    }
    for (int i = 1; i < TIMERS; i += 5) {
        timer_clear(loop, &timers[i].timer);
        assert_false(timer_is_set(&timers[i].timer));
        timers[i].wanted = 0;
    }
    for (int i = 0; i < TIMERS; i++)
        n_wanted += timers[i].wanted > 0;
    loop_run(loop);
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(timers[i].fired, timers[i].wanted > 0);
}

/* --- tasks ---------------------------------------------------------------------- */
struct ordered {
    struct task task;
    int poster, number;
};

static struct ordered *tasks[POSTERS];
static int seen[POSTERS], n_seen;

static void task_ran(struct task *task)
{
    struct ordered *t = container_of(task, struct ordered, task);
    assert_int_equal(t->number, seen[t->poster]++);
    if (++n_seen == POSTERS * TASKS)
        loop_stop(loop);
}

static void *post_all(void *arg)
{
    struct ordered *mine = arg;
    for (int i = 0; i < TASKS; i++)
        loop_post(loop, &mine[i].task);
    return NULL;
}

static void tasks_of_a_poster_keep_their_order(void **state)
{
    pthread_t threads[POSTERS];
    (void)state;
    n_seen = 0;
    for (int p = 0; p < POSTERS; p++) {
        seen[p] = 0;
        tasks[p] = calloc(TASKS, sizeof(*tasks[p]));
        for (int i = 0; i < TASKS; i++)
            tasks[p][i] =
                (struct ordered){.task.run = task_ran, .poster = p, .number = i};
        pthread_create(&threads[p], NULL, post_all, tasks[p]);
    }
    loop_run(loop);
    for (int p = 0; p < POSTERS; p++) {
        pthread_join(threads[p], NULL);
        free(tasks[p]);
    }
    assert_int_equal(n_seen, POSTERS * TASKS);
}

static int deferred_runs;

static void defer_again(struct task *task)
{
    if (++deferred_runs == 3)
        loop_stop(loop);
    else
        loop_defer(loop, task); /* next turn, not this one: others run in between */
}

static void never(struct task *task)
{
    (void)task;
    fail_msg("a task that was taken back has run");
}

static void deferred_tasks_can_be_taken_back(void **state)
{
    struct task again = {.run = defer_again};
    struct task first = {.run = never}, last = {.run = never};
    (void)state;
    deferred_runs = 0;
    loop_defer(loop, &first);
    loop_defer(loop, &again);
    loop_defer(loop, &again); /* once all the same */
    loop_defer(loop, &last);
    loop_undefer(loop, &first);
    loop_undefer(loop, &last);
    loop_undefer(loop, &last);
    loop_run(loop);
    assert_int_equal(deferred_runs, 3);
}

static bool late_task_ran;

static void late_task(struct task *task)
{
    (void)task;
    late_task_ran = true;
}

static void tasks_after_the_end_run_when_the_loop_is_freed(void **state)
{
    struct loop *other = loop_new();
    struct task task = {.run = late_task};
    (void)state;
    late_task_ran = false;
    loop_stop(other);
    loop_run(other);
    loop_post(other, &task);
    loop_free(&other);
    assert_true(late_task_ran);
}

/* --- watches -------------------------------------------------------------------- */
static struct watch pair[2];
static int readies;

static void delete_both(struct watch *watch, uint32_t events)
{
    (void)watch;
    assert_true(events & EPOLLIN);
    readies++;
    watch_del(loop, &pair[0]);
    watch_del(loop, &pair[1]);
    loop_stop(loop);
}

static void readiness_of_a_deleted_watch_is_dropped(void **state)
{
    int fds[2][2];
    (void)state;
    readies = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]), 0);
        assert_int_equal(write(fds[i][1], "x", 1), 1);
        pair[i] = (struct watch){.ready = delete_both, .fd = fds[i][0]};
        assert_int_equal(watch_add(loop, &pair[i], EPOLLIN), 0);
    }
    loop_run(loop); /* both are ready in one batch; the first takes the second away */
    assert_int_equal(readies, 1);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

/* --- workers -------------------------------------------------------------------- */
struct counted {
    struct job job;
    pthread_t worked_on;
};

static struct counted jobs[JOBS];
static atomic_int at_once, most_at_once;
static int n_done;

static void job_work(struct job *job)
{
    struct counted *c = container_of(job, struct counted, job);
    int now = atomic_fetch_add(&at_once, 1) + 1;
    if (now > atomic_load(&most_at_once))
        atomic_store(&most_at_once, now);
    usleep(200);
    c->worked_on = pthread_self();
    atomic_fetch_sub(&at_once, 1);
}

static void job_done(struct job *job)
{
    struct counted *c = container_of(job, struct counted, job);
    assert_false(pthread_equal(c->worked_on, pthread_self()));
    if (++n_done == JOBS)
        loop_stop(loop);
}

static void workers_are_bounded_and_report_to_the_loop(void **state)
{
    struct workers *workers = workers_new("test", 3);
    (void)state;
    n_done = 0;
    atomic_store(&most_at_once, 0);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].job = (struct job){.work = job_work, .done = job_done};
        workers_submit(workers, loop, &jobs[i].job);
    }
    loop_run(loop);
    workers_free(&workers);
    assert_null(workers);
    assert_int_equal(n_done, JOBS);
    assert_in_range(atomic_load(&most_at_once), 2, 3);
}

/* A crew works quick jobs off in order of their queues; one that hangs, in one queue,
 * costs the others no more than the foreman's look. */
static struct crew *crew;
static struct workers *hanging, *lively;
static struct job hung, waiter, brisk[JOBS];
static atomic_bool let_go, waiter_began;
static int n_brisk;

static void hang(struct job *job)
{
    (void)job;
    while (!atomic_load(&let_go))
        usleep(1000);
}

static void wait_announced(struct job *job)
{
    (void)job;
    workers_waiting();
    atomic_store(&waiter_began, true);
    while (!atomic_load(&let_go))
        usleep(1000);
}

static void do_nothing(struct job *job)
{
    (void)job;
}

static void hung_done(struct job *job)
{
    (void)job;
    assert_true(atomic_load(&let_go));
}

static void brisk_done(struct job *job)
{
    (void)job;
    assert_false(atomic_load(&let_go)); /* they did not wait for what hangs */
    if (++n_brisk == JOBS)
        loop_stop(loop);
}

static void submit_brisk(struct workers *workers)
{
    n_brisk = 0;
    for (int i = 0; i < JOBS; i++) {
        brisk[i] = (struct job){.work = do_nothing, .done = brisk_done};
        workers_submit(workers, loop, &brisk[i]);
    }
}

static void a_queue_that_hangs_leaves_the_others_their_threads(void **state)
{
    (void)state;
    atomic_store(&let_go, false);
    crew = crew_new("test");
    hanging = workers_of(crew, WORKERS_QUICK, 2);
    lively = workers_of(crew, WORKERS_QUICK, 2);
    hung = (struct job){.work = hang, .done = hung_done};
    waiter = (struct job){.work = hang, .done = hung_done};
    workers_submit(hanging, loop, &hung);
    workers_submit(hanging, loop, &waiter);
    submit_brisk(lively);
    loop_run(loop);
    assert_int_equal(n_brisk, JOBS);
    atomic_store(&let_go, true);
    workers_free(&hanging);
    workers_free(&lively);
    crew_free(&crew);
    assert_null(crew);
}

static void one_that_says_it_waits_is_not_waited_for(void **state)
{
    (void)state;
    atomic_store(&let_go, false);
    atomic_store(&waiter_began, false);
    crew = crew_new("test");
    lively = workers_of(crew, WORKERS_QUICK, 2);
    waiter = (struct job){.work = wait_announced, .done = hung_done};
    workers_submit(lively, loop, &waiter);
    submit_brisk(lively);
    loop_run(loop);
    assert_int_equal(n_brisk, JOBS);
    assert_true(atomic_load(&waiter_began));
    atomic_store(&let_go, true);
    workers_free(&lively);
    crew_free(&crew);
}

/* What one turn submits, to several crews, goes to them together at its end; what the
 * last turn of a loop submits goes to them as well. */
static struct workers *others;
static struct job turns_jobs[JOBS];
static atomic_int n_begun;

static void begin(struct job *job)
{
    (void)job;
    atomic_fetch_add(&n_begun, 1);
}

static void begun_done(struct job *job)
{
    (void)job;
    assert_ptr_equal(loop_here(), loop);
    if (++n_done == JOBS - 1)
        workers_submit(lively, loop, &turns_jobs[JOBS - 1]);
    if (n_done == JOBS - 1)
        loop_stop(loop);
}

static void last_done(struct job *job)
{
    (void)job;
    n_done++;
}

static void submit_in_a_turn(struct task *task)
{
    (void)task;
    for (int i = 0; i < JOBS - 1; i++)
        workers_submit(i % 3 ? lively : others, loop, &turns_jobs[i]);
    usleep(2000);
    assert_int_equal(atomic_load(&n_begun), 0);
}

static void jobs_of_a_turn_are_handed_over_at_its_end(void **state)
{
    struct task turn = {.run = submit_in_a_turn};
    (void)state;
    for (int i = 0; i < JOBS; i++)
        turns_jobs[i] = (struct job){.work = begin, .done = begun_done};
    turns_jobs[JOBS - 1].done = last_done;
    n_done = 0;
    atomic_store(&n_begun, 0);
    crew = crew_new("test");
    lively = workers_of(crew, WORKERS_QUICK, 2);
    others = workers_new("others", 2);
    loop_post(loop, &turn);
    assert_null(loop_here());
    loop_run(loop);
    assert_null(loop_here());
    workers_free(&others);
    workers_free(&lively);
    crew_free(&crew);
    assert_int_equal(atomic_load(&n_begun), JOBS);
    loop_free(&loop);
    assert_int_equal(n_done, JOBS);
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)
    const struct CMUnitTest tests[] = {
        LOOP_TEST(timers_fire_once_in_order),
        LOOP_TEST(tasks_of_a_poster_keep_their_order),
        LOOP_TEST(deferred_tasks_can_be_taken_back),
        LOOP_TEST(tasks_after_the_end_run_when_the_loop_is_freed),
        LOOP_TEST(readiness_of_a_deleted_watch_is_dropped),
        LOOP_TEST(workers_are_bounded_and_report_to_the_loop),
        LOOP_TEST(a_queue_that_hangs_leaves_the_others_their_threads),
        LOOP_TEST(one_that_says_it_waits_is_not_waited_for),
        LOOP_TEST(jobs_of_a_turn_are_handed_over_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
