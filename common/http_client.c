/*
 * Calls: requests sent and answers received over the pool's connections.
 *
 * Nothing is written where it is asked for: calls begun and bytes queued in one turn of
 * the loop are gathered by one deferred task, which gives each new call its connection
 * and then writes once per connection. That is what lets a head and a small body leave in
 * one segment, keeps every callback out of call_start() and call_send(), and is the place
 * where bodiless calls to one server may be put on one connection later.
 *
 * Callbacks may cancel their call. A call is therefore freed only when none of its
 * callbacks is running (`busy`), and whoever ran one returns at once when the call is
 * OVER: its connection is gone then as well.
 */
#include "common/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/assure.h"
#include "common/http_pool.h"
#include "common/http_queue.h"
#include "common/log.h"

enum {
    DROP_MAX = 256 * 1024, /* of an answer's body that nobody takes */
    READS_MAX = 4,         /* by one connection, before others have their turn */
    SPARE_MAX = 256,       /* ended calls' structs kept for the next */
    SPARE_PIECES = 32,     /* with a ring up to this large */
    GROW_BELOW = 1024,     /* less room than this, and the next read gets a new block */
};

enum call_state {
    STARTING, /* in client->starting: gets its connection at the end of this turn */
    DIALING,  /* a fresh connection is being made */
    SENDING,  /* has its connection; of the request, some is still to come or to go */
    WAITING,  /* the whole request is with the kernel; the final head has not come */
    READING,  /* answer() was told and the body is coming; nothing is sent any more */
    OVER,     /* done() told, or cancelled; lives until its last callback has returned */
};

struct call {
    struct http_client *client;
    const struct call_ops *ops;
    void *arg;
    struct upstream *upstream; /* a reference */
    struct conn *conn;         /* from SENDING on */
    struct http_dial dial;     /* in DIALING */
    struct timer timer;        /* send or answer limit; the dial has its own */
    struct http_queue queue;
    TAILQ_ENTRY(call) link; /* client->starting, or conn->calls */
    TAILQ_ENTRY(call) all;
    uint64_t body_left; /* of a LENGTH request body, not queued yet */
    uint64_t left;      /* of a LENGTH answer body, not taken yet */
    struct http_chunks chunks;
    size_t dropped; /* of an answer body that nobody takes */
    int connect_ms, send_ms, answer_ms;
    enum call_state state;
    enum http_body request_body, body;
    unsigned busy; /* callbacks running */
    bool to_head;
    bool unsendable; /* asks for bytes that would not be one request */
    bool fresh;      /* may not take a pooled connection */
    bool told_room;  /* the room() of the first connection */
    bool was_full;   /* room() is owed */
    bool corked;     /* the head waits for the first of the body */
    bool ended;      /* all of the request is queued */
    bool sent_any, sent_all;
    bool keep;    /* the connection may serve another call */
    bool paused;  /* body() left bytes */
    bool resumed; /* call_resume() since */
};

TAILQ_HEAD(call_list, call);

struct http_client {
    struct loop *loop;
    struct http_client_config config;
    char *agent;
    struct http_pool *pool;
    struct task flush;
    struct call_list starting;
    TAILQ_HEAD(, conn) dirty; /* something is to be written, or a body offered again */
    unsigned n_starting, n_dirty;
    bool connecting; /* the flush gives new calls their connections */
    struct call_list all;
    struct call_list spare; /* structs, linked through `all` */
    unsigned n_spare;
};

/* Every change of state goes through here. */
static void call_become(struct call *call, enum call_state state)
{
    static const unsigned from[] = {
        [STARTING] = 1u << SENDING | 1u << WAITING, /* the resend */
        [DIALING] = 1u << STARTING,
        [SENDING] = 1u << STARTING | 1u << DIALING,
        [WAITING] = 1u << SENDING,
        [READING] = 1u << SENDING | 1u << WAITING,
        [OVER] = ~(1u << OVER),
    };
    assure(from[state] & 1u << call->state);
    call->state = state;
}

/* --- connections in use --------------------------------------------------------------
 */
static void conn_mark(struct conn *conn, struct http_client *client)
{
    if (!conn->dirty) {
        conn->dirty = true;
        TAILQ_INSERT_TAIL(&client->dirty, conn, dirty_link);
        client->n_dirty++;
    }
    if (!client->connecting) /* else this turn's flush comes to it at once */
        loop_defer(client->loop, &client->flush);
}

