/*
 * Threads that stand by for loops.
 *
 * A loop's thread may go out on errands (loop.h), calls that hardly ever block. A standby
 * watches the loops that are given to it: a thread that is out and blocks for more than a
 * moment loses its loop to another one, so that all a hung drive ever costs the loop's
 * connections is that moment.
 */
#ifndef COMMON_STANDBY_H
#define COMMON_STANDBY_H

#include <stdbool.h>

#include "common/loop.h"

struct standby;

/* Never NULL. */
struct standby *standby_new(void);
/* Once the loops have stopped: joins the threads. */
void standby_free(struct standby **standby);

/* Before the loop runs. */
void standby_watch(struct standby *standby, struct loop *loop);
/* From within an errand of one of the loops, before it makes a call that could block: has
 * them looked at from now on, until none has had an errand for a while. Cheap. False: no
 * thread is to be had that looks, or that would take over. */
bool standby_look(struct standby *standby);

#endif
