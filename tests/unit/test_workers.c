/* A queue whose threads all hang: what may lapse does, what may not waits, and all is well
 * when a thread comes back. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <unistd.h>

#include <cmocka.h>
#include <semaphore.h>

#include "common/loop.h"
#include "common/str.h"
#include "common/workers.h"

enum { THREADS = 2, MORE = 5 };

struct work {
    struct job job;
    int worked, lapsed, done;
};

static struct loop *loop;
static struct workers *workers;
static sem_t begun, go_on;
static int n_done, n_wanted;

static void note_done(struct job *job)
{
    struct work *w = container_of(job, struct work, job);
    w->done++;
    w->lapsed += job->lapsed;
    if (++n_done == n_wanted)
        loop_stop(loop);
}

static void hang(struct job *job)
{
    container_of(job, struct work, job)->worked++;
    sem_post(&begun);
    sem_wait(&go_on);
}

static void work(struct job *job)
{
    container_of(job, struct work, job)->worked++;
}

static void submit(struct work *w, void (*how)(struct job *job), bool may_lapse)
{
    w->job.work = how;
    w->job.done = note_done;
    w->job.may_lapse = may_lapse;
    workers_submit(workers, loop, &w->job);
}

static void what_may_lapse_does(void **state)
{
    struct work hanging[THREADS] = {0}, more[MORE] = {0}, must = {0}, late = {0};
    (void)state;
    loop = loop_new();
    assert_non_null(loop);
    workers = workers_new("test", THREADS);
    sem_init(&begun, 0, 0);
    sem_init(&go_on, 0, 0);

    for (int i = 0; i < THREADS; i++)
        submit(&hanging[i], hang, true);
    for (int i = 0; i < THREADS; i++)
        sem_wait(&begun);
    /* Nothing waits behind them: that is no reason to refuse anything. */
    assert_false(workers_hang(workers, 0));

    for (int i = 0; i < MORE; i++) {
        submit(&more[i], work, true);
        if (i == MORE / 2)
            submit(&must, work, false);
    }
    assert_false(workers_hang(workers, 3600 * 1000));
    assert_true(workers_hang(workers, 0));
    submit(&late, work, true); /* at once */
    assert_true(workers_hang(workers, 3600 * 1000));

    /* Those that hang come back: what must be worked is, and it hangs no more. */
    n_wanted = MORE + 1 + THREADS + 1;
    for (int i = 0; i < THREADS; i++)
        sem_post(&go_on);
    loop_run(loop);
    for (int i = 0; i < MORE; i++) {
        assert_int_equal(more[i].worked, 0);
        assert_int_equal(more[i].lapsed, 1);
        assert_int_equal(more[i].done, 1);
    }
    assert_int_equal(late.worked, 0);
    assert_int_equal(late.lapsed, 1);
    assert_int_equal(must.worked, 1);
    assert_int_equal(must.lapsed, 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(hanging[i].worked, 1);
        assert_int_equal(hanging[i].lapsed, 0);
    }
    assert_false(workers_hang(workers, 0));

    struct loop *stopped = loop; /* one that was stopped stays so */
    loop = loop_new();
    assert_non_null(loop);
    n_wanted = n_done + 1;
    submit(&late, work, true);
    loop_run(loop);
    assert_int_equal(late.worked, 1);
    assert_int_equal(late.lapsed, 1);

    workers_free(&workers); /* before the loops: they tell them of what is done */
    loop_free(&stopped);
    loop_free(&loop);
    sem_destroy(&begun);
    sem_destroy(&go_on);
}

static struct work quick, stuck;
static struct task begin;
static atomic_bool told;

static void note_told(struct job *job)
{
    note_done(job);
    atomic_store(&told, true);
}

static void submit_both(struct task *task)
{
    (void)task;
    submit(&quick, work, false);
    quick.job.done = note_told;
    submit(&stuck, hang, false);
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

/* The thread that did it has gone on to the other by then. */
static void one_is_told_of_though_the_next_hangs(void **state)
{
    pthread_t thread;
    (void)state;
    struct crew *crew = crew_new("test");
    workers = workers_of(crew, WORKERS_QUICK, THREADS);
    loop = loop_new();
    assert_non_null(loop);
    sem_init(&begun, 0, 0);
    sem_init(&go_on, 0, 0);
    n_wanted = n_done + 2;
    begin.run = submit_both;
    loop_post(loop, &begin);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, loop), 0);
    sem_wait(&begun);
    for (int ms = 0; ms < 5000 && !atomic_load(&told); ms++)
        usleep(1000);
    bool in_time = atomic_load(&told);
    sem_post(&go_on);
    pthread_join(thread, NULL);
    workers_free(&workers);
    crew_free(&crew);
    loop_free(&loop);
    sem_destroy(&begun);
    sem_destroy(&go_on);
    assert_true(in_time);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_lapse_does),
        cmocka_unit_test(one_is_told_of_though_the_next_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