static void conn_unmark(struct conn *conn, struct http_client *client)
{
    if (!conn->dirty)
        return;
    conn->dirty = false;
    TAILQ_REMOVE(&client->dirty, conn, dirty_link);
    client->n_dirty--;
}

/* Parts call and connection. Whatever is wrong with a connection is wrong for every call
 * on it: `keep` is only for one that is clean. */
static void call_unbind(struct call *call, bool keep)
{
    struct conn *conn = call->conn;
    TAILQ_REMOVE(&conn->calls, call, link);
    call->conn = NULL;
    conn_unmark(conn, call->client);
    block_unref(&conn->in);
    conn->in_pos = 0;
    conn->seen = 0;
    if (keep)
        http_pool_put(&conn);
    else
        http_pool_close(&conn);
}

/* What the connection is to be watched for. false: the kernel has no room for the watch.
 */
static bool conn_watch(struct conn *conn, const struct call *call)
{
    uint32_t events =
        (call->paused ? 0u : (uint32_t)EPOLLIN) | (conn->full ? (uint32_t)EPOLLOUT : 0u);
    if (conn->detached) {
        if (call->paused)
            return true;
        if (watch_add(call->client->loop, &conn->watch, events) < 0)
            return false;
        conn->detached = false;
    }
    watch_set(call->client->loop, &conn->watch, events);
    return true;
}

/* --- the end of a call ---------------------------------------------------------------
 */
static void call_free(struct call *call)
{
    struct http_client *client = call->client;
    TAILQ_REMOVE(&client->all, call, all);
    if (client->n_spare >= SPARE_MAX) {
        http_queue_free(&call->queue, 0);
        free(call);
        return;
    }
    http_queue_free(&call->queue, SPARE_PIECES);
    TAILQ_INSERT_HEAD(&client->spare, call, all);
    client->n_spare++;
}

static void call_delist(struct call *call)
{
    TAILQ_REMOVE(&call->client->starting, call, link);
    call->client->n_starting--;
}

/* Takes it out of whatever it is in. */
static void call_stop(struct call *call, bool keep)
{
    if (call->state == STARTING)
        call_delist(call);
    http_pool_dial_cancel(&call->dial);
    if (call->conn)
        call_unbind(call, keep);
    timer_clear(call->client->loop, &call->timer);
    http_queue_clear(&call->queue);
    upstream_unref(&call->upstream);
    call_become(call, OVER);
}

/* After a callback: false when the call was cancelled in it and nothing of it may be
 * touched. */
static bool call_still(struct call *call)
{
    call->busy--;
    if (call->state != OVER)
        return true;
    if (call->busy == 0)
        call_free(call);
    return false;
}

static void call_end_keep(struct call *call, enum call_result result, bool keep)
{
    call_stop(call, keep);
    call->busy++;
    call->ops->done(call, result);
    call_still(call);
}

static void call_end(struct call *call, enum call_result result)
{
    call_end_keep(call, result, false);
}

void call_cancel(struct call **callp)
{
    struct call *call = *callp;
    *callp = NULL;
    if (!call || call->state == OVER)
        return;
    call_stop(call, false);
    if (call->busy == 0)
        call_free(call);
}

static void call_fire(struct timer *timer)
{
    call_end(container_of(timer, struct call, timer), CALL_TIMEOUT);
}

/* --- getting a connection ------------------------------------------------------------
 */
static bool tell_room(struct call *call)
{
    call->told_room = true;
    call->was_full = false;
    if (!call->ops->room)
        return true;
    call->busy++;
    call->ops->room(call);
    return call_still(call);
}

static void call_bind(struct call *call, struct conn *conn)
{
    assure(TAILQ_EMPTY(&conn->calls)); /* no pipelining yet */
    TAILQ_INSERT_TAIL(&conn->calls, call, link);
    call->conn = conn;
    /* Only a pooled connection may turn out closed through nobody's fault. */
    call->queue.hold = conn->reused;
    call_become(call, SENDING);
    conn_mark(conn, call->client);
    if (!call->told_room)
        tell_room(call);
}

static void call_no_connection(struct call *call, int error)
{
    /* After a resend the server may have seen the request, so that it is not refused. */
    if (call->sent_any)
        call_end(call, CALL_BROKEN);
    else
        call_end(call, http_dial_local(error) ? CALL_LOCAL : CALL_REFUSED);
}

