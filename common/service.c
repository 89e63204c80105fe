/*
 * A server process: its loops, its listening socket, its signals, its drain.
 *
 * Every loop waits on the one listening socket (EPOLLEXCLUSIVE, so that a connection
 * wakes one of them) and whoever accepts gives the connection to the loop that has the
 * fewest. SO_REUSEPORT would spare that step but spreads by hash: of eight long-lived
 * connections six may end on one core. Signals are caught by a handler that writes one
 * byte to an eventfd: unlike a signalfd, that does not depend on every thread of every
 * library having the signals blocked.
 */
#include "common/service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"
#include "common/net.h"
#include "common/stock.h"

enum {
    ACCEPTS_PER_TURN = 16,
    ACCEPT_PAUSE_MS = 1000,
    BACKLOG = 4096,
    LOOPS_MAX = 256,
};

struct lane {
    struct service *service;
    struct loop *loop;
    struct http_server *server;
    void *shard;
    struct watch accept;
    struct timer pause;         /* accepting again after descriptors ran out */
    struct task drain, drained; /* posted by the first lane; deferred by the server */
    struct task rested;         /* deferred by the shard */
    struct task finish;
    bool finished;
    pthread_t thread;
};

/* A connection on its way to another lane. */
struct handover {
    struct task task;
    struct lane *to;
    int fd;
};

struct service {
    struct service_config config;
    int listener;
    int n;
    struct lane *lanes;
    struct watch signals;
    atomic_bool stop; /* as if a signal had said so */
    struct timer drain_limit;
    pthread_mutex_t spread; /* choosing a lane, and counting the connection there */
    int port;
    atomic_int accepting;  /* lanes that still do */
    atomic_int lanes_left; /* not drained yet */
    struct task none_accepts, all_drained;
    bool draining;
    bool closed; /* no lane accepts, none gives another connections */
    bool cut;    /* exchanges were cut at the limit */
};

/* What the signal handler reaches. One service a process catches signals. */
static volatile sig_atomic_t got_stop;
static int signal_fd = -1;

static void on_signal(int number)
{
    int err = errno;
    uint64_t one = 1;
    (void)number;
    got_stop = 1;
    ssize_t n = write(signal_fd, &one, sizeof one);
    (void)n; /* full means readable */
    errno = err;
}

void service_defaults(struct service_config *config)
{
    memset(config, 0, sizeof *config);
    config->drain_ms = 30 * 1000;
    http_server_defaults(&config->http);
}

/* --- accepting ------------------------------------------------------------------ */
static void run_handover(struct task *task)
{
    struct handover *h = container_of(task, struct handover, task);
    if (h->to->server)
        http_server_take(h->to->server, h->fd);
    else
        close(h->fd); /* posted just before the end */
    free(h);
}

static void give(struct lane *from, int fd)
{
    struct service *service = from->service;
    struct lane *to = from;
    pthread_mutex_lock(&service->spread); /* two at once would choose the same lane */
    int least = http_server_connections(from->server);
    for (int i = 0; i < service->n; i++) {
        int n = http_server_connections(service->lanes[i].server);
        if (n < least) {
            least = n;
            to = &service->lanes[i];
        }
    }
    http_server_expect(to->server);
    pthread_mutex_unlock(&service->spread);
    if (to == from) {
        http_server_take(to->server, fd);
        return;
    }
    struct handover *h = xmalloc(sizeof *h);
    h->task.run = run_handover;
    h->to = to;
    h->fd = fd;
    loop_post(to->loop, &h->task);
}

static void accept_pause_over(struct timer *timer)
{
    struct lane *lane = container_of(timer, struct lane, pause);
    if (watch_add(lane->loop, &lane->accept, EPOLLIN | EPOLLEXCLUSIVE) < 0)
        timer_set(lane->loop, &lane->pause, ACCEPT_PAUSE_MS);
}

static void on_accept(struct watch *watch, uint32_t events)
{
    struct lane *lane = container_of(watch, struct lane, accept);
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            give(lane, fd);
            continue;
        }
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            /* Trying at once again would spin: the connection stays in the backlog. */
            log_warn("accepting paused for a second: %s", strerror(errno));
            watch_del(lane->loop, &lane->accept);
            timer_set(lane->loop, &lane->pause, ACCEPT_PAUSE_MS);
            return;
        case EAGAIN:
            return;
        default: /* the client was gone before we came */
            continue;
        }
    }
}

