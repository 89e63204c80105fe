/*
 * One connection's way through its states.
 *
 * One function, conn_advance(), moves a connection on: it parses, hands body bytes out,
 * ends exchanges, sends, and decides what to wait for. It runs at the top of the stack
 * only (from readiness, a timer or the end of a turn), so that a connection can be freed
 * there: what handlers call only notes what they want and schedules it. Where a handler
 * answers from within a callback, conn_advance is on the stack already and sees it when
 * the callback returns.
 */
#include "common/http/server_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/clock.h"

enum {
    SKIP_MAX = 1024 * 1024, /* of a body that is read for the sake of keep-alive alone */
    WRITES_PER_TURN = 16,   /* then others get their turn */
};

void conn_set_state(struct conn *conn, enum conn_state to)
{
    enum conn_state from = conn->state;
    switch (to) {
    case CONN_IDLE:
        assure(from == CONN_EXCHANGE || from == CONN_SKIP);
        assure(!conn->in);
        break;
    case CONN_HEAD:
        assure(from == CONN_IDLE || from == CONN_EXCHANGE || from == CONN_SKIP);
        break;
    case CONN_EXCHANGE:
        assure(from == CONN_HEAD);
        break;
    case CONN_SKIP:
        assure(from == CONN_EXCHANGE && conn->keep);
        break;
    case CONN_CLOSING:
        assure(from != CONN_CLOSING && from != CONN_LINGER);
        block_unref(&conn->in);
        conn->at = 0;
        break;
    case CONN_LINGER:
        assure(from == CONN_CLOSING && out_empty(conn));
        break;
    }
    conn->state = to;
}

void conn_begin_head(struct conn *conn)
{
    const struct http_server_config *config = &conn->server->config;
    conn_set_state(conn, CONN_HEAD);
    conn->wait = CONN_WAIT_ANEW;
    if (config->on_finished) /* who else asks how long it took? */
        conn->began = clock_ns();
}

/* Does the handler hold the request's body back? Once it has begun to answer, what still
 * comes is dropped, and there is nothing to hold back any more. */
static bool held_back(const struct exchange *ex)
{
    return ex->blocked && ex->answer == ANSWER_NONE;
}

bool conn_wants_read(const struct conn *conn)
{
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_SKIP:
    case CONN_LINGER:
        return true;
    case CONN_HEAD:
        /* Else it waits, unparsed, for answers to leave. */
        return conn->out_bytes < OUT_HIGH;
    case CONN_EXCHANGE:
        return body_open(conn) && !held_back(&conn->ex);
    case CONN_CLOSING:
        /* A client may read its answer only when it has sent all of its request. */
        return conn->linger;
    }
    return false;
}

/* --- ends ----------------------------------------------------------------------- */
/* Top of the stack only. Tells the handler and forgets the exchange. */
static void exchange_over(struct conn *conn, enum exchange_end how)
{
    struct exchange *ex = &conn->ex;
    assure(conn->state == CONN_EXCHANGE);
    if (conn->server->config.on_finished)
        conn->server->config.on_finished(conn->server->config.finished_ctx, ex);
    if (ex->ops && ex->ops->over)
        ex->ops->over(ex, how);
    ex->ops = NULL;
    block_unref(&ex->head_block);
}

void conn_cut(struct conn *conn, enum exchange_end how)
{
    struct exchange *ex = &conn->ex;
    if (conn->state == CONN_EXCHANGE) {
        /* Where the end of the connection is the end of the body, an early one must not
         * look like it. */
        bool by_close =
            ex->head.http_09 || (ex->body_left == EXCHANGE_CHUNKED && !ex->chunked);
        bool lies = ex->answer == ANSWER_BODY && by_close && !ex->no_body;
        exchange_over(conn, how);
        if (lies)
            conn->transport.ops->reset(&conn->transport);
    }
    conn_free(conn);
}

void conn_free(struct conn *conn)
{
    struct http_server *server = conn->server;
    watch_del(server->loop, &conn->watch);
    timer_clear(server->loop, &conn->timer);
    loop_undefer(server->loop, &conn->advance);
    conn->transport.ops->close(&conn->transport);
    out_drop(conn);
    block_unref(&conn->in);
    block_unref(&conn->ex.head_block);
    http_server_forget(server, conn);
    free(conn);
}

