/*
 * The bound on a job's share of the load: so many keys a second. Work that turns out to
 * be more than a key's is owed, and paid for by waiting longer. Any thread.
 */
#ifndef MASTER_JOBS_PACE_H
#define MASTER_JOBS_PACE_H

#include <stdint.h>

struct pace;

/* `rate` keys a second; 0: no bound. */
struct pace *pace_new(unsigned rate);
void pace_free(struct pace **pace);

/* May a key be begun now? Takes its share and returns 0, or returns for how many
 * milliseconds to wait. `now` is of the monotonic clock, in milliseconds. */
uint64_t pace_take(struct pace *pace, uint64_t now);
/* What was begun turned out to be so many keys' work more. */
void pace_owe(struct pace *pace, uint64_t keys);

#endif
