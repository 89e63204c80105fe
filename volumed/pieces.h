/*
 * The stretches of a body that wait to be written: held as references to the blocks they
 * came in, at most PIECES_ROOM bytes of them. The loop adds to them and lets go of them;
 * those being written are a worker's to read meanwhile.
 */
#ifndef VOLUMED_PIECES_H
#define VOLUMED_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "common/block.h"

enum {
    PIECES_ROOM = 256 * 1024, /* bytes, those being written included */
    PIECES_MOST = 96,         /* stretches of blocks */
};

struct piece {
    struct block *block;
    const char *data;
    size_t len;
};

/* Embedded in its owner, who reads n and held. */
struct pieces {
    size_t *all_held;   /* by all owners of this loop */
    int n, writing;     /* pieces held; the first `writing` are a worker's */
    size_t held;        /* bytes in them */
    struct block *tail; /* where small stretches are copied together; one piece's block */
    struct piece piece[PIECES_MOST];
};

void pieces_init(struct pieces *p, size_t *all_held);
/* Holds a stretch as far as there is room; returns the bytes taken. `alone`: it is all of
 * its body, so that its block is kept however little of it that is. */
size_t pieces_hold(struct pieces *p, struct block *block, const char *data, size_t len,
                   bool alone);
/* No room for more? */
bool pieces_full(const struct pieces *p);

/* All that is held now is to be written. Not while some is being written. */
void pieces_take(struct pieces *p);
/* On the worker: the vectors of what was taken; how many there are. */
int pieces_vectors(const struct pieces *p, struct iovec iov[PIECES_MOST]);
/* Lets go of what was taken. */
void pieces_written(struct pieces *p);
/* Lets go of everything. */
void pieces_drop(struct pieces *p);

#endif