static void call_dialed(struct http_dial *dial, struct conn *conn, int error)
{
    struct call *call = container_of(dial, struct call, dial);
    if (conn)
        call_bind(call, conn);
    else
        call_no_connection(call, error);
}

static void call_connect(struct call *call)
{
    call_delist(call);
    struct conn *conn = call->fresh ? NULL : http_pool_take(call->upstream);
    if (conn) {
        call_bind(call, conn);
        return;
    }
    call_become(call, DIALING);
    if (call->unsendable)
        call_no_connection(call, -EINVAL);
    else
        http_pool_dial(&call->dial, call->upstream, call->connect_ms);
}

static void call_enlist(struct call *call)
{
    TAILQ_INSERT_TAIL(&call->client->starting, call, link);
    call->client->n_starting++;
    loop_defer(call->client->loop, &call->client->flush);
}

/* Once more from the start, on a fresh connection; that one is not `reused`, so it is
 * once. */
static void call_resend(struct call *call)
{
    http_queue_rewind(&call->queue);
    call_unbind(call, false);
    timer_clear(call->client->loop, &call->timer);
    call->fresh = true;
    call_become(call, STARTING);
    call_enlist(call);
}

/* The server closed (error 0) or the connection failed. The call is over or begins anew.
 */
static void conn_ended(struct conn *conn, ssize_t error)
{
    struct call *call = TAILQ_FIRST(&conn->calls);
    if (call->state == READING && call->body == HTTP_BODY_CLOSE && error == 0)
        call_end(call, CALL_OK);
    else if (call->queue.hold)
        call_resend(call);
    else
        call_end(call, CALL_BROKEN);
}

/* --- receiving -----------------------------------------------------------------------
 */
/* Room for the next read. What was taken may still be referenced by the one who took it,
 * so bytes are only ever appended to a block that is shared. */
static struct block *conn_room(struct conn *conn, const struct call *call)
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

static void arm_answer(struct call *call)
{
    timer_set(call->client->loop, &call->timer, (uint64_t)call->answer_ms);
}

/* The answer is complete. */
static void call_complete(struct call *call, bool keep)
{
    struct conn *conn = call->conn;
    /* Bytes behind the answer belong to no request. */
    keep = keep && call->keep && call->sent_all && !conn->mute && !conn->detached &&
           (!conn->in || conn->in_pos == conn->in->used);
    call_end_keep(call, CALL_OK, keep);
}

enum step {
    STEP_ON,   /* there may be more in what was read */
    STEP_READ, /* more must be read, or call_resume() must come */
    STEP_OVER, /* the call is over, the connection not this call's any more */
};

static enum step take_head(struct conn *conn, struct call *call)
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
    /* 101: we never ask for it. */
    if (n <= 0 || head.status == 101) {
        call_end(call, CALL_GARBAGE);
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
    /* An answer before its request is out: the server has decided, the rest is not sent.
     */
    http_queue_clear(&call->queue);
    conn->full = false;
    call_become(call, READING);
    block_ref(in); /* the head stays readable, even when the call is cancelled */
    call->busy++;
    call->ops->answer(call, &head);
    block_unref(&in);
    return call_still(call) ? STEP_ON : STEP_OVER;
}

/* Offers body bytes; *taken of len were taken. false: the call is over. */
static bool tell_body(struct conn *conn, struct call *call, size_t len, size_t *taken)
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
    return call_still(call);
}

