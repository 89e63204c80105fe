/*
 * Two buffers of fixed size: lines are put into one while the log's thread writes the
 * other. A disk that is full, slow or hung holds up that thread and nobody else; when the
 * buffer is full meanwhile, lines are dropped, and said to be as soon as the disk is back.
 *
 * The thread is called for the first line and then lets some gather: a wake-up for each
 * would cost more than the line. A line's second is written out once, as it is the same
 * for all requests of that second.
 */
#include "common/http/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/base64.h"
#include "common/clock.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/thread.h"

enum {
    ROOM = 1 << 20,       /* of each buffer, bytes */
    GATHER_MS = 50,       /* from the first line to the write */
    TELL_MS = 10 * 1000,  /* between two words about lines that are lost */
    CLOSE_S = 5,          /* a hung disk may keep the thread for good */
    CREDENTIALS_MAX = 512 /* of the Authorization header; nobody's name is longer */
};

struct access_log {
    char *path; /* NULL: standard output */
    pthread_t thread;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t called;
    char *gathering;
    size_t used;
    uint64_t dropped; /* lines, for want of room */
    bool reopen, end;
    time_t second; /* … and its text */
    char stamp[sizeof("[21/Nov/2026:10:00:00 +0000]")];

    /* The thread's. */
    char *leaving;
    int fd;
    bool in_line; /* the last write ended within a line */
    uint64_t lost, told_ms;
    int error; /* of the last write that failed */
};

/* --- lines ---------------------------------------------------------------------- */

/* As nginx does it: what is not printable ASCII, and the two that would end a field. */
static bool is_plain(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static size_t escaped_size(struct str s)
{
    size_t size = s.n;
    for (size_t i = 0; i < s.n; i++)
        if (!is_plain(s.p[i]))
            size += 3;
    return size;
}

static char *put(char *o, struct str s)
{
    memcpy(o, s.p, s.n);
    return o + s.n;
}

static char *put_escaped(char *o, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_plain(s.p[i])) {
            *o++ = s.p[i];
        } else {
            *o++ = '\\';
            *o++ = 'x';
            *o++ = hex_digit_upper(c >> 4);
            *o++ = hex_digit_upper(c);
        }
    }
    return o;
}

/* The name in "Authorization: Basic …", into `out`; "-" where there is none. */
static struct str user_of(const struct http_head *head, char out[CREDENTIALS_MAX])
{
    static const struct str basic = STR_INIT("Basic "), none = STR_INIT("-");
    struct str value;
    if (!http_field(head, STR("Authorization"), &value) || value.n <= basic.n ||
        value.n > CREDENTIALS_MAX || !str_caseeq((struct str){value.p, basic.n}, basic))
        return none;
    value = (struct str){value.p + basic.n, value.n - basic.n};
    ssize_t n = base64_decode(value, out);
    const char *colon = n > 0 ? memchr(out, ':', (size_t)n) : NULL;
    if (!colon || colon == out)
        return none;
    return (struct str){out, (size_t)(colon - out)};
}

static struct str field_of(const struct http_head *head, struct str name)
{
    struct str value;
    return http_field(head, name, &value) ? value : STR("-");
}

/* Under the lock. */
static void refresh_stamp(struct access_log *log)
{
    time_t now = time(NULL);
    struct tm tm;
    if (now == log->second)
        return;
    log->second = now;
    if (!localtime_r(&now, &tm) ||
        strftime(log->stamp, sizeof(log->stamp), "[%d/%b/%Y:%H:%M:%S %z]", &tm) == 0)
        snprintf(log->stamp, sizeof(log->stamp), "[]");
}

void access_log_add(struct access_log *log, const struct exchange *ex)
{
    const struct http_head *head = exchange_head(ex);
    struct exchange_stats stats;
    char credentials[CREDENTIALS_MAX], numbers[48];

    exchange_stats(ex, &stats);
    /* 499 is nginx's word for a client that left before there was an answer. */
    int n =
        snprintf(numbers, sizeof(numbers), " %d %" PRIu64 " \"",
                 stats.status ? stats.status : 499, stats.body_out + stats.framing_out);
    assure(n > 0 && n < (int)sizeof(numbers));
    struct str peer = str_of(exchange_peer(ex)), user = user_of(head, credentials),
               request = exchange_request_line(ex),
               referer = field_of(head, STR("Referer")),
               agent = field_of(head, STR("User-Agent"));
    size_t need = peer.n + escaped_size(user) + sizeof(log->stamp) +
                  escaped_size(request) + (size_t)n + escaped_size(referer) +
                  escaped_size(agent) + sizeof(" -   \"\" \"\" \"\"\n");

    pthread_mutex_lock(&log->lock);
    if (need > ROOM - log->used) {
        log->dropped++;
    } else {
        bool first = log->used == 0, half = log->used < ROOM / 2;
        char *o = log->gathering + log->used;
        refresh_stamp(log);
        o = put(o, peer);
        o = put(o, STR(" - "));
        o = put_escaped(o, user);
        *o++ = ' ';
        o = put(o, str_of(log->stamp));
        o = put(o, STR(" \""));
        o = put_escaped(o, request);
        *o++ = '"';
        o = put(o, (struct str){numbers, (size_t)n});
        o = put_escaped(o, referer);
        o = put(o, STR("\" \""));
        o = put_escaped(o, agent);
        o = put(o, STR("\"\n"));
        log->used = (size_t)(o - log->gathering);
        if (first || (half && log->used >= ROOM / 2))
            pthread_cond_signal(&log->called);
    }
    pthread_mutex_unlock(&log->lock);
}

