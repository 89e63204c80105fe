/*
 * The HTTP client's connections, by upstream (a server it talks to).
 *
 * Idle connections are taken newest first, so that a burst's surplus ages at the other
 * end, where one timer per upstream closes it. Addresses are shared by reference: a dial
 * goes on with those it began with while another drops or renews the upstream's.
 *
 * Each address gets an equal share of the time that is left. Racing them (RFC 8305) was
 * left out: servers here are a handful of machines in one network, whose dead addresses
 * refuse.
 */
#include "common/http/client_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/assure.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/net.h"
#include "common/stock.h"

enum {
    BUCKETS = 64,
    UPSTREAMS_MAX = 1024, /* past it, those nobody uses are forgotten */
};

static _Thread_local struct stock conns = {.size = sizeof(struct upstream_conn)};

struct upstream {
    struct http_pool *pool;
    struct upstream *chain;
    uint32_t refs; /* calls and connections; 0 leaves it known */
    uint32_t hash;
    TAILQ_HEAD(conn_idle, upstream_conn) idle; /* newest first */
    int n_idle;
    struct timer idle_timer; /* runs while any is idle, for the oldest */
    struct http_name *name;
    struct http_sharing sharing;
    size_t authority_len;
    char authority[];
};

struct http_pool {
    struct http_pool_config config;
    struct upstream *buckets[BUCKETS];
    unsigned n_upstreams;
};

/* --- connections ----------------------------------------------------------------- */
static struct upstream_conn *conn_new(struct upstream *upstream, int fd)
{
    struct upstream_conn *conn = stock_get(&conns);
    memset(conn, 0, sizeof(*conn));
    conn->upstream = upstream;
    upstream->refs++;
    conn->watch.fd = fd;
    TAILQ_INIT(&conn->calls);
    transport_plain(&conn->transport, fd);
    return conn;
}

void http_pool_close(struct upstream_conn **connp)
{
    struct upstream_conn *conn = *connp;
    *connp = NULL;
    if (!conn)
        return;
    struct http_pool *pool = conn->upstream->pool;
    assure(!conn->n_calls && !conn->in && !conn->dirty);
    watch_del(pool->config.loop, &conn->watch);
    conn->transport.ops->close(&conn->transport);
    upstream_unref(&conn->upstream);
    stock_put(&conns, conn);
}

static void idle_remove(struct upstream_conn *conn)
{
    struct upstream *upstream = conn->upstream;
    TAILQ_REMOVE(&upstream->idle, conn, idle);
    upstream->n_idle--;
    /* The timer may run out for nothing: cheaper than moving it with every call. */
}

static void idle_ready(struct watch *watch, uint32_t events)
{
    struct upstream_conn *conn = container_of(watch, struct upstream_conn, watch);
    (void)events;
    idle_remove(conn);
    http_pool_close(&conn);
}

static void idle_fire(struct timer *timer)
{
    struct upstream *upstream = container_of(timer, struct upstream, idle_timer);
    const struct http_pool_config *config = &upstream->pool->config;
    uint64_t now = loop_now(config->loop);
    struct upstream_conn *conn;
    while ((conn = TAILQ_LAST(&upstream->idle, conn_idle)) != NULL) {
        uint64_t due = conn->idle_since + (uint64_t)config->idle_ms;
        if (due > now) {
            timer_set(config->loop, timer, due - now);
            return;
        }
        idle_remove(conn);
        http_pool_close(&conn);
    }
}

struct upstream_conn *http_pool_take(struct upstream *upstream)
{
    struct upstream_conn *conn = TAILQ_FIRST(&upstream->idle);
    if (!conn)
        return NULL;
    idle_remove(conn);
    conn->watch.ready = upstream->pool->config.ready;
    conn->reused = true;
    return conn;
}

void http_pool_put(struct upstream_conn **connp)
{
    struct upstream_conn *conn = *connp;
    struct upstream *upstream = conn->upstream;
    const struct http_pool_config *config = &upstream->pool->config;
    assure(!conn->n_calls && !conn->in && !conn->dirty && conn->watch.added);
    if (upstream->n_idle >= config->max_idle) {
        http_pool_close(connp);
        return;
    }
    *connp = NULL;
    watch_set(config->loop, &conn->watch, EPOLLIN);
    conn->watch.ready = idle_ready;
    conn->idle_since = loop_now(config->loop);
    TAILQ_INSERT_HEAD(&upstream->idle, conn, idle);
    upstream->n_idle++;
    if (!timer_is_set(&upstream->idle_timer))
        timer_set(config->loop, &upstream->idle_timer, (uint64_t)config->idle_ms);
}

