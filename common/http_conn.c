/*
 * The server's connections and the request side of an exchange.
 *
 * One function, conn_advance(), moves a connection on: it parses, hands body bytes out,
 * ends exchanges, sends, and decides what to wait for. It runs at the top of the stack
 * only (from readiness, a timer or the end of a turn), so that a connection can be freed
 * there: what handlers call only notes what they want and schedules it. Where a handler
 * answers from within a callback, conn_advance is on the stack already and sees it when
 * the callback returns.
 *
 * Interest in reading is dropped lazily: most requests come alone, and taking EPOLLIN off
 * and on again for each would be two system calls for nothing.
 */
#include "common/http_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "common/assure.h"
#include "common/net.h"

enum {
    SKIP_MAX =
        1024 * 1024, /* a rest of a body up to this is read for the sake of keep-alive */
    READS_PER_TURN = 8, /* then others get their turn */
    LINGER_SILENCE_MS = 5000,
};

static void conn_free(struct conn *conn);
static void conn_advance(struct conn *conn);

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void conn_set_state(struct conn *conn, enum conn_state to)
{
    enum conn_state from = conn->state;
    switch (to) {
    case CONN_IDLE:
        assure(from == CONN_EXCHANGE || from == CONN_SKIP || from == CONN_HEAD);
        assure(!conn->in);
        break;
    case CONN_HEAD:
        assure(from != CONN_CLOSING && from != CONN_LINGER);
        break;
    case CONN_EXCHANGE:
        assure(from == CONN_HEAD);
        break;
    case CONN_SKIP:
        assure(from == CONN_EXCHANGE);
        break;
    case CONN_CLOSING:
        assure(from != CONN_LINGER);
        break;
    case CONN_LINGER:
        assure(from == CONN_CLOSING && out_empty(conn));
        break;
    }
    conn->state = to;
}

/* Does the request's body still have bytes to come? */
static bool body_open(const struct conn *conn)
{
    return !conn->body_done;
}

static bool wants_read(const struct conn *conn)
{
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_SKIP:
    case CONN_LINGER:
        return true;
    case CONN_HEAD:
        return conn->out_bytes <
               OUT_HIGH; /* else it waits, unparsed, for answers to leave */
    case CONN_EXCHANGE:
        return body_open(conn) && !conn->ex.blocked;
    case CONN_CLOSING:
        return false;
    }
    return false;
}

/* --- the exchange's end ---------------------------------------------------------------
 */
/* Top of the stack only. Tells the handler and forgets the exchange. */
static void exchange_over(struct conn *conn, enum exchange_end how)
{
    struct exchange *ex = &conn->ex;
    assure(conn->state == CONN_EXCHANGE);
    ex->stats.micros = (clock_ns() - conn->began) / 1000;
    if (conn->server->config.on_finished)
        conn->server->config.on_finished(conn->server->config.ctx, ex);
    if (ex->ops && ex->ops->over)
        ex->ops->over(ex, how);
    ex->ops = NULL;
    block_unref(&ex->head_block);
}

/* Top of the stack only. The connection ends now, whatever it was doing. */
static void conn_cut(struct conn *conn, enum exchange_end how)
{
    if (conn->state == CONN_EXCHANGE)
        exchange_over(conn, how);
    conn_free(conn);
}

static void conn_free(struct conn *conn)
{
    struct http_server *server = conn->server;
    watch_del(server->loop, &conn->watch);
    timer_clear(server->loop, &conn->timer);
    loop_undefer(server->loop, &conn->advance);
    conn->transport.ops->close(&conn->transport);
    out_drop(conn);
    block_unref(&conn->in);
    block_unref(&conn->ex.head_block);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    free(conn);
    atomic_fetch_sub(&server->count, 1);
    if (server->drained && !server->conns) {
        loop_defer(server->loop, server->drained);
        server->drained = NULL;
    }
}

/* --- bytes that come ------------------------------------------------------------------
 */
