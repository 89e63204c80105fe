/*
 * Volumes that gave no answer, and are left alone for a while: 1 s, 2 s, … up to 30 s,
 * with one trial after each rest, so that those that hang are not waited for again and
 * again. In memory only. Any thread. The master has one of these for DELETEs, to whatever
 * volume, and one for HEADs to volumes that are not in the list.
 *
 * Not the volumes' health: that is a hint for the order of reads and writes, and knows
 * nothing of volumes that are no longer in the list but have places to be cleared.
 */
#ifndef MASTER_VOLUMES_RESTING_H
#define MASTER_VOLUMES_RESTING_H

#include <stdbool.h>

#include "common/str.h"

struct resting;

struct resting *resting_new(void);
void resting_free(struct resting **resting);
/* What became of a request to a place of the volume. */
void resting_note(struct resting *resting, struct str place, bool answered);
/* Lets a request to the volume go out now, or not. After each rest it lets one caller's
 * go: that is the trial, so a request should follow, or the volume rests on untried. */
bool resting_admit(struct resting *resting, struct str place);

#endif