/* --- dials ----------------------------------------------------------------------- */
bool http_dial_local(int error)
{
    switch (-error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:        /* epoll's limit of watches */
    case EADDRNOTAVAIL: /* no local port is left */
    case EAGAIN:
        return true;
    default:
        return false;
    }
}

static void dial_end(struct http_dial *dial, struct upstream_conn *conn, int error)
{
    struct upstream *upstream = dial->upstream;
    struct loop *loop = upstream->pool->config.loop;
    timer_clear(loop, &dial->timer);
    if (conn) {
        dial->addrs->good = (dial->first + dial->tried - 1) % dial->addrs->list.n;
    } else {
        log_debug("%.*s: no connection: %s", (int)upstream->authority_len,
                  upstream->authority, strerror(-error));
        if (dial->addrs && !http_dial_local(error)) /* it may mean others by now */
            http_name_doubt(upstream->name, dial->addrs);
    }
    http_addrs_unref(&dial->addrs);
    dial->upstream = NULL;
    dial->done(dial, conn, error);
}

static void dial_ready(struct watch *watch, uint32_t events);

/* Addresses from before the dial are to leave time for those that take their place. */
static bool dial_aged(const struct http_dial *dial)
{
    return http_name_aged(dial->upstream->name, dial->addrs, dial->began);
}

/* None of the addresses answered: is over, or asks what the name means by now. */
static void dial_exhausted(struct http_dial *dial)
{
    struct upstream *upstream = dial->upstream;
    struct loop *loop = upstream->pool->config.loop;
    uint64_t now = loop_now(loop);
    if (now < dial->deadline && dial_aged(dial)) {
        http_name_doubt(upstream->name, dial->addrs);
        http_addrs_unref(&dial->addrs);
        dial->tried = 0;
        timer_set(loop, &dial->timer, dial->deadline - now);
        http_name_ask(upstream->name, &dial->asker);
        return;
    }
    dial_end(dial, NULL, dial->error ? dial->error : -ETIMEDOUT);
}

/* Begins with the next address; the dial may be over when this returns. */
static void dial_next(struct http_dial *dial)
{
    struct upstream *upstream = dial->upstream;
    struct loop *loop = upstream->pool->config.loop;
    struct http_addrs *addrs = dial->addrs;
    uint64_t deadline = dial->deadline;
    int error = 0;
    if (dial_aged(dial))
        deadline -= (deadline - dial->began) / 2;
    while (dial->tried < addrs->list.n && loop_now(loop) < deadline) {
        int left = addrs->list.n - dial->tried;
        uint64_t share = (deadline - loop_now(loop)) / (uint64_t)left;
        int at = (dial->first + dial->tried++) % addrs->list.n;
        int fd = net_connect(&addrs->list.addr[at]);
        if (fd >= 0) {
            struct upstream_conn *conn = conn_new(upstream, fd);
            conn->watch.ready = dial_ready;
            error = watch_add(loop, &conn->watch, EPOLLOUT);
            if (error == 0) {
                conn->dial = dial;
                dial->conn = conn;
                timer_set(loop, &dial->timer, share ? share : 1);
                return;
            }
            http_pool_close(&conn);
        } else {
            error = fd;
        }
        /* What is wrong here is wrong with every address, but for EADDRNOTAVAIL, which is
         * also what IPv6 says where it is switched off. */
        if (http_dial_local(error) && error != -EADDRNOTAVAIL) {
            dial_end(dial, NULL, error);
            return;
        }
        if (!dial->error || http_dial_local(dial->error))
            dial->error = error;
    }
    dial_exhausted(dial);
}

/* The address being tried has failed. */
static void dial_failed(struct http_dial *dial, int error)
{
    dial->conn->dial = NULL;
    http_pool_close(&dial->conn);
    if (!dial->error || http_dial_local(dial->error))
        dial->error = error;
    dial_next(dial);
}

static void dial_ready(struct watch *watch, uint32_t events)
{
    struct upstream_conn *conn = container_of(watch, struct upstream_conn, watch);
    struct http_dial *dial = conn->dial;
    struct http_pool *pool = conn->upstream->pool;
    int error = net_connect_result(watch->fd);
    (void)events;
    if (error < 0) {
        dial_failed(dial, error);
        return;
    }
    conn->dial = NULL;
    dial->conn = NULL;
    net_nodelay(watch->fd);
    conn->watch.ready = pool->config.ready;
    watch_set(pool->config.loop, watch, EPOLLIN);
    dial_end(dial, conn, 0);
}

static void dial_fire(struct timer *timer)
{
    struct http_dial *dial = container_of(timer, struct http_dial, timer);
    if (dial->conn) {
        dial_failed(dial, -ETIMEDOUT);
        return;
    }
    http_name_unask(&dial->asker);
    dial_end(dial, NULL, -ETIMEDOUT);
}

