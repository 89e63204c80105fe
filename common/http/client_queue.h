/*
 * Private to the HTTP client: the bytes of one request, on their way to a socket.
 *
 * Body bytes are not copied, they wait by reference to the blocks they were read into;
 * short ones are (behind the head, where there is room), so that many small pieces
 * neither pin a block each nor make long writes of tiny vectors. A chunk's framing is not
 * stored at all: it follows from the piece's length and is written anew each time a write
 * is put together.
 *
 * While `hold` is on, what was sent stays, so that http_queue_rewind() can begin again;
 * it goes off by itself past CALL_RESEND bytes.
 */
#ifndef COMMON_HTTP_CLIENT_QUEUE_H
#define COMMON_HTTP_CLIENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/block.h"

enum {
    HTTP_QUEUE_VECTORS = 16,
    HTTP_QUEUE_SCRATCH = HTTP_QUEUE_VECTORS * 16, /* chunk framing of one write */
};

struct http_piece {
    struct block *block; /* a reference; NULL for the last chunk */
    const char *data;
    uint32_t len;
    bool chunk; /* goes out as a chunk of its own */
};

/* A zeroed one is empty. Embedded in its call. */
struct http_queue {
    struct http_piece *ring; /* kept over http_queue_clear() */
    uint32_t room;           /* pieces the ring holds, a power of two */
    uint32_t first, n;       /* those held, sent ones included */
    uint32_t at, off;  /* next to send: n-th piece from first, and wire bytes into it */
    struct block *own; /* where short pieces are copied to */
    size_t queued;     /* wire bytes not sent yet */
    uint64_t sent;     /* wire bytes sent since the start or the rewind */
    bool hold;
};

/* Room for len bytes to be filled by the caller before anything else is done; they are
 * queued as they stand. len is at most BLOCK_LARGE. */
char *http_queue_reserve(struct http_queue *q, size_t len);
/* len > 0 bytes of block; takes a reference or copies. */
void http_queue_add(struct http_queue *q, struct block *block, const char *data,
                    size_t len, bool chunk);
/* The chunk of length 0 that ends a chunked body. */
void http_queue_add_last_chunk(struct http_queue *q);

/* Fills iov with what comes next, and returns how many; scratch lives as long as iov. */
int http_queue_gather(const struct http_queue *q, struct iovec *iov, int max,
                      char scratch[HTTP_QUEUE_SCRATCH]);
/* The first n wire bytes of that were taken. */
void http_queue_sent(struct http_queue *q, size_t n);
/* Nothing was sent after all. Only while `hold`. */
void http_queue_rewind(struct http_queue *q);
/* Ends `hold`: what was sent is let go. */
void http_queue_let_go(struct http_queue *q);
/* Empties it, and hold is off. */
void http_queue_clear(struct http_queue *q);
/* Clears it and gives the ring back. */
void http_queue_free(struct http_queue *q);

#endif
