/*
 * The sums of bodies: see body_sum.h.
 *
 * A body has one job, which sums the pieces that wait when it is submitted. That is
 * when many do or the body is all here, not for each: waking a worker costs as much as
 * summing a few KiB.
 *
 * No lock is needed: while the job is under way the MD5 and the pieces it took are the
 * worker's, all else is the loop's. The references to blocks are always the loop's.
 */
#include "master/value/body_sum.h"

#include "common/assure.h"
#include "common/stock.h"
#include "common/str.h"

enum {
    CALL_FROM = 192 * 1024, /* bytes that wait, */
    CALL_FROM_PIECES = HELD_PIECES / 2,
    CRUMB = 4 * 1024, /* less costs more to hand over than to sum */
};

_Static_assert((int)CALL_FROM <= (int)BODY_SUM_MAX - BLOCK_LARGE,
               "a body flows on while a worker is on its way");

struct body_sum {
    struct workers *workers;
    struct loop *loop;
    void (*progress)(void *arg);
    void *arg;
    bool small;    /* all of it is summed on the loop */
    bool given_up; /* its owner is gone: freed when the job is done */
    struct job job;
    struct md5 *md5;
    uint64_t total;   /* bytes so far */
    struct held held; /* those to be summed */
    unsigned n_taken; /* pieces, the first ones: those the job took, if any */
    size_t waiting;   /* bytes that no job took */
};

static _Thread_local struct stock spares = {.size = sizeof(struct body_sum)};

/* --- the job ----------------------------------------------------------------------- */
/* Maybe on a worker, which may look at the pieces that were taken and at nothing else of
 * what is held: the loop adds to it meanwhile. Hence no held_piece(). */
static void sum_up(struct body_sum *sum, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        md5_add(sum->md5, sum->held.piece[i].data, sum->held.piece[i].len);
}

static void work(struct job *job)
{
    struct body_sum *sum = container_of(job, struct body_sum, job);

    sum_up(sum, sum->n_taken);
}

static void call(struct body_sum *sum)
{
    if (sum->n_taken > 0)
        return;
    assure(sum->held.n > 0);
    sum->n_taken = sum->held.n;
    sum->waiting = 0;
    workers_submit(sum->workers, sum->loop, &sum->job);
}

static void call_if_worth(struct body_sum *sum)
{
    if (sum->waiting >= CALL_FROM || sum->held.n - sum->n_taken >= CALL_FROM_PIECES)
        call(sum);
}

static void dispose(struct body_sum *sum)
{
    held_clear(&sum->held);
    md5_free(&sum->md5);
    stock_put(&spares, sum);
}

static void done(struct job *job)
{
    struct body_sum *sum = container_of(job, struct body_sum, job);

    held_forget(&sum->held, sum->held.first + sum->n_taken);
    sum->n_taken = 0;
    if (sum->given_up) {
        dispose(sum);
        return;
    }
    call_if_worth(sum);
    sum->progress(sum->arg);
}

/* --- the body ---------------------------------------------------------------------- */
struct body_sum *body_sum_new(const struct body_sum_spec *spec)
{
    struct body_sum *sum = stock_get(&spares);

    *sum = (struct body_sum){
        .workers = spec->workers,
        .loop = spec->loop,
        .progress = spec->progress,
        .arg = spec->arg,
        .small = spec->has_length && spec->length <= BODY_SUM_SMALL,
        .md5 = md5_new(),
        .job = {.work = work, .done = done},
    };
    return sum;
}

bool body_sum_room(struct body_sum *sum, const struct block *block)
{
    if (held_room(&sum->held, block))
        return true;
    call(sum);
    return false;
}

void body_sum_add(struct body_sum *sum, struct block *block, const char *data, size_t len)
{
    assure(len > 0);
    sum->total += len;
    if (sum->small || (sum->held.n == 0 && len < CRUMB)) {
        md5_add(sum->md5, data, len);
        return;
    }
    /* A piece that the job took is the worker's. */
    if (sum->held.n == sum->n_taken || !held_extend(&sum->held, block, data, len))
        held_append(&sum->held, block, data, len);
    sum->waiting += len;
    call_if_worth(sum);
}

bool body_sum_end(struct body_sum *sum)
{
    if (sum->total <= BODY_SUM_SMALL && sum->n_taken == 0) {
        sum_up(sum, sum->held.n);
        held_clear(&sum->held);
    }
    if (sum->held.n == 0)
        return true;
    call(sum);
    return false;
}

void body_sum_result(struct body_sum *sum, uint8_t out[MD5_BYTES])
{
    assure(sum->held.n == 0);
    md5_end(&sum->md5, out);
}

void body_sum_free(struct body_sum **sump)
{
    struct body_sum *sum = *sump;

    *sump = NULL;
    if (!sum)
        return;
    if (sum->n_taken > 0)
        sum->given_up = true;
    else
        dispose(sum);
}
