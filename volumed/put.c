/*
 * PUT: the exchange's side. Bytes that come are held (pieces.c), as far as there is room;
 * a worker writes a batch while the next one gathers, and when all the room is taken the
 * client is made to wait. Without syncs it is the loop's own thread that works (errands.h).
 * What happens on disk is newfile.c.
 *
 * A body that fits into the room whole is not touched until all of it is there: then one
 * job makes the file, writes, syncs and names it. (Unless too much is held for clients
 * that take their time: then what came is written, and only descriptors are held for
 * them.)
 *
 * The put outlives its exchange when a job is under way: a client that goes away in the
 * middle of a body leaves nothing, one that goes after the last byte leaves the whole
 * value.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/workers.h"
#include "volumed/answer.h"
#include "volumed/newfile.h"
#include "volumed/pieces.h"
#include "volumed/place.h"
#include "volumed/status.h"
#include "volumed/volumed.h"

enum {
    BATCH = 128 * 1024, /* a worker is not called for less, but for the last */
    LOT = 64 * 1024,
    HELD_MOST = 16 * 1024 * 1024, /* by all PUTs of a loop, for small bodies to gather */
};

struct put {
    struct errand_job job;
    struct shard *shard;
    struct exchange *ex; /* NULL: over */
    struct place place;
    struct newfile file;
    int64_t mtime;   /* from the Date header; -1: none */
    uint64_t length; /* of the body; UINT64_MAX where it comes in chunks */
    uint64_t came;   /* bytes of it so far */
    bool whole;      /* all of the body is here */
    bool blocked;    /* body() left bytes */
    bool working;    /* a job is under way */
    bool finishing;  /* … and it is the last */
    bool elsewhere;  /* it found out whose drive it is, and is to be done there */
    int result;      /* of the job: 0, 201, 204 or -errno */
    struct pieces pieces;
    struct iovec iov[PIECES_MOST];
    size_t path_n;
    char path[]; /* with its leading '/' */
};

/* --- on a worker ---------------------------------------------------------------- */

static int write_pieces(struct put *put)
{
    int n = pieces_vectors(&put->pieces, put->iov);
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += put->iov[i].iov_len;
    /* Copying a lot takes as long as making several small files, and two processors copy
     * more than one: what comes next is for another thread. */
    if (bytes >= LOT)
        workers_waiting();
    return newfile_write(&put->file, put->iov, n);
}

static void put_work(struct job *job)
{
    struct put *put = container_of(job, struct put, job.job);
    int err = 0;
    put->elsewhere = false;
    if (put->file.fd < 0) {
        err = place_settle(&put->place, SETTLE_MAKE);
        put->elsewhere = err == -EAGAIN;
        if (!err)
            err = newfile_open(&put->file, &put->place, put->finishing);
    }
    if (!err)
        err = write_pieces(put);
    if (!err && put->finishing)
        err = newfile_commit(&put->file, &put->place, put->mtime);
    if (err < 0)
        newfile_drop(&put->file, &put->place);
    put->result = err;
}

static void drop_work(struct job *job)
{
    struct put *put = container_of(job, struct put, job.job);
    newfile_drop(&put->file, &put->place);
}

/* --- on the loop ---------------------------------------------------------------- */

static void put_done(struct job *job);
static void drop_done(struct job *job);

static void submit(struct put *put)
{
    put->working = true;
    drive_write(put->place.drive, put->shard->loop, &put->job);
}

/* The put is over and no job is under way: frees it, once its file is gone. */
static void put_free(struct put *put)
{
    assure(!put->working && !put->ex);
    pieces_drop(&put->pieces);
    if (put->file.fd >= 0) {
        put->job.job.work = drop_work;
        put->job.job.done = drop_done;
        put->job.job.may_lapse = false;
        submit(put);
        return;
    }
    place_drop(&put->place);
    free(put);
}

static void drop_done(struct job *job)
{
    struct put *put = container_of(job, struct put, job.job);
    put->working = false;
    put_free(put);
}

