/*
 * The timers of a loop, in the order of their deadlines. Only loop.c uses this: it knows
 * the time.
 */
#ifndef COMMON_TIMERS_H
#define COMMON_TIMERS_H

#include <stdint.h>

#include "common/loop.h"

/* All zero: none. */
struct timers {
    struct timer **heap; /* 1-based */
    uint32_t n, room;
};

void timers_free(struct timers *timers);
/* (Re)arms it for `due`. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t due);
void timers_clear(struct timers *timers, struct timer *timer);
/* Takes out one that is due; NULL: none is. */
struct timer *timers_take_due(struct timers *timers, uint64_t now);
/* When to look again, at the latest; UINT64_MAX: there are none. */
uint64_t timers_next(const struct timers *timers);

#endif
