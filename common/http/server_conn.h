/*
 * One connection of the HTTP server, between its source files:
 *   server.c     the server, its list of connections, their beginning and end
 *   server_conn.c       the states a connection goes through
 *   server_wait.c       what it waits for: bytes, room, limits
 *   server_in.c         what it reads into, and the framing of a request's body
 *   server_out.c        the queue of what it sends
 *   server_exchange.c   what a handler asks of the request
 *   server_answer.c     what a handler answers
 * Private to them.
 */
#ifndef COMMON_HTTP_SERVER_CONN_H
#define COMMON_HTTP_SERVER_CONN_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "common/http/server.h"
#include "common/net.h"
#include "common/transport.h"

/* What leaves, in order: a stretch of a block, or of a file. */
struct out_piece {
    struct out_piece *next;
    struct block *block; /* NULL: a file */
    size_t at, len;      /* of the block */
    int fd;
    int64_t off, left;       /* of the file */
    int64_t warm;            /* bytes from off on that are known to be in memory */
    struct workers *readers; /* of this file; NULL: none */
    struct conn *conn;       /* NULL: it died while a reader had the piece */
    struct job warming;
    bool busy; /* a reader has it */
};

enum conn_state {
    CONN_IDLE,     /* no byte of a request has come; no block is held */
    CONN_HEAD,     /* a part of a head is in `in` */
    CONN_EXCHANGE, /* a handler owns the exchange; its answer may be queued or not */
    CONN_SKIP, /* the answer is queued; what is left of the request's body is dropped */
    CONN_CLOSING, /* no more requests; what is queued leaves, then the connection ends */
    CONN_LINGER,  /* our side is shut down; what the client still sends is dropped */
};

/* What a connection's timer is set for. */
enum conn_wait {
    CONN_WAIT_ANEW, /* whatever comes, its time begins now */
    CONN_WAIT_NOTHING,
    CONN_WAIT_IDLE,
    CONN_WAIT_HEAD,
    CONN_WAIT_BODY,
    CONN_WAIT_SEND,
    CONN_WAIT_LINGER,
};

/* How far the answer is. */
enum answer_state {
    ANSWER_NONE,  /* nothing of it is queued */
    ANSWER_BODY,  /* its head is queued, its body not all */
    ANSWER_ENDED, /* all of it is queued */
};

struct exchange {
    struct conn *conn;
    const struct exchange_ops *ops;
    void *arg;
    struct http_head head;
    struct block *head_block; /* what head points into */
    uint32_t head_at;         /* where in it the head begins */
    enum answer_state answer;
    bool body_told;    /* body_end() was called */
    bool blocked;      /* body() left bytes; until exchange_resume() */
    bool wants_room;   /* exchange_write() said to wait */
    bool no_body;      /* HEAD, 204, 304: the body is left out */
    bool chunked;      /* the answer's body goes in chunks */
    bool abort;        /* the handler gave up on the answer */
    int64_t body_left; /* the answer's body still to be queued; -1: until exchange_end */
    struct workers *readers; /* of files; NULL: none */
    struct exchange_stats stats;
};

struct conn {
    struct http_server *server;
    struct conn *next, *prev; /* the server's list */
    struct transport transport;
    struct watch watch;
    struct timer timer;
    struct task advance; /* deferred: run conn_advance at the end of this turn */
    enum conn_state state;
    enum conn_wait wait;
    bool came, went; /* bytes were read, sent, since the timer was looked at */

    /* in */
    struct block *in;
    uint32_t at;            /* bytes of `in` used up */
    size_t head_seen;       /* the parser's */
    enum http_body framing; /* of the request's body */
    uint64_t body_left;
    struct http_chunks chunks;
    bool body_done;
    bool body_bad;    /* it was malformed, and given up */
    uint64_t skipped; /* bytes of it that nobody wanted */

    /* out */
    struct out_piece *out_first, *out_last;
    size_t out_bytes; /* in blocks, not in files */
    bool out_stuck;   /* the socket is full: wait for EPOLLOUT */
    bool corked;      /* until the queue is empty */

