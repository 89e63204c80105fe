/*
 * The sweeper: goes through all listed removals again and again, and has those cleared
 * that are due. On one loop, in bounded turns, with a bounded number of clearings under
 * way; a pass that achieved nothing is followed by a longer wait. Started and stopped by
 * removals.h.
 */
#ifndef MASTER_SWEEPER_H
#define MASTER_SWEEPER_H

#include "common/http_client.h"
#include "common/loop.h"
#include "master/index.h"
#include "master/removals.h"
#include "master/resting.h"

struct sweeper;

struct sweeper *sweeper_new(struct removals *removals, struct index *index,
                            struct resting *resting);
void sweeper_start(struct sweeper *sweeper, struct loop *loop,
                   struct http_client *client);
/* No pass goes on; clearings under way do. */
void sweeper_stop(struct sweeper *sweeper);
void sweeper_free(struct sweeper **sweeper);

#endif
