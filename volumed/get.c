/*
 * GET and HEAD (and POST, which nginx answers as far as "not allowed").
 *
 * Two ways. The straight one, on the loop: the path is resolved, the file opened and a
 * small body read from what the kernel has in memory, and the answer leaves in one write;
 * a large body goes by sendfile. Whatever the kernel cannot answer without the disk, and
 * all folders, go the other way: a *reading*, whose job does on the drive's workers what
 * had to wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/assure.h"
#include "volumed/answer.h"
#include "volumed/beneath.h"
#include "volumed/byteranges.h"
#include "volumed/conditional.h"
#include "volumed/listing.h"
#include "volumed/mime.h"
#include "volumed/place.h"
#include "volumed/volumed.h"

#define INDEX "index.html" /* nginx's default index: served in place of a listing */

enum { SMALL = 32 * 1024 }; /* a body up to this is read rather than sent by sendfile */

/* A file that was opened for a request. */
struct found {
    int fd;
    struct stat st;
    struct str path;         /* as in the URL, decoded */
    struct str query;        /* as sent; in the request's head */
    struct workers *workers; /* of its drive */
    bool in_memory;          /* on a tmpfs: reading it never waits */
};

struct reading {
    struct job job;
    struct shard *shard;
    struct exchange *ex; /* NULL: over */
    struct place place;
    bool working;
    bool bodiless; /* HEAD */
    bool post;
    int condition;      /* of a listing: 200, 304, 412 */
    struct found found; /* fd -1: not open yet, or a listing */
    int err;            /* of the job: 0 or -errno */
    int status; /* of the job: answer with this page; 200: with a listing nobody will
                 * see */
    struct listing *listing;
    struct byteranges *parts;
    size_t n;    /* bytes of path */
    char path[]; /* with its leading '/'; room for INDEX behind it */
};

static bool is_head(const struct exchange *ex)
{
    return str_eq(exchange_head(ex)->method, STR("HEAD"));
}

static bool is_post(const struct exchange *ex)
{
    return str_eq(exchange_head(ex)->method, STR("POST"));
}

/* --- answering with a file ------------------------------------------------------ */

static void add_validators(struct http_fields *fields, const struct stat *st,
                           struct str etag)
{
    char date[30];
    if (st->st_mtime != -1) { /* nginx's sign for none */
        http_format_date(st->st_mtime, date);
        http_fields_put(fields, "Last-Modified", (struct str){date, sizeof(date) - 1});
    }
    http_fields_put(fields, "ETag", etag);
}

/* Anything but a regular file that may be read, and a request whose body is malformed (in
 * nginx's order). Returns whether it has answered. */
static bool answer_other(struct shard *shard, struct exchange *ex, const struct found *f)
{
    if (S_ISDIR(f->st.st_mode)) {
        struct http_fields fields;
        http_fields_init(&fields);
        answer_location(&fields, shard, ex, f->path, true, f->query);
        answer_page(ex, 301, &fields);
    } else if (!S_ISREG(f->st.st_mode)) {
        answer_failure(ex, DEED_READ, ENOENT, f->path);
    } else if (is_post(ex)) {
        answer_page(ex, 405, NULL);
    } else if (!exchange_body_sound(ex)) {
        answer_page(ex, 400, NULL);
    } else {
        return false;
    }
    return true;
}

/* Reads bytes that the kernel has in memory; false when it has them not, or cannot
 * say. */
static bool read_at_hand(const struct found *f, char *to, size_t n, int64_t off)
{
    struct iovec iov = {to, n};
    if (f->in_memory)
        return pread(f->fd, to, n, off) == (ssize_t)n;
    return preadv2(f->fd, &iov, 1, off, RWF_NOWAIT) == (ssize_t)n;
}

/* What of a file a request is answered with. */
struct portion {
    int status; /* 200, 206, 304, 412, 416 */
    struct range one;
    struct range *ranges; /* &one, or malloc'ed when there are several */
    int n;
};