    bool keep;   /* another request may follow */
    bool linger; /* at the end drop what still comes, so that the answer is not reset */
    bool advancing; /* conn_advance is on the stack */
    bool fresh;     /* no request has been answered yet */
    bool expect;    /* the client waits for 100 Continue */
    uint64_t began; /* ns, of the head's first byte; where somebody asks for it */
    uint64_t linger_until;
    char peer[NET_IP_TEXT]; /* where the server is to ask for it */
    struct exchange ex;
};

struct http_server {
    struct loop *loop;
    struct http_server_config config;
    struct conn *conns;
    atomic_int count;
    bool draining;
    struct task *drained;
    char common[128]; /* "Server: …\r\nDate: …\r\n" */
    size_t common_len;
    uint64_t common_until; /* loop ms */
};

enum {
    OUT_HIGH = 64 * 1024, /* above: exchange_write says wait */
    OUT_LOW = 16 * 1024,  /* below: writable() */
};

/* server.c: takes the connection off the list; it is about to be freed. */
void http_server_forget(struct http_server *server, struct conn *conn);

/* server_conn.c. What is said to be for the top of the stack only is not for handlers,
 * which may be called by conn_advance(). */
/* Not yet in the server's list, nor watched. */
struct conn *conn_new(struct http_server *server, int fd);
/* Something changed; conn_advance() runs at the end of this turn at the latest. */
void conn_schedule(struct conn *conn);
/* Top of the stack only. Moves the connection as far as it goes; false: it is gone. */
bool conn_advance(struct conn *conn);
/* Top of the stack only. Ends the connection now, whatever it was doing. */
void conn_cut(struct conn *conn, enum exchange_end how);
/* The same where no exchange is under way. */
void conn_free(struct conn *conn);
/* Does the connection outlive this exchange? Asked when the answer's head is written. */
bool conn_keeps(struct conn *conn);
/* The client will send nothing more; it may still be reading. Top of the stack only;
 * false: the connection is gone. */
bool conn_end_of_input(struct conn *conn);
/* Is there use for more bytes? */
bool conn_wants_read(const struct conn *conn);
void conn_set_state(struct conn *conn, enum conn_state to);
/* The first byte of a head is there. */
void conn_begin_head(struct conn *conn);

/* server_wait.c */
/* Asks for the readiness that is of use now, and sets the limit. */
void conn_settle(struct conn *conn);
/* Top of the stack only. The connection may be gone when these return. */
void conn_ready(struct watch *watch, uint32_t events);
void conn_timeout(struct timer *timer);

/* server_in.c */
/* Gives `in` room for bytes to be read. */
void in_make_room(struct conn *conn);
void in_release_if_used_up(struct conn *conn);
void body_begin(struct conn *conn, const struct http_head *head);
/* Has the request's body bytes to come? */
bool body_open(const struct conn *conn);
/* Finds the next stretch of the body in `in`, at `at`: its length (0: more must come, or
 * the body is done), -1: malformed. */
ssize_t body_stretch(struct conn *conn);
/* n bytes of that are done with. */
void body_took(struct conn *conn, size_t n);
/* Drops what is there of a body nobody wants. -1: malformed. */
int body_drop(struct conn *conn);
/* Is what is there of the chunks well-formed? Drops nothing. */
bool body_sound(const struct conn *conn);
/* No more of the body is read, and no request after it. */
void body_give_up(struct conn *conn);

/* server_out.c */
/* Sends what is queued as far as it goes. 0, or -errno: the connection is broken. */
int out_flush(struct conn *conn);
bool out_empty(const struct conn *conn);
/* Is a stretch of a file queued? */
bool out_has_file(const struct conn *conn);
void out_drop(struct conn *conn);
/* Queues bytes, copied. */
void out_bytes(struct conn *conn, const char *data, size_t len);
/* Queues a stretch of a file; takes the descriptor. `readers` may be NULL. */
void out_file(struct conn *conn, int fd, int64_t off, int64_t len,
              struct workers *readers);

#endif
