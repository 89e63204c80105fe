/* The bytes of a request under way: a ring of pieces, and the arithmetic of partial
 * writes. */
#include "common/http/client_queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/hex.h"
#include "common/http/client.h"
#include "common/stock.h"

enum {
    RING_FIRST = 32, /* pieces; what most requests never fill */
    /* Copied rather than referenced: an eighth of a large block, so that what waits pins
     * at most eight times its size. */
    COPY_MAX = 8 * 1024,
    LEAD_MAX = 10, /* eight hex digits, CRLF */
};

static _Thread_local struct stock first_rings = {
    .size = RING_FIRST * sizeof(struct http_piece),
    .most = 256,
};

static struct http_piece *ring_new(uint32_t room)
{
    return room == RING_FIRST ? stock_get(&first_rings)
                              : xmalloc(room * sizeof(struct http_piece));
}

static void ring_free(struct http_piece *ring, uint32_t room)
{
    if (room == RING_FIRST)
        stock_put(&first_rings, ring);
    else
        free(ring);
}

static struct http_piece *piece_at(const struct http_queue *q, uint32_t i)
{
    return &q->ring[(q->first + i) & (q->room - 1)];
}

static size_t hex_length(uint32_t n)
{
    size_t digits = 1;
    while (n >>= 4)
        digits++;
    return digits;
}

/* A chunk's size line; returns its length. */
static size_t chunk_lead(uint32_t len, char out[LEAD_MAX])
{
    size_t digits = hex_length(len);
    for (size_t i = digits; i-- > 0; len >>= 4)
        out[i] = hex_digit(len);
    memcpy(out + digits, "\r\n", 2);
    return digits + 2;
}

static size_t wire_len(const struct http_piece *p)
{
    return p->chunk ? hex_length(p->len) + 2 + p->len + 2 : p->len;
}

/* The piece that more bytes may join: the last, unless its length is told already. */
static struct http_piece *open_piece(const struct http_queue *q, bool chunk)
{
    if (q->at == q->n)
        return NULL;
    struct http_piece *last = piece_at(q, q->n - 1);
    if (last->chunk != chunk || !last->block || (chunk && q->at == q->n - 1 && q->off))
        return NULL;
    return last;
}

static void push(struct http_queue *q, struct block *block, const char *data, size_t len,
                 bool chunk)
{
    if (q->n == q->room) {
        uint32_t room = q->room ? q->room * 2 : RING_FIRST;
        struct http_piece *ring = ring_new(room);
        for (uint32_t i = 0; i < q->n; i++)
            ring[i] = *piece_at(q, i);
        ring_free(q->ring, q->room);
        q->ring = ring;
        q->room = room;
        q->first = 0;
    }
    struct http_piece *p = piece_at(q, q->n++);
    *p = (struct http_piece){block, data, (uint32_t)len, chunk};
    q->queued += wire_len(p);
}

/* Joins bytes that lie right behind the last piece's to it. */
static bool join(struct http_queue *q, const struct block *block, const char *data,
                 size_t len, bool chunk)
{
    struct http_piece *last = open_piece(q, chunk);
    if (!last || last->block != block || last->data + last->len != data)
        return false;
    q->queued -= wire_len(last);
    last->len += (uint32_t)len;
    q->queued += wire_len(last);
    return true;
}

static char *reserve(struct http_queue *q, size_t len, bool chunk)
{
    struct block *own = q->own;
    if (own && own->refs == 1)
        own->used = 0;
    if (!own || own->size - own->used < len) {
        size_t size = own || len > BLOCK_SMALL ? BLOCK_LARGE : BLOCK_SMALL;
        assure(len <= size);
        block_unref(&q->own);
        own = q->own = block_get(size);
    }
    char *data = own->data + own->used;
    own->used += (uint32_t)len;
    if (!join(q, own, data, len, chunk))
        push(q, block_ref(own), data, len, chunk);
    return data;
}