/* Gives `in` room for at least one more byte. Bytes that somebody else holds a reference
 * to stay where they are. */
static void in_make_room(struct conn *conn)
{
    struct block *in = conn->in;
    size_t size = BLOCK_SMALL;
    if (conn->state != CONN_IDLE && conn->state != CONN_HEAD &&
        (conn->framing == HTTP_BODY_CHUNKED || conn->body_left > BLOCK_SMALL))
        size = BLOCK_LARGE;
    if (!in) {
        conn->in = block_get(size);
        conn->at = 0;
        return;
    }
    size_t rest = in->used - conn->at;
    if (rest == 0 && (in->refs > 1 || in->size < size)) {
        block_unref(&conn->in);
        conn->in = block_get(size);
        conn->at = 0;
        return;
    }
    if (rest == 0) {
        in->used = conn->at = 0;
        return;
    }
    if (in->used < in->size)
        return;
    /* Full: the rest moves to the front, of a fresh block where this one is shared, of a
     * larger one where it is a head that does not fit. */
    if (in->refs == 1 && conn->at > 0) {
        memmove(in->data, in->data + conn->at, rest);
    } else {
        struct block *next = block_get(rest >= BLOCK_SMALL / 2 ? BLOCK_LARGE : size);
        assure(rest < next->size); /* the parser refuses heads past HTTP_HEAD_MAX */
        memcpy(next->data, in->data + conn->at, rest);
        block_unref(&conn->in);
        conn->in = in = next;
    }
    in->used = (uint32_t)rest;
    conn->at = 0;
}

static void in_release_if_used_up(struct conn *conn)
{
    if (conn->in && conn->at == conn->in->used) {
        block_unref(&conn->in);
        conn->at = 0;
    }
}

static void body_begin(struct conn *conn, const struct http_head *head)
{
    conn->framing = head->body;
    conn->body_left = head->body == HTTP_BODY_LENGTH ? head->length : 0;
    if (head->body == HTTP_BODY_CHUNKED)
        http_chunks_init(&conn->chunks);
    conn->body_done = head->body == HTTP_BODY_NONE ||
                      (head->body == HTTP_BODY_LENGTH && head->length == 0);
    conn->expect = head->expect_continue && !conn->body_done;
}

/* Finds the next stretch of the body in `in`: its length (0: more must come, or the body
 * is done), -1: malformed. */
static ssize_t body_stretch(struct conn *conn)
{
    size_t have = conn->in ? conn->in->used - conn->at : 0;
    if (conn->body_done || have == 0)
        return 0;
    if (conn->framing == HTTP_BODY_LENGTH)
        return (ssize_t)(conn->body_left < have ? conn->body_left : have);
    if (conn->chunks.left == 0) {
        ssize_t eaten = http_chunks_eat(&conn->chunks, conn->in->data + conn->at, have);
        if (eaten < 0)
            return -1;
        conn->at += (uint32_t)eaten;
        have -= (size_t)eaten;
        conn->body_done = http_chunks_end(&conn->chunks);
    }
    return (ssize_t)(conn->chunks.left < have ? conn->chunks.left : have);
}

static void body_took(struct conn *conn, size_t n)
{
    conn->at += (uint32_t)n;
    if (conn->framing == HTTP_BODY_CHUNKED) {
        http_chunks_took(&conn->chunks, n);
    } else {
        conn->body_left -= n;
        conn->body_done = conn->body_left == 0;
    }
}

/* Drops what is there of a body nobody wants. -1: malformed. */
static int body_drop(struct conn *conn)
{
    ssize_t n;
    while ((n = body_stretch(conn)) > 0)
        body_took(conn, (size_t)n);
    in_release_if_used_up(conn);
    return n < 0 ? -1 : 0;
}

/* --- advancing -------------------------------------------------------------------------
 */
