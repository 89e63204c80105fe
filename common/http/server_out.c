/*
 * What leaves on a connection: a queue of bytes and stretches of files.
 *
 * Bytes gather in blocks, so that small answers to pipelined requests leave in one write.
 * A stretch of a file leaves by sendfile, but only what is in memory already: sendfile
 * would wait for the disk and hold up the loop's other connections. What is cold is first
 * read by a reader thread (which brings it into the page cache), a window at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/http/server_conn.h"
#include "common/stock.h"

enum {
    TURN = 2 * 1024 * 1024, /* of files, sent before others get theirs */
    WINDOW = 1024 * 1024,   /* of a file that may be cold, read at a time */
    IOVECS = 16,
};

static _Thread_local struct stock pieces = {
    .size = sizeof(struct out_piece),
    .most = 256,
};

/* --- pieces --------------------------------------------------------------------- */
static struct out_piece *piece_new(struct conn *conn)
{
    struct out_piece *p = stock_get(&pieces);
    memset(p, 0, sizeof(*p));
    p->fd = -1;
    p->conn = conn;
    if (conn->out_last)
        conn->out_last->next = p;
    else
        conn->out_first = p;
    conn->out_last = p;
    return p;
}

static void piece_free(struct out_piece *p)
{
    block_unref(&p->block);
    if (p->fd >= 0)
        close(p->fd);
    stock_put(&pieces, p);
}

static void piece_shift(struct conn *conn)
{
    struct out_piece *p = conn->out_first;
    conn->out_first = p->next;
    if (!conn->out_first)
        conn->out_last = NULL;
    piece_free(p);
}

bool out_empty(const struct conn *conn)
{
    return !conn->out_first;
}

bool out_has_file(const struct conn *conn)
{
    for (const struct out_piece *p = conn->out_first; p; p = p->next)
        if (p->fd >= 0)
            return true;
    return false;
}

void out_drop(struct conn *conn)
{
    while (conn->out_first) {
        struct out_piece *p = conn->out_first;
        if (!p->busy) {
            piece_shift(conn);
            continue;
        }
        /* A reader has it: it frees itself when the reader is done. */
        conn->out_first = p->next;
        p->conn = NULL;
    }
    conn->out_last = NULL;
    conn->out_bytes = 0;
}

void out_bytes(struct conn *conn, const char *data, size_t len)
{
    conn->out_bytes += len;
    while (len) {
        struct out_piece *p = conn->out_last; /* goes on if it is bytes with room */
        if (!p || !p->block || p->block->used == p->block->size) {
            p = piece_new(conn);
            p->block = block_get(len > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL);
        }
        struct block *b = p->block;
        size_t n = b->size - b->used;
        if (n > len)
            n = len;
        memcpy(b->data + b->used, data, n);
        b->used += (uint32_t)n;
        p->len += n;
        data += n;
        len -= n;
    }
}

void out_file(struct conn *conn, int fd, int64_t off, int64_t len,
              struct workers *readers)
{
    struct out_piece *p = piece_new(conn);
    p->fd = fd;
    p->off = off;
    p->left = len;
    p->readers = readers;
}

/* --- sending -------------------------------------------------------------------- */
/* Is all of the stretch in the page cache? Where the kernel cannot say (before 6.5, or a
 * seccomp filter in the way) both its ends are tried for. */
