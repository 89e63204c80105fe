/* Jobs that a loop's own thread does; and what becomes of the loop when one blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/errands.h"
#include "common/loop.h"
#include "common/standby.h"
#include "common/str.h"
#include "common/workers.h"

enum { THREADS = 4, LOOPS = 2, JOBS = 3000, MANY = 200 };

struct work {
    struct errand_job job;
    int done;
    pthread_t worked_by, done_by;
};

/* A loop and the thread that first runs it. */
struct place {
    struct loop *loop;
    struct task begin;
    pthread_t thread;
    bool kept; /* loop_run() said that it was this thread that stopped */
};

static struct place places[LOOPS];
static struct standby *standby;
static struct workers *workers;
static struct errands *errands;
static atomic_bool let_go;
static atomic_int n_worked, n_done;

static int open_all(void **state)
{
    (void)state;
    standby = standby_new();
    workers = workers_new("test", THREADS);
    errands = errands_new(standby, workers);
    for (int i = 0; i < LOOPS; i++) {
        places[i].loop = loop_new();
        if (!places[i].loop)
            return -1;
        standby_watch(standby, places[i].loop);
    }
    atomic_store(&let_go, false);
    atomic_store(&n_worked, 0);
    atomic_store(&n_done, 0);
    return 0;
}

/* In the order of a server's end. */
static int close_all(void **state)
{
    (void)state;
    errands_free(&errands);
    workers_free(&workers);
    standby_free(&standby);
    for (int i = 0; i < LOOPS; i++)
        loop_free(&places[i].loop);
    return errands || workers || standby ? -1 : 0;
}

static void *run_place(void *arg)
{
    struct place *place = arg;
    place->kept = loop_run(place->loop);
    return NULL;
}

static void start(struct place *place, void (*begin)(struct task *task))
{
    place->begin.run = begin;
    loop_post(place->loop, &place->begin);
    assert_int_equal(pthread_create(&place->thread, NULL, run_place, place), 0);
}

static void stop(struct place *place)
{
    loop_stop(place->loop);
    loop_join(place->loop);
    pthread_join(place->thread, NULL);
}

static void note_work(struct job *job)
{
    container_of(job, struct work, job.job)->worked_by = pthread_self();
    atomic_fetch_add(&n_worked, 1);
}

static void note_done(struct job *job)
{
    struct work *w = container_of(job, struct work, job.job);
    assert_ptr_equal(loop_here(), job->loop);
    assert_false(job->lapsed);
    w->done_by = pthread_self();
    w->done++;
    atomic_fetch_add(&n_done, 1);
}

static void block(struct job *job)
{
    note_work(job);
    while (!atomic_load(&let_go))
        usleep(1000);
}

static void spin(struct job *job)
{
    note_work(job);
    while (!atomic_load(&let_go))
        continue;
}

static void submit(struct loop *loop, struct work *w, void (*how)(struct job *job))
{
    w->job.job.work = how;
    w->job.job.done = note_done;
    errands_submit(errands, loop, &w->job);
}

static void until_done(int n)
{
    while (atomic_load(&n_done) < n)
        usleep(1000);
}

/* --- nothing blocks ------------------------------------------------------------- */
static struct work one, other, third;

static void begin_two(struct task *task)
{
    struct place *place = container_of(task, struct place, begin);
    submit(place->loop, &one, note_work);
    submit(place->loop, &other, note_work);
    assert_int_equal(one.done + other.done, 0); /* not before the turn's end */
}

static void the_loop_does_them_itself(void **state)
{
    struct place *place = &places[0];
    (void)state;
    one = other = (struct work){0};
    start(place, begin_two);
    until_done(2);
    stop(place);
    assert_true(place->kept);
    assert_int_equal(one.done, 1);
    assert_int_equal(other.done, 1);
    assert_true(pthread_equal(one.worked_by, place->thread));
    assert_true(pthread_equal(one.done_by, place->thread));
    assert_true(pthread_equal(other.worked_by, place->thread));
}

static void what_comes_from_elsewhere_is_for_workers(void **state)
{
    struct place *place = &places[0];
    (void)state;
    one = (struct work){0};
    submit(place->loop, &one, note_work); /* the loop does not run yet */
    one.job.job.done = note_done;
    assert_int_equal(pthread_create(&place->thread, NULL, run_place, place), 0);
    until_done(1);
    stop(place);
    assert_false(pthread_equal(one.worked_by, place->thread));
    assert_true(pthread_equal(one.done_by, place->thread));
}

