/*
 * A server process: its loops, its listening socket, its signals, its drain.
 *
 * Every loop waits on the one listening socket (EPOLLEXCLUSIVE, so that a connection
 * wakes one of them) and whoever accepts gives the connection to the loop that has the
 * fewest. SO_REUSEPORT would spare that step but spreads by hash: of eight long-lived
 * connections six may end on one core.
 */
#include "common/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/cores.h"
#include "common/descriptors.h"
#include "common/http/access_log.h"
#include "common/log.h"
#include "common/net.h"
#include "common/signals.h"
#include "common/stock.h"
#include "common/thread.h"

enum {
    ACCEPTS_PER_TURN = 16,
    ACCEPT_PAUSE_MS = 1000,
    BACKLOG = 4096,
};

_Static_assert((int)CORES_MAX <= (int)LOOPS_MAX, "each core may have its loop");

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
    bool started;     /* the thread is to be joined */
    pthread_t thread; /* may lose the loop to another one: see loop_run() */
    int tid;
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
    int enough; /* descriptors from this number on are not for connections */
    int n;
    struct lane *lanes;
    struct signals signals;
    struct timer drain_limit;
    pthread_mutex_t spread; /* choosing a lane, and counting the connection there */
    int port;
    atomic_int accepting;  /* lanes that still do */
    atomic_int lanes_left; /* not drained yet */
    struct task none_accepts, all_drained;
    struct access_log *access_log;
    bool draining;
    bool closed; /* no lane accepts, none gives another connections */
    bool cut;    /* exchanges were cut at the limit */
};

void service_defaults(struct service_config *config)
{
    memset(config, 0, sizeof(*config));
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
    struct handover *h = xmalloc(sizeof(*h));
    h->task.run = run_handover;
    h->to = to;
    h->fd = fd;
    loop_post(to->loop, &h->task);
}

/* Trying at once again would spin: the connection stays in the backlog. */
static void pause_accepting(struct lane *lane, const char *why)
{
    log_warn("accepting paused for a second: %s", why);
    watch_del(lane->loop, &lane->accept);
    timer_set(lane->loop, &lane->pause, ACCEPT_PAUSE_MS);
}

static void accept_pause_over(struct timer *timer)
{
    struct lane *lane = container_of(timer, struct lane, pause);
    if (descriptors_next() >= lane->service->enough ||
        watch_add(lane->loop, &lane->accept, EPOLLIN | EPOLLEXCLUSIVE) < 0)
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
            if (fd >= lane->service->enough) {
                pause_accepting(lane, "few descriptors are left");
                return;
            }
            continue;
        }
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause_accepting(lane, strerror(errno));
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
    if (service->listener >= 0)
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
    if (!service->config.deaf)
        watch_del(lane->loop, &lane->accept);
    timer_clear(lane->loop, &lane->pause);
    if (atomic_fetch_sub(&service->accepting, 1) == 1)
        loop_post(service->lanes[0].loop, &service->none_accepts);
    http_server_drain(lane->server, &lane->drained);
}

static void drain_limit(struct timer *timer)
{
    struct service *service = container_of(timer, struct service, drain_limit);
    log_warn("what was under way did not end within the drain limit and is cut");
    service->cut = true;
    if (service->closed)
        finish_all(service);
}

static void drain(struct service *service)
{
    if (service->draining)
        return;
    service->draining = true;
    if (!service->config.deaf)
        log_info("stopping: no more connections, requests under way are finished");
    atomic_store(&service->accepting, service->n);
    atomic_store(&service->lanes_left, service->n);
    for (int i = 0; i < service->n; i++)
        loop_post(service->lanes[i].loop, &service->lanes[i].drain);
    timer_set(service->lanes[0].loop, &service->drain_limit,
              (uint64_t)service->config.drain_ms);
}

static void on_stop(struct signals *signals)
{
    drain(container_of(signals, struct service, signals));
}

/* --- logs ----------------------------------------------------------------------- */
static void on_reopen(struct signals *signals)
{
    const struct service *service = container_of(signals, struct service, signals);
    if (service->access_log)
        access_log_reopen(service->access_log);
}

static void on_finished(void *ctx, const struct exchange *ex)
{
    struct service *service = ctx;
    const struct http_server_config *http = &service->config.http;
    if (http->on_finished)
        http->on_finished(http->finished_ctx, ex);
    access_log_add(service->access_log, ex);
}

