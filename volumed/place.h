/*
 * Where a request's path lies: on which drive, and where below its top. Found on the loop
 * when the drive is known and was looked at a moment ago, else settled by a worker.
 */
#ifndef VOLUMED_PLACE_H
#define VOLUMED_PLACE_H

#include <stdbool.h>

#include "common/str.h"
#include "volumed/drive.h"
#include "volumed/footing.h"
#include "volumed/path.h"

struct place {
    struct drives *drives;
    struct drive *drive;     /* whose workers do what may block */
    struct footing *footing; /* held from place_at_hand or place_settle on; else NULL */
    const char *path;        /* below the footing: no leading '/', "" for its top */
    const char *full;        /* the same below the folder served */
    struct str piece;        /* the sv## the path begins with; n = 0: none */
    bool settled;            /* drive is the right one */
};

/* Never blocks. `path` must live as long as the place, or be moved. */
void place_init(struct place *place, struct drives *drives, const struct path *path);
/* Moves the place to a copy of its path (without the leading '/'). */
void place_move(struct place *place, const char *full);
/* Is the path nothing but a sv##? */
bool place_is_drive(const struct place *place);
/* Takes such a path for what it is in the folder served: an entry there. */
void place_plain(struct place *place);
/* Takes the drive's footing if it is known and was looked at within the last second. */
bool place_at_hand(struct place *place);

/* On a worker of place->drive. 0: the footing is there. -EAGAIN: the drive has become
 * known, submit once more, to its workers. Otherwise -errno. */
int place_settle(struct place *place, enum settle how);
/* Lets go of the footing. Any thread. */
void place_drop(struct place *place);

#endif