/* --- what goes to workers in the same turn ---------------------------------------- */
static struct task late_in_turn;
static struct errand waiting;
static bool came;

static void submit_late(struct task *task)
{
    (void)task;
    one.job.job.work = note_work;
    one.job.job.done = note_done;
    workers_submit(workers, places[0].loop, &one.job.job);
}

static void wait_for_worked(struct errand *errand)
{
    (void)errand;
    for (int ms = 0; ms < 5000 && !atomic_load(&n_worked); ms++)
        usleep(1000);
    came = atomic_load(&n_worked) > 0;
}

static void note_back(struct errand *errand)
{
    (void)errand;
}

static void begin_late(struct task *task)
{
    static const struct errand_ops ops = {.run = wait_for_worked, .back = note_back};
    struct place *place = container_of(task, struct place, begin);
    late_in_turn.run = submit_late;
    loop_defer(place->loop, &late_in_turn);
    waiting.ops = &ops;
    loop_errand(place->loop, &waiting);
}

/* Else they would wait for the errand's end, on a thread that may be gone then. */
static void workers_have_their_jobs_before_errands(void **state)
{
    (void)state;
    one = (struct work){0};
    start(&places[0], begin_late);
    until_done(1);
    stop(&places[0]);
    assert_true(came);
}

/* --- more than a turn's worth ---------------------------------------------------- */
static struct errand many[MANY];
static struct task between;
static int n_ran, n_back, ran_between;

static void note_between(struct task *task)
{
    (void)task;
    ran_between = n_ran;
}

static void take_a_while(struct errand *errand)
{
    (void)errand;
    if (n_ran++ == 0)
        loop_post(places[0].loop, &between);
    usleep(1000);
}

static void stop_after_all(struct errand *errand)
{
    (void)errand;
    if (++n_back == MANY)
        loop_stop(places[0].loop);
}

static void begin_many(struct task *task)
{
    static const struct errand_ops ops = {.run = take_a_while, .back = stop_after_all};
    struct place *place = container_of(task, struct place, begin);
    between.run = note_between;
    for (int i = 0; i < MANY; i++) {
        many[i].ops = &ops;
        loop_errand(place->loop, &many[i]);
    }
}

static void others_do_not_wait_for_all_errands(void **state)
{
    (void)state;
    n_ran = n_back = ran_between = 0;
    start(&places[0], begin_many);
    loop_join(places[0].loop);
    pthread_join(places[0].thread, NULL);
    assert_int_equal(n_back, MANY);
    assert_in_range(ran_between, 1, MANY / 2);
}

/* --- one blocks ----------------------------------------------------------------- */
static void (*how_stuck)(struct job *job);

static void begin_stuck(struct task *task)
{
    struct place *place = container_of(task, struct place, begin);
    submit(place->loop, &one, note_work);
    submit(place->loop, &other, how_stuck);
    submit(place->loop, &third, note_work);
}

/* The errand before it is told that it is back (by another thread, but where the turn was
 * over between the two), the one behind it goes to a worker, while the first is still out. */
static void another_thread_goes_on(void (*how)(struct job *job))
{
    struct place *place = &places[0];
    how_stuck = how;
    one = other = third = (struct work){0};
    start(place, begin_stuck);
    until_done(2);
    assert_int_equal(one.done, 1);
    assert_int_equal(third.done, 1);
    assert_true(pthread_equal(one.worked_by, place->thread));
    assert_false(pthread_equal(third.worked_by, place->thread));
    assert_false(pthread_equal(third.done_by, place->thread));
    atomic_store(&let_go, true);
    until_done(3);
    assert_int_equal(other.done, 1);
    assert_true(pthread_equal(other.worked_by, place->thread));
    assert_false(pthread_equal(other.done_by, place->thread));
}

static void one_that_blocks_loses_the_loop(void **state)
{
    (void)state;
    another_thread_goes_on(block);
    stop(&places[0]);
    assert_false(places[0].kept);
}

static void one_that_does_not_end_loses_it_too(void **state)
{
    (void)state;
    another_thread_goes_on(spin);
    stop(&places[0]);
    assert_false(places[0].kept);
}

static void begin_third(struct task *task)
{
    struct place *place = container_of(task, struct place, begin);
    submit(place->loop, &third, note_work);
}

