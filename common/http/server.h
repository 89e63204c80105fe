/*
 * The HTTP/1.x server: connections, requests, bodies streamed both ways with
 * back-pressure.
 *
 * One http_server per loop; a connection never changes loops. An *exchange* is one
 * request and its answer. Its life:
 *
 *   on_request(ex)                   the head is there; the handler calls exchange_own()
 * and ops->body(ex, …)*              may at once, or at any later time, answer
 *     ops->body_end(ex)
 *   exchange_reply() or exchange_begin(), exchange_write()*, exchange_end()
 *   ops->over(ex, how)               always, exactly once, the last that is heard of ex
 *
 * An answer may be given while the body is still coming: no more body() calls follow, the
 * server sends the answer, then reads and drops what the client still sends (within
 * limits), so that the answer is not lost in a reset.
 *
 * Pipelined requests are handled one after the other; their answers leave in one write
 * where they can. Malformed requests, limits and timeouts are answered by the server
 * itself.
 */
#ifndef COMMON_HTTP_SERVER_H
#define COMMON_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/block.h"
#include "common/http/fields.h"
#include "common/http/parse.h"
#include "common/loop.h"
#include "common/str.h"
#include "common/workers.h"

struct http_server;
struct exchange;

/* How an exchange ended. */
enum exchange_end {
    EXCHANGE_SENT,  /* the answer is with the kernel, or (64 KiB at most) queued for it */
    EXCHANGE_GONE,  /* the client closed, reset, or stayed silent past a limit */
    EXCHANGE_BAD,   /* its body was malformed; the server has answered 400 itself */
    EXCHANGE_ABORT, /* the handler called exchange_abort() */
};

struct exchange_ops {
    /* Body bytes: a stretch of `block` (take a reference to keep them). Returns how many
     * are taken; the rest is offered again after exchange_resume(). NULL: the body is
     * dropped. */
    size_t (*body)(struct exchange *ex, struct block *block, const char *data,
                   size_t len);
    /* The whole body has come and was well-formed. May be called before on_request
     * returns control to the loop, never before exchange_own(). Also called when there is
     * no body. */
    void (*body_end)(struct exchange *ex);
    /* What came of the body is malformed, and no more comes: in place of body_end(). The
     * handler answers, then or later, as a rule with 400. NULL: the server does, and the
     * exchange is over. */
    void (*body_bad)(struct exchange *ex);
    /* After exchange_write() said to wait: there is room again. */
    void (*writable)(struct exchange *ex);
    /* The exchange is over and `ex` invalid after this returns. What the handler has
     * under way (jobs, calls) it must detach itself. */
    void (*over)(struct exchange *ex, enum exchange_end how);
};

struct http_server_config {
    const char *name; /* the Server header; must be given */
    /* A request's head is there. Must call exchange_own(). */
    void (*on_request)(void *ctx, struct exchange *ex);
    /* After each exchange, for logs; NULL: none. Called before ops->over. */
    void (*on_finished)(void *finished_ctx, const struct exchange *ex);
    void *finished_ctx;
    /* A malformed request: answer it with `status` by exchange_reply() or leave it NULL,
     * and the server answers with a line of text. No exchange_own(); and no over(), but
     * where the head was fine and an exchange owned, and its body turned out
     * malformed. */
    void (*on_refused)(void *ctx, struct exchange *ex, int status);
    void *ctx;
    bool peers;    /* who connects is asked for his address: exchange_peer() */
    int head_ms;   /* from the first byte of a head to its last  (default 60 s) */
    int body_ms;   /* between two stretches of a body            (30 s) */
    int send_ms;   /* between two stretches the client takes     (60 s) */
    int idle_ms;   /* keep-alive, between requests               (75 s) */
    int linger_ms; /* dropping what comes after an early answer  (30 s) */
};

void http_server_defaults(struct http_server_config *config);
struct http_server *http_server_new(struct loop *loop,
                                    const struct http_server_config *c);
/* Any thread: a descriptor is on its way to http_server_take; counts as a connection at
 * once. */
