/*
 * What is held of a body, see pieces.h. A block is kept by reference where the stretch is
 * much of it; of smaller stretches the bytes are copied together, so that a body in
 * crumbs does not hold a block for each.
 */
#include "volumed/pieces.h"

#include <string.h>

#include "common/assure.h"

void pieces_init(struct pieces *p, size_t *all_held)
{
    p->all_held = all_held;
    p->n = p->writing = 0;
    p->held = 0;
    p->tail = NULL;
}

static void add(struct pieces *p, struct block *block, const char *data, size_t len)
{
    assure(p->n < PIECES_MOST);
    p->piece[p->n++] = (struct piece){block, data, len};
}

/* Copies bytes behind those copied last. Bytes taken: fewer than `len` when the block is
 * full. */
static size_t copy(struct pieces *p, const char *data, size_t len)
{
    struct piece *last = p->n > p->writing ? &p->piece[p->n - 1] : NULL;
    if (!last || last->block != p->tail || p->tail->used == p->tail->size) {
        if (p->n == PIECES_MOST)
            return 0;
        p->tail = block_get(BLOCK_SMALL);
        add(p, p->tail, p->tail->data, 0);
        last = &p->piece[p->n - 1];
    }
    size_t room = p->tail->size - p->tail->used;
    if (len > room)
        len = room;
    memcpy(p->tail->data + p->tail->used, data, len);
    p->tail->used += (uint32_t)len;
    last->len += len;
    return len;
}

size_t pieces_hold(struct pieces *p, struct block *block, const char *data, size_t len,
                   bool alone)
{
    size_t took = 0;
    if (p->held + len > PIECES_ROOM) {
        len = PIECES_ROOM - p->held;
        alone = false;
    }
    if (len == 0)
        return 0;
    if (len >= block->size / 2 || alone) {
        if (p->n == PIECES_MOST)
            return 0;
        add(p, block_ref(block), data, len);
        took = len;
    } else {
        size_t n;
        while (took < len && (n = copy(p, data + took, len - took)) > 0)
            took += n;
    }
    p->held += took;
    *p->all_held += took;
    return took;
}

bool pieces_full(const struct pieces *p)
{
    return p->held >= PIECES_ROOM || p->n == PIECES_MOST;
}

void pieces_take(struct pieces *p)
{
    assure(p->writing == 0);
    p->writing = p->n;
}

int pieces_vectors(const struct pieces *p, struct iovec iov[PIECES_MOST])
{
    for (int i = 0; i < p->writing; i++)
        iov[i] = (struct iovec){(void *)(uintptr_t)p->piece[i].data, p->piece[i].len};
    return p->writing;
}

/* Lets go of the first `n`. */
static void release(struct pieces *p, int n)
{
    for (int i = 0; i < n; i++) {
        struct piece *piece = &p->piece[i];
        if (piece->block == p->tail)
            p->tail = NULL;
        p->held -= piece->len;
        *p->all_held -= piece->len;
        block_unref(&piece->block);
    }
    p->n -= n;
    memmove(p->piece, p->piece + n, (size_t)p->n * sizeof(*p->piece));
}

void pieces_written(struct pieces *p)
{
    release(p, p->writing);
    p->writing = 0;
}

void pieces_drop(struct pieces *p)
{
    release(p, p->n);
    p->writing = 0;
}