static void afterwards_the_loop_does_them_again(void **state)
{
    struct place *place = &places[0];
    (void)state;
    another_thread_goes_on(block);
    do {
        int before = atomic_load(&n_done);
        third = (struct work){0};
        place->begin.run = begin_third;
        loop_post(place->loop, &place->begin);
        until_done(before + 1);
    } while (!pthread_equal(third.worked_by, third.done_by));
    stop(place);
}

static void a_loop_stops_while_its_thread_is_out(void **state)
{
    struct place *place = &places[0];
    (void)state;
    how_stuck = block;
    one = other = third = (struct work){0};
    start(place, begin_stuck);
    until_done(2);
    loop_stop(place->loop);
    loop_join(place->loop);
    assert_int_equal(other.done, 0);
    atomic_store(&let_go, true);
    pthread_join(place->thread, NULL);
    errands_free(&errands);
    workers_free(&workers);
    standby_free(&standby);
    other.job.job.done = note_work; /* no loop is there any more */
    loop_free(&place->loop);
    assert_true(pthread_equal(other.worked_by, pthread_self()));
}

/* --- no threads ----------------------------------------------------------------- */
static void begin_without_threads(struct task *task)
{
    struct place *place = container_of(task, struct place, begin);
    const struct rlimit none = {1, 1};
    if ((geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) ||
        setrlimit(RLIMIT_NPROC, &none) != 0)
        _exit(2);
    submit(place->loop, &third, note_work);
}

/* Nobody could take the loop over: so its thread does not go out. */
static int live_without_threads(void)
{
    struct place *place = &places[0];
    open_all(NULL);
    submit(place->loop, &one, note_work); /* the workers have their thread */
    start(place, begin_without_threads);
    until_done(2);
    stop(place);
    bool by_itself = pthread_equal(third.worked_by, place->thread);
    close_all(NULL);
    return by_itself ? 1 : 0;
}

static void where_no_thread_is_to_be_had_workers_do_them(void **state)
{
    int status;
    (void)state;
    one = third = (struct work){0};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(live_without_threads());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- many ----------------------------------------------------------------------- */
struct stream {
    struct work work;
    struct place *place;
    int left;
    unsigned random;
};

static struct stream streams[LOOPS * 4];

static void some_block(struct job *job)
{
    struct stream *s =
        container_of(container_of(job, struct work, job.job), struct stream, work);
    s->random = s->random * 1103515245 + 12345;
    if ((s->random >> 16) % 500 == 0)
        usleep(5000);
}

static void stream_done(struct job *job)
{
    struct stream *s =
        container_of(container_of(job, struct work, job.job), struct stream, work);
    assert_ptr_equal(loop_here(), s->place->loop);
    atomic_fetch_add(&n_done, 1);
    if (--s->left > 0)
        errands_submit(errands, s->place->loop, &s->work.job);
}

static void begin_streams(struct task *task)
{
    struct place *place = container_of(task, struct place, begin);
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct stream *s = &streams[i];
        if (s->place != place)
            continue;
        s->work.job.job.work = some_block;
        s->work.job.job.done = stream_done;
        errands_submit(errands, place->loop, &s->work.job);
    }
}

static void each_is_done_once(void **state)
{
    enum { STREAMS = sizeof(streams) / sizeof(streams[0]) };
    (void)state;
    for (unsigned i = 0; i < STREAMS; i++)
        streams[i] = (struct stream){
            .place = &places[i % LOOPS], .left = JOBS / STREAMS, .random = i};
    for (int i = 0; i < LOOPS; i++)
        start(&places[i], begin_streams);
    until_done(JOBS / STREAMS * STREAMS);
    for (int i = 0; i < LOOPS; i++)
        stop(&places[i]);
    for (unsigned i = 0; i < STREAMS; i++)
        assert_int_equal(streams[i].left, 0);
    assert_int_equal(atomic_load(&n_done), JOBS / STREAMS * STREAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_loop_does_them_itself, open_all, close_all),
        cmocka_unit_test_setup_teardown(what_comes_from_elsewhere_is_for_workers,
                                        open_all, close_all),
        cmocka_unit_test_setup_teardown(workers_have_their_jobs_before_errands, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(others_do_not_wait_for_all_errands, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(one_that_blocks_loses_the_loop, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(one_that_does_not_end_loses_it_too, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(afterwards_the_loop_does_them_again, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(a_loop_stops_while_its_thread_is_out, open_all,
                                        close_all),
        cmocka_unit_test(where_no_thread_is_to_be_had_workers_do_them),
        cmocka_unit_test_setup_teardown(each_is_done_once, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
