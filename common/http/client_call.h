/*
 * Private to the HTTP client: a call from within. client.c begins and ends calls,
 * client_flight.c puts them on connections and takes them off, client_write.c sends
 * requests, client_read.c takes answers.
 *
 * Callbacks may cancel their call. A call is therefore freed only when none of its
 * callbacks is running (`busy`), and whoever ran one returns at once when
 * http_call_still() says that it is over: its connection is gone then as well.
 */
#ifndef COMMON_HTTP_CLIENT_CALL_H
#define COMMON_HTTP_CLIENT_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/http/client.h"
#include "common/http/client_pool.h"
#include "common/http/client_queue.h"

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
    struct upstream *upstream;  /* a reference */
    struct upstream_conn *conn; /* from SENDING on */
    struct http_dial dial;      /* in DIALING */
    struct timer timer;         /* send or answer limit; the dial has its own */
    struct http_queue queue;
    TAILQ_ENTRY(call) link;      /* client->starting */
    TAILQ_ENTRY(call) in_flight; /* conn->calls */
    TAILQ_ENTRY(call) all;
    uint64_t body_left; /* of a LENGTH request body, not queued yet */
    uint64_t left;      /* of a LENGTH answer body, not taken yet */
    struct http_chunks chunks;
    size_t dropped; /* of an answer body that nobody takes */
    int connect_ms, send_ms, answer_ms;
    enum call_state state;
    enum http_body request_body, body;
    unsigned busy; /* callbacks running */
    uint8_t interims;
    bool to_head;
    bool safe;       /* changes nothing at the server */
    bool unsendable; /* asks for bytes that would not be one request */
    bool fresh;      /* may not take a pooled connection */
    bool alone;      /* may not share one */
    bool told_room;  /* the room() of the first connection */
    bool was_full;   /* room() is owed */
    bool corked;     /* the head waits for the first of the body */
    bool ended;      /* all of the request is queued */
    bool sent_any, sent_all;
    bool moved;   /* the write under way took some of it */
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
    TAILQ_HEAD(, upstream_conn)
    dirty; /* something is to be written, or a body offered again */
    unsigned n_starting, n_dirty;
    bool connecting; /* the flush gives new calls their connections */
    struct call_list all;
};

/* --- client.c --------------------------------------------------------------- */
/* Every change of state goes through here. */
void http_call_become(struct call *call, enum call_state state);
/* After a callback (busy was raised before it): false when the call was cancelled in it,
 * and nothing of it may be touched. */
bool http_call_still(struct call *call);
/* Tells done(). `keep`: the connection is clean and may serve another call. */
void http_call_end_keep(struct call *call, enum call_result result, bool keep);
void http_call_end(struct call *call, enum call_result result);
/* Cancelled, with others behind it: only its answer is still awaited, by nobody. */
bool http_call_abandoned(const struct call *call);
/* STARTING: has it get its connection. */
void http_call_enlist(struct call *call);
/* From now on the server has answer_ms to say something. */
void http_call_arm_answer(struct call *call);
/* Tells room(); false: the call is over. */
bool http_call_tell_room(struct call *call);

/* --- client_flight.c --------------------------------------------------------------- */
/* The call whose answer comes next, on a connection in use. */
static inline struct call *http_conn_first(const struct upstream_conn *conn)
{
    return TAILQ_FIRST(&conn->calls);
}
/* This turn's flush is to look at it; need not any more. */
void http_conn_mark(struct upstream_conn *conn, struct http_client *client);
void http_conn_unmark(struct upstream_conn *conn, struct http_client *client);
/* Watches for what is awaited. false: the kernel has no room for the watch. */
bool http_conn_watch(struct upstream_conn *conn, struct http_client *client);

/* A connection for the call that is there already, or NULL. */
struct upstream_conn *http_flight_take(struct call *call);
void http_flight_join(struct call *call, struct upstream_conn *conn);
/* No more calls join it. */
void http_flight_close(struct upstream_conn *conn);
/* Something was sent or answered: those who share it have patience for a while. */
void http_flight_wait(struct upstream_conn *conn, struct http_client *client);
/* Parts call and connection. Whatever is wrong with a connection is wrong for every call
 * on it: `keep` is only for one that is clean, otherwise the others begin anew. */
void http_flight_leave(struct call *call, bool keep);
/* The server closed (error 0) or the connection failed: its calls end or begin anew. */
void http_call_lost(struct upstream_conn *conn, ssize_t error);

/* --- client_write.c ----------------------------------------------------------- */
/* Queues the request line and the header lines; or marks the call unsendable. */
void http_call_queue_head(struct call *call, const struct call_spec *spec);
/* Writes what is queued. false: the connection is not its calls' any more. */
bool http_call_write(struct upstream_conn *conn);

/* --- client_read.c ------------------------------------------------------------ */
/* Reads, and goes through what came; calls may be over when it returns. */
void http_call_read(struct upstream_conn *conn);
/* Goes through what was read before. false: the connection is not its calls' any more. */
bool http_call_take(struct upstream_conn *conn);

#endif