void access_log_reopen(struct access_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->reopen = true;
    pthread_cond_signal(&log->called);
    pthread_mutex_unlock(&log->lock);
}

/* --- the thread ----------------------------------------------------------------- */

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
}

static uint64_t lines_in(const char *p, size_t n)
{
    uint64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

/* 0 or -errno; *done is what was written. */
static int write_all(int fd, const char *data, size_t n, size_t *done)
{
    *done = 0;
    while (*done < n) {
        ssize_t wrote = write(fd, data + *done, n - *done);
        if (wrote >= 0) {
            *done += (size_t)wrote;
        } else if (errno == EAGAIN) { /* somebody made our standard output so */
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static void write_lines(struct access_log *log, size_t n)
{
    const char *data = log->leaving;
    size_t done;
    if (n == 0)
        return;
    /* What a full disk took half of is not to run into the next line. */
    if (log->in_line && write_all(log->fd, "\n", 1, &done) == 0)
        log->in_line = false;
    int err = write_all(log->fd, data, n, &done);
    if (done > 0)
        log->in_line = data[done - 1] != '\n';
    if (err) {
        log->error = -err;
        log->lost += lines_in(data + done, n - done);
    }
}

static void reopen(struct access_log *log)
{
    if (!log->path)
        return;
    int fd = open_file(log->path);
    if (fd < 0) {
        log_error("cannot open the access log %s: %s; the old one is kept", log->path,
                  strerror(errno));
        return;
    }
    close(log->fd);
    log->fd = fd;
    log->in_line = false;
}

static void tell(struct access_log *log, bool at_once)
{
    uint64_t now = clock_ms();
    if (log->lost == 0 || (!at_once && log->told_ms && now - log->told_ms < TELL_MS))
        return;
    log_warn("the access log lost %llu lines: %s", (unsigned long long)log->lost,
             log->error ? strerror(log->error) : "its disk did not keep up");
    log->lost = 0;
    log->error = 0;
    log->told_ms = now;
}

/* Under the lock: waits until there is something to do, and for lines to gather. */
static void await_lines(struct access_log *log)
{
    while (log->used == 0 && !log->reopen && !log->end)
        pthread_cond_wait(&log->called, &log->lock);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += GATHER_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (log->used < ROOM / 2 && !log->reopen && !log->end &&
           pthread_cond_timedwait(&log->called, &log->lock, &until) != ETIMEDOUT)
        ;
}

static void *writer_main(void *arg)
{
    struct access_log *log = arg;
    bool end;
    do {
        pthread_mutex_lock(&log->lock);
        await_lines(log);
        char *lines = log->gathering;
        size_t n = log->used;
        bool anew = log->reopen;
        end = log->end;
        log->gathering = log->leaving;
        log->used = 0;
        log->leaving = lines;
        log->lost += log->dropped;
        log->dropped = 0;
        log->reopen = false;
        pthread_mutex_unlock(&log->lock);
        write_lines(log, n);
        if (anew)
            reopen(log);
        tell(log, end);
    } while (!end);
    return NULL;
}

/* --- open and close ------------------------------------------------------------- */

static void free_all(struct access_log *log)
{
    if (log->path && log->fd >= 0)
        close(log->fd);
    pthread_cond_destroy(&log->called);
    pthread_mutex_destroy(&log->lock);
    free(log->gathering);
    free(log->leaving);
    free(log->path);
    free(log);
}

struct access_log *access_log_open(const char *path, char *err, size_t errlen)
{
    struct access_log *log = xcalloc(1, sizeof(*log));
    pthread_condattr_t monotonic;
    log->path = strcmp(path, "-") == 0 ? NULL : xstrdup(path);
    log->fd = log->path ? open_file(log->path) : STDOUT_FILENO;
    log->second = -1;
    log->gathering = xmalloc(ROOM);
    log->leaving = xmalloc(ROOM);
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->called, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = log->fd < 0 ? -errno : 0;
    if (!failed)
        failed = thread_start(&log->thread, "access-log", writer_main, log);
    if (failed) {
        snprintf(err, errlen, "cannot open the access log %s: %s", path,
                 strerror(-failed));
        free_all(log);
        return NULL;
    }
    return log;
}

void access_log_close(struct access_log **logp)
{
    struct access_log *log = *logp;
    struct timespec until;
    if (!log)
        return;
    *logp = NULL;
    pthread_mutex_lock(&log->lock);
    log->end = true;
    pthread_cond_signal(&log->called);
    pthread_mutex_unlock(&log->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_S;
    if (pthread_timedjoin_np(log->thread, NULL, &until) == 0)
        free_all(log);
    else /* its thread still has it */
        log_warn("the access log's disk does not answer: its last lines are lost");
}
