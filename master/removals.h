/*
 * Clearing places: the one piece that sends DELETE to a volume, so that no two requests
 * for the same place are ever under way, and no place is forgotten while one may still
 * arrive.
 *
 * A removal is listed in the index before it is cleared (by the commit that made it one).
 * It is cleared when the volume answered 204 or 404, and then taken off the list; unless
 * a request for that place went unanswered within the last hour (`late`): then it stays
 * listed and is cleared once more when the hour is over. What could not be cleared is
 * swept again and again (sweeper.h). A place that the key's record names is never
 * cleared.
 */
#ifndef MASTER_REMOVALS_H
#define MASTER_REMOVALS_H

#include "common/http/client.h"
#include "common/loop.h"
#include "common/str.h"
#include "master/index.h"
#include "master/volumes/resting.h"
#include "master/volumes/volumes.h"

struct removals;
struct clearing;

/* What is given must outlive it; `resting` is told how the DELETEs went. */
struct removals *removals_new(struct index *index, struct volumes *volumes,
                              struct resting *resting);
/* After the loops have stopped and their clients are freed, before the index is closed.
 * No done() follows. */
void removals_free(struct removals **removals);

/* The `due` to list a removal with that may be cleared at once: now, and known to be of
 * this life of the program (see removals.c). Any thread. */
int64_t removals_due(const struct removals *removals);
/* How many places have been found clear since the start. Any thread. */
uint64_t removals_cleared(const struct removals *removals);

/* Clears listed removals of `key` at `places` now, from the caller's loop, and calls done
 * (once, on that loop; may be NULL) when each has been answered, given up on or was under
 * way already, and the list is brought up to date as far as it could be; that may be
 * before this returns. A volume thought down is tried too; how long done takes is bounded
 * by the answer limit. */
void removals_clear(struct removals *removals, struct loop *loop,
                    struct http_client *client, struct str key, const struct str *places,
                    int n, void (*done)(void *arg), void *arg);
/* The same for who is about to list the places under the key's claim, which costs it no
 * reading of the list. From removals_expect() on, called before the batch that drops the
 * record and lists its places with `due`, nobody else clears them; copies what it is
 * given. */
struct clearing *removals_expect(struct removals *removals, struct loop *loop,
                                 struct str key, const struct str *places, int n,
                                 int64_t due);
/* The batch is written: clears them. The claim is still held, and done, which is about to
 * release it, is called when the index has been handed what came of it, and need not have
 * taken it yet: whoever claims the key then sees it taken (index_claim()). */
void removals_clear_expected(struct clearing **clearing, struct http_client *client,
                             void (*done)(void *arg), void *arg);
/* It is not written. */
void removals_expect_no_more(struct clearing **clearing);

#endif
