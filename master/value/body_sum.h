/*
 * The MD5 of a body on its way through the master, summed by workers beside the loop that
 * moves it: one thread does both at half the pace.
 *
 * Bytes wait for their worker as references to the blocks they came in, as many as there
 * is room for; then the client waits. A body so small that it would be over before a
 * worker is awake is summed where it is.
 */
#ifndef MASTER_VALUE_BODY_SUM_H
#define MASTER_VALUE_BODY_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/block.h"
#include "common/loop.h"
#include "common/md5.h"
#include "common/workers.h"
#include "master/value/held.h"

enum {
    BODY_SUM_MAX = HELD_MAX,    /* memory of the blocks that may wait */
    BODY_SUM_SMALL = 64 * 1024, /* summed on the loop */
};

struct body_sum;

struct body_sum_spec {
    struct workers *workers;
    struct loop *loop; /* everything below runs on its thread */
    bool has_length;
    uint64_t length;
    /* A worker has summed: there may be room again, or all of it is done. Never from
     * within a call below. */
    void (*progress)(void *arg);
    void *arg;
};

struct body_sum *body_sum_new(const struct body_sum_spec *spec);
/* Is there room for a stretch of that block? If not, progress() follows. */
bool body_sum_room(struct body_sum *sum, const struct block *block);
/* Takes a reference to the block where it must; there must be room. len > 0. */
void body_sum_add(struct body_sum *sum, struct block *block, const char *data,
                  size_t len);
/* That was all. Are all bytes summed? If not, progress() follows until they are. */
bool body_sum_end(struct body_sum *sum);
/* Once that is so: the sum. */
void body_sum_result(struct body_sum *sum, uint8_t out[MD5_BYTES]);
/* At any time; no progress() follows. Clears the pointer; NULL is fine. */
void body_sum_free(struct body_sum **sum);

#endif
