/*
 * The HTTP client's sending side: the head, and the writes, each as large as the queue
 * allows.
 *
 * A failed write does not end the call. A server that refuses a body answers and hangs
 * up, and the answer is what the caller needs: so nothing more is written and what came
 * is read, down to the end or error that follows.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/http_call.h"

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
    if (!one_word(spec->method) || !one_word(spec->target) ||
        !one_word(spec->authority) || len > BLOCK_LARGE) {
        call->unsendable = true;
        return;
    }
    char *at = http_queue_reserve(&call->queue, len);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        at = put(at, parts[i]);
}

/* Puts one write together, of *len bytes; returns the number of vectors. */
static int conn_gather(const struct upstream_conn *conn, struct iovec *iov, char *scratch,
                       size_t *len)
{
    const struct call *call = conn->call;
    int n = 0;
    if (call->state == SENDING && !call->corked)
        n = http_queue_gather(&call->queue, iov, HTTP_QUEUE_VECTORS, scratch);
    *len = 0;
    for (int i = 0; i < n; i++)
        *len += iov[i].iov_len;
    return n;
}

bool http_call_write(struct upstream_conn *conn)
{
    struct call *call = conn->call;
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
            http_call_read(conn);
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
            http_call_become(call, WAITING);
            http_call_arm_answer(call);
        } else if (call->queue.queued == 0 || call->corked) {
            timer_clear(loop, &call->timer); /* it is not the server that is awaited */
        } else if (call->queue.queued < before || !timer_is_set(&call->timer)) {
            timer_set(loop, &call->timer, (uint64_t)call->send_ms);
        }
        if (call->was_full && call->queue.queued < CALL_ROOM / 2 &&
            !http_call_tell_room(call))
            return false;
    }
    if (!http_call_watch(conn, call)) {
        http_call_lost(conn, -ENOMEM);
        return false;
    }
    return true;
}
