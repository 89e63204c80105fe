/*
 * The HTTP client's receiving side: heads, bodies, and where they go.
 *
 * Bytes are read into a block and offered from there without a copy; the caller may keep
 * the block by reference. A connection that waits holds none.
 */
#include <errno.h>
#include <string.h>

#include "common/assure.h"
#include "common/http/client_call.h"

enum {
    DROP_MAX = 256 * 1024, /* of an answer's body that nobody takes */
    READS_MAX = 4,         /* by one connection, before others have their turn */
    GROW_BELOW = 1024,     /* less room than this, and the next read gets a new block */
    INTERIMS_MAX = 8,      /* 1xx answers: without end they would keep a loop busy */
};

/* Room for the next read. What was taken may still be referenced by the one who took it,
 * so bytes are only ever appended to a block that is shared. */
static struct block *conn_room(struct upstream_conn *conn, const struct call *call)
{
    struct block *in = conn->in;
    bool large = call->state == READING &&
                 (call->body != HTTP_BODY_LENGTH || call->left > BLOCK_SMALL);
    size_t rest = in ? in->used - conn->in_pos : 0;
    if (in && rest == 0 && in->refs == 1)
        in->used = conn->in_pos = 0;
    if (in && in->size - in->used >= GROW_BELOW && (!large || in->size == BLOCK_LARGE))
        return in;
    struct block *next = block_get(in || large ? BLOCK_LARGE : BLOCK_SMALL);
    if (rest)
        memcpy(next->data, in->data + conn->in_pos, rest);
    next->used = (uint32_t)rest;
    conn->in_pos = 0;
    block_unref(&conn->in);
    conn->in = next;
    return next;
}

enum step {
    STEP_ON,   /* there may be more in what was read */
    STEP_READ, /* more must be read, or call_resume() must come */
    STEP_NEXT, /* the call is over; the one behind it is first on the connection now */
    STEP_OVER, /* the connection is not its calls' any more */
};

/* The answer is complete. */
static enum step call_complete(struct call *call, bool keep)
{
    struct upstream_conn *conn = call->conn;
    struct call *next = TAILQ_NEXT(call, in_flight);
    /* Bytes behind the answer belong to the next request, or to none. */
    keep = keep && call->keep && call->sent_all && !conn->mute && !conn->detached &&
           (next || !conn->in || conn->in_pos == conn->in->used);
    if (!next) {
        http_call_end_keep(call, CALL_OK, keep);
        return STEP_OVER;
    }
    /* done() may do anything to the next call as well: it is held meanwhile, and as long
     * as it has this connection, that is still there. */
    next->busy++;
    http_call_end_keep(call, CALL_OK, keep);
    return http_call_still(next) && next->conn == conn ? STEP_NEXT : STEP_OVER;
}

static enum step take_head(struct upstream_conn *conn, struct call *call)
{
    struct http_head head;
    struct block *in = conn->in;
    size_t len = in->used - conn->in_pos;
    if (len == 0)
        return STEP_READ;
    ssize_t n = http_parse_answer(in->data + conn->in_pos, len, &conn->seen,
                                  call->to_head, &head);
    if (n == 0 && len < HTTP_HEAD_MAX)
        return STEP_READ;
    if (n <= 0 || (head.status < 200 && ++call->interims > INTERIMS_MAX)) {
        http_call_end(call, CALL_GARBAGE);
        return STEP_OVER;
    }
    conn->in_pos += (uint32_t)n;
    conn->seen = 0;
    if (head.status < 200)
        return STEP_ON;

    call->keep = head.keep_alive && head.body != HTTP_BODY_CLOSE;
    call->body = head.body;
    call->left = head.length;
    http_chunks_init(&call->chunks);
    /* An answer before its request is out: the server has decided, the rest is not
     * sent. */
    http_queue_clear(&call->queue);
    conn->full = false;
    http_call_become(call, READING);
    block_ref(in); /* the head stays readable, even when the call is cancelled */
    call->busy++;
    call->ops->answer(call, &head);
    block_unref(&in);
    return http_call_still(call) ? STEP_ON : STEP_OVER;
}