void http_server_expect(struct http_server *server);
/* Takes an accepted descriptor that was expected. Own thread. */
void http_server_take(struct http_server *server, int fd);
/* Connections now open. Any thread. */
int http_server_connections(const struct http_server *server);
/* Drain: idle connections are closed, the others after the exchange under way; no answer
 * promises keep-alive any more. done() runs when none is left. Not from within a
 * handler. */
void http_server_drain(struct http_server *server, struct task *done);
/* Cuts what is left. */
void http_server_free(struct http_server **server);

/* --- the request ---------------------------------------------------------------- */
/* Must be called in on_request, before anything else is done with ex. */
void exchange_own(struct exchange *ex, const struct exchange_ops *ops, void *arg);
void *exchange_arg(const struct exchange *ex);
struct loop *exchange_loop(const struct exchange *ex);
/* The head, its bytes valid until over(). */
const struct http_head *exchange_head(const struct exchange *ex);
/* Is what has come of the request's body well-formed? What nobody has read yet is looked
 * at, and stays. */
bool exchange_body_sound(const struct exchange *ex);
/* body() left bytes: offer them again (from the loop, not from within this call). */
void exchange_resume(struct exchange *ex);
/* Ends the keep-alive after this exchange. */
void exchange_no_keep_alive(struct exchange *ex);
/* The address of ours that the peer connected to, as it stands in a URL: no port, IPv6 in
 * brackets; for a Location when the request names no host. */
const char *exchange_local(struct exchange *ex);

/* The peer's address, without its port. Known only where the server is to ask for it. */
const char *exchange_peer(const struct exchange *ex);
/* The first line as it came, of a malformed request as well; without its end. */
struct str exchange_request_line(const struct exchange *ex);

/* --- the answer ----------------------------------------------------------------- */
/* The whole answer at once; body is copied and may be empty. `fields` may be NULL. The
 * server adds Server, Date, Connection and Content-Length (none for 204 and 304). For
 * HEAD the length stands and the body is left out. Statuses with an empty body: pass
 * STR(""). */
void exchange_reply(struct exchange *ex, int status, const struct http_fields *fields,
                    struct str body);
/* The type of an error's line. */
#define HTTP_TEXT_TYPE "text/plain; charset=utf-8"
/* An error: `text` and a newline of that type. */
void exchange_error(struct exchange *ex, int status, const char *text);

enum { EXCHANGE_CHUNKED = -1 };
/* The head of an answer whose body follows: its length, or EXCHANGE_CHUNKED (an HTTP/1.0
 * client gets the body up to the end of the connection). */
void exchange_begin(struct exchange *ex, int status, const struct http_fields *fields,
                    int64_t length);
/* Body bytes, copied. Always takes them; returns false when the handler should wait for
 * writable() before it sends more. */
bool exchange_write(struct exchange *ex, const char *data, size_t len);
/* A stretch of a file as body: sent by sendfile; cold pages are first read by the
 * exchange's readers, where it has some. The descriptor is taken (closed when sent);
 * stretches and bytes leave in order. A file that turns out shorter cuts the
 * connection. */
void exchange_write_file(struct exchange *ex, int fd, int64_t off, int64_t len);
/* From now on, cold pages of this exchange's files are read by `readers`: a drive's own
 * workers, so that one that hangs holds up no other. */
void exchange_readers(struct exchange *ex, struct workers *readers);
/* The answer is complete (a handler whose length was short cuts the connection). */
void exchange_end(struct exchange *ex);
/* Cuts the connection: the answer cannot be completed. over() follows from the loop. */
void exchange_abort(struct exchange *ex);

struct exchange_stats {
    int status;           /* 0: never answered */
    uint64_t body_in;     /* bytes of the request's body that came */
    uint64_t body_out;    /* bytes of the answer's body handed to the kernel */
    uint64_t framing_out; /* … and of chunks' sizes and ends around them */
    uint64_t micros;      /* from the head's first byte to the end */
};
/* For on_finished: only where there is one is the time kept. */
void exchange_stats(const struct exchange *ex, struct exchange_stats *out);

#endif