/* The server's own answer to what it could not make a request of; then the end. */
static void refuse(struct conn *conn, const struct http_head *head)
{
    struct exchange *ex = &conn->ex;
    char text[64];
    memset(ex, 0, sizeof *ex);
    ex->conn = conn;
    ex->head = *head;
    ex->head_block = block_ref(conn->in);
    conn_set_state(conn, CONN_EXCHANGE);
    conn->body_done = true;
    conn->keep = false;
    int n = snprintf(text, sizeof text, "%d %s", head->status, http_reason(head->status));
    assure(n > 0);
    if (conn->server->config.on_refused)
        conn->server->config.on_refused(conn->server->config.ctx, ex, head->status);
    else
        exchange_error(ex, head->status, text);
    exchange_over(conn, EXCHANGE_SENT);
    conn->linger = true;
    conn_set_state(conn, CONN_CLOSING);
}

/* Parses a head out of `in`. true: something came of it, go on; false: more bytes needed.
 */
static bool advance_head(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct exchange *ex = &conn->ex;
    struct http_head head;
    if (!conn->in || conn->at == conn->in->used)
        return false;
    ssize_t n = http_parse_request(conn->in->data + conn->at, conn->in->used - conn->at,
                                   &conn->head_seen, &head);
    if (n == 0)
        return false;
    conn->head_seen = 0;
    if (n < 0) {
        refuse(conn, &head);
        return true;
    }
    memset(ex, 0, sizeof *ex);
    ex->conn = conn;
    ex->head = head;
    ex->head_block = block_ref(conn->in);
    conn->at += (uint32_t)n;
    conn->keep = head.keep_alive && !server->draining;
    conn->fresh = false;
    conn->linger = false;
    body_begin(conn, &head);
    conn_set_state(conn, CONN_EXCHANGE);
    server->config.on_request(server->config.ctx, ex);
    assure(ex->ops); /* the handler must own it */
    return true;
}

/* Hands body bytes to the handler as far as it takes them. false: the body is malformed.
 */
static bool advance_body(struct conn *conn)
{
    struct exchange *ex = &conn->ex;
    while (!ex->blocked && !ex->abort && ex->answer != ANSWER_ENDED) {
        ssize_t n = body_stretch(conn);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        size_t took = (size_t)n;
        conn->expect = false; /* it did not wait */
        if (ex->ops->body && ex->answer == ANSWER_NONE)
            took = ex->ops->body(ex, conn->in, conn->in->data + conn->at, (size_t)n);
        assure(took <= (size_t)n);
        ex->stats.body_in += took;
        body_took(conn, took);
        ex->blocked = took < (size_t)n;
    }
    if (conn->body_done && !ex->body_told && !ex->abort && ex->answer == ANSWER_NONE) {
        ex->body_told = true;
        if (ex->ops->body_end)
            ex->ops->body_end(ex);
    }
    return true;
}

/* The request and its body are done with: wait for the next, or go on with what came of
 * it. */
static void await_request(struct conn *conn)
{
    in_release_if_used_up(conn);
    if (!conn->in) {
        conn_set_state(conn, CONN_IDLE);
        return;
    }
    conn_set_state(conn, CONN_HEAD);
    conn->began = clock_ns();
    timer_set(conn->server->loop, &conn->timer, (uint64_t)conn->server->config.head_ms);
}

/* The answer is queued: what becomes of the connection? */
static void finish_exchange(struct conn *conn)
{
    exchange_over(conn, EXCHANGE_SENT);
    if (!conn->keep) {
        conn->linger = conn->linger || body_open(conn);
        conn_set_state(conn, CONN_CLOSING);
    } else if (body_open(conn)) {
        conn_set_state(conn, CONN_SKIP);
    } else {
        await_request(conn);
    }
}