/* --- making it ------------------------------------------------------------------ */
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
    lane->shard = service->config.arg;
    if (service->config.shard_new)
        lane->shard = service->config.shard_new(service->config.arg, lane->loop, number);
    http.ctx = lane->shard;
    if (service->access_log) {
        http.on_finished = on_finished;
        http.finished_ctx = service;
        http.peers = true;
    }
    lane->server = http_server_new(lane->loop, &http);
    *what = "listening socket";
    if (service->config.deaf)
        return 0;
    return watch_add(lane->loop, &lane->accept, EPOLLIN | EPOLLEXCLUSIVE);
}

struct service *service_new(const struct service_config *config, char *err, size_t errlen)
{
    struct service *service = xcalloc(1, sizeof(*service));
    const char *what = "listening socket";
    int rc;
    assure(config->loops <= LOOPS_MAX);
    service->config = *config;
    service->listener = -1;
    service->n = config->loops > 0 ? config->loops : cores();
    service->lanes = xcalloc((size_t)service->n, sizeof(*service->lanes));
    pthread_mutex_init(&service->spread, NULL);
    service->none_accepts.run = run_none_accepts;
    service->all_drained.run = run_all_drained;
    service->drain_limit.fire = drain_limit;
    service->enough = descriptors_take();
    service->signals.on_stop = on_stop;
    service->signals.on_reopen = on_reopen;
    /* Before anybody can see that the service is there. */
    rc = signals_catch(&service->signals);
    if (rc < 0) {
        what = "signals";
        goto failed;
    }
    if (config->access_log) {
        service->access_log = access_log_open(config->access_log, err, errlen);
        if (!service->access_log) {
            service_free(&service);
            return NULL;
        }
    }
    service->listener =
        config->deaf ? -1 : net_listen(config->bind, config->port, BACKLOG);
    if (service->listener < 0 && !config->deaf) {
        snprintf(err, errlen, "cannot listen on %s port %d: %s",
                 config->bind ? config->bind : "any address", config->port,
                 strerror(-service->listener));
        service_free(&service);
        return NULL;
    }
    if (!config->deaf)
        service->port = net_port(service->listener);
    for (int i = 0; i < service->n; i++) {
        rc = lane_open(service, i, &what);
        if (rc < 0)
            goto failed;
    }
    what = "signals";
    rc = signals_watch(&service->signals, service->lanes[0].loop);
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
    lane->tid = gettid();
    loop_run(lane->loop);
    stock_free_all();
    return NULL;
}

static void join(struct lane *lane)
{
    if (lane->started)
        pthread_join(lane->thread, NULL);
    lane->started = false;
}

int service_run(struct service *service)
{
    int err = 0;
    for (int i = 0; i < service->n && !err; i++) {
        struct lane *lane = &service->lanes[i];
        char name[24];
        snprintf(name, sizeof(name), "loop-%d", i);
        err = thread_start(&lane->thread, name, lane_main, lane);
        lane->started = err == 0;
    }
    for (int i = 0; i < service->n; i++) {
        struct lane *lane = &service->lanes[i];
        if (err)
            loop_stop(lane->loop);
        if (!lane->started)
            continue;
        loop_join(lane->loop);
        if (loop_thread(lane->loop) == lane->tid)
            join(lane); /* else it lost the loop, and may be held up still */
    }
    if (err) { /* no loop runs: this thread stands in for theirs */
        for (int i = 0; i < service->n; i++)
            run_finish(&service->lanes[i].finish);
        return err;
    }
    access_log_close(&service->access_log); /* nothing is added any more */
    return service->cut ? 1 : 0;
}

void service_stop(struct service *service)
{
    signals_stop(&service->signals);
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
        join(lane);
        http_server_free(&lane->server);
        if (lane->shard && !lane->finished && service->config.shard_free)
            service->config.shard_free(service->config.arg, lane->shard);
    }
    /* What still comes to one loop may have an answer for another. */
    for (int i = 0; i < service->n; i++)
        loop_free(&service->lanes[i].loop);
    if (service->listener >= 0)
        close(service->listener);
    signals_release(&service->signals);
    access_log_close(&service->access_log);
    stock_free_all();
    pthread_mutex_destroy(&service->spread);
    free(service->lanes);
    free(service);
}
