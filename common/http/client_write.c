/*
 * The HTTP client's sending side: the head, and the writes, each as large as the queue
 * allows.
 *
 * A failed write does not end the call. A server that refuses a body answers and hangs
 * up, and the answer is what the caller needs: so nothing more is written and what came
 * is read, down to the end or error that follows.
 */
#include <errno.h>
#include <string.h>

#include "common/decimal.h"
#include "common/http/client_call.h"

enum { VECTORS_MAX = 32 };

static char *put(char *at, struct str s)
{
    return s.n ? (char *)memcpy(at, s.p, s.n) + s.n : at;
}

static bool one_word(struct str s)
{
    return s.n > 0 && !memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) &&
           !memchr(s.p, ' ', s.n) && !memchr(s.p, '\0', s.n);
}

void http_call_queue_head(struct call *call, const struct call_spec *spec)
{
    struct str agent = str_of(call->client->agent);
    struct str fields = {NULL, 0};
    struct str framing = {NULL, 0}, length = {NULL, 0};
    char digits[DECIMAL_MAX];
    if (spec->fields)
        fields = (struct str){spec->fields->text, spec->fields->len};
    if (spec->body == HTTP_BODY_LENGTH) {
        framing = STR("\r\nContent-Length: ");
        length = (struct str){digits, decimal_put(spec->length, digits)};
    } else if (spec->body == HTTP_BODY_CHUNKED) {
        framing = STR("\r\nTransfer-Encoding: chunked");
    }

    struct str parts[] = {spec->method,    STR(" "),
                          spec->target,    STR(" HTTP/1.1\r\nHost: "),
                          spec->authority, STR("\r\nUser-Agent: "),
                          agent,           framing,
                          length,          STR("\r\n"),
                          fields,          STR("\r\n")};
    size_t len = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        len += parts[i].n;
    if (!one_word(spec->method) || !one_word(spec->target) ||
        !one_word(spec->authority) || len > BLOCK_LARGE) {
        call->unsendable = true;
        return;
    }
    char *at = http_queue_reserve(&call->queue, len);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        at = put(at, parts[i]);
}

/* Puts one write together, of *len bytes out of *queued; returns the number of vectors.
 * Only a call that is alone has chunks, and so use for the scratch. */
static int conn_gather(const struct upstream_conn *conn, struct iovec *iov, int most,
                       char *scratch, size_t *len, size_t *queued)
{
    const struct call *call;
    int n = 0;
    *len = *queued = 0;
    TAILQ_FOREACH(call, &conn->calls, in_flight)
    {
        if (call->state != SENDING || call->corked)
            continue;
        int room = most - n < HTTP_QUEUE_VECTORS ? most - n : HTTP_QUEUE_VECTORS;
        *queued += call->queue.queued;
        if (room > 0)
            n += http_queue_gather(&call->queue, iov + n, room, scratch);
    }
    for (int i = 0; i < n; i++)
        *len += iov[i].iov_len;
    return n;
}

/* The kernel has taken n bytes of what was gathered. */
static void conn_sent(struct upstream_conn *conn, size_t n)
{
    struct call *call;
    TAILQ_FOREACH(call, &conn->calls, in_flight)
    {
        if (n == 0)
            break;
        if (call->state != SENDING)
            continue;
        size_t own = n < call->queue.queued ? n : call->queue.queued;
        http_queue_sent(&call->queue, own);
        call->sent_any = true;
        call->moved = true;
        n -= own;
    }
}

/* Decides what a call that was SENDING waits for now. */
static void call_settle(struct call *call)
{
    struct loop *loop = call->client->loop;
    if (call->queue.queued == 0 && call->ended) {
        call->sent_all = true;
        http_call_become(call, WAITING);
        http_call_arm_answer(call);
    } else if (call->queue.queued == 0 || call->corked) {
        timer_clear(loop, &call->timer); /* it is not the server that is awaited */
    } else if (call->moved || !timer_is_set(&call->timer)) {
        timer_set(loop, &call->timer, (uint64_t)call->send_ms);
    }
    call->moved = false;
}

bool http_call_write(struct upstream_conn *conn)
{
    struct call *call = http_conn_first(conn);
    struct http_client *client = call->client;
    conn->full = false;
    while (!conn->mute && !conn->full) {
        struct iovec iov[VECTORS_MAX];
        char scratch[HTTP_QUEUE_SCRATCH];
        size_t len, queued;
        int n = conn_gather(conn, iov, VECTORS_MAX, scratch, &len, &queued);
        if (n == 0)
            break;
        ssize_t sent =
            conn->transport.ops->writev(&conn->transport, iov, n, len < queued);
        if (sent == -EAGAIN) {
            conn->full = true;
        } else if (sent < 0) {
            /* The answer may have come before the server hung up. */
            conn->mute = true;
            timer_set(client->loop, &call->timer, (uint64_t)call->send_ms);
            http_call_read(conn);
            return false;
        } else {
            conn_sent(conn, (size_t)sent);
            conn->full = (size_t)sent < len;
        }
    }
    http_flight_wait(conn, client);
    TAILQ_FOREACH(call, &conn->calls, in_flight)
    {
        if (call->state != SENDING)
            continue;
        call_settle(call);
        /* Where it was full, it is alone. */
        if (call->was_full && call->queue.queued < CALL_ROOM / 2) {
            if (!http_call_tell_room(call))
                return false;
            break;
        }
    }
    if (!http_conn_watch(conn, client)) {
        http_call_lost(conn, -ENOMEM);
        return false;
    }
    return true;
}