/* --- the end -------------------------------------------------------------------- */
/* Each lane, on its own thread: cuts what is left, frees its share, stops. */
static void run_finish(struct task *task)
{
    struct lane *lane = container_of(task, struct lane, finish);
    struct service *service = lane->service;
    if (lane->finished)
        return;
    lane->finished = true;
    http_server_free(&lane->server);
    loop_undefer(lane->loop, &lane->drained); /* nobody waits for them any more */
    loop_undefer(lane->loop, &lane->rested);
    if (service->config.shard_free)
        service->config.shard_free(service->config.arg, lane->shard);
    lane->shard = NULL;
    loop_stop(lane->loop);
}

static void finish_all(struct service *service)
{
    timer_clear(service->lanes[0].loop, &service->drain_limit);
    for (int i = 0; i < service->n; i++)
        loop_post(service->lanes[i].loop, &service->lanes[i].finish);
}

/* On the first lane. From here on no lane looks at another one's server. */
static void run_none_accepts(struct task *task)
{
    struct service *service = container_of(task, struct service, none_accepts);
    /* Who connects now is refused at once and can try elsewhere. */
    close(service->listener);
    service->listener = -1;
    service->closed = true;
    if (service->cut)
        finish_all(service);
}

static void run_all_drained(struct task *task)
{
    struct service *service = container_of(task, struct service, all_drained);
    if (!service->cut)
        finish_all(service);
}

static void run_drained(struct task *task)
{
    struct lane *lane = container_of(task, struct lane, drained);
    const struct service_config *config = &lane->service->config;
    if (config->shard_drain)
        config->shard_drain(config->arg, lane->shard, &lane->rested);
    else
        loop_defer(lane->loop, &lane->rested);
}

static void run_rested(struct task *task)
{
    struct lane *lane = container_of(task, struct lane, rested);
    if (atomic_fetch_sub(&lane->service->lanes_left, 1) == 1)
        loop_post(lane->service->lanes[0].loop, &lane->service->all_drained);
}

static void run_drain(struct task *task)
{
    struct lane *lane = container_of(task, struct lane, drain);
    struct service *service = lane->service;
    watch_del(lane->loop, &lane->accept);
    timer_clear(lane->loop, &lane->pause);
    if (atomic_fetch_sub(&service->accepting, 1) == 1)
        loop_post(service->lanes[0].loop, &service->none_accepts);
    http_server_drain(lane->server, &lane->drained);
}

static void drain_limit(struct timer *timer)
{
    struct service *service = container_of(timer, struct service, drain_limit);
    log_warn("some requests did not end within the drain limit and are cut");
    service->cut = true;
    if (service->closed)
        finish_all(service);
}

static void drain(struct service *service)
{
    if (service->draining)
        return;
    service->draining = true;
    log_info("stopping: no more connections, requests under way are finished");
    atomic_store(&service->accepting, service->n);
    atomic_store(&service->lanes_left, service->n);
    for (int i = 0; i < service->n; i++)
        loop_post(service->lanes[i].loop, &service->lanes[i].drain);
    timer_set(service->lanes[0].loop, &service->drain_limit,
              (uint64_t)service->config.drain_ms);
}

static void on_signals(struct watch *watch, uint32_t events)
{
    struct service *service = container_of(watch, struct service, signals);
    uint64_t count;
    (void)events;
    if (read(watch->fd, &count, sizeof count) < 0)
        return;
    if (got_stop || atomic_load(&service->stop))
        drain(service);
}

static int catch_signals(struct service *service)
{
    struct sigaction catch = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal_fd < 0)
        return -errno;
    got_stop = 0;
    service->signals.fd = signal_fd;
    service->signals.ready = on_signals;
    sigemptyset(&catch.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL); /* sendfile has no MSG_NOSIGNAL */
    sigaction(SIGTERM, &catch, NULL);
    sigaction(SIGINT, &catch, NULL);
    return watch_add(service->lanes[0].loop, &service->signals, EPOLLIN);
}

/* --- making it ------------------------------------------------------------------ */
static int cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > LOOPS_MAX ? LOOPS_MAX : n;
}

