/*
 * DELETE: one name is taken out of its folder. A folder is never deleted: nginx removes
 * the whole tree below it for one request, which is a lot to lose by a slash too many.
 *
 * With -sync also a 404 is given only when the name is gone from the disk, where its
 * folder is there: another DELETE may have removed it a moment ago and not be done, and
 * whoever gets the 404 relies on it just as much.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "volumed/answer.h"
#include "volumed/beneath.h"
#include "volumed/durable.h"
#include "volumed/place.h"
#include "volumed/status.h"
#include "volumed/volumed.h"

enum depth { DEPTH_NONE, DEPTH_0, DEPTH_INFINITY, DEPTH_OTHER };

struct removal {
    struct errand_job job;
    struct shard *shard;
    struct exchange *ex; /* NULL: over */
    struct place place;
    bool working;
    bool drive; /* the path is nothing but sv## */
    enum depth depth;
    int err;    /* 0 or -errno */
    int status; /* where it is no errno's: 204, 400 */
    size_t path_n;
    char path[];
};

static enum depth depth_of(const struct http_head *head)
{
    struct str value;
    if (!http_field(head, STR("Depth"), &value))
        return DEPTH_NONE;
    if (str_eq(value, STR("0")))
        return DEPTH_0;
    return str_eq(value, STR("infinity")) ? DEPTH_INFINITY : DEPTH_OTHER;
}

/* A folder, or a link sv## to one: a drive. */
static bool is_folder(int parent, const char *name, const struct stat *st, bool drive)
{
    struct stat to;
    if (S_ISDIR(st->st_mode))
        return true;
    return drive && S_ISLNK(st->st_mode) && fstatat(parent, name, &to, 0) == 0 &&
           S_ISDIR(to.st_mode);
}

/* The name is there: is it one that is removed? 0 or -errno; r->status where there is
 * one. */
static int judge(struct removal *r, int parent, const char *name)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
        return -errno;
    if (is_folder(parent, name, &st, r->drive))
        return -EISDIR;
    if (r->depth == DEPTH_OTHER)
        r->status = 400;
    return 0;
}

/* 0 or -errno; r->status where there is one. */
static int remove_name(struct removal *r, int parent, const char *name)
{
    int err = 0;
    /* What unlink() says of a plain name is what counts, and nearly every one is gone by
     * that. */
    if (r->drive || r->depth == DEPTH_OTHER)
        err = judge(r, parent, name);
    if (err || r->status)
        return err;
    if (unlinkat(parent, name, 0) == 0) {
        r->status = 204;
        return 0;
    }
    err = -errno;
    /* A drive that is read-only says so before it looks whether there is anything, and a
     * folder is one whatever else stands in the way. */
    int reason = err == -ENOENT ? err : judge(r, parent, name);
    return reason ? reason : err;
}

/* A path that ends in '/': refused in nginx's order of reasons. */
static int refuse_folder(struct removal *r)
{
    int fd =
        beneath_open(footing_fd(r->place.footing), r->place.path, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd;
    close(fd);
    if (r->depth == DEPTH_NONE || r->depth == DEPTH_INFINITY)
        return -EISDIR;
    r->status = 400;
    return 0;
}

static void removal_work(struct job *job)
{
    struct removal *r = container_of(job, struct removal, job.job);
    const char *name;
    bool folder = r->path[r->path_n - 1] == '/';

    r->err = place_settle(&r->place, folder ? SETTLE_LOOK : SETTLE_SURE);
    if (r->err)
        return;
    if (folder) {
        r->err = refuse_folder(r);
        return;
    }
    int parent = beneath_parent(footing_fd(r->place.footing), r->place.path, false, &name,
                                NULL, NULL);
    if (parent < 0) {
        r->err = parent;
        return;
    }
    r->err = remove_name(r, parent, name);
    if (r->shard->volumed->sync && (r->status == 204 || r->err == -ENOENT)) {
        int err = durable_names(footing_durable(r->place.footing), parent);
        if (err && err != -EROFS)
            r->err = err;
    }
    close(parent);
}

static void submit(struct removal *r)
{
    r->working = true;
    drive_write(r->place.drive, r->shard->loop, &r->job);
}

static void removal_free(struct removal *r)
{
    place_drop(&r->place);
    free(r);
}

static void removal_done(struct job *job)
{
    struct removal *r = container_of(job, struct removal, job.job);
    struct str path = {r->path, r->path_n};
    r->working = false;
    if (job->lapsed)
        r->err = -ECANCELED;
    if (r->err == -EAGAIN) { /* the drive is known now */
        submit(r);
        return;
    }
    if (!r->ex) {
        if (r->err)
            status_log(DEED_DELETE, -r->err, path);
        removal_free(r);
    } else if (r->err) {
        answer_failure(r->ex, DEED_DELETE, -r->err, path);
    } else if (r->status == 204) {
        exchange_reply(r->ex, 204, NULL, STR(""));
    } else {
        answer_page(r->ex, r->status, NULL);
    }
}

static void removal_over(struct exchange *ex, enum exchange_end how)
{
    struct removal *r = exchange_arg(ex);
    (void)how;
    r->ex = NULL;
    if (!r->working)
        removal_free(r);
}

void delete_answer(struct shard *shard, struct exchange *ex, const struct path *path)
{
    static const struct exchange_ops ops = {.over = removal_over};
    const struct http_head *head = exchange_head(ex);

    if (head->body == HTTP_BODY_CHUNKED ||
        (head->body == HTTP_BODY_LENGTH && head->length > 0)) {
        answer_own(ex);
        answer_page(ex, 415, NULL);
        return;
    }
    struct removal *r = xcalloc(1, sizeof(*r) + path->n + 1);
    r->job.job.work = removal_work;
    r->job.job.done = removal_done;
    r->job.job.may_lapse = true;
    r->shard = shard;
    r->ex = ex;
    r->depth = depth_of(head);
    r->path_n = path->n;
    memcpy(r->path, path->z, path->n + 1);
    place_init(&r->place, shard->volumed->drives, path);
    r->drive = place_is_drive(&r->place);
    if (r->drive)
        place_plain(&r->place);
    place_move(&r->place, r->path + 1);
    exchange_own(ex, &ops, r);
    submit(r);
}
