/*
 * Calls: how they begin, get their connections, and end. The rest is in client_call.h.
 *
 * Nothing is written where it is asked for: calls begun and bytes queued in one turn of
 * the loop are gathered by one deferred task, which gives each new call its connection
 * and then writes once per connection. That is what lets a head and a small body leave in
 * one segment, and keeps every callback out of call_start() and call_send().
 */
#include "common/http/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/assure.h"
#include "common/http/client_call.h"
#include "common/stock.h"

static _Thread_local struct stock calls = {.size = sizeof(struct call), .most = 256};

void http_call_become(struct call *call, enum call_state state)
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

/* --- the end of a call ----------------------------------------------------------- */
static void call_free(struct call *call)
{
    struct http_client *client = call->client;
    TAILQ_REMOVE(&client->all, call, all);
    http_queue_free(&call->queue);
    stock_put(&calls, call);
}

static void call_delist(struct call *call)
{
    TAILQ_REMOVE(&call->client->starting, call, link);
    assure(TAILQ_FIRST(&call->client->starting) != call); /* analyzers trust no list */
    call->client->n_starting--;
}

/* Takes it out of whatever it is in. */
static void call_stop(struct call *call, bool keep)
{
    if (call->state == STARTING)
        call_delist(call);
    http_pool_dial_cancel(&call->dial);
    if (call->conn)
        http_flight_leave(call, keep);
    timer_clear(call->client->loop, &call->timer);
    http_queue_clear(&call->queue);
    upstream_unref(&call->upstream);
    http_call_become(call, OVER);
}

bool http_call_still(struct call *call)
{
    call->busy--;
    if (call->state != OVER)
        return true;
    if (call->busy == 0)
        call_free(call);
    return false;
}

void http_call_end_keep(struct call *call, enum call_result result, bool keep)
{
    call_stop(call, keep);
    call->busy++;
    call->ops->done(call, result);
    http_call_still(call);
}

void http_call_end(struct call *call, enum call_result result)
{
    http_call_end_keep(call, result, false);
}

/* What becomes of a cancelled call whose connection others share: its answer must be
 * read, or theirs would not be found. */
static void nobody_answer(struct call *call, const struct http_head *head)
{
    (void)call, (void)head;
}

static void nobody_done(struct call *call, enum call_result result)
{
    (void)call, (void)result;
}

static const struct call_ops nobody = {.answer = nobody_answer, .done = nobody_done};

bool http_call_abandoned(const struct call *call)
{
    return call->ops == &nobody;
}

static void call_drop(struct call *call, bool keep)
{
    call_stop(call, keep);
    if (call->busy == 0)
        call_free(call);
}

void call_cancel(struct call **callp)
{
    struct call *call = *callp;
    *callp = NULL;
    if (!call || call->state == OVER)
        return;
    bool shares = call->conn && call->conn->n_calls > 1;
    if (shares && (call->state != SENDING || call->queue.sent > 0))
        call->ops = &nobody;
    else
        call_drop(call, shares);
}

void http_call_arm_answer(struct call *call)
{
    timer_set(call->client->loop, &call->timer, (uint64_t)call->answer_ms);
}

static void call_fire(struct timer *timer)
{
    http_call_end(container_of(timer, struct call, timer), CALL_TIMEOUT);
}

/* --- getting a connection -------------------------------------------------------- */
bool http_call_tell_room(struct call *call)
{
    call->told_room = true;
    call->was_full = false;
    if (!call->ops->room)
        return true;
    call->busy++;
    call->ops->room(call);
    return http_call_still(call);
}

static void call_bind(struct call *call, struct upstream_conn *conn)
{
    http_flight_join(call, conn);
    if (!call->told_room)
        http_call_tell_room(call);
}

static void call_no_connection(struct call *call, int error)
{
    /* After a resend the server may have seen the request, so that it is not refused. */
    if (call->sent_any)
        http_call_end(call, CALL_BROKEN);
    else
        http_call_end(call, http_dial_local(error) ? CALL_LOCAL : CALL_REFUSED);
}

static void call_dialed(struct http_dial *dial, struct upstream_conn *conn, int error)
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
    struct upstream_conn *conn = http_flight_take(call);
    if (conn) {
        call_bind(call, conn);
        return;
    }
    http_call_become(call, DIALING);
    if (call->unsendable)
        call_no_connection(call, -EINVAL);
    else
        http_pool_dial(&call->dial, call->upstream, call->connect_ms);
}

