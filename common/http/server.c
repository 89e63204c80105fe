/*
 * The server of one loop: its limits, the list of its connections, and their end.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/assure.h"
#include "common/http/server_conn.h"
#include "common/net.h"

void http_server_defaults(struct http_server_config *config)
{
    memset(config, 0, sizeof(*config));
    config->head_ms = 60 * 1000;
    config->body_ms = 30 * 1000;
    config->send_ms = 60 * 1000;
    config->idle_ms = 75 * 1000;
    config->linger_ms = 30 * 1000;
}

struct http_server *http_server_new(struct loop *loop,
                                    const struct http_server_config *config)
{
    assure(config->name != NULL);
    struct http_server *server = xcalloc(1, sizeof(*server));
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
    struct conn *conn = conn_new(server, fd);
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    net_nodelay(fd);
    if (server->config.peers && !net_peer_text(fd, conn->peer))
        conn->peer[0] = '-'; /* it has left already */
    if ((server->draining && !server->drained) ||
        watch_add(server->loop, &conn->watch, EPOLLIN) < 0) {
        conn_free(conn);
        return;
    }
    /* The request is often there already, and always soon: reading at once saves a
     * turn. */
    conn_ready(&conn->watch, EPOLLIN);
}

void http_server_forget(struct http_server *server, struct conn *conn)
{
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    atomic_fetch_sub(&server->count, 1);
    if (server->drained && !server->conns) {
        loop_defer(server->loop, server->drained);
        server->drained = NULL;
    }
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
        conn->keep = false;
        if (conn->state == CONN_IDLE) {
            /* A request that is in the socket already is answered; else this ends it. */
            conn_ready(&conn->watch, EPOLLIN);
        } else {
            conn->wait = CONN_WAIT_ANEW; /* limits are shorter now */
            conn_schedule(conn);
        }
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
    free(server);
}
