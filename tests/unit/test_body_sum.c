/*
 * The sums of bodies: on two loops at once, many at a time, in stretches of every kind,
 * some given up under way; and how much waits when no worker comes. TSan and ASan see
 * whether blocks and sums outlive who reads them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/str.h"
#include "master/value/body_sum.h"

enum {
    LOOPS = 2,
    BODIES = 60, /* a loop's; so many at a time: */
    AT_ONCE = 10,
    A_TURN = 4, /* stretches */
    BODY_MOST = 1024 * 1024,
};

/* What bodies are cut from. */
static char bytes[BODY_MOST + BODIES];

static struct workers *workers;

static int open_workers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * i >> 7);
    workers = workers_new("md5", 2);
    return 0;
}

static int close_workers(void **state)
{
    (void)state;
    workers_free(&workers);
    return 0;
}

/* --- many at once ------------------------------------------------------------------ */
struct feeder {
    struct loop *loop;
    unsigned seed;
    int begun, over, wrong, given_up;
};

struct body {
    struct feeder *feeder;
    struct body_sum *sum;
    const char *data; /* of all of it */
    struct task more;
    struct block *block;
    size_t size, fed, stretch, gap;
    size_t leaves_at; /* is given up then */
    bool ended;
};

static void begin_body(struct feeder *feeder);

static void body_over(struct body *body)
{
    struct feeder *feeder = body->feeder;

    loop_undefer(feeder->loop, &body->more);
    body_sum_free(&body->sum);
    assert_null(body->sum);
    block_unref(&body->block);
    free(body);
    feeder->over++;
    if (feeder->begun < BODIES)
        begin_body(feeder);
    else if (feeder->over == BODIES)
        loop_stop(feeder->loop);
}

static void end(struct body *body)
{
    uint8_t sum[MD5_BYTES], wanted[MD5_BYTES];

    body->ended = true;
    if (!body_sum_end(body->sum))
        return;
    body_sum_result(body->sum, sum);
    md5_of(body->data, body->size, NULL, 0, wanted);
    body->feeder->wrong += memcmp(sum, wanted, sizeof(sum)) != 0;
    body_over(body);
}

/* Adds one stretch; the next one follows it directly or, as in chunks, does not. */
static void add_stretch(struct body *body)
{
    struct block *block = body->block;
    size_t len = 1 + (size_t)rand_r(&body->feeder->seed) % body->stretch;
    size_t room = block->size - block->used;
    char *data = block->data + block->used;

    if (len > room)
        len = room;
    if (len > body->size - body->fed)
        len = body->size - body->fed;
    memcpy(data, body->data + body->fed, len);
    body_sum_add(body->sum, block, data, len);
    block->used += (uint32_t)(len + body->gap > room ? room : len + body->gap);
    body->fed += len;
}

static void feed(struct task *task)
{
    struct body *body = container_of(task, struct body, more);

    for (int i = 0; i < A_TURN && body->fed < body->size; i++) {
        if (body->block && body->block->used == body->block->size)
            block_unref(&body->block);
        if (!body->block)
            body->block = block_get(BLOCK_LARGE);
        if (!body_sum_room(body->sum, body->block))
            return;
        if (body->fed >= body->leaves_at) {
            body->feeder->given_up++;
            body_over(body);
            return;
        }
        add_stretch(body);
    }
    if (body->fed == body->size) {
        end(body);
        return;
    }
    loop_defer(body->feeder->loop, &body->more);
    if (rand_r(&body->feeder->seed) % 8 == 0)
        usleep(20); /* so that workers keep up, and find blocks half filled */
}

static void progress(void *arg)
{
    struct body *body = arg;

    if (body->ended)
        end(body);
    else
        loop_defer(body->feeder->loop, &body->more);
}