/* Connections are descriptors: take all that may be had. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int lane_open(struct service *service, int number, const char **what)
{
    struct lane *lane = &service->lanes[number];
    struct http_server_config http = service->config.http;
    lane->service = service;
    lane->accept.fd = service->listener;
    lane->accept.ready = on_accept;
    lane->pause.fire = accept_pause_over;
    lane->drain.run = run_drain;
    lane->drained.run = run_drained;
    lane->rested.run = run_rested;
    lane->finish.run = run_finish;
    *what = "event loop";
    lane->loop = loop_new();
    if (!lane->loop)
        return -errno;
    *what = "a part of the server";
    lane->shard = service->config.arg;
    if (service->config.shard_new) {
        lane->shard = service->config.shard_new(service->config.arg, lane->loop, number);
        if (!lane->shard)
            return -ENOMEM;
    }
    http.ctx = lane->shard;
    lane->server = http_server_new(lane->loop, &http);
    *what = "listening socket";
    return watch_add(lane->loop, &lane->accept, EPOLLIN | EPOLLEXCLUSIVE);
}

struct service *service_new(const struct service_config *config, char *err, size_t errlen)
{
    struct service *service = xcalloc(1, sizeof *service);
    const char *what = "listening socket";
    int rc;
    service->config = *config;
    service->n = config->loops > 0 ? config->loops : cores();
    service->lanes = xcalloc((size_t)service->n, sizeof *service->lanes);
    pthread_mutex_init(&service->spread, NULL);
    service->none_accepts.run = run_none_accepts;
    service->all_drained.run = run_all_drained;
    service->drain_limit.fire = drain_limit;
    raise_descriptor_limit();
    service->listener = net_listen(config->bind, config->port, BACKLOG);
    if (service->listener < 0) {
        snprintf(err, errlen, "cannot listen on %s port %d: %s",
                 config->bind ? config->bind : "any address", config->port,
                 strerror(-service->listener));
        service_free(&service);
        return NULL;
    }
    service->port = net_port(service->listener);
    for (int i = 0; i < service->n; i++) {
        rc = lane_open(service, i, &what);
        if (rc < 0)
            goto failed;
    }
    what = "signals";
    rc = catch_signals(service);
    if (rc < 0)
        goto failed;
    return service;
failed:
    snprintf(err, errlen, "cannot set up the %s: %s", what, strerror(-rc));
    service_free(&service);
    return NULL;
}

struct loop *service_loop(struct service *service, int number)
{
    return service->lanes[number].loop;
}

int service_port(const struct service *service)
{
    return service->port;
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    loop_run(lane->loop);
    stock_free_all();
    return NULL;
}

int service_run(struct service *service)
{
    int i, err;
    for (i = 1; i < service->n; i++) {
        char name[24];
        err = pthread_create(&service->lanes[i].thread, NULL, lane_main,
                             &service->lanes[i]);
        if (err != 0)
            goto failed;
        snprintf(name, sizeof name, "loop-%d", i);
        pthread_setname_np(service->lanes[i].thread, name);
    }
    loop_run(service->lanes[0].loop);
    for (i = 1; i < service->n; i++)
        pthread_join(service->lanes[i].thread, NULL);
    return service->cut ? 1 : 0;
failed:
    while (--i > 0) {
        loop_stop(service->lanes[i].loop);
        pthread_join(service->lanes[i].thread, NULL);
    }
    for (i = 0; i < service->n; i++) /* no loop runs: this thread stands in for theirs */
        run_finish(&service->lanes[i].finish);
    return -err;
}

void service_stop(struct service *service)
{
    uint64_t one = 1;
    atomic_store(&service->stop, true);
    ssize_t n = write(service->signals.fd, &one, sizeof one);
    (void)n; /* full means readable */
}

void service_free(struct service **servicep)
{
    struct service *service = *servicep;
    if (!service)
        return;
    *servicep = NULL;
    for (int i = 0; i < service->n; i++) {
        struct lane *lane = &service->lanes[i];
        if (!lane->loop)
            continue;
        http_server_free(&lane->server);
        if (lane->shard && !lane->finished && service->config.shard_free)
            service->config.shard_free(service->config.arg, lane->shard);
    }
    /* What still comes to one loop may have an answer for another. */
    for (int i = 0; i < service->n; i++)
        loop_free(&service->lanes[i].loop);
    if (service->listener >= 0)
        close(service->listener);
    if (service->signals.fd > 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        close(service->signals.fd);
    }
    stock_free_all();
    pthread_mutex_destroy(&service->spread);
    free(service->lanes);
    free(service);
}