static void portion_of(const struct exchange *ex, const struct stat *st, struct str etag,
                       struct portion *p)
{
    const struct http_head *head = exchange_head(ex);
    struct str value;
    p->one = (struct range){0, st->st_size};
    p->ranges = &p->one;
    p->n = 1;
    p->status = conditional_status(head, etag, st->st_mtime);
    if (p->status != 200 || !http_field(head, STR("Range"), &value) ||
        !conditional_range(head, etag, st->st_mtime))
        return;
    switch (ranges_parse(value, st->st_size, &p->one, &p->ranges, &p->n)) {
    case RANGES_SOME:
        p->status = 206;
        break;
    case RANGES_NONE:
        p->status = 416;
        break;
    case RANGES_WHOLE:
        p->one = (struct range){0, st->st_size};
        p->ranges = &p->one;
        p->n = 1;
        break;
    }
}

static void answer_parts(struct exchange *ex, const struct found *f, struct portion *p,
                         const char *type, struct http_fields *fields,
                         struct byteranges **parts)
{
    char whole_type[80];
    *parts = byteranges_new(f->fd, f->st.st_size, type, p->ranges, p->n, f->workers);
    int64_t length = byteranges_length(*parts, whole_type);
    http_fields_add(fields, "Content-Type", "%s", whole_type);
    exchange_begin(ex, 206, fields, length);
    if (is_head(ex))
        exchange_end(ex);
    else
        byteranges_start(*parts, ex);
}

/* The bytes, and the end of the answer; f->fd is taken. */
static void answer_bytes(struct exchange *ex, const struct found *f, int status,
                         const struct http_fields *fields, const struct range *r)
{
    char small[SMALL];
    int64_t len = r->end - r->start;
    if (is_head(ex) || len == 0) {
        exchange_begin(ex, status, fields, len);
        exchange_end(ex);
        close(f->fd);
    } else if (len <= SMALL && read_at_hand(f, small, (size_t)len, r->start)) {
        exchange_reply(ex, status, fields, (struct str){small, (size_t)len});
        close(f->fd);
    } else {
        exchange_begin(ex, status, fields, len);
        exchange_readers(ex, f->in_memory ? NULL : f->workers);
        exchange_write_file(ex, f->fd, r->start, len);
        exchange_end(ex);
    }
}

/* Answers with what was found; f->fd is taken. `parts`: where a body of several ranges
 * keeps what it needs; NULL where none can be. */
static void answer_found(struct shard *shard, struct exchange *ex, const struct found *f,
                         struct byteranges **parts)
{
    struct http_fields fields;
    char tag[ETAG_MAX];
    struct portion p;

    if (answer_other(shard, ex, f)) {
        close(f->fd);
        return;
    }
    struct str etag = {tag, etag_of(&f->st, tag)};
    const char *type = mime_type(f->path);
    portion_of(ex, &f->st, etag, &p);

    http_fields_init(&fields);
    switch (p.status) {
    case 200:
        add_validators(&fields, &f->st, etag);
        http_fields_put(&fields, "Accept-Ranges", STR("bytes"));
        http_fields_put(&fields, "Content-Type", str_of(type));
        answer_bytes(ex, f, 200, &fields, &p.one);
        return;
    case 206:
        add_validators(&fields, &f->st, etag);
        if (p.n > 1) {
            assure(parts);
            answer_parts(ex, f, &p, type, &fields, parts);
            return;
        }
        http_fields_add(&fields, "Content-Range", "bytes %lld-%lld/%lld",
                        (long long)p.one.start, (long long)p.one.end - 1,
                        (long long)f->st.st_size);
        http_fields_add(&fields, "Content-Type", "%s", type);
        answer_bytes(ex, f, 206, &fields, &p.one);
        return;
    case 304:
        add_validators(&fields, &f->st, etag);
        exchange_reply(ex, 304, &fields, STR(""));
        break;
    case 416:
        http_fields_add(&fields, "Content-Range", "bytes */%lld",
                        (long long)f->st.st_size);
        answer_page(ex, 416, &fields);
        break;
    default:
        answer_page(ex, p.status, NULL);
        break;
    }
    close(f->fd);
}

