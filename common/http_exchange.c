/*
 * What a handler asks of its request. Nothing here moves the connection: it notes what is
 * wanted and has the connection look at it (see http_conn.c).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/assure.h"
#include "common/http_conn.h"
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
        out->micros = conn_micros(ex->conn);
}
