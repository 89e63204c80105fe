/*
 * What a handler asks of its request. Nothing here moves the connection: it notes what is
 * wanted and has the connection look at it (see server_conn.c).
 */
#include <stdio.h>
#include <sys/socket.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/http/server_conn.h"
#include "common/net.h"

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

bool exchange_body_sound(const struct exchange *ex)
{
    const struct conn *conn = ex->conn;
    return conn->framing != HTTP_BODY_CHUNKED || (!conn->body_bad && body_sound(conn));
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

const char *exchange_local(struct exchange *ex)
{
    static _Thread_local char url[NET_IP_TEXT + 2];
    char text[NET_IP_TEXT];
    struct net_addr a = {.len = sizeof(a.u)};
    if (getsockname(ex->conn->transport.fd, &a.u.sa, &a.len) < 0)
        return "localhost";
    int family = net_ip_text(&a, text);
    snprintf(url, sizeof(url), family == AF_INET6 ? "[%s]" : "%s",
             family ? text : "localhost");
    return url;
}

const char *exchange_peer(const struct exchange *ex)
{
    return ex->conn->peer;
}

struct str exchange_request_line(const struct exchange *ex)
{
    const struct block *block = ex->head_block;
    const char *p = block->data + ex->head_at, *end = block->data + block->used;
    while (p < end && (*p == '\r' || *p == '\n'))
        p++;
    const char *start = p;
    while (p < end && *p != '\r' && *p != '\n')
        p++;
    return (struct str){start, (size_t)(p - start)};
}

void exchange_abort(struct exchange *ex)
{
    ex->abort = true;
    conn_schedule(ex->conn);
}

void exchange_stats(const struct exchange *ex, struct exchange_stats *out)
{
    *out = ex->stats;
    out->micros = (clock_ns() - ex->conn->began) / 1000;
}
