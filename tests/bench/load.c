/*
 * A load of requests that each go to a key of their own: PUTs, and the DELETEs (or GETs)
 * of what was put. wrk cannot do this: it repeats requests for a time, while a key is put
 * or deleted once. So a turn is a number of requests, and its figure is how long they
 * took, or how long each waited.
 *
 *   load [-c connections] [-n requests] [-keys n] [-first n] [-rate n] [-size bytes]
 *        [-expect status] [-places] METHOD HOST PORT PREFIX
 *
 * The keys are those of keys.h, from -first on; with -keys so many in turn. With -places
 * each goes where a volume would keep it, to /sv0X/xx/yy/ and then the name, so that a
 * bare nginx makes the same folders as one behind a master. Prints one line of JSON;
 * answers with another status than the expected one, and requests without a whole answer,
 * are counted, not retried.
 *
 * Every connection has a request under way. With -rate it is so many a second instead, at
 * even distances, whether those before are answered or not; the time of each counts from
 * when it was due, so that a server that stalls pays for all that had to wait. "late" is
 * the part of it before the request was begun: for want of an idle connection, or of the
 * processor for this program.
 *
 * One thread, and no code of the servers under test: what it costs is the same for both
 * sides of a comparison, little, and cannot hide a fault of theirs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/keys.h"

enum {
    CONNECTIONS_MAX = 1024,
    HEAD_MAX = 1024,
    ANSWER_MAX = 16 * 1024, /* of an answer's head, and of a stretch of its body */
    SILENCE_S = 60,         /* nothing from any connection: the server hangs */
    SECOND = 1000 * 1000 * 1000,
    STATUS_MAX = 600,
};

struct job {
    const char *method, *prefix, *host;
    struct sockaddr_in address;
    uint64_t first, n, keys, rate;
    int connections, expect;
    bool places;
    char *body;
    size_t size;
};

struct peer {
    int fd;
    char head[HEAD_MAX];
    size_t head_len, sent; /* of head and body together */
    bool stuck;            /* the socket was full: wait for EPOLLOUT */
    bool open;             /* a request is under way */
    uint64_t due;          /* in nanoseconds, as seen by now() */
    char answer[ANSWER_MAX];
    size_t got;
    bool head_seen, closes;
    int status;
    uint64_t body_left; /* of the answer */
};

struct run {
    const struct job *job;
    int epoll;
    uint64_t begun, over, broken;
    uint64_t statuses[STATUS_MAX];
    uint64_t start;          /* when the first was due */
    uint32_t *micros, *late; /* of each request that is over; that was begun */
    struct peer *peers;
    struct peer **idle; /* a ring of them all: each has its turn */
    int first_idle, n_idle;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void wrong_usage(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void peer_open(struct run *run, struct peer *peer)
{
    int one = 1;

    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->fd < 0)
        fail("socket");
    /* On the loopback a connection is there at once. */
    if (connect(peer->fd, (const struct sockaddr *)&run->job->address,
                sizeof(run->job->address)) != 0)
        fail("connect");
    if (setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        fcntl(peer->fd, F_SETFL, O_NONBLOCK) != 0)
        fail("socket options");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, peer->fd, &event) != 0)
        fail("epoll_ctl");
    peer->stuck = false;
}

static void peer_close(struct peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
}

static void wait_for_room(struct run *run, struct peer *peer, bool wanted)
{
    if (peer->stuck == wanted)
        return;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0U),
                                .data.ptr = peer};
    if (epoll_ctl(run->epoll, EPOLL_CTL_MOD, peer->fd, &event) != 0)
        fail("epoll_ctl");
    peer->stuck = wanted;
}

/* Sends what there is room for. False: the connection is broken. */
static bool peer_send(struct run *run, struct peer *peer)
{
    const struct job *job = run->job;

    while (peer->sent < peer->head_len + job->size) {
        struct iovec parts[2];
        struct msghdr message = {.msg_iov = parts};
        size_t in_body = 0;

        if (peer->sent < peer->head_len)
            parts[message.msg_iovlen++] =
                (struct iovec){peer->head + peer->sent, peer->head_len - peer->sent};
        else
            in_body = peer->sent - peer->head_len;
        if (in_body < job->size)
            parts[message.msg_iovlen++] =
                (struct iovec){job->body + in_body, job->size - in_body};

        ssize_t n = sendmsg(peer->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            wait_for_room(run, peer, true);
            return true;
        }
        peer->sent += (size_t)n;
    }
    wait_for_room(run, peer, false);
    return true;
}

