/*
 * What a connection waits for, and what it does when that comes: bytes, room for bytes,
 * or the end of its time.
 *
 * Interest in reading is dropped lazily: most requests come alone, and taking EPOLLIN off
 * and on again for each would be two system calls for nothing.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "common/http/server_conn.h"

enum {
    READS_PER_TURN = 4, /* then others get their turn */
    LINGER_SILENCE_MS = 5000,
    /* While the server drains, a client has this long to go on with what it began. */
    DRAIN_SILENCE_MS = 1000,
};

/* --- limits --------------------------------------------------------------------- */
/* What is waited for now, and how long that may take from now on. */
static enum conn_wait what_for(const struct conn *conn, int *ms)
{
    const struct http_server_config *config = &conn->server->config;
    bool draining = conn->server->draining;
    *ms = 0;
    if (!out_empty(conn)) {
        if (!conn->out_stuck)
            return CONN_WAIT_NOTHING; /* a reader has a piece of file */
        *ms = config->send_ms;
        return CONN_WAIT_SEND;
    }
    switch (conn->state) {
    case CONN_IDLE:
        *ms = conn->fresh ? config->head_ms : config->idle_ms;
        return CONN_WAIT_IDLE;
    case CONN_HEAD:
        *ms = draining && config->head_ms > DRAIN_SILENCE_MS ? DRAIN_SILENCE_MS
                                                             : config->head_ms;
        return CONN_WAIT_HEAD;
    case CONN_EXCHANGE:
        if (!conn_wants_read(conn))
            return CONN_WAIT_NOTHING; /* it is the handler's turn */
        *ms = config->body_ms;
        return CONN_WAIT_BODY;
    case CONN_SKIP:
        *ms = config->body_ms;
        return CONN_WAIT_BODY;
    case CONN_LINGER: {
        uint64_t now = loop_now(conn->server->loop);
        uint64_t left = conn->linger_until > now ? conn->linger_until - now : 0;
        *ms = draining ? DRAIN_SILENCE_MS : LINGER_SILENCE_MS;
        if (left < (uint64_t)*ms)
            *ms = (int)left;
        return CONN_WAIT_LINGER;
    }
    case CONN_CLOSING: /* has something to send, or is gone */
        break;
    }
    return CONN_WAIT_NOTHING;
}

/* The limit is set anew for another wait, and for the same one only when it got
 * somewhere: bytes in the one direction are no excuse for none in the other, nor one byte
 * of a head for a slow rest. */
void conn_settle(struct conn *conn)
{
    struct loop *loop = conn->server->loop;
    uint32_t events = conn->watch.events & EPOLLIN;
    if (conn_wants_read(conn))
        events = EPOLLIN;
    if (conn->out_stuck)
        events |= EPOLLOUT;
    watch_set(loop, &conn->watch, events);

    /* Between two stretches of a body no block is needed. */
    if (conn->state == CONN_EXCHANGE && conn->in && conn->in->refs == 1)
        in_release_if_used_up(conn);

    int ms;
    enum conn_wait wait = what_for(conn, &ms);
    bool moved = wait == CONN_WAIT_SEND                               ? conn->went
                 : wait == CONN_WAIT_BODY || wait == CONN_WAIT_LINGER ? conn->came
                                                                      : false;
    if (wait == CONN_WAIT_NOTHING)
        timer_clear(loop, &conn->timer);
    else if (wait != conn->wait || moved)
        timer_set(loop, &conn->timer, (uint64_t)ms);
    conn->wait = wait;
    conn->came = conn->went = false;
}

/* --- readiness ------------------------------------------------------------------ */
/* Reads a stretch that nobody wants. As read_some(). */
static ssize_t read_and_drop(struct conn *conn)
{
    char drop[16 * 1024];
    ssize_t n = conn->transport.ops->read(&conn->transport, drop, sizeof(drop));
    if (n <= 0)
        return n;
    conn->came = true;
    return n == sizeof(drop) ? 1 : -EAGAIN;
}

/* Reads a stretch. 1: there is likely more; else what the transport says: 0 at the end,
 * -EAGAIN when that was all. */
static ssize_t read_some(struct conn *conn)
{
    in_make_room(conn);
    struct block *in = conn->in;
    size_t room = in->size - in->used;
    ssize_t n = conn->transport.ops->read(&conn->transport, in->data + in->used, room);
    if (n <= 0) {
        in_release_if_used_up(conn);
        return n;
    }
    in->used += (uint32_t)n;
    conn->came = true;
    if (conn->state == CONN_IDLE)
        conn_begin_head(conn);
    return (size_t)n == room ? 1 : -EAGAIN;
}

/* Reads what is there and advances. The connection may be gone when this returns. */
static void conn_read(struct conn *conn)
{
    for (int i = 0; i < READS_PER_TURN && conn_wants_read(conn); i++) {
        bool dropping = conn->state == CONN_CLOSING || conn->state == CONN_LINGER;
        /* Bytes that were held back, and are free now, go first. */
        if (conn->state == CONN_EXCHANGE && conn->in && conn->at < conn->in->used)
            break;
        ssize_t n = dropping ? read_and_drop(conn) : read_some(conn);
        if (n == 0) {
            if (!conn_end_of_input(conn))
                return;
            break;
        }
        if (n < 0 && n != -EAGAIN) {
            conn_cut(conn, EXCHANGE_GONE);
            return;
        }
        if (n < 0)
            break;
        if (!conn_advance(conn))
            return;
    }
    conn_advance(conn);
}

void conn_ready(struct watch *watch, uint32_t events)
{
    struct conn *conn = container_of(watch, struct conn, watch);
    if (events & (EPOLLERR | EPOLLHUP)) {
        /* Reset, or closed both ways: nothing we send is read any more. A last request
         * that is still in the socket cannot be answered either. */
        conn_cut(conn, EXCHANGE_GONE);
        return;
    }
    if (events & EPOLLOUT)
        conn->out_stuck = false;
    /* Only when bytes come that are not wanted is it worth a call to be told no more. */
    if (events & EPOLLIN && !conn_wants_read(conn))
        watch_set(conn->server->loop, watch, watch->events & ~(uint32_t)EPOLLIN);
    if (events & EPOLLIN)
        conn_read(conn);
    else
        conn_advance(conn);
}

void conn_timeout(struct timer *timer)
{
    conn_cut(container_of(timer, struct conn, timer), EXCHANGE_GONE);
}
