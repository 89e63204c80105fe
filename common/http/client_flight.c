/*
 * Connections in use, and the calls in flight on each.
 *
 * Most calls have their connection to themselves. HEADs share: those that come up in one
 * turn of the loop for one server leave in one write on one connection (RFC 9112 §9.3.2)
 * and are answered there in their order, which under load costs both sides a fraction of
 * the system calls. Nothing else shares. What may not be sent again must not wait behind
 * something that may cut its connection; what has a body would make those behind wait for
 * all of it; and a volume syncs before it answers a DELETE and serves a connection in
 * order, so DELETEs that share would turn one sync for all of them into one after the
 * other.
 *
 * A server with many drives may hang on one of them, and a HEAD for that one would hold
 * up all behind it. So nothing is put behind a request of an earlier turn, and calls that
 * got no nearer to their answer for PATIENCE_MS are sent again, each on a connection of
 * its own; for APART_MS from then on this server's HEADs do not share at all, so that a
 * hung drive costs the others one short wait now and then. What was sent again once never
 * shares again. All the while each call's own limits run.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/http/client_call.h"
#include "common/net.h"

enum {
    /* A cold look-up on a disk is two or three seeks, 10 ms each: twice that, and it is
     * still short beside any limit of a call. */
    PATIENCE_MS = 50,
    APART_MS = 1000,
    SHARE_MAX = 32, /* calls; what one write of the request vectors takes */
};

/* --- what the turn's flush has to look at ------------------------------------------ */
void http_conn_mark(struct upstream_conn *conn, struct http_client *client)
{
    if (!conn->dirty) {
        conn->dirty = true;
        TAILQ_INSERT_TAIL(&client->dirty, conn, dirty_link);
        client->n_dirty++;
    }
    if (!client->connecting) /* else this turn's flush comes to it at once */
        loop_defer(client->loop, &client->flush);
}

void http_conn_unmark(struct upstream_conn *conn, struct http_client *client)
{
    if (!conn->dirty)
        return;
    conn->dirty = false;
    TAILQ_REMOVE(&client->dirty, conn, dirty_link);
    client->n_dirty--;
}

bool http_conn_watch(struct upstream_conn *conn, struct http_client *client)
{
    bool paused = http_conn_first(conn)->paused;
    uint32_t events =
        (paused ? 0u : (uint32_t)EPOLLIN) | (conn->full ? (uint32_t)EPOLLOUT : 0u);
    if (conn->detached) {
        if (paused)
            return true;
        if (watch_add(client->loop, &conn->watch, events) < 0)
            return false;
        conn->detached = false;
    }
    watch_set(client->loop, &conn->watch, events);
    return true;
}

/* --- joining ----------------------------------------------------------------------- */
static bool may_share(const struct call *call)
{
    return call->to_head && call->request_body == HTTP_BODY_NONE && !call->alone &&
           !call->fresh &&
           loop_now(call->client->loop) >= http_pool_sharing(call->upstream)->apart_until;
}

struct upstream_conn *http_flight_take(struct call *call)
{
    if (call->fresh)
        return NULL;
    if (!may_share(call))
        return http_pool_take(call->upstream);
    struct http_sharing *sharing = http_pool_sharing(call->upstream);
    if (!sharing->open || sharing->open->n_calls == SHARE_MAX)
        sharing->open = http_pool_take(call->upstream);
    return sharing->open;
}

void http_flight_join(struct call *call, struct upstream_conn *conn)
{
    TAILQ_INSERT_TAIL(&conn->calls, call, in_flight);
    conn->n_calls++;
    call->conn = conn;
    /* Only a pooled connection may turn out closed through nobody's fault. */
    call->queue.hold = conn->reused;
    http_call_become(call, SENDING);
    http_conn_mark(conn, call->client);
}

void http_flight_close(struct upstream_conn *conn)
{
    struct http_sharing *sharing = http_pool_sharing(conn->upstream);
    if (sharing->open == conn)
        sharing->open = NULL;
}

/* --- leaving ----------------------------------------------------------------------- */
/* A call that has no connection any more, and no whole answer, gets another one. One that
 * cannot be sent again ends there, and not in here, amid the end of another. */
static void begin_anew(struct call *call)
{
    timer_clear(call->client->loop, &call->timer);
    if (http_call_abandoned(call)) {
        http_call_end(call, CALL_BROKEN);
        return;
    }
    if (call->queue.hold)
        http_queue_rewind(&call->queue);
    else
        call->fresh = call->unsendable = true;
    call->alone = true;
    http_call_become(call, STARTING);
    http_call_enlist(call);
}

static void take_off(struct call *call)
{
    struct upstream_conn *conn = call->conn;
    TAILQ_REMOVE(&conn->calls, call, in_flight);
    conn->n_calls--;
    call->conn = NULL;
}

/* Takes off all calls behind the first, or all. */
static void send_away(struct upstream_conn *conn, unsigned but)
{
    while (conn->n_calls > but) {
        struct call *call = TAILQ_LAST(&conn->calls, calls_in_flight);
        assure(call);
        take_off(call);
        begin_anew(call);
    }
}

static void run_out_of_patience(struct timer *timer)
{
    struct upstream_conn *conn = container_of(timer, struct upstream_conn, patience);
    struct loop *loop = http_conn_first(conn)->client->loop;
    http_pool_sharing(conn->upstream)->apart_until = loop_now(loop) + APART_MS;
    conn->spent = true;
    send_away(conn, 1);
}

void http_flight_wait(struct upstream_conn *conn, struct http_client *client)
{
    struct loop *loop = client->loop;
    conn->patience.fire = run_out_of_patience;
    /* A thread that has to wait for a processor amid a turn may have been away for longer
     * than this, and it is not the server that was slow then. So from now, not from the
     * turn's beginning. */
    if (conn->n_calls > 1)
        timer_set(loop, &conn->patience, clock_ms() - loop_now(loop) + PATIENCE_MS);
    else
        timer_clear(loop, &conn->patience);
}

void http_flight_leave(struct call *call, bool keep)
{
    struct upstream_conn *conn = call->conn;
    struct http_client *client = call->client;
    take_off(call);
    if (keep && conn->n_calls > 0) {
        http_flight_wait(conn, client);
        return;
    }
    http_flight_close(conn);
    send_away(conn, 0);
    timer_clear(client->loop, &conn->patience);
    http_conn_unmark(conn, client);
    block_unref(&conn->in);
    conn->in_pos = 0;
    conn->seen = 0;
    if (keep && !conn->spent)
        http_pool_put(&conn);
    else
        http_pool_close(&conn);
}

/* --- a connection that was lost ---------------------------------------------------- */
/* Not what the server may have read to its end: it may carry that out though it hung up,
 * even after the answer to a second one, and what it changes then is changed twice. */
static bool may_resend(const struct call *call, const struct upstream_conn *conn)
{
    return call->queue.hold &&
           (call->safe || !call->sent_all || !net_delivered(conn->watch.fd));
}

void http_call_lost(struct upstream_conn *conn, ssize_t error)
{
    struct call *call = http_conn_first(conn);
    if (call->state == READING && call->body == HTTP_BODY_CLOSE && error == 0) {
        http_call_end(call, CALL_OK);
    } else if (may_resend(call, conn)) {
        http_flight_leave(call, false);
        /* Not a `reused` one, so this is once. */
        call->fresh = true;
        begin_anew(call);
    } else {
        http_call_end(call, CALL_BROKEN);
    }
}