static void write_request(const struct job *job, uint64_t number, struct peer *peer)
{
    char folder[32] = "", length[48] = "";
    uint64_t bits = scattered(job->first + number % job->keys);

    if (job->places)
        snprintf(folder, sizeof(folder), "/sv%02X/%02x/%02x", (unsigned)(bits >> 32) % 10,
                 (unsigned)(bits & 0xff), (unsigned)(bits >> 8 & 0xff));
    if (job->size > 0)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", job->size);
    peer->head_len = (size_t)snprintf(
        peer->head, sizeof(peer->head),
        "%s %s%s" KEY_DIGITS " HTTP/1.1\r\nHost: %s\r\n%s\r\n", job->method, folder,
        job->prefix, (unsigned long long)bits, job->host, length);
    peer->sent = peer->got = 0;
    peer->head_seen = false;
}

static void become_idle(struct run *run, struct peer *peer)
{
    int connections = run->job->connections;

    peer->open = false;
    run->idle[(run->first_idle + run->n_idle++) % connections] = peer;
}

static void request_over(struct run *run, struct peer *peer, bool broken)
{
    run->micros[run->over++] = (uint32_t)((now() - peer->due) / 1000);
    if (broken)
        run->broken++;
    else
        run->statuses[peer->status]++;
    /* An answer before the end of the body leaves a connection of no further use. */
    bool whole = peer->sent == peer->head_len + run->job->size;
    if (broken || peer->closes || !whole)
        peer_close(peer);
    become_idle(run, peer);
}

/* When the next request is due; without a rate as soon as a connection is idle. */
static uint64_t next_due(const struct run *run)
{
    uint64_t rate = run->job->rate;

    return rate > 0 ? run->start + run->begun * SECOND / rate : now();
}

static bool can_begin(const struct run *run)
{
    return run->n_idle > 0 && run->begun < run->job->n;
}

static void begin_what_is_due(struct run *run)
{
    while (can_begin(run)) {
        uint64_t due = next_due(run), at = now();

        if (due > at)
            return;
        struct peer *peer = run->idle[run->first_idle];
        run->first_idle = (run->first_idle + 1) % run->job->connections;
        run->n_idle--;
        if (peer->fd < 0)
            peer_open(run, peer);
        run->late[run->begun] = (uint32_t)((at - due) / 1000);
        write_request(run->job, run->begun++, peer);
        peer->due = due;
        peer->open = true;
        if (!peer_send(run, peer))
            request_over(run, peer, true);
    }
}

/* A field of the answer's head, or NULL. `name` with its colon. */
static const char *field(const char *head, const char *name)
{
    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, strlen(name)) == 0)
            return at + strlen(name);
    }
    return NULL;
}

/* Reads the answer's head when all of it is there. False: it makes no sense. */
static bool read_head(struct peer *peer)
{
    const char *end = memmem(peer->answer, peer->got, "\r\n\r\n", 4), *text;
    size_t len;

    if (!end)
        return peer->got < sizeof(peer->answer) - 1;
    len = (size_t)(end - peer->answer) + 4;
    peer->answer[len - 1] = '\0';
    if (strncmp(peer->answer, "HTTP/1.1 ", 9) != 0)
        return false;
    peer->status = (int)strtol(peer->answer + 9, NULL, 10);
    if (peer->status < 200 || peer->status >= STATUS_MAX)
        return false;
    text = field(peer->answer, "Content-Length:");
    if (!text && peer->status != 204)
        return false;
    peer->body_left = text ? strtoull(text, NULL, 10) : 0;
    text = field(peer->answer, "Connection:");
    peer->closes = text && strncasecmp(text + strspn(text, " "), "close", 5) == 0;
    peer->head_seen = true;
    peer->got -= len;
    return true;
}

/* Takes what came. 1: the answer is whole; 0: more must come; -1: broken. */
static int peer_receive(struct peer *peer)
{
    ssize_t n = recv(peer->fd, peer->answer + peer->got,
                     sizeof(peer->answer) - 1 - peer->got, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    peer->got += (size_t)n;
    if (!peer->head_seen && !read_head(peer))
        return -1;
    if (!peer->head_seen)
        return 0;
    if (peer->got > peer->body_left)
        return -1; /* more than was promised */
    peer->body_left -= peer->got;
    peer->got = 0;
    return peer->body_left == 0;
}

static void peer_ready(struct run *run, struct peer *peer, uint32_t events)
{
    if (!peer->open) /* hung up on while it was idle */
        peer_close(peer);
    else if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        int got = peer_receive(peer);

        if (got != 0)
            request_over(run, peer, got < 0);
    } else if (!peer_send(run, peer))
        request_over(run, peer, true);
}

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void report_times(const char *name, uint32_t *micros, uint64_t n)
{
    qsort(micros, n, sizeof(*micros), by_time);
    printf(", \"%s\": {\"p50\": %u, \"p99\": %u, \"p99.9\": %u, \"most\": %u}", name,
           micros[n / 2], micros[n * 99 / 100], micros[n * 999 / 1000], micros[n - 1]);
}

