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
    size_t size = block ? block->size : BLOCK_LARGE;

    return held->n < HELD_PIECES && held->memory + size <= HELD_MAX;
}

bool held_extend(struct held *held, const struct block *block, const char *data,
                 size_t len)
{
    struct held_piece *last = &held->piece[held->n - 1];

    if (last->block != block || last->data + last->len != data)
        return false;
    last->len += len;
    held->bytes += len;
    return true;
}

/* Copies behind the last piece, where that is in a block of our own with room. */
static bool copy_behind(struct held *held, struct held_piece *last, const char *data,
                        size_t len)
{
    if (!last->own || last->block->size - last->block->used < len)
        return false;
    memcpy(last->block->data + last->block->used, data, len);
    last->block->used += (uint32_t)len;
    last->len += len;
    held->bytes += len;
    return true;
}

/* Moves the last piece to a block of our own, so that small ones can be gathered there;
 * or returns false: there is no room for one. */
static bool move_last(struct held *held, struct held_piece *last)
{
    size_t memory = held->memory + BLOCK_LARGE;

    if (held->n < 2 || last[-1].block != last->block)
        memory -= last->block->size;
    if (memory > HELD_MAX)
        return false;
    struct block *own = block_get(BLOCK_LARGE);
    assure(last->len <= own->size);
    memcpy(own->data, last->data, last->len);
    own->used = (uint32_t)last->len;
    held->memory = memory;
    block_unref(&last->block);
    last->block = own;
    last->data = own->data;
    last->own = true;
    return true;
}

void held_append(struct held *held, struct block *block, const char *data, size_t len)
{
    assure(len > 0 && held->n < HELD_PIECES);
    held->bytes += len;
    if (held->n == 0 || held->piece[held->n - 1].block != block)
        held->memory += block->size;
    held->piece[held->n++] = (struct held_piece){block_ref(block), data, len, false};
}

void held_add(struct held *held, struct block *block, const char *data, size_t len)
{
    struct held_piece *last = held->n ? &held->piece[held->n - 1] : NULL;

    assure(len > 0);
    if (last && last->len < HELD_JOIN) {
        if (held_extend(held, block, data, len) || copy_behind(held, last, data, len))
            return;
        if (len < HELD_JOIN && !last->own && move_last(held, last)) {
            bool joined = copy_behind(held, last, data, len);
            assure(joined);
            return;
        }
    }
    held_append(held, block, data, len);
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