/* One step in CONN_EXCHANGE. true: go on; false: wait. */
static bool advance_exchange(struct conn *conn)
{
    struct exchange *ex = &conn->ex;
    if (!advance_body(conn)) {
        conn->keep = false;
        conn->linger = true;
        if (ex->answer == ANSWER_NONE) {
            exchange_error(ex, 400, "malformed chunked body");
            exchange_over(conn, EXCHANGE_BAD);
            conn_set_state(conn, CONN_CLOSING);
        } else {
            ex->abort = true;
        }
        return true;
    }
    if (ex->abort)
        return true; /* conn_advance cuts it */
    if (ex->wants_room && conn->out_bytes < OUT_LOW && ex->answer == ANSWER_BODY) {
        ex->wants_room = false;
        if (ex->ops->writable)
            ex->ops->writable(ex);
        return true;
    }
    if (ex->answer == ANSWER_ENDED && conn->out_bytes < OUT_HIGH && !out_has_file(conn)) {
        finish_exchange(conn);
        return true;
    }
    return false;
}

/* What to wait for, and how long. */
static void settle(struct conn *conn)
{
    struct http_server *server = conn->server;
    uint32_t events = conn->watch.events & EPOLLIN;
    if (wants_read(conn))
        events = EPOLLIN;
    if (conn->out_stuck)
        events |= EPOLLOUT;
    watch_set(server->loop, &conn->watch, events);

    int ms = 0;
    if (!out_empty(conn))
        ms = conn->out_stuck ? server->config.send_ms : 0;
    else if (conn->state == CONN_IDLE)
        ms = conn->fresh ? server->config.head_ms : server->config.idle_ms;
    else if (conn->state == CONN_HEAD)
        return; /* armed when its first byte came */
    else if (conn->state == CONN_SKIP ||
             (conn->state == CONN_EXCHANGE && wants_read(conn)))
        ms = server->config.body_ms;
    else if (conn->state == CONN_LINGER)
        ms = LINGER_SILENCE_MS;
    if (ms)
        timer_set(server->loop, &conn->timer, (uint64_t)ms);
    else
        timer_clear(server->loop, &conn->timer);
}

/* Moves the connection as far as it goes. It may be freed when this returns. */
static void conn_advance(struct conn *conn)
{
    struct http_server *server = conn->server;
    assure(!conn->advancing);
    conn->advancing = true;
    for (;;) {
        bool go_on = false;
        switch (conn->state) {
        case CONN_IDLE:
            break;
        case CONN_HEAD:
            go_on = conn->out_bytes < OUT_HIGH && advance_head(conn);
            break;
        case CONN_EXCHANGE:
            go_on = advance_exchange(conn);
            if (conn->state == CONN_EXCHANGE && conn->ex.abort) {
                conn_cut(conn, EXCHANGE_ABORT);
                return;
            }
            break;
        case CONN_SKIP:
            if (body_drop(conn) < 0) {
                conn->linger = true;
                conn_set_state(conn, CONN_CLOSING);
                go_on = true;
            } else if (!body_open(conn)) {
                await_request(conn);
                go_on = true;
            }
            break;
        case CONN_CLOSING:
        case CONN_LINGER:
            break;
        }
        if (go_on)
            continue;
        /* Nothing to do but to send, which may make room for more. */
        if (conn->state == CONN_EXCHANGE && conn->expect && body_open(conn) &&
            conn->ex.answer == ANSWER_NONE && !conn->ex.blocked) {
            static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
            conn->expect = false;
            out_bytes(conn, text, sizeof text - 1);
        }
        if (out_empty(conn) || conn->out_stuck)
            break;
        size_t before = conn->out_bytes;
        bool had_file = out_has_file(conn);
        if (out_flush(conn) < 0) {
            conn_cut(conn, EXCHANGE_GONE);
            return;
        }
        if (conn->out_bytes == before && had_file == out_has_file(conn))
            break;
    }
    if (conn->state == CONN_CLOSING && out_empty(conn)) {
        if (!conn->linger || conn->transport.ops->shutdown(&conn->transport) < 0) {
            conn_free(conn);
            return;
        }
        block_unref(&conn->in);
        conn_set_state(conn, CONN_LINGER);
        conn->linger_until = loop_now(server->loop) + (uint64_t)server->config.linger_ms;
    }
    if (conn->state == CONN_IDLE && server->draining && out_empty(conn)) {
        conn_free(conn);
        return;
    }
    settle(conn);
    conn->advancing = false;
}