static void report(const struct run *run, uint64_t took)
{
    uint64_t wrong = run->over - run->broken - run->statuses[run->job->expect];

    printf("{\"requests\": %llu, \"seconds\": %.6f, \"wrong\": %llu, \"broken\": %llu",
           (unsigned long long)run->over, (double)took / SECOND,
           (unsigned long long)wrong, (unsigned long long)run->broken);
    report_times("micros", run->micros, run->over);
    report_times("late", run->late, run->begun);
    printf(", \"statuses\": {");
    const char *comma = "";
    for (int status = 0; status < STATUS_MAX; status++) {
        if (run->statuses[status] == 0)
            continue;
        printf("%s\"%d\": %llu", comma, status,
               (unsigned long long)run->statuses[status]);
        comma = ", ";
    }
    printf("}}\n");
}

/* How long to wait for answers, at most. */
static struct timespec patience(const struct run *run)
{
    uint64_t due, at;

    if (!can_begin(run))
        return (struct timespec){.tv_sec = SILENCE_S};
    due = next_due(run), at = now();
    return (struct timespec){.tv_nsec = due > at ? (long)(due - at) : 0};
}

static void run_job(const struct job *job)
{
    struct run run = {.job = job, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event events[64];

    run.peers = calloc((size_t)job->connections, sizeof(*run.peers));
    run.idle = calloc((size_t)job->connections, sizeof(struct peer *));
    run.micros = calloc(job->n, sizeof(*run.micros));
    run.late = calloc(job->n, sizeof(*run.late));
    if (run.epoll < 0 || !run.peers || !run.idle || !run.micros || !run.late)
        fail("start");
    for (int i = 0; i < job->connections; i++) {
        peer_open(&run, &run.peers[i]);
        become_idle(&run, &run.peers[i]);
    }
    run.start = now();
    begin_what_is_due(&run);
    while (run.over < job->n) {
        struct timespec limit = patience(&run);
        int n = epoll_pwait2(run.epoll, events, 64, &limit, NULL);

        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        if (n == 0 && limit.tv_sec == SILENCE_S) {
            errno = ETIMEDOUT;
            fail("the server hangs");
        }
        for (int i = 0; i < n; i++) {
            peer_ready(&run, events[i].data.ptr, events[i].events);
            begin_what_is_due(&run);
        }
        begin_what_is_due(&run);
    }
    report(&run, now() - run.start);
    for (int i = 0; i < job->connections; i++)
        if (run.peers[i].fd >= 0)
            peer_close(&run.peers[i]);
    free(run.late);
    free(run.micros);
    free(run.idle);
    free(run.peers);
    close(run.epoll);
}

static uint64_t number(const char *text, uint64_t max)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || n > max)
        wrong_usage("not a number in range");
    return n;
}

int main(int argc, char **argv)
{
    struct job job = {.n = 1000, .keys = UINT32_MAX, .connections = 16, .expect = 201};
    int i;

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        const char *flag = argv[i];

        if (strcmp(flag, "-places") == 0) {
            job.places = true;
            continue;
        }
        if (++i == argc)
            wrong_usage("a flag without its value");
        if (strcmp(flag, "-c") == 0)
            job.connections = (int)number(argv[i], CONNECTIONS_MAX);
        else if (strcmp(flag, "-n") == 0)
            job.n = number(argv[i], UINT32_MAX);
        else if (strcmp(flag, "-keys") == 0)
            job.keys = number(argv[i], UINT32_MAX);
        else if (strcmp(flag, "-first") == 0)
            job.first = number(argv[i], UINT32_MAX);
        else if (strcmp(flag, "-rate") == 0)
            job.rate = number(argv[i], 10 * 1000 * 1000);
        else if (strcmp(flag, "-size") == 0)
            job.size = number(argv[i], 1U << 30);
        else if (strcmp(flag, "-expect") == 0)
            job.expect = (int)number(argv[i], STATUS_MAX - 1);
        else
            wrong_usage("no such flag");
    }
    if (argc - i != 4 || job.connections == 0 || job.n == 0 || job.keys == 0)
        wrong_usage("usage: load [flags] METHOD HOST PORT PREFIX; see the source");
    job.method = argv[i];
    job.host = argv[i + 1];
    job.prefix = argv[i + 3];
    if (strlen(job.method) + strlen(job.prefix) + strlen(job.host) > HEAD_MAX / 2)
        wrong_usage("too long");
    job.address.sin_family = AF_INET;
    job.address.sin_port = htons((uint16_t)number(argv[i + 2], UINT16_MAX));
    if (inet_pton(AF_INET, job.host, &job.address.sin_addr) != 1)
        wrong_usage("HOST is an IPv4 address");

    job.body = malloc(job.size + 1);
    if (!job.body)
        fail("memory");
    make_value(job.body, job.size);
    run_job(&job);
    free(job.body);
    return 0;
}
