/*
 * The keys of the index, in order and in batches, for work that takes hours. Each batch
 * looks into the index anew, from the key after the last one on, so that no snapshot is
 * kept: a key that comes or goes meanwhile may be among them or not.
 */
#ifndef MASTER_JOBS_WALK_H
#define MASTER_JOBS_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/placement.h"
#include "common/str.h"
#include "master/index.h"

struct walk;

enum {
    WALK_BATCH = 128, /* keys of a batch at most */
    WALK_TEXT = 16 * 1024,
};

struct walk_batch {
    int n, taken;
    uint16_t end[WALK_BATCH]; /* where each key ends in the text */
    char text[WALK_TEXT];
};

struct walk *walk_new(struct index *index);
void walk_free(struct walk **walk);

/* The next batch: 1; 0 when there are no more keys; -EIO. Any thread; others that ask at
 * the same time wait for the few reads that it takes. */
int walk_next(struct walk *walk, struct walk_batch *batch);
/* How many records were passed over because they do not read. Any thread. */
uint64_t walk_unreadable(struct walk *walk);

/* Takes the next key out of a batch; false: it is empty. The key points into it. */
bool walk_take(struct walk_batch *batch, struct str *key);

#endif