static bool resident(int fd, int64_t off, int64_t len)
{
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
    static _Atomic(int) cachestat_missing;
    struct {
        uint64_t off, len;
    } range = {(uint64_t)off, (uint64_t)len};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } stat = {0};
    if (!atomic_load_explicit(&cachestat_missing, memory_order_relaxed)) {
        if (syscall(SYS_cachestat, fd, &range, &stat, 0) == 0) {
            uint64_t page = 4096;
            uint64_t first = (uint64_t)off / page;
            uint64_t last = (uint64_t)(off + len - 1) / page;
            return stat.cached >= last - first + 1;
        }
        if (errno == ENOSYS || errno == EPERM || errno == EOPNOTSUPP)
            atomic_store_explicit(&cachestat_missing, 1, memory_order_relaxed);
    }
    char byte;
    struct iovec iov = {&byte, 1};
    /* No way to know: do it inline. Likewise past the file's end, where nothing waits. */
    if (preadv2(fd, &iov, 1, off, RWF_NOWAIT) < 0)
        return errno != EAGAIN;
    return preadv2(fd, &iov, 1, off + len - 1, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

static void warm_work(struct job *job)
{
    struct out_piece *p = container_of(job, struct out_piece, warming);
    static _Thread_local char scratch[128 * 1024];
    int64_t off = p->off, left = p->left < WINDOW ? p->left : WINDOW;
    posix_fadvise(p->fd, off, left, POSIX_FADV_WILLNEED);
    while (left > 0) {
        size_t n = left < (int64_t)sizeof(scratch) ? (size_t)left : sizeof(scratch);
        ssize_t got = pread(p->fd, scratch, n, off);
        if (got <= 0)
            break; /* sendfile meets the same, and says so */
        off += got;
        left -= got;
    }
}

static void warm_done(struct job *job)
{
    struct out_piece *p = container_of(job, struct out_piece, warming);
    p->busy = false;
    p->warm = p->left < WINDOW ? p->left : WINDOW;
    if (!p->conn) {
        piece_free(p);
        return;
    }
    if (job->lapsed)
        p->conn->ex.abort = true; /* it is not over as long as a file is to be sent */
    conn_schedule(p->conn);
}

/* A file's every sendfile would push segments that are nearly empty, which cost both
 * sides as much as full ones. For a file of a single turn that is not worth two calls. */
static void cork(struct conn *conn, bool on)
{
    if (conn->corked != on)
        conn->transport.ops->cork(&conn->transport, on);
    conn->corked = on;
}

/* Sends of the file in front. 0: gone on, or stuck, or with a reader; -errno: broken. */
static int flush_file(struct conn *conn, struct out_piece *p)
{
    struct http_server *server = conn->server;
    if (p->busy)
        return 0;
    if (p->warm == 0) {
        int64_t window = p->readers ? WINDOW : TURN;
        if (window > p->left)
            window = p->left;
        if (p->readers && !resident(p->fd, p->off, window)) {
            p->busy = true;
            p->warming.work = warm_work;
            p->warming.done = warm_done;
            p->warming.may_lapse = true;
            workers_submit(p->readers, server->loop, &p->warming);
            return 0;
        }
        p->warm = window;
    }
    if (p->left > TURN)
        cork(conn, true);
    off_t off = p->off;
    size_t len = (size_t)p->warm;
    ssize_t n = conn->transport.ops->sendfile(&conn->transport, p->fd, &off, len);
    if (n == -EAGAIN) {
        conn->out_stuck = true;
        return 0;
    }
    if (n < 0)
        return (int)n;
    if (n == 0)
        return -EIO; /* the file is shorter than it was: the length we told is a lie */
    if ((size_t)n < len)
        conn->out_stuck = true; /* if it is not, readiness comes at once */
    p->off += n;
    p->left -= n;
    p->warm -= n;
    conn->went = true;
    conn->ex.stats.body_out += (uint64_t)n;
    if (p->left == 0)
        piece_shift(conn);
    return 0;
}

static int flush_bytes(struct conn *conn)
{
    struct iovec iov[IOVECS];
    int n = 0;
    struct out_piece *p = conn->out_first;
    size_t all = 0;
    for (; p && p->block && n < IOVECS; p = p->next) {
        iov[n].iov_base = p->block->data + p->at;
        iov[n++].iov_len = p->len;
        all += p->len;
    }
    ssize_t sent = conn->transport.ops->writev(&conn->transport, iov, n, p && p->fd >= 0);
    if (sent == -EAGAIN) {
        conn->out_stuck = true;
        return 0;
    }
    if (sent < 0)
        return (int)sent;
    conn->out_bytes -= (size_t)sent;
    conn->went = true;
    if ((size_t)sent < all)
        conn->out_stuck = true;
    while (sent > 0) {
        p = conn->out_first;
        if ((size_t)sent < p->len) {
            p->at += (size_t)sent;
            p->len -= (size_t)sent;
            break;
        }
        sent -= (ssize_t)p->len;
        piece_shift(conn);
    }
    return 0;
}

int out_flush(struct conn *conn)
{
    uint64_t enough = conn->ex.stats.body_out + TURN;
    while (conn->out_first && !conn->out_stuck && conn->ex.stats.body_out < enough) {
        struct out_piece *p = conn->out_first;
        int err = p->fd >= 0 ? flush_file(conn, p) : flush_bytes(conn);
        if (err < 0)
            return err;
        if (conn->out_first == p && p->busy)
            return 0; /* warm_done() goes on */
    }
    /* Enough for one turn, with the socket still open: its readiness brings the next. */
    if (conn->out_first)
        conn->out_stuck = true;
    else
        cork(conn, false);
    return 0;
}
