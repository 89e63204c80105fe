/*
 * The drives: the folder served, and each sv## at its top, which may be a plain folder, a
 * mount, or a link to another drive. Each has its own threads, so that one that hangs
 * holds up only the requests that are for it.
 *
 * A drive is a name. What it leads to is looked at again within a second, and before any
 * write.
 */
#ifndef VOLUMED_DRIVE_H
#define VOLUMED_DRIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/errands.h"
#include "common/loop.h"
#include "common/str.h"
#include "common/workers.h"

struct drives;
struct drive;
struct footing;

/* Opens the folder `dir` and makes sure that files can be written to it. `threads` bounds
 * each drive's readers, and its writers. `sync`: settling for a write has the drive's own
 * name on disk. NULL: err holds one line. */
struct drives *drives_open(const char *dir, int threads, bool sync, char *err,
                           size_t errlen);
/* Opens the drives there are, on their own workers. From then on lets go of those that
 * nobody has asked for in a while, so that they can be unmounted; and has jobs lapse that
 * wait for one that hangs, none of its threads having come back for `hang_ms`. `loop`
 * does the timing. */
void drives_wake(struct drives *drives, struct loop *loop, int hang_ms);
/* Once the loops have stopped: waits for jobs under way. What these posted may still ask
 * for writes, which are done on the spot. */
void drives_end(struct drives *drives);
/* Once the loops are gone, where there were any. */
void drives_free(struct drives **drives);

/* Before the loop runs, for each that asks for writes. */
void drives_serve(struct drives *drives, struct loop *loop);

/* Reads and writes have threads of their own, so that a drive that is busy syncing, or
 * frozen, still answers what it can. */
struct workers *drive_readers(const struct drive *drive);
/* Has the job worked: one that writes. As errands_submit(). */
void drive_write(struct drive *drive, struct loop *loop, struct errand_job *job);

enum settle {
    SETTLE_LOOK, /* a footing looked at within the last second is good enough */
    SETTLE_SURE, /* look now, and have the drive's own name on disk: for writes */
    SETTLE_MAKE, /* the same, and make the sv## folder when there is none */
};

/* The folder served. */
struct drive *drives_root(const struct drives *drives);
/* The drive of that name, if it is known. Any thread, never blocks. */
struct drive *drives_find(const struct drives *drives, struct str name);
/* Is there such a sv## in the folder served? On a worker of the root drive. 0 and the
 * drive, or NULL where it is no drive but an ordinary entry; or -errno. */
int drives_adopt(struct drives *drives, struct str name, enum settle how,
                 struct drive **out);

/* A reference to the drive's footing if it was looked at within the last second, else
 * NULL. Any thread, never blocks. */
struct footing *drive_at_hand(struct drive *drive);
/* On a worker of the drive (or before the loops run). 0 with a reference, or -errno. */
int drive_footing(struct drive *drive, enum settle how, struct footing **out);

#endif
