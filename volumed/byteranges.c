/*
 * Parts are read by a worker into one buffer and written from there, a stretch at a time:
 * a header line can name thousands of ranges, and a descriptor queued for each would be
 * more than a process may have. Few clients ask for more than one range, so sendfile is
 * not missed.
 */
#include "volumed/byteranges.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/assure.h"

enum { STRETCH = 64 * 1024 };

struct byteranges {
    struct exchange *ex; /* NULL: over */
    struct workers *readers;
    struct job job;
    bool reading;
    int fd;
    int64_t size;
    const char *type;
    struct range *ranges;
    int n, at;   /* the range being sent */
    int64_t off; /* the next byte of it; -1: its head is still to be sent */
    uint64_t boundary;
    ssize_t got;
    char stretch[STRETCH];
};

struct byteranges *byteranges_new(int fd, int64_t size, const char *type,
                                  struct range *ranges, int n, struct workers *readers)
{
    static atomic_uint_fast64_t boundaries;
    struct byteranges *b = xmalloc(sizeof(*b));
    b->ex = NULL;
    b->readers = readers;
    b->job = (struct job){0};
    b->reading = false;
    b->fd = fd;
    b->size = size;
    b->type = type;
    b->ranges = ranges;
    b->n = n;
    b->at = 0;
    b->off = -1;
    b->boundary = atomic_fetch_add(&boundaries, 1) + 1;
    return b;
}

static void byteranges_free(struct byteranges *b)
{
    close(b->fd);
    free(b->ranges);
    free(b);
}

static int part_head(const struct byteranges *b, const struct range *r, char out[256])
{
    int n = snprintf(out, 256,
                     "\r\n--%020llu\r\n"
                     "Content-Type: %s\r\n"
                     "Content-Range: bytes %lld-%lld/%lld\r\n\r\n",
                     (unsigned long long)b->boundary, b->type, (long long)r->start,
                     (long long)r->end - 1, (long long)b->size);
    assure(n > 0 && n < 256);
    return n;
}

static int tail(const struct byteranges *b, char out[64])
{
    return snprintf(out, 64, "\r\n--%020llu--\r\n", (unsigned long long)b->boundary);
}

int64_t byteranges_length(const struct byteranges *b, char type[80])
{
    char text[256], end[64];
    int64_t length = tail(b, end);
    for (int i = 0; i < b->n; i++)
        length +=
            part_head(b, &b->ranges[i], text) + b->ranges[i].end - b->ranges[i].start;
    snprintf(type, 80, "multipart/byteranges; boundary=%020llu",
             (unsigned long long)b->boundary);
    return length;
}

static void read_work(struct job *job)
{
    struct byteranges *b = container_of(job, struct byteranges, job);
    int64_t left = b->ranges[b->at].end - b->off;
    size_t want = left < STRETCH ? (size_t)left : STRETCH;
    do
        b->got = pread(b->fd, b->stretch, want, b->off);
    while (b->got < 0 && errno == EINTR);
}

static void go_on(struct byteranges *b);

static void read_done(struct job *job)
{
    struct byteranges *b = container_of(job, struct byteranges, job);
    b->reading = false;
    if (!b->ex) {
        byteranges_free(b);
        return;
    }
    if (b->got <= 0) { /* it cannot be read, or is shorter than it was */
        exchange_abort(b->ex);
        return;
    }
    b->off += b->got;
    if (b->off == b->ranges[b->at].end) {
        b->at++;
        b->off = -1;
    }
    if (exchange_write(b->ex, b->stretch, (size_t)b->got))
        go_on(b);
}

/* There is room: sends the next part's head and reads on, or ends. */
static void go_on(struct byteranges *b)
{
    char text[256];
    if (b->at == b->n) {
        int n = tail(b, text);
        exchange_write(b->ex, text, (size_t)n);
        exchange_end(b->ex);
        return;
    }
    if (b->off < 0) {
        int n = part_head(b, &b->ranges[b->at], text);
        b->off = b->ranges[b->at].start;
        exchange_write(b->ex, text, (size_t)n);
    }
    b->job.work = read_work;
    b->job.done = read_done;
    b->reading = true;
    workers_submit(b->readers, exchange_loop(b->ex), &b->job);
}

void byteranges_start(struct byteranges *b, struct exchange *ex)
{
    b->ex = ex;
    go_on(b);
}

void byteranges_writable(struct byteranges *b)
{
    if (!b->reading)
        go_on(b);
}

void byteranges_leave(struct byteranges **bp)
{
    struct byteranges *b = *bp;
    *bp = NULL;
    if (!b)
        return;
    b->ex = NULL;
    if (!b->reading)
        byteranges_free(b);
}