/* Offers body bytes; *taken of len were taken. false: the call is over. */
static bool tell_body(struct upstream_conn *conn, struct call *call, size_t len,
                      size_t *taken)
{
    struct block *in = conn->in;
    if (!call->ops->body) {
        call->dropped += len;
        *taken = len;
        return true;
    }
    block_ref(in);
    call->busy++;
    *taken = call->ops->body(call, in, in->data + conn->in_pos, len);
    block_unref(&in);
    assure(*taken <= len);
    return http_call_still(call);
}

static enum step take_body(struct upstream_conn *conn, struct call *call)
{
    struct block *in = conn->in;
    size_t len = in->used - conn->in_pos, taken;
    ssize_t framing;
    switch (call->body) {
    case HTTP_BODY_NONE:
        return call_complete(call, true);
    case HTTP_BODY_LENGTH:
        if (call->left == 0)
            return call_complete(call, true);
        if (len > call->left)
            len = (size_t)call->left;
        break;
    case HTTP_BODY_CHUNKED:
        framing = http_chunks_eat(&call->chunks, in->data + conn->in_pos, len);
        if (framing < 0) {
            http_call_end(call, CALL_GARBAGE);
            return STEP_OVER;
        }
        conn->in_pos += (uint32_t)framing;
        if (http_chunks_end(&call->chunks))
            return call_complete(call, true);
        len -= (size_t)framing;
        if (len > call->chunks.left)
            len = (size_t)call->chunks.left;
        break;
    case HTTP_BODY_CLOSE:
        break;
    }
    /* Nobody wants the body, and it is too long to read for the connection's sake. */
    if (!call->ops->body &&
        call->dropped + (call->body == HTTP_BODY_LENGTH ? call->left : len) > DROP_MAX)
        return call_complete(call, false);
    if (len == 0)
        return STEP_READ;
    if (!tell_body(conn, call, len, &taken))
        return STEP_OVER;
    conn->in_pos += (uint32_t)taken;
    if (call->body == HTTP_BODY_LENGTH)
        call->left -= taken;
    else if (call->body == HTTP_BODY_CHUNKED)
        http_chunks_took(&call->chunks, taken);
    if (taken < len) {
        call->paused = true;
        return STEP_READ;
    }
    return STEP_ON;
}

/* Bytes on a pooled connection before anything was asked there are not our answer. */
static bool is_unasked(const struct upstream_conn *conn, const struct call *call)
{
    return conn->reused && call->queue.sent == 0 && call->state == SENDING;
}

bool http_call_take(struct upstream_conn *conn)
{
    struct call *call = http_conn_first(conn);
    enum step step;
    if (!conn->in) /* resumed with nothing left */
        return true;
    do {
        step = call->state == READING ? take_body(conn, call) : take_head(conn, call);
        if (step == STEP_NEXT) {
            call = http_conn_first(conn);
            if (conn->in_pos == conn->in->used)
                break;
            if (is_unasked(conn, call)) {
                http_call_lost(conn, 0);
                return false;
            }
            http_queue_let_go(&call->queue);
        }
    } while (step == STEP_ON || step == STEP_NEXT);
    if (step == STEP_OVER)
        return false;
    if (call->paused)
        timer_clear(call->client->loop, &call->timer);
    else if (call->state == READING && (call->ops->body || !timer_is_set(&call->timer)))
        http_call_arm_answer(call);
    /* Nothing of the block is ours: it is not kept while we wait. One that is shared has
     * room for more, though, and a trickle must not pin a block for every few bytes. */
    if (conn->in_pos == conn->in->used && conn->in->refs == 1) {
        block_unref(&conn->in);
        conn->in_pos = 0;
    }
    return true;
}

void http_call_read(struct upstream_conn *conn)
{
    struct http_client *client = http_conn_first(conn)->client;
    for (int i = 0; i < READS_MAX; i++) {
        struct call *call = http_conn_first(conn);
        if (call->paused)
            break;
        struct block *in = conn_room(conn, call);
        size_t room = in->size - in->used;
        ssize_t n =
            conn->transport.ops->read(&conn->transport, in->data + in->used, room);
        if (n == -EAGAIN)
            break;
        if (n <= 0 || is_unasked(conn, call)) {
            http_call_lost(conn, n < 0 ? n : 0);
            return;
        }
        in->used += (uint32_t)n;
        http_queue_let_go(&call->queue);
        if (!http_call_take(conn))
            return;
        if ((size_t)n < room)
            break;
    }
    if (!http_conn_watch(conn, client))
        http_call_lost(conn, -ENOMEM);
}
