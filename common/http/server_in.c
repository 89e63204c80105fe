/*
 * What comes in on a connection: the block that is read into, and the framing of the
 * request's body in it.
 *
 * The block is the handlers' as well: they keep references to the stretches they were
 * given. So bytes handed out stay where they are, and what comes next is read behind them
 * as long as there is room worth a read: a client that sends byte by byte must not make
 * a handler that waits for its disk or its volume hold a block for each.
 */
#include <string.h>

#include "common/assure.h"
#include "common/http/server_conn.h"

void in_make_room(struct conn *conn)
{
    struct block *in = conn->in;
    size_t size = BLOCK_SMALL;
    if (conn->state != CONN_IDLE && conn->state != CONN_HEAD &&
        (conn->framing == HTTP_BODY_CHUNKED || conn->body_left > BLOCK_SMALL))
        size = BLOCK_LARGE;
    if (!in) {
        conn->in = block_get(size);
        conn->at = 0;
        return;
    }
    size_t rest = in->used - conn->at;
    if (rest == 0) {
        if (in->size >= size && in->refs == 1) {
            in->used = conn->at = 0;
            return;
        }
        if (in->size >= size && in->size - in->used >= in->size / 8)
            return;
        block_unref(&conn->in);
        conn->in = block_get(size);
        conn->at = 0;
        return;
    }
    if (in->used < in->size)
        return;
    /* Full: the rest, a part of a head, moves to the front; of a fresh block where this
     * one is shared, of a larger one where the head does not fit. */
    assure(rest <= HTTP_HEAD_MAX); /* the parser refuses what is longer */
    if (in->refs == 1 && conn->at > 0) {
        memmove(in->data, in->data + conn->at, rest);
    } else {
        struct block *next = block_get(rest >= BLOCK_SMALL / 2 ? BLOCK_LARGE : size);
        memcpy(next->data, in->data + conn->at, rest);
        block_unref(&conn->in);
        conn->in = in = next;
    }
    in->used = (uint32_t)rest;
    conn->at = 0;
}

void in_release_if_used_up(struct conn *conn)
{
    if (conn->in && conn->at == conn->in->used) {
        block_unref(&conn->in);
        conn->at = 0;
    }
}

/* --- the body ------------------------------------------------------------------- */
void body_begin(struct conn *conn, const struct http_head *head)
{
    conn->framing = head->body;
    conn->body_left = head->body == HTTP_BODY_LENGTH ? head->length : 0;
    if (head->body == HTTP_BODY_CHUNKED)
        http_chunks_init(&conn->chunks);
    conn->body_done = head->body == HTTP_BODY_NONE ||
                      (head->body == HTTP_BODY_LENGTH && head->length == 0);
    conn->skipped = 0;
    conn->body_bad = false;
    conn->expect = head->expect_continue && !conn->body_done;
}

bool body_open(const struct conn *conn)
{
    return !conn->body_done;
}

ssize_t body_stretch(struct conn *conn)
{
    size_t have = conn->in ? conn->in->used - conn->at : 0;
    if (conn->body_done || have == 0)
        return 0;
    if (conn->framing == HTTP_BODY_LENGTH)
        return (ssize_t)(conn->body_left < have ? conn->body_left : have);
    if (conn->chunks.left == 0) {
        ssize_t eaten = http_chunks_eat(&conn->chunks, conn->in->data + conn->at, have);
        if (eaten < 0)
            return -1;
        conn->at += (uint32_t)eaten;
        have -= (size_t)eaten;
        conn->body_done = http_chunks_end(&conn->chunks);
    }
    return (ssize_t)(conn->chunks.left < have ? conn->chunks.left : have);
}

void body_took(struct conn *conn, size_t n)
{
    conn->at += (uint32_t)n;
    if (conn->framing == HTTP_BODY_CHUNKED) {
        http_chunks_took(&conn->chunks, n);
    } else {
        conn->body_left -= n;
        conn->body_done = conn->body_left == 0;
    }
}

int body_drop(struct conn *conn)
{
    ssize_t n;
    uint32_t from = conn->at;
    while ((n = body_stretch(conn)) > 0)
        body_took(conn, (size_t)n);
    conn->skipped += conn->at - from;
    in_release_if_used_up(conn);
    return n < 0 ? -1 : 0;
}

bool body_sound(const struct conn *conn)
{
    struct http_chunks chunks = conn->chunks;
    size_t have = conn->in ? conn->in->used - conn->at : 0;
    const char *p = conn->in ? conn->in->data + conn->at : NULL;
    while (have > 0 && !http_chunks_end(&chunks)) {
        size_t n = chunks.left < have ? (size_t)chunks.left : have;
        if (n > 0) {
            http_chunks_took(&chunks, n);
        } else {
            ssize_t eaten = http_chunks_eat(&chunks, p, have);
            if (eaten < 0)
                return false;
            n = (size_t)eaten;
        }
        p += n;
        have -= n;
    }
    return true;
}

void body_give_up(struct conn *conn)
{
    conn->body_done = true;
    conn->keep = false;
    if (conn->in)
        conn->at = conn->in->used;
}