static enum step take_body(struct conn *conn, struct call *call)
{
    struct block *in = conn->in;
    size_t len = in->used - conn->in_pos, taken;
    ssize_t framing;
    switch (call->body) {
    case HTTP_BODY_NONE:
        call_complete(call, true);
        return STEP_OVER;
    case HTTP_BODY_LENGTH:
        if (call->left == 0) {
            call_complete(call, true);
            return STEP_OVER;
        }
        if (len > call->left)
            len = (size_t)call->left;
        break;
    case HTTP_BODY_CHUNKED:
        framing = http_chunks_eat(&call->chunks, in->data + conn->in_pos, len);
        if (framing < 0) {
            call_end(call, CALL_GARBAGE);
            return STEP_OVER;
        }
        conn->in_pos += (uint32_t)framing;
        if (http_chunks_end(&call->chunks)) {
            call_complete(call, true);
            return STEP_OVER;
        }
        len -= (size_t)framing;
        if (len > call->chunks.left)
            len = (size_t)call->chunks.left;
        break;
    case HTTP_BODY_CLOSE:
        break;
    }
    /* Nobody wants the body, and it is too long to read for the connection's sake. */
    if (!call->ops->body &&
        call->dropped + (call->body == HTTP_BODY_LENGTH ? call->left : len) > DROP_MAX) {
        call_complete(call, false);
        return STEP_OVER;
    }
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

/* Goes through what was read. false: the call is over. */
static bool conn_take(struct conn *conn, struct call *call)
{
    enum step step;
    if (!conn->in) /* resumed with nothing left */
        return true;
    do {
        step = call->state == READING ? take_body(conn, call) : take_head(conn, call);
    } while (step == STEP_ON);
    if (step == STEP_OVER)
        return false;
    if (call->paused)
        timer_clear(call->client->loop, &call->timer);
    else if (call->state == READING)
        arm_answer(call);
    /* Nothing of the block is ours: it is not kept while we wait. One that is shared has
     * room for more, though, and a trickle must not pin a block for every few bytes. */
    if (conn->in_pos == conn->in->used && conn->in->refs == 1) {
        block_unref(&conn->in);
        conn->in_pos = 0;
    }
    return true;
}

static void conn_read(struct conn *conn)
{
    struct call *call = TAILQ_FIRST(&conn->calls);
    for (int i = 0; i < READS_MAX && !call->paused; i++) {
        struct block *in = conn_room(conn, call);
        size_t room = in->size - in->used;
        ssize_t n =
            conn->transport.ops->read(&conn->transport, in->data + in->used, room);
        if (n == -EAGAIN)
            break;
        /* Bytes on a pooled connection before anything was asked there are not our
         * answer. */
        if (n <= 0 || (conn->reused && call->queue.sent == 0 && call->state == SENDING)) {
            conn_ended(conn, n < 0 ? n : 0);
            return;
        }
        in->used += (uint32_t)n;
        http_queue_let_go(&call->queue);
        if (!conn_take(conn, call))
            return;
        if ((size_t)n < room)
            break;
    }
    if (!conn_watch(conn, call))
        conn_ended(conn, -ENOMEM);
}

/* --- sending -------------------------------------------------------------------------
 */
/* Puts one write together from the calls in their order; returns the number of vectors.
 */
static int conn_gather(const struct conn *conn, struct iovec *iov, char *scratch,
                       size_t *len)
{
    const struct call *call = TAILQ_FIRST(&conn->calls);
    int n = 0;
    if (call->state == SENDING && !call->corked)
        n = http_queue_gather(&call->queue, iov, HTTP_QUEUE_VECTORS, scratch);
    *len = 0;
    for (int i = 0; i < n; i++)
        *len += iov[i].iov_len;
    return n;
}

/* Writes what is queued. false: the call is over or has lost this connection. */
static bool conn_write(struct conn *conn)
{
    struct call *call = TAILQ_FIRST(&conn->calls);
    struct loop *loop = call->client->loop;
    size_t before = call->queue.queued;
    conn->full = false;
    while (!conn->mute && !conn->full) {
        struct iovec iov[HTTP_QUEUE_VECTORS];
        char scratch[HTTP_QUEUE_SCRATCH];
        size_t len;
        int n = conn_gather(conn, iov, scratch, &len);
        if (n == 0)
            break;
        ssize_t sent = conn->transport.ops->writev(&conn->transport, iov, n,
                                                   len < call->queue.queued);
        if (sent == -EAGAIN) {
            conn->full = true;
        } else if (sent < 0) {
            /* The answer may have come before the server hung up. */
            conn->mute = true;
            timer_set(loop, &call->timer, (uint64_t)call->send_ms);
            conn_read(conn);
            return false;
        } else {
            http_queue_sent(&call->queue, (size_t)sent);
            call->sent_any = true;
            conn->full = (size_t)sent < len;
        }
    }
    if (call->state == SENDING) {
        if (call->queue.queued == 0 && call->ended) {
            call->sent_all = true;
            call_become(call, WAITING);
            arm_answer(call);
        } else if (call->queue.queued == 0 || call->corked) {
            timer_clear(loop, &call->timer); /* it is not the server that is awaited */
        } else if (call->queue.queued < before || !timer_is_set(&call->timer)) {
            timer_set(loop, &call->timer, (uint64_t)call->send_ms);
        }
        if (call->was_full && call->queue.queued < CALL_ROOM / 2 && !tell_room(call))
            return false;
    }
    if (!conn_watch(conn, call)) {
        conn_ended(conn, -ENOMEM);
        return false;
    }
    return true;
}

static void conn_ready(struct watch *watch, uint32_t events)
{
    struct conn *conn = container_of(watch, struct conn, watch);
    struct call *call = TAILQ_FIRST(&conn->calls);
    if (events & EPOLLOUT && !conn_write(conn))
        return;
    if (!call->paused) {
        if (events & ~(uint32_t)EPOLLOUT)
            conn_read(conn);
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        /* Cannot be masked, and what was received before it is still to be read: look
         * away until the body is taken again. */
        watch_del(call->client->loop, watch);
        conn->detached = true;
    }
}

/* --- the deferred task ---------------------------------------------------------------
 */
static void conn_flush(struct conn *conn)
{
    struct call *call = TAILQ_FIRST(&conn->calls);
    if (call->resumed) {
        call->resumed = false;
        call->paused = false;
        if (!conn_take(conn, call))
            return;
        if (!call->paused && call->state == READING)
            arm_answer(call);
    }
    conn_write(conn);
}

static void client_flush(struct task *task)
{
    struct http_client *client = container_of(task, struct http_client, flush);
    struct call *call;
    struct conn *conn;
    /* What callbacks add has its turn in the next round of the loop. */
    client->connecting = true;
    for (unsigned n = client->n_starting; n > 0; n--)
        if ((call = TAILQ_FIRST(&client->starting)) != NULL)
            call_connect(call);
    client->connecting = false;
    for (unsigned n = client->n_dirty; n > 0; n--)
        if ((conn = TAILQ_FIRST(&client->dirty)) != NULL) {
            conn_unmark(conn, client);
            conn_flush(conn);
        }
}

/* --- starting a call -----------------------------------------------------------------
 */
static char *put(char *at, struct str s)
{
    return s.n ? (char *)memcpy(at, s.p, s.n) + s.n : at;
}

static bool one_word(struct str s)
{
    return s.n > 0 && !memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) &&
           !memchr(s.p, ' ', s.n) && !memchr(s.p, '\0', s.n);
}

