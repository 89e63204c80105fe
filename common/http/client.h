/*
 * The HTTP/1.1 client: calls to servers named by authority ("host:port"), over a pool of
 * keep-alive connections per authority. One http_client per loop, used on its thread
 * only.
 *
 * A *call* is one request and its answer. Bodies stream both ways with back-pressure. A
 * call ends with exactly one done(), never from within call_start() (always from the
 * loop), unless it is cancelled.
 *
 * A pooled connection that turns out closed before the first byte of an answer is no
 * failure: while all that was sent is still held (requests up to CALL_RESEND bytes), it
 * is sent once more on a fresh connection to the same server. But only a GET or HEAD once
 * the server's kernel has acknowledged all of it: anything else may then be carried out,
 * and by and by, whatever a second one is answered. Connecting tries every address of a
 * name.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/block.h"
#include "common/http/fields.h"
#include "common/http/parse.h"
#include "common/loop.h"
#include "common/str.h"
#include "common/workers.h"

struct http_client;
struct call;

enum {
    CALL_RESEND = 256 * 1024, /* sent bytes are kept up to this many, for the resend */
    CALL_ROOM = 256 * 1024,   /* a call with more than this queued is full */
};

enum call_result {
    CALL_OK,      /* the answer is complete */
    CALL_REFUSED, /* no connection: the server has seen nothing of the request (a resend
                     that finds no connection is CALL_BROKEN) */
    CALL_LOCAL,   /* no connection for want of our own descriptors, ports or memory */
    CALL_TIMEOUT, /* connected, then silent past a limit */
    CALL_BROKEN,  /* the connection ended before the answer did */
    CALL_GARBAGE, /* what came is not an HTTP answer */
};
/* The same in words, of the server: "takes no connection". */
const char *call_result_text(enum call_result result);

struct call_ops {
    /* call_send() may go on: less than half of CALL_ROOM is queued. Also called once when
     * the connection is there. May be NULL. */
    void (*room)(struct call *call);
    /* The final answer's head (1xx are swallowed); head is valid during the call only. It
     * may come before the request is out: nothing more of that is sent then (call_send()
     * drops what it is given), the body is told as usual, and the connection is not used
     * again. */
    void (*answer)(struct call *call, const struct http_head *head);
    /* Bytes of the answer's body; returns how many are taken, the rest is offered again
     * after call_resume(). NULL: dropped (up to a limit, then the connection is cut,
     * which is CALL_OK all the same). */
    size_t (*body)(struct call *call, struct block *block, const char *data, size_t len);
    /* The call is over and invalid after this returns. The status of the answer, where
     * one came, was told by answer(). */
    void (*done)(struct call *call, enum call_result result);
};

struct call_spec {
    struct str authority; /* "host:port", "host", "[::1]:3001" */
    struct str method;
    struct str target; /* as it goes on the wire: percent-encoded where need be */
    const struct http_fields *fields; /* further header lines, or NULL */
    enum http_body body;              /* HTTP_BODY_NONE, LENGTH or CHUNKED */
    uint64_t length;
    int connect_ms; /* all addresses together; 0: the client's default */
    int send_ms;    /* without progress while bytes are queued; 0: default */
    int answer_ms;  /* from the last byte of the request to the answer's head, and between
                       two stretches of the answer's body (or to its end, where nobody
                       takes it: then it must not drip); 0: default */
};

struct http_client_config {
    const char *agent;       /* the User-Agent header; must be given */
    struct workers *lookups; /* resolves names */
    int connect_ms, send_ms, answer_ms;
    int idle_ms;  /* how long a pooled connection is kept: under nginx's 75 s */
    int max_idle; /* pooled connections kept per authority */
};

void http_client_defaults(struct http_client_config *config);
struct http_client *http_client_new(struct loop *loop,
                                    const struct http_client_config *c);
/* Cuts every call (no done()) and closes the pool. Not from within a callback. A look-up
 * under way ends as a task of the loop, so workers and loop are freed after it, in that
 * order. */
void http_client_free(struct http_client **client);

/* Begins a call; everything in `spec` is copied. A request with a body goes out with the
 * first call_send(), so that head and body leave in one write; one without goes out at
 * the end of this turn. Never NULL. */
struct call *call_start(struct http_client *client, const struct call_spec *spec,
                        const struct call_ops *ops, void *arg);
void *call_arg(const struct call *call);
struct loop *call_loop(const struct call *call);

/* Queues body bytes (takes a reference to block). Everything is taken; call_full() tells
 * when to stop until room(). */
void call_send(struct call *call, struct block *block, const char *data, size_t len);
bool call_full(const struct call *call);
/* The body is complete. A LENGTH body must be: all its bytes were queued. */
void call_send_end(struct call *call);
/* Offers the rest of the answer's body again. */
void call_resume(struct call *call);

/* Has the last byte of the request been handed to the kernel on any connection? Then the
 * server may carry it out, whatever becomes of the answer. Valid in done() as well. */
bool call_sent_all(const struct call *call);
/* Has any byte been? */
bool call_sent_any(const struct call *call);

/* Cuts the connection at once; no done() follows. Clears the pointer. */
void call_cancel(struct call **call);

#endif