/* --- readings ------------------------------------------------------------------- */

static void reading_free(struct reading *r)
{
    byteranges_leave(&r->parts);
    listing_free(&r->listing);
    if (r->found.fd >= 0)
        close(r->found.fd);
    place_drop(&r->place);
    free(r);
}

/* A folder: its index page, or its listing. 0 or -errno. */
static int read_folder(struct reading *r)
{
    int top = footing_fd(r->place.footing);
    int fd = beneath_open(top, r->place.path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    memcpy(r->path + r->n, INDEX, sizeof(INDEX));
    int index = beneath_open(top, r->place.path, O_RDONLY | O_NONBLOCK);
    if (index >= 0) {
        close(fd);
        r->n += sizeof(INDEX) - 1;
        r->found.fd = index;
        return 0;
    }
    r->path[r->n] = '\0';
    if (index != -ENOENT || r->post) {
        close(fd);
        r->status = index == -ENOENT ? 403 : 0;
        return index == -ENOENT ? 0 : index;
    }
    if (r->bodiless || r->condition != 200) {
        close(fd);
        r->status = 200;
        return 0;
    }
    struct listed of = {.top = top, .path = r->place.path, .served = r->n == 1};
    return listing_read(fd, &of, &r->listing);
}

/* Of a small file also the bytes are brought into memory here, so that the loop finds
 * them there and need not come back for them. */
static void warm(int fd, size_t size)
{
    char bytes[SMALL];
    for (size_t have = 0; have < size;) {
        ssize_t got = pread(fd, bytes, size - have, (off_t)have);
        if (got <= 0)
            return; /* who sends them meets the same, and says so */
        have += (size_t)got;
    }
}

static int read_file(struct reading *r)
{
    struct stat *st = &r->found.st;
    if (r->found.fd < 0) {
        int top = footing_fd(r->place.footing);
        int fd = beneath_open(top, r->place.path, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
            return fd;
        r->found.fd = fd;
    }
    if (fstat(r->found.fd, st))
        return -errno;
    r->found.in_memory = footing_in_memory(r->place.footing, st->st_dev);
    if (!r->bodiless && !r->post && S_ISREG(st->st_mode) && st->st_size <= SMALL)
        warm(r->found.fd, (size_t)st->st_size);
    return 0;
}

static void reading_work(struct job *job)
{
    struct reading *r = container_of(job, struct reading, job);
    r->err = place_settle(&r->place, SETTLE_LOOK);
    if (!r->err && r->path[r->n - 1] == '/')
        r->err = read_folder(r);
    if (!r->err && !r->status && !r->listing)
        r->err = read_file(r);
}

static void reading_submit(struct reading *r)
{
    r->working = true;
    workers_submit(drive_readers(r->place.drive), r->shard->loop, &r->job);
}

static void answer_listing(struct reading *r)
{
    struct http_fields fields;
    if (!exchange_body_sound(r->ex)) {
        answer_page(r->ex, 400, NULL);
        return;
    }
    if (r->condition == 304) {
        exchange_reply(r->ex, 304, NULL, STR(""));
        return;
    }
    if (r->condition != 200) {
        answer_page(r->ex, r->condition, NULL);
        return;
    }
    http_fields_init(&fields);
    http_fields_add(&fields, "Content-Type", "application/json");
    exchange_begin(r->ex, 200, &fields, EXCHANGE_CHUNKED);
    if (r->bodiless)
        exchange_end(r->ex);
    else if (listing_write(r->listing, r->ex))
        listing_free(&r->listing);
}

static void reading_done(struct job *job)
{
    struct reading *r = container_of(job, struct reading, job);
    r->working = false;
    if (!r->ex) {
        reading_free(r);
        return;
    }
    if (job->lapsed)
        r->err = -ECANCELED;
    if (r->err == -EAGAIN) { /* the drive is known now */
        reading_submit(r);
        return;
    }
    r->found.path = (struct str){r->path, r->n};
    r->found.workers = drive_readers(r->place.drive);
    place_drop(&r->place); /* a descriptor of its own is all a body needs */
    if (r->err < 0) {
        answer_failure(r->ex, DEED_READ, -r->err, r->found.path);
    } else if (r->listing || r->status == 200) {
        answer_listing(r);
    } else if (r->status) {
        answer_page(r->ex, r->status, NULL);
    } else {
        struct found found = r->found;
        r->found.fd = -1; /* taken */
        answer_found(r->shard, r->ex, &found, &r->parts);
    }
}

static void reading_writable(struct exchange *ex)
{
    struct reading *r = exchange_arg(ex);
    if (r->parts)
        byteranges_writable(r->parts);
    else if (r->listing && listing_write(r->listing, ex))
        listing_free(&r->listing);
}

static void reading_over(struct exchange *ex, enum exchange_end how)
{
    struct reading *r = exchange_arg(ex);
    (void)how;
    r->ex = NULL;
    if (!r->working)
        reading_free(r);
}

/* A body is not what was asked for: what is found decides the answer, as where it was at
 * hand. */
static void reading_body_bad(struct exchange *ex)
{
    (void)ex;
}

/* A footing in `place` is taken. */
static void reading_start(struct shard *shard, struct exchange *ex,
                          const struct path *path, const struct place *place)
{
    static const struct exchange_ops ops = {
        .body_bad = reading_body_bad, .writable = reading_writable, .over = reading_over};
    struct reading *r = xcalloc(1, sizeof(*r) + path->n + sizeof(INDEX));
    r->job.work = reading_work;
    r->job.done = reading_done;
    r->job.may_lapse = true;
    r->shard = shard;
    r->ex = ex;
    r->n = path->n;
    memcpy(r->path, path->z, path->n + 1);
    r->place = *place;
    place_move(&r->place, r->path + 1);
    r->bodiless = is_head(ex);
    r->post = is_post(ex);
    r->found.fd = -1;
    r->found.query = path->query;
    r->condition = conditional_status(exchange_head(ex), STR(""), -1);
    exchange_own(ex, &ops, r);
    reading_submit(r);
}

/* --- the straight way ----------------------------------------------------------- */

/* Might the answer be made of several parts? Those are sent by a reading. */
static bool several_ranges(const struct exchange *ex)
{
    struct str value;
    return http_field(exchange_head(ex), STR("Range"), &value) &&
           memchr(value.p, ',', value.n);
}

void get_answer(struct shard *shard, struct exchange *ex, const struct path *path)
{
    struct place place;
    struct found f = {.fd = -EAGAIN, .path = {path->z, path->n}, .query = path->query};

    place_init(&place, shard->volumed->drives, path);
    if (!path_is_folder(path) && !several_ranges(ex) && place_at_hand(&place))
        f.fd = beneath_open_cached(footing_fd(place.footing), place.path,
                                   O_RDONLY | O_NONBLOCK);
    if (f.fd == -EAGAIN) {
        reading_start(shard, ex, path, &place);
        return;
    }
    answer_own(ex);
    f.workers = drive_readers(place.drive);
    if (f.fd >= 0 && fstat(f.fd, &f.st)) {
        int err = errno;
        close(f.fd);
        f.fd = -err;
    }
    f.in_memory = footing_in_memory(place.footing, f.st.st_dev);
    place_drop(&place);
    if (f.fd < 0)
        answer_failure(ex, DEED_READ, -f.fd, f.path);
    else
        answer_found(shard, ex, &f, NULL);
}