static void queue_head(struct call *call, const struct call_spec *spec)
{
    struct str agent = str_of(call->client->agent);
    struct str fields = {NULL, 0};
    char framing[64] = "";
    if (spec->fields)
        fields = (struct str){spec->fields->text, spec->fields->len};
    if (spec->body == HTTP_BODY_LENGTH)
        snprintf(framing, sizeof framing, "Content-Length: %llu\r\n",
                 (unsigned long long)spec->length);
    else if (spec->body == HTTP_BODY_CHUNKED)
        strcpy(framing, "Transfer-Encoding: chunked\r\n");

    struct str parts[] = {spec->method,    STR(" "),
                          spec->target,    STR(" HTTP/1.1\r\nHost: "),
                          spec->authority, STR("\r\nUser-Agent: "),
                          agent,           STR("\r\n"),
                          str_of(framing), fields,
                          STR("\r\n")};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        len += parts[i].n;
    if (len > BLOCK_LARGE) {
        call->unsendable = true;
        return;
    }
    char *at = http_queue_reserve(&call->queue, len);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        at = put(at, parts[i]);
}

static struct call *call_new(struct http_client *client)
{
    struct call *call = TAILQ_FIRST(&client->spare);
    if (call) {
        struct http_queue queue = call->queue; /* empty; with its ring */
        TAILQ_REMOVE(&client->spare, call, all);
        client->n_spare--;
        memset(call, 0, sizeof *call);
        call->queue = queue;
    } else {
        call = xcalloc(1, sizeof *call);
    }
    call->client = client;
    TAILQ_INSERT_TAIL(&client->all, call, all);
    return call;
}

