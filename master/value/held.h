/*
 * The stretch of a body that is held on its way through the master: by PUT, which holds
 * the body's last piece back until every check has passed and keeps its beginning for a
 * replica that has to be replaced; by a copy, which holds back in the same way; and by
 * the sum of a body, for its workers.
 *
 * Bytes are kept as references to the blocks they came in. Small pieces that do not lie
 * next to each other (a client that drips, tiny chunks) are gathered in a block of our
 * own instead, and the room is reckoned in blocks, so that a byte here and there cannot
 * pin blocks without bound.
 *
 * Pieces are numbered from the body's beginning. The last one may still grow, so it is
 * not to be sent before the body is complete: that is the piece held back.
 */
#ifndef MASTER_VALUE_HELD_H
#define MASTER_VALUE_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/assure.h"
#include "common/block.h"

enum {
    HELD_MAX = 256 * 1024, /* memory of the blocks that may be held */
    HELD_PIECES = 32,
    HELD_JOIN = 16 * 1024, /* pieces smaller than this are joined */
};

struct held_piece {
    struct block *block;
    const char *data;
    size_t len;
    bool own; /* in a block that only we fill */
};

struct held {
    struct held_piece piece[HELD_PIECES];
    unsigned n;
    uint64_t first; /* the number of piece[0]; 0 while the body's beginning is here */
    size_t bytes;
    size_t memory; /* of the blocks */
};

void held_init(struct held *held);
/* Is there room for a piece of that block (NULL: of a large one) without forgetting any? */
bool held_room(const struct held *held, const struct block *block);
/* Takes a reference (or copies); there must be room. len > 0. */
void held_add(struct held *held, struct block *block, const char *data, size_t len);
/* The same, of a piece that is joined to none and never copied. */
void held_append(struct held *held, struct block *block, const char *data, size_t len);
/* Adds to the last piece where the bytes lie right behind it in its block; or does nothing
 * and returns false. There is a last piece. */
bool held_extend(struct held *held, const struct block *block, const char *data,
                 size_t len);
/* Drops the pieces numbered below `before`. */
void held_forget(struct held *held, uint64_t before);
void held_clear(struct held *held);

/* Is the body here from its beginning? */
static inline bool held_whole(const struct held *held)
{
    return held->first == 0;
}
/* One past the number of the last piece. */
static inline uint64_t held_end(const struct held *held)
{
    return held->first + held->n;
}
/* The piece of that number, which must be here. */
static inline const struct held_piece *held_piece(const struct held *held,
                                                  uint64_t number)
{
    assure(number >= held->first && number < held_end(held));
    return &held->piece[number - held->first];
}

#endif
