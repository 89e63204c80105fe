/* The held stretch of a body: see held.h. */
#include "master/value/held.h"

#include <string.h>

#include "common/assure.h"

void held_init(struct held *held)
{
    held->n = 0;
    held->first = 0;
    held->bytes = 0;
    held->memory = 0;
}

bool held_room(const struct held *held, const struct block *block)
{
    return held->n < HELD_PIECES && held->memory + block->size <= HELD_MAX;
}

/* Adds to the last piece where that needs no further block. */
static bool extend_last(struct held_piece *last, const struct block *block,
                        const char *data, size_t len)
{
    if (last->block == block && last->data + last->len == data) {
        last->len += len;
        return true;
    }
    if (last->own && last->block->size - last->block->used >= len) {
        memcpy(last->block->data + last->block->used, data, len);
        last->block->used += (uint32_t)len;
        last->len += len;
        return true;
    }
    return false;
}

/* Moves the last piece to a block of our own, so that small ones can be gathered
 * there. */
static void move_last(struct held *held, struct held_piece *last)
{
    struct block *own = block_get(BLOCK_LARGE);

    assure(last->len <= own->size);
    memcpy(own->data, last->data, last->len);
    own->used = (uint32_t)last->len;
    if (held->n < 2 || last[-1].block != last->block)
        held->memory -= last->block->size;
    held->memory += own->size;
    block_unref(&last->block);
    last->block = own;
    last->data = own->data;
    last->own = true;
}

void held_add(struct held *held, struct block *block, const char *data, size_t len)
{
    struct held_piece *last = held->n ? &held->piece[held->n - 1] : NULL;

    assure(len > 0);
    held->bytes += len;
    if (last && last->len < HELD_JOIN) {
        if (extend_last(last, block, data, len))
            return;
        if (len < HELD_JOIN && !last->own) {
            bool joined;

            move_last(held, last);
            joined = extend_last(last, block, data, len);
            assure(joined);
            return;
        }
    }
    assure(held->n < HELD_PIECES);
    if (!last || last->block != block)
        held->memory += block->size;
    held->piece[held->n++] = (struct held_piece){block_ref(block), data, len, false};
}

void held_forget(struct held *held, uint64_t before)
{
    unsigned drop = 0;

    for (; drop < held->n && held->first + drop < before; drop++) {
        struct held_piece *p = &held->piece[drop];

        held->bytes -= p->len;
        if (drop + 1 == held->n || p[1].block != p->block)
            held->memory -= p->block->size;
        block_unref(&p->block);
    }
    if (drop == 0)
        return;
    held->n -= drop;
    held->first += drop;
    memmove(held->piece, held->piece + drop, held->n * sizeof(held->piece[0]));
}

void held_clear(struct held *held)
{
    held_forget(held, held_end(held));
    assure(held->bytes == 0 && held->memory == 0);
}