struct call *call_start(struct http_client *client, const struct call_spec *spec,
                        const struct call_ops *ops, void *arg)
{
    const struct http_client_config *config = &client->config;
    struct call *call = call_new(client);
    assure(spec->body != HTTP_BODY_CLOSE);
    call->ops = ops;
    call->arg = arg;
    call->state = STARTING;
    call->upstream = http_pool_upstream(client->pool, spec->authority);
    call->dial.done = call_dialed;
    call->timer.fire = call_fire;
    call->connect_ms = spec->connect_ms ? spec->connect_ms : config->connect_ms;
    call->send_ms = spec->send_ms ? spec->send_ms : config->send_ms;
    call->answer_ms = spec->answer_ms ? spec->answer_ms : config->answer_ms;
    call->to_head = str_eq(spec->method, STR("HEAD"));
    call->request_body = spec->body;
    call->body_left = spec->body == HTTP_BODY_LENGTH ? spec->length : 0;
    call->ended = spec->body != HTTP_BODY_CHUNKED && call->body_left == 0;
    call->corked = !call->ended;
    call->unsendable =
        !one_word(spec->method) || !one_word(spec->target) || !one_word(spec->authority);
    queue_head(call, spec);
    call_enlist(call);
    return call;
}

void *call_arg(const struct call *call)
{
    return call->arg;
}

struct loop *call_loop(const struct call *call)
{
    return call->client->loop;
}

/* Sees to it that what was queued goes out; without a connection, it goes once there is
 * one. */
static void call_uncork(struct call *call)
{
    call->corked = false;
    if (call->conn)
        conn_mark(call->conn, call->client);
}

void call_send(struct call *call, struct block *block, const char *data, size_t len)
{
    /* After an early answer the rest of the request is nobody's business. */
    if (len == 0 || call->state >= READING)
        return;
    if (call->request_body == HTTP_BODY_LENGTH) {
        assure(len <= call->body_left);
        call->body_left -= len;
        call->ended = call->body_left == 0;
    } else {
        assure(call->request_body == HTTP_BODY_CHUNKED && !call->ended);
    }
    http_queue_add(&call->queue, block, data, len,
                   call->request_body == HTTP_BODY_CHUNKED);
    if (call_full(call))
        call->was_full = true;
    call_uncork(call);
}

bool call_full(const struct call *call)
{
    return call->queue.queued > CALL_ROOM;
}

void call_send_end(struct call *call)
{
    if (call->state >= READING || call->ended) /* a length says itself where it ends */
        return;
    assure(call->request_body == HTTP_BODY_CHUNKED);
    http_queue_add_last_chunk(&call->queue);
    call->ended = true;
    call_uncork(call);
}

void call_resume(struct call *call)
{
    if (call->state != READING)
        return;
    call->resumed = true;
    conn_mark(call->conn, call->client);
}

bool call_sent_all(const struct call *call)
{
    return call->sent_all;
}

bool call_sent_any(const struct call *call)
{
    return call->sent_any;
}

/* --- the client ----------------------------------------------------------------------
 */
void http_client_defaults(struct http_client_config *config)
{
    *config = (struct http_client_config){
        .agent = "mkv",
        .connect_ms = 3000, /* a lost SYN is sent again after one second */
        .send_ms = 30 * 1000,
        .answer_ms = 30 * 1000,
        .idle_ms = 50 * 1000,
        .max_idle = 64,
    };
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_config *c)
{
    struct http_client *client = xcalloc(1, sizeof *client);
    struct http_pool_config pool = {
        .loop = loop,
        .lookups = c->lookups,
        .idle_ms = c->idle_ms,
        .max_idle = c->max_idle,
        .ready = conn_ready,
    };
    client->loop = loop;
    client->config = *c;
    client->agent = xstrdup(c->agent);
    client->config.agent = client->agent;
    client->pool = http_pool_new(&pool);
    client->flush.run = client_flush;
    TAILQ_INIT(&client->starting);
    TAILQ_INIT(&client->dirty);
    TAILQ_INIT(&client->all);
    TAILQ_INIT(&client->spare);
    return client;
}

void http_client_free(struct http_client **clientp)
{
    struct http_client *client = *clientp;
    struct call *call;
    if (!client)
        return;
    *clientp = NULL;
    while ((call = TAILQ_FIRST(&client->all)) != NULL) {
        assure(call->busy == 0); /* not from within a callback */
        call_cancel(&call);
    }
    while ((call = TAILQ_FIRST(&client->spare)) != NULL) {
        TAILQ_REMOVE(&client->spare, call, all);
        http_queue_free(&call->queue, 0);
        free(call);
    }
    loop_undefer(client->loop, &client->flush);
    http_pool_free(&client->pool);
    free(client->agent);
    free(client);
}