/* Reads what is there. false: the connection was cut. */
static bool conn_read(struct conn *conn)
{
    struct http_server *server = conn->server;
    for (int i = 0; i < READS_PER_TURN && wants_read(conn); i++) {
        if (conn->state == CONN_LINGER) {
            char drop[16 * 1024];
            ssize_t n = conn->transport.ops->read(&conn->transport, drop, sizeof drop);
            if (n == -EAGAIN)
                return true;
            if (n <= 0 || loop_now(server->loop) >= conn->linger_until) {
                conn_free(conn);
                return false;
            }
            continue;
        }
        in_make_room(conn);
        struct block *in = conn->in;
        size_t room = in->size - in->used;
        ssize_t n =
            conn->transport.ops->read(&conn->transport, in->data + in->used, room);
        if (n <= 0) {
            in_release_if_used_up(conn);
            if (n == -EAGAIN)
                return true;
            conn_cut(conn, EXCHANGE_GONE);
            return false;
        }
        in->used += (uint32_t)n;
        if (conn->state == CONN_IDLE) {
            conn_set_state(conn, CONN_HEAD);
            conn->began = clock_ns();
            timer_set(server->loop, &conn->timer, (uint64_t)server->config.head_ms);
        }
        if ((size_t)n < room)
            return true;
        /* The block was filled: there is likely more. */
        if (conn->state == CONN_EXCHANGE || conn->state == CONN_SKIP) {
            conn_advance(conn);
            return false; /* it may be gone; level-triggered readiness brings the rest */
        }
        return true;
    }
    return true;
}

static void conn_ready(struct watch *watch, uint32_t events)
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
    if (events & EPOLLIN) {
        if (!wants_read(conn))
            watch_set(conn->server->loop, watch, watch->events & ~(uint32_t)EPOLLIN);
        else if (!conn_read(conn))
            return;
    }
    conn_advance(conn);
}

static void conn_timeout(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);
    conn_cut(conn, EXCHANGE_GONE);
}

static void run_advance(struct task *task)
{
    conn_advance(container_of(task, struct conn, advance));
}

void conn_schedule(struct conn *conn)
{
    if (!conn->advancing)
        loop_defer(conn->server->loop, &conn->advance);
}

/* --- the server ------------------------------------------------------------------------
 */
void http_server_defaults(struct http_server_config *config)
{
    memset(config, 0, sizeof *config);
    config->name = "mkv";
    config->head_ms = 60 * 1000;
    config->body_ms = 30 * 1000;
    config->send_ms = 60 * 1000;
    config->idle_ms = 75 * 1000;
    config->linger_ms = 30 * 1000;
}

struct http_server *http_server_new(struct loop *loop,
                                    const struct http_server_config *config)
{
    struct http_server *server = xcalloc(1, sizeof *server);
    server->loop = loop;
    server->config = *config;
    return server;
}

void http_server_expect(struct http_server *server)
{
    atomic_fetch_add(&server->count, 1);
}

void http_server_take(struct http_server *server, int fd)
{
    struct conn *conn = xcalloc(1, sizeof *conn);
    conn->server = server;
    transport_plain(&conn->transport, fd);
    conn->watch.fd = fd;
    conn->watch.ready = conn_ready;
    conn->timer.fire = conn_timeout;
    conn->advance.run = run_advance;
    conn->state = CONN_IDLE;
    conn->out_tail = &conn->out_first;
    conn->body_done = true;
    conn->fresh = true;
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    net_nodelay(fd);
    if (server->draining || watch_add(server->loop, &conn->watch, EPOLLIN) < 0) {
        conn_free(conn);
        return;
    }
    timer_set(server->loop, &conn->timer, (uint64_t)server->config.head_ms);
    /* The request is often there already, and always soon: reading at once saves a turn.
     */
    conn_ready(&conn->watch, EPOLLIN);
}