static void dial_told(struct http_asker *asker, struct http_addrs *addrs, int error)
{
    struct http_dial *dial = container_of(asker, struct http_dial, asker);
    if (!addrs) {
        dial_end(dial, NULL, error);
        return;
    }
    dial->addrs = addrs;
    dial->first = addrs->good;
    dial_next(dial);
}

void http_pool_dial_cancel(struct http_dial *dial)
{
    if (!dial->upstream)
        return;
    http_name_unask(&dial->asker);
    timer_clear(dial->upstream->pool->config.loop, &dial->timer);
    if (dial->conn)
        dial->conn->dial = NULL;
    http_pool_close(&dial->conn);
    http_addrs_unref(&dial->addrs);
    dial->upstream = NULL;
}

void http_pool_dial(struct http_dial *dial, struct upstream *upstream, int ms)
{
    struct loop *loop = upstream->pool->config.loop;
    dial->upstream = upstream;
    dial->began = loop_now(loop);
    dial->deadline = dial->began + (uint64_t)ms;
    dial->timer.fire = dial_fire;
    dial->tried = dial->error = 0;
    dial->asker.told = dial_told;
    timer_set(loop, &dial->timer, (uint64_t)ms);
    http_name_ask(upstream->name, &dial->asker);
}

/* --- upstreams ------------------------------------------------------------------- */
static void upstream_free(struct upstream *upstream)
{
    struct http_pool *pool = upstream->pool;
    struct upstream_conn *conn, *next;
    for (conn = TAILQ_FIRST(&upstream->idle); conn; conn = next) {
        next = TAILQ_NEXT(conn, idle);
        idle_remove(conn);
        http_pool_close(&conn);
    }
    assure(upstream->refs == 0);
    timer_clear(pool->config.loop, &upstream->idle_timer);
    http_name_free(&upstream->name);
    free(upstream);
    pool->n_upstreams--;
}

/* Names come from configuration and from old records: few, but not bounded here. */
static void forget_unused(struct http_pool *pool)
{
    for (int i = 0; i < BUCKETS; i++)
        for (struct upstream **at = &pool->buckets[i]; *at;) {
            struct upstream *upstream = *at;
            if (upstream->refs) {
                at = &upstream->chain;
                continue;
            }
            *at = upstream->chain;
            upstream_free(upstream);
        }
}

static struct upstream *upstream_new(struct http_pool *pool, struct str authority,
                                     uint32_t hash)
{
    struct upstream *upstream = xcalloc(1, sizeof(*upstream) + authority.n);
    upstream->pool = pool;
    upstream->hash = hash;
    upstream->refs = 1;
    upstream->idle_timer.fire = idle_fire;
    upstream->authority_len = authority.n;
    memcpy(upstream->authority, authority.p, authority.n);
    TAILQ_INIT(&upstream->idle);
    upstream->name = http_name_new(authority, pool->config.loop, pool->config.lookups);
    return upstream;
}

struct upstream *http_pool_upstream(struct http_pool *pool, struct str authority)
{
    uint32_t hash = (uint32_t)hash_bytes(0, authority);
    struct upstream **bucket = &pool->buckets[hash % BUCKETS];
    for (struct upstream *u = *bucket; u; u = u->chain)
        if (u->hash == hash &&
            str_eq((struct str){u->authority, u->authority_len}, authority)) {
            u->refs++;
            return u;
        }
    if (pool->n_upstreams >= UPSTREAMS_MAX)
        forget_unused(pool);
    struct upstream *upstream = upstream_new(pool, authority, hash);
    upstream->chain = *bucket;
    *bucket = upstream;
    pool->n_upstreams++;
    return upstream;
}

struct http_sharing *http_pool_sharing(struct upstream *upstream)
{
    return &upstream->sharing;
}

void upstream_unref(struct upstream **upstream)
{
    assure((*upstream)->refs > 0);
    (*upstream)->refs--;
    *upstream = NULL;
}

/* --- the pool -------------------------------------------------------------------- */
struct http_pool *http_pool_new(const struct http_pool_config *config)
{
    struct http_pool *pool = xcalloc(1, sizeof(*pool));
    pool->config = *config;
    return pool;
}

void http_pool_free(struct http_pool **poolp)
{
    struct http_pool *pool = *poolp;
    if (!pool)
        return;
    *poolp = NULL;
    for (int i = 0; i < BUCKETS; i++)
        while (pool->buckets[i]) {
            struct upstream *upstream = pool->buckets[i];
            pool->buckets[i] = upstream->chain;
            upstream_free(upstream);
        }
    free(pool);
}
