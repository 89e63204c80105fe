/*
 * Private to the HTTP client: the connections to each server it talks to.
 *
 * An *upstream* is an authority ("host:port") with its addresses, looked up once and kept
 * until connecting fails, and its idle connections. An idle connection is watched: one
 * that becomes readable was closed by the server (or speaks out of turn) and is dropped
 * at once, so that few calls ever meet a dead one. A *dial* is the way to one fresh
 * connection: look the name up where need be, then try address after address until the
 * time is up. Where addresses known from earlier all fail, it looks the name up once more
 * and tries what it leads to now.
 *
 * struct upstream_conn stands here, and not in a .c, because its two halves have two
 * owners: the pool opens, keeps and closes it, client_flight.c runs calls over it.
 */
#ifndef COMMON_HTTP_CLIENT_POOL_H
#define COMMON_HTTP_CLIENT_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/block.h"
#include "common/http/client_name.h"
#include "common/loop.h"
#include "common/str.h"
#include "common/transport.h"
#include "common/workers.h"

struct http_pool;
struct upstream;
struct http_dial;
struct call;

TAILQ_HEAD(calls_in_flight, call);

struct upstream_conn {
    /* --- the pool's */
    struct watch watch; /* always for EPOLLIN, unless client_flight.c asks otherwise */
    struct transport transport;
    struct upstream *upstream; /* a reference */
    struct http_dial *dial;    /* while connecting */
    bool reused;               /* has lain in the pool before this use */
    uint64_t idle_since;
    TAILQ_ENTRY(upstream_conn) idle;

    /* --- client_flight.c's; all empty when it comes from the pool and goes back there. */
    struct calls_in_flight calls; /* whose answers are to come, in their order */
    unsigned n_calls;
    struct timer patience; /* while there are several (client_flight.c) */
    struct block *in;      /* what was read and not yet taken: in_pos..in->used */
    uint32_t in_pos;
    size_t seen;   /* http_parse_answer's */
    bool spent;    /* answers to calls that have left are still to come */
    bool full;     /* the socket takes no more: EPOLLOUT is awaited */
    bool mute;     /* a write failed: only what the server said before is still read */
    bool detached; /* hung up while nobody takes its body: not watched until then */
    bool dirty;    /* in the client's list of what is to be flushed */
    TAILQ_ENTRY(upstream_conn) dirty_link;
};

struct http_pool_config {
    struct loop *loop;
    struct workers *lookups; /* NULL: names are not found */
    int idle_ms;
    int max_idle;
    /* The watch's callback of a connection that is in use. */
    void (*ready)(struct watch *watch, uint32_t events);
};

struct http_pool *http_pool_new(const struct http_pool_config *config);
/* Closes what is idle. All dials and connections in use are over by then. */
void http_pool_free(struct http_pool **pool);

/* The upstream of that name, with a reference. Never NULL: dialling a name that makes no
 * sense fails. */
struct upstream *http_pool_upstream(struct http_pool *pool, struct str authority);
void upstream_unref(struct upstream **upstream);

/* How calls share connections to one upstream; client_flight.c's, zero at first. */
struct http_sharing {
    struct upstream_conn *open; /* takes more calls until this turn's flush writes it */
    uint64_t apart_until;       /* loop_now() before which none are shared */
};
struct http_sharing *http_pool_sharing(struct upstream *upstream);

/* An idle connection (the one used last), or NULL. */
struct upstream_conn *http_pool_take(struct upstream *upstream);
/* Keeps a connection for the next call; closes it where enough are kept. */
void http_pool_put(struct upstream_conn **conn);
void http_pool_close(struct upstream_conn **conn);

/* Embedded in its owner, which holds a reference to the upstream. */
struct http_dial {
    /* Once, unless cancelled; may run before http_pool_dial() returns. conn is the
     * owner's; NULL: error is -ETIMEDOUT, -ECONNREFUSED …; see http_dial_local(). */
    void (*done)(struct http_dial *dial, struct upstream_conn *conn, int error);
    /* the pool's */
    struct upstream *upstream;
    struct http_addrs *addrs;   /* a reference */
    struct upstream_conn *conn; /* to the address being tried */
    struct timer timer;
    uint64_t began, deadline;
    int first, tried; /* the address begun with; how many since */
    int error;        /* what the first address that failed said */
    struct http_asker asker;
};

/* Begins a fresh connection; all addresses together get ms. */
void http_pool_dial(struct http_dial *dial, struct upstream *upstream, int ms);
/* Nothing happens where no dial is under way. */
void http_pool_dial_cancel(struct http_dial *dial);
/* Does this error speak of our own descriptors, ports or memory, not of the server? */
bool http_dial_local(int error);

#endif