int http_server_connections(const struct http_server *server)
{
    return atomic_load(&((struct http_server *)(uintptr_t)server)->count);
}

void http_server_drain(struct http_server *server, struct task *done)
{
    server->draining = true;
    server->drained = done;
    for (struct conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->state == CONN_IDLE && out_empty(conn))
            conn_free(conn);
        else
            conn->keep = false;
    }
    if (server->drained && !server->conns) {
        server->drained = NULL;
        loop_defer(server->loop, done);
    }
}

void http_server_free(struct http_server **serverp)
{
    struct http_server *server = *serverp;
    if (!server)
        return;
    *serverp = NULL;
    server->drained = NULL;
    while (server->conns)
        conn_cut(server->conns, EXCHANGE_GONE);
    out_pieces_free(server);
    free(server);
}

/* --- what a handler asks of the request
 * -------------------------------------------------- */
void exchange_own(struct exchange *ex, const struct exchange_ops *ops, void *arg)
{
    assure(!ex->ops);
    ex->ops = ops;
    ex->arg = arg;
}

void *exchange_arg(const struct exchange *ex)
{
    return ex->arg;
}

struct loop *exchange_loop(const struct exchange *ex)
{
    return ex->conn->server->loop;
}

const struct http_head *exchange_head(const struct exchange *ex)
{
    return &ex->head;
}

void exchange_resume(struct exchange *ex)
{
    ex->blocked = false;
    conn_schedule(ex->conn);
}

void exchange_no_keep_alive(struct exchange *ex)
{
    ex->conn->keep = false;
}

/* An IPv6 address that stands for an IPv4 one is written as that. Returns its family, or
 * 0. */
static int address_text(struct net_addr *a, char text[INET6_ADDRSTRLEN])
{
    const void *ip = &a->u.in.sin_addr;
    int family = a->u.sa.sa_family;
    if (family == AF_INET6) {
        ip = &a->u.in6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr)) {
            ip = a->u.in6.sin6_addr.s6_addr + 12;
            family = AF_INET;
        }
    }
    return inet_ntop(family, ip, text, INET6_ADDRSTRLEN) ? family : 0;
}

const char *exchange_peer(struct exchange *ex)
{
    static _Thread_local char text[INET6_ADDRSTRLEN];
    struct net_addr a = {.len = sizeof a.u};
    if (getpeername(ex->conn->transport.fd, &a.u.sa, &a.len) < 0)
        return "-";
    return address_text(&a, text) ? text : "-";
}

const char *exchange_local(struct exchange *ex)
{
    static _Thread_local char url[INET6_ADDRSTRLEN + 2];
    char text[INET6_ADDRSTRLEN];
    struct net_addr a = {.len = sizeof a.u};
    if (getsockname(ex->conn->transport.fd, &a.u.sa, &a.len) < 0)
        return "localhost";
    int family = address_text(&a, text);
    snprintf(url, sizeof url, family == AF_INET6 ? "[%s]" : "%s",
             family ? text : "localhost");
    return url;
}

void exchange_abort(struct exchange *ex)
{
    ex->abort = true;
    conn_schedule(ex->conn);
}

void exchange_stats(const struct exchange *ex, struct exchange_stats *out)
{
    *out = ex->stats;
    if (!out->micros)
        out->micros = (clock_ns() - ex->conn->began) / 1000;
}

/* Whether the connection outlives this exchange, decided when its answer's head is
 * written. */
bool conn_keeps(struct conn *conn)
{
    if (conn->server->draining)
        conn->keep = false;
    if (conn->keep && body_open(conn) &&
        (conn->expect || conn->framing == HTTP_BODY_CHUNKED ||
         conn->body_left > SKIP_MAX)) {
        conn->keep = false;
        conn->linger = true;
    }
    return conn->keep;
}