bool conn_end_of_input(struct conn *conn)
{
    switch (conn->state) {
    case CONN_EXCHANGE:
        if (conn->ex.answer == ANSWER_NONE) { /* half a request */
            conn_cut(conn, EXCHANGE_GONE);
            return false;
        }
        body_give_up(conn);
        return true;
    case CONN_CLOSING:
        conn->linger = false;
        return true;
    case CONN_IDLE:
    case CONN_HEAD:
    case CONN_SKIP:
        if (out_empty(conn))
            break;
        conn->linger = false;
        conn_set_state(conn, CONN_CLOSING);
        return true;
    case CONN_LINGER:
        break;
    }
    conn_free(conn);
    return false;
}

/* --- advancing ------------------------------------------------------------------ */
/* The server's own answer to what it could not make a request of; then the end. */
static void refuse(struct conn *conn, const struct http_head *head)
{
    struct exchange *ex = &conn->ex;
    char text[64];
    memset(ex, 0, sizeof(*ex));
    ex->conn = conn;
    ex->head = *head;
    ex->head_block = block_ref(conn->in);
    ex->head_at = conn->at;
    conn_set_state(conn, CONN_EXCHANGE);
    body_give_up(conn);
    int n =
        snprintf(text, sizeof(text), "%d %s", head->status, http_reason(head->status));
    assure(n > 0);
    if (conn->server->config.on_refused)
        conn->server->config.on_refused(conn->server->config.ctx, ex, head->status);
    else
        exchange_error(ex, head->status, text);
    exchange_over(conn, EXCHANGE_SENT);
    conn->linger = true;
    conn_set_state(conn, CONN_CLOSING);
}

/* Parses a head out of `in`. true: something came of it, go on; false: more bytes
 * needed. */
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
    conn->fresh = false;
    conn->linger = false;
    if (n < 0) {
        refuse(conn, &head);
        return true;
    }
    memset(ex, 0, sizeof(*ex));
    ex->conn = conn;
    ex->head = head;
    ex->head_block = block_ref(conn->in);
    ex->head_at = conn->at;
    conn->at += (uint32_t)n;
    conn->keep = head.keep_alive && !server->draining;
    body_begin(conn, &head);
    conn_set_state(conn, CONN_EXCHANGE);
    server->config.on_request(server->config.ctx, ex);
    assure(ex->ops); /* the handler must own it */
    return true;
}

/* Hands body bytes to the handler as far as it takes them. false: the body is
 * malformed. */