/* Gives a worker what there is, if it is time. */
static void go_on(struct put *put)
{
    if (put->working)
        return;
    const struct pieces *p = &put->pieces;
    bool gathers = put->length <= PIECES_ROOM && put->file.fd < 0 && !pieces_full(p) &&
                   put->shard->held < HELD_MOST;
    if (!put->whole && (gathers || (p->held < BATCH && p->n < PIECES_MOST / 2)))
        return;
    put->finishing = put->whole;
    pieces_take(&put->pieces);
    submit(put);
}

static void answer_done(struct put *put)
{
    struct http_fields fields;
    struct str path = {put->path, put->path_n};
    if (put->result < 0) {
        answer_failure(put->ex, DEED_WRITE, -put->result, path);
    } else if (put->result == 201) {
        http_fields_init(&fields);
        answer_location(&fields, put->shard, put->ex, path, false, (struct str){NULL, 0});
        exchange_reply(put->ex, 201, &fields, STR(""));
    } else {
        assure(put->result == 204);
        exchange_reply(put->ex, 204, NULL, STR(""));
    }
}

static void put_done(struct job *job)
{
    struct put *put = container_of(job, struct put, job.job);
    put->working = false;
    if (job->lapsed) {
        put->elsewhere = false;
        put->result = -ECANCELED;
    }
    /* Nothing is written yet. No error may come this way: what was written before it is
     * gone with the file, and only the last pieces are still here. */
    if (put->elsewhere) {
        submit(put);
        return;
    }
    pieces_written(&put->pieces);
    if (!put->ex) {
        if (put->result < 0)
            status_log(DEED_WRITE, -put->result, (struct str){put->path, put->path_n});
        put_free(put);
        return;
    }
    if (put->result < 0 || put->finishing) {
        answer_done(put);
        return;
    }
    if (put->blocked) {
        put->blocked = false;
        exchange_resume(put->ex);
    }
    go_on(put);
}

static size_t put_body(struct exchange *ex, struct block *block, const char *data,
                       size_t len)
{
    struct put *put = exchange_arg(ex);
    bool alone = put->came == 0 && len == put->length;
    size_t took = pieces_hold(&put->pieces, block, data, len, alone);
    put->came += took;
    put->blocked = took < len;
    go_on(put);
    return took;
}

static void put_body_end(struct exchange *ex)
{
    struct put *put = exchange_arg(ex);
    put->whole = true;
    go_on(put);
}

static void put_over(struct exchange *ex, enum exchange_end how)
{
    struct put *put = exchange_arg(ex);
    (void)how;
    put->ex = NULL;
    if (!put->working)
        put_free(put);
}

/* The status that a PUT is refused with before its body comes; 0: go on. */
static int refusal(const struct http_head *head, const struct path *path)
{
    struct str value;
    if (path_is_folder(path))
        return 409;
    if (http_field(head, STR("Content-Range"), &value))
        return 501;
    if (head->body == HTTP_BODY_NONE)
        return 411; /* nginx: 500 */
    return 0;
}

void put_answer(struct shard *shard, struct exchange *ex, const struct path *path)
{
    static const struct exchange_ops ops = {
        .body = put_body, .body_end = put_body_end, .over = put_over};
    const struct http_head *head = exchange_head(ex);
    struct str date;

    int status = refusal(head, path);
    if (status) {
        answer_own(ex);
        answer_page(ex, status, NULL);
        return;
    }
    struct put *put = xmalloc(sizeof(*put) + path->n + 1);
    memset(put, 0, offsetof(struct put, pieces));
    put->job.job.work = put_work;
    put->job.job.done = put_done;
    put->job.job.may_lapse = true;
    put->shard = shard;
    pieces_init(&put->pieces, &shard->held);
    put->ex = ex;
    put->path_n = path->n;
    memcpy(put->path, path->z, path->n + 1);
    place_init(&put->place, shard->volumed->drives, path);
    if (place_is_drive(&put->place))
        place_plain(&put->place);
    place_move(&put->place, put->path + 1);
    newfile_init(&put->file, shard->volumed->sync);
    put->length = head->body == HTTP_BODY_LENGTH ? head->length : UINT64_MAX;
    put->mtime = http_field(head, STR("Date"), &date) ? http_parse_date(date) : -1;
    exchange_own(ex, &ops, put);
}
