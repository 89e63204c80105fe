/*
 * The sweeper: goes through all listed removals again and again, and has those cleared
 * that are due. On one loop, in bounded turns, with a bounded number of clearings under
 * way; a pass that achieved nothing is followed by a longer wait.
 */
#ifndef MASTER_SWEEPER_H
#define MASTER_SWEEPER_H

#include "common/http/client.h"
#include "common/loop.h"
#include "master/index.h"
#include "master/removals.h"
#include "master/volumes/resting.h"

struct sweeper;

/* What is given must outlive its last pass. */
struct sweeper *sweeper_new(struct removals *removals, struct index *index,
                            struct resting *resting);
/* It runs on this loop with this client from now on. */
void sweeper_start(struct sweeper *sweeper, struct loop *loop,
                   struct http_client *client);
/* On that loop, before its client is freed. No pass goes on; clearings under way do. */
void sweeper_stop(struct sweeper *sweeper);
/* After the removals, whose clearings tell it of their end. */
void sweeper_free(struct sweeper **sweeper);

#endif
