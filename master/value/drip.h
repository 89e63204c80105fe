/*
 * A limit for what drips: a body that comes must bring DRIP_BYTES in every DRIP_MS. The
 * HTTP client bounds the time between two stretches, which one byte now and then meets
 * for ever. One loop.
 */
#ifndef MASTER_VALUE_DRIP_H
#define MASTER_VALUE_DRIP_H

#include <stdint.h>

#include "common/loop.h"

enum { DRIP_MS = 10 * 1000, DRIP_BYTES = 64 * 1024 };

/* Embedded in its owner. */
struct drip {
    struct loop *loop;
    void (*too_slow)(struct drip *drip); /* once, from the loop */
    struct timer timer;
    uint64_t come;
};

void drip_start(struct drip *drip, struct loop *loop,
                void (*too_slow)(struct drip *drip));
static inline void drip_add(struct drip *drip, uint64_t bytes)
{
    drip->come += bytes;
}
/* Does nothing where it is stopped. */
void drip_stop(struct drip *drip);

#endif