char *http_queue_reserve(struct http_queue *q, size_t len)
{
    return reserve(q, len, false);
}

void http_queue_add(struct http_queue *q, struct block *block, const char *data,
                    size_t len, bool chunk)
{
    assure(len > 0 && len <= UINT32_MAX);
    if (join(q, block, data, len, chunk))
        return;
    if (len <= COPY_MAX)
        memcpy(reserve(q, len, chunk), data, len);
    else
        push(q, block_ref(block), data, len, chunk);
}

void http_queue_add_last_chunk(struct http_queue *q)
{
    push(q, NULL, NULL, 0, true);
}

struct gather {
    struct iovec *iov;
    int n;
    size_t skip; /* wire bytes that are gone already */
};

static void gather(struct gather *g, const char *data, size_t len)
{
    if (g->skip >= len) {
        g->skip -= len;
        return;
    }
    data += g->skip;
    len -= g->skip;
    g->skip = 0;
    struct iovec *last = g->n ? &g->iov[g->n - 1] : NULL;
    if (last && (const char *)last->iov_base + last->iov_len == data)
        last->iov_len += len;
    else
        g->iov[g->n++] = (struct iovec){(void *)(uintptr_t)data, len};
}

int http_queue_gather(const struct http_queue *q, struct iovec *iov, int max,
                      char scratch[HTTP_QUEUE_SCRATCH])
{
    struct gather g = {iov, 0, q->off};
    size_t used = 0;
    for (uint32_t i = q->at; i < q->n; i++) {
        const struct http_piece *p = piece_at(q, i);
        if (!p->chunk) {
            if (g.n + 1 > max)
                break;
            gather(&g, p->data, p->len);
            continue;
        }
        if (g.n + 3 > max || used + LEAD_MAX + 2 > HTTP_QUEUE_SCRATCH)
            break;
        /* The CRLF that ends one chunk and the next one's size line lie side by side and
         * become one vector. */
        size_t lead = chunk_lead(p->len, scratch + used);
        gather(&g, scratch + used, lead);
        used += lead;
        if (p->len)
            gather(&g, p->data, p->len);
        memcpy(scratch + used, "\r\n", 2);
        gather(&g, scratch + used, 2);
        used += 2;
    }
    return g.n;
}

/* Drops the pieces that are sent. */
static void drop_sent(struct http_queue *q)
{
    for (; q->at; q->at--, q->n--) {
        block_unref(&piece_at(q, 0)->block);
        q->first = (q->first + 1) & (q->room - 1);
    }
    if (q->n == 0)
        block_unref(&q->own);
}

void http_queue_sent(struct http_queue *q, size_t n)
{
    assure(n <= q->queued);
    q->queued -= n;
    q->sent += n;
    for (size_t left = n + q->off; q->at < q->n; q->at++) {
        size_t wire = wire_len(piece_at(q, q->at));
        q->off = (uint32_t)left;
        if (left < wire)
            break;
        left -= wire;
        q->off = 0;
    }
    if (q->sent > CALL_RESEND)
        q->hold = false;
    if (!q->hold)
        drop_sent(q);
}

void http_queue_rewind(struct http_queue *q)
{
    assure(q->hold);
    q->queued += q->sent;
    q->sent = 0;
    q->at = q->off = 0;
}

void http_queue_let_go(struct http_queue *q)
{
    if (!q->hold)
        return;
    q->hold = false;
    drop_sent(q);
}

void http_queue_clear(struct http_queue *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        block_unref(&piece_at(q, i)->block);
    block_unref(&q->own);
    q->first = q->n = q->at = q->off = 0;
    q->queued = 0;
    q->sent = 0;
    q->hold = false;
}

void http_queue_free(struct http_queue *q)
{
    http_queue_clear(q);
    ring_free(q->ring, q->room);
    q->ring = NULL;
    q->room = 0;
}