void http_call_enlist(struct call *call)
{
    TAILQ_INSERT_TAIL(&call->client->starting, call, link);
    call->client->n_starting++;
    loop_defer(call->client->loop, &call->client->flush);
}

/* --- what the loop says ------------------------------------------------------------ */
static void upstream_conn_ready(struct watch *watch, uint32_t events)
{
    struct upstream_conn *conn = container_of(watch, struct upstream_conn, watch);
    struct call *call = http_conn_first(conn);
    if (events & EPOLLOUT && !http_call_write(conn))
        return;
    if (!call->paused) {
        if (events & ~(uint32_t)EPOLLOUT)
            http_call_read(conn);
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        /* Cannot be masked, and what was received before it is still to be read: look
         * away until the body is taken again. */
        watch_del(call->client->loop, watch);
        conn->detached = true;
    }
}

/* --- the deferred task ----------------------------------------------------------- */
static void conn_flush(struct upstream_conn *conn)
{
    struct call *call = http_conn_first(conn);
    http_flight_close(conn);
    if (call->resumed) {
        call->resumed = false;
        call->paused = false;
        if (!http_call_take(conn))
            return;
        if (!call->paused && call->state == READING)
            http_call_arm_answer(call);
    }
    http_call_write(conn);
}

static void client_flush(struct task *task)
{
    struct http_client *client = container_of(task, struct http_client, flush);
    struct call *call;
    struct upstream_conn *conn;
    /* What callbacks add has its turn in the next round of the loop. */
    client->connecting = true;
    for (unsigned n = client->n_starting; n > 0; n--)
        if ((call = TAILQ_FIRST(&client->starting)) != NULL)
            call_connect(call);
    client->connecting = false;
    for (unsigned n = client->n_dirty; n > 0; n--)
        if ((conn = TAILQ_FIRST(&client->dirty)) != NULL) {
            http_conn_unmark(conn, client);
            conn_flush(conn);
        }
}

/* --- starting a call ------------------------------------------------------------- */
static struct call *call_new(struct http_client *client)
{
    struct call *call = stock_get(&calls);
    memset(call, 0, sizeof(*call));
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
    call->safe = call->to_head || str_eq(spec->method, STR("GET"));
    call->request_body = spec->body;
    call->body_left = spec->body == HTTP_BODY_LENGTH ? spec->length : 0;
    call->ended = spec->body != HTTP_BODY_CHUNKED && call->body_left == 0;
    call->corked = !call->ended;
    http_call_queue_head(call, spec);
    http_call_enlist(call);
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

/* What was queued goes out in this turn, or when there is a connection. */
static void call_uncork(struct call *call)
{
    call->corked = false;
    if (call->conn)
        http_conn_mark(call->conn, call->client);
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
    http_conn_mark(call->conn, call->client);
}

bool call_sent_all(const struct call *call)
{
    return call->sent_all;
}

bool call_sent_any(const struct call *call)
{
    return call->sent_any;
}

const char *call_result_text(enum call_result result)
{
    switch (result) {
    case CALL_OK:
        break;
    case CALL_REFUSED:
        return "takes no connection";
    case CALL_LOCAL:
        return "cannot be connected to for want of our own descriptors, ports or memory";
    case CALL_TIMEOUT:
        return "does not answer in time";
    case CALL_BROKEN:
        return "breaks connections";
    case CALL_GARBAGE:
        return "answers what is not HTTP";
    }
    return "answers";
}

/* --- the client ------------------------------------------------------------------ */
void http_client_defaults(struct http_client_config *config)
{
    *config = (struct http_client_config){
        .connect_ms = 3000, /* a lost SYN is sent again after one second */
        .send_ms = 30 * 1000,
        .answer_ms = 30 * 1000,
        .idle_ms = 50 * 1000,
        .max_idle = 64,
    };
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_config *c)
{
    assure(c->agent != NULL);
    struct http_client *client = xcalloc(1, sizeof(*client));
    struct http_pool_config pool = {
        .loop = loop,
        .lookups = c->lookups,
        .idle_ms = c->idle_ms,
        .max_idle = c->max_idle,
        .ready = upstream_conn_ready,
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
        call_drop(call, false);
    }
    loop_undefer(client->loop, &client->flush);
    http_pool_free(&client->pool);
    free(client->agent);
    free(client);
}