static void begin_body(struct feeder *feeder)
{
    static const size_t stretches[] = {50 * 1024, 16 * 1024, 3000, 30};
    static const size_t sizes[] = {1, 1000, 300 * 1024, BODY_MOST};
    struct body *body = xcalloc(1, sizeof(*body));
    int n = feeder->begun++;

    body->feeder = feeder;
    body->more.run = feed;
    body->stretch = stretches[rand_r(&feeder->seed) % 4];
    body->gap = rand_r(&feeder->seed) % 3 == 0 ? 2 : 0;
    body->size = sizes[rand_r(&feeder->seed) % 4];
    body->leaves_at = n % 7 == 6 ? body->size / 2 : SIZE_MAX;
    body->data = bytes + n;
    body->sum = body_sum_new(&(struct body_sum_spec){
        .workers = workers,
        .loop = feeder->loop,
        .has_length = n % 2 == 0,
        .length = body->size,
        .progress = progress,
        .arg = body,
    });
    loop_defer(feeder->loop, &body->more);
}

static void *run_feeder(void *arg)
{
    struct feeder *feeder = arg;

    for (int i = 0; i < AT_ONCE; i++)
        begin_body(feeder);
    loop_run(feeder->loop);
    return NULL;
}

static void sums_of_many_bodies_at_once(void **state)
{
    struct feeder feeder[LOOPS];
    pthread_t thread[LOOPS];

    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        feeder[i] = (struct feeder){.loop = loop_new(), .seed = (unsigned)i};
        assert_int_equal(pthread_create(&thread[i], NULL, run_feeder, &feeder[i]), 0);
    }
    for (int i = 0; i < LOOPS; i++)
        pthread_join(thread[i], NULL);
    workers_free(&workers); /* then the loops, which may have a last completion to run */
    for (int i = 0; i < LOOPS; i++) {
        loop_free(&feeder[i].loop);
        assert_int_equal(feeder[i].over, BODIES);
        assert_int_equal(feeder[i].wrong, 0);
        assert_true(feeder[i].given_up > 0);
    }
}

/* --- no worker comes --------------------------------------------------------------- */
struct blockade {
    struct job job;
    sem_t end;
};

static void block_worker(struct job *job)
{
    sem_wait(&container_of(job, struct blockade, job)->end);
}

static void unblocked(struct job *job)
{
    (void)job;
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* Then as much waits as there is room for, in blocks, however little of each is used. */
static void room_is_bounded(void **state)
{
    struct blockade blockade[2] = {0};
    struct loop *loop = loop_new();
    struct body_sum *sum;
    uint8_t got[MD5_BYTES], wanted[MD5_BYTES];
    char text[BODY_SUM_MAX / BLOCK_LARGE * 5000];
    size_t len = 0;
    int blocks = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        sem_init(&blockade[i].end, 0, 0);
        blockade[i].job = (struct job){.work = block_worker, .done = unblocked};
        workers_submit(workers, loop, &blockade[i].job);
    }
    sum = body_sum_new(&(struct body_sum_spec){
        .workers = workers, .loop = loop, .progress = stop_loop, .arg = loop});
    for (;; blocks++) {
        struct block *block = block_get(BLOCK_LARGE);

        if (!body_sum_room(sum, block)) {
            block_unref(&block);
            break;
        }
        assert_true(len < sizeof(text));
        memset(block->data, 'a' + blocks, 5000);
        memset(text + len, 'a' + blocks, 5000);
        body_sum_add(sum, block, block->data, 5000);
        len += 5000;
        block_unref(&block);
    }
    assert_int_equal(blocks, BODY_SUM_MAX / BLOCK_LARGE);
    for (int i = 0; i < 2; i++)
        sem_post(&blockade[i].end);
    loop_run(loop); /* until there is progress */
    assert_true(body_sum_room(sum, NULL));
    assert_true(body_sum_end(sum));
    body_sum_result(sum, got);
    md5_of(text, len, NULL, 0, wanted);
    assert_memory_equal(got, wanted, sizeof(got));
    body_sum_free(&sum);
    workers_free(&workers);
    loop_free(&loop);
    for (int i = 0; i < 2; i++)
        sem_destroy(&blockade[i].end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_of_many_bodies_at_once, open_workers,
                                        close_workers),
        cmocka_unit_test_setup_teardown(room_is_bounded, open_workers, close_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