static bool advance_body(struct conn *conn)
{
    struct exchange *ex = &conn->ex;
    while (!held_back(ex) && !ex->abort) {
        ssize_t n = body_stretch(conn);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        size_t took = (size_t)n;
        conn->expect = false; /* it did not wait */
        if (ex->ops->body && ex->answer == ANSWER_NONE)
            took = ex->ops->body(ex, conn->in, conn->in->data + conn->at, (size_t)n);
        else
            conn->skipped += took;
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
    conn_begin_head(conn);
}

/* The answer is queued: what becomes of the connection? */
static void finish_exchange(struct conn *conn)
{
    bool surprise = conn->ex.head.keep_alive; /* the client did not ask for the end */
    exchange_over(conn, EXCHANGE_SENT);
    if (conn->keep && body_open(conn)) {
        conn_set_state(conn, CONN_SKIP);
    } else if (conn->keep) {
        await_request(conn);
    } else {
        /* Whatever the client still sends, or has sent and nobody read, would make the
         * kernel answer with a reset, and that can cost the client our answer. */
        if (surprise || body_open(conn) || (conn->in && conn->at < conn->in->used))
            conn->linger = true;
        conn_set_state(conn, CONN_CLOSING);
    }
}

static void body_malformed(struct conn *conn)
{
    struct exchange *ex = &conn->ex;
    body_give_up(conn);
    conn->body_bad = true;
    conn->linger = true;
    if (ex->answer != ANSWER_NONE)
        return; /* it has its answer, and will have all of it */
    if (ex->ops->body_bad) {
        ex->body_told = true;
        ex->ops->body_bad(ex);
        return;
    }
    if (conn->server->config.on_refused)
        conn->server->config.on_refused(conn->server->config.ctx, ex, 400);
    else
        exchange_error(ex, 400, "malformed chunked body");
    exchange_over(conn, EXCHANGE_BAD);
    conn_set_state(conn, CONN_CLOSING);
}

/* One step in CONN_EXCHANGE. true: go on; false: wait. */
static bool advance_exchange(struct conn *conn)
{
    struct exchange *ex = &conn->ex;
    if (!advance_body(conn)) {
        body_malformed(conn);
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

/* One step. true: go on; false: nothing to do but to send, which may make room for
 * more. */
static bool advance_step(struct conn *conn)
{
    switch (conn->state) {
    case CONN_HEAD:
        return conn->out_bytes < OUT_HIGH && advance_head(conn);
    case CONN_EXCHANGE:
        return advance_exchange(conn);
    case CONN_SKIP:
        if (body_drop(conn) < 0 || conn->skipped > SKIP_MAX) {
            conn->linger = true;
            conn_set_state(conn, CONN_CLOSING);
            return true;
        }
        if (body_open(conn))
            return false;
        await_request(conn);
        return true;
    case CONN_IDLE:
    case CONN_CLOSING:
    case CONN_LINGER:
        break;
    }
    return false;
}

bool conn_advance(struct conn *conn)
{
    struct http_server *server = conn->server;
    int writes = 0;
    assure(!conn->advancing);
    conn->advancing = true;
    for (;;) {
        bool go_on = advance_step(conn);
        if (conn->state == CONN_EXCHANGE && conn->ex.abort) {
            conn_cut(conn, EXCHANGE_ABORT);
            return false;
        }
        if (go_on)
            continue;
        if (conn->state == CONN_EXCHANGE && conn->expect && body_open(conn) &&
            conn->ex.answer == ANSWER_NONE && !conn->ex.blocked) {
            static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
            conn->expect = false;
            out_bytes(conn, text, sizeof(text) - 1);
        }
        if (out_empty(conn) || conn->out_stuck)
            break;
        size_t before = conn->out_bytes;
        bool had_file = out_has_file(conn);
        if (out_flush(conn) < 0) {
            conn_cut(conn, EXCHANGE_GONE);
            return false;
        }
        if (conn->out_bytes == before && had_file == out_has_file(conn))
            break;
        if (conn->state == CONN_EXCHANGE && ++writes == WRITES_PER_TURN) {
            /* The client reads as fast as the handler writes. */
            loop_defer(server->loop, &conn->advance);
            break;
        }
    }
    if (conn->state == CONN_CLOSING && out_empty(conn)) {
        if (!conn->linger || conn->transport.ops->shutdown(&conn->transport) < 0) {
            conn_free(conn);
            return false;
        }
        conn_set_state(conn, CONN_LINGER);
        conn->linger_until = loop_now(server->loop) + (uint64_t)server->config.linger_ms;
    }
    if (conn->state == CONN_IDLE && server->draining && out_empty(conn)) {
        conn_free(conn);
        return false;
    }
    conn_settle(conn);
    conn->advancing = false;
    return true;
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

struct conn *conn_new(struct http_server *server, int fd)
{
    struct conn *conn = xcalloc(1, sizeof(*conn));
    conn->server = server;
    transport_plain(&conn->transport, fd);
    conn->watch.fd = fd;
    conn->watch.ready = conn_ready;
    conn->timer.fire = conn_timeout;
    conn->advance.run = run_advance;
    conn->state = CONN_IDLE;
    conn->body_done = true;
    conn->fresh = true;
    return conn;
}

/* Will what is still to come of the request's body be read, so that another request can
 * follow? How long chunks go on shows only then. */
static bool will_skip(const struct conn *conn)
{
    if (conn->expect) /* whether the client sends it after all, nobody can tell */
        return false;
    if (conn->framing == HTTP_BODY_CHUNKED)
        return body_sound(conn);
    return conn->body_left <= SKIP_MAX;
}

bool conn_keeps(struct conn *conn)
{
    if (conn->server->draining)
        conn->keep = false;
    if (conn->keep && body_open(conn) && !will_skip(conn)) {
        conn->keep = false;
        conn->linger = true;
    }
    return conn->keep;
}
