/*
 * The drives: the folder served, and each sv## at its top, which may be a plain folder, a
 * mount, or a link to another drive. Each has its own threads, so that one that hangs
 * holds up only the requests that are for it.
 *
 * A drive is a name; what it leads to now is its *footing*: a descriptor of its top
 * folder and what is known of that file system. A drive that is replaced while the server
 * runs gets a new footing within a second, and before any write; requests under way keep
 * the old one.
 */
#ifndef VOLUMED_DRIVE_H
#define VOLUMED_DRIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/loop.h"
#include "common/str.h"
#include "common/workers.h"
#include "volumed/path.h"

struct drives;
struct drive;
struct footing;
struct durable;

/* The dot folder at a drive's top, for files under way where O_TMPFILE does not serve and
 * for those that replace another. Listings hide it, requests cannot reach into it. */
#define DOT_FOLDER ".volumed"

/* Opens the folder `dir` and makes sure that files can be written to it. `threads` bounds
 * each drive's workers. NULL: err holds one line. */
struct drives *drives_open(const char *dir, int threads, char *err, size_t errlen);
/* Opens the drives there are, on their own workers; completions come to `loop`. */
void drives_wake(struct drives *drives, struct loop *loop);
/* Waits for jobs under way. */
void drives_free(struct drives **drives);

struct workers *drive_workers(const struct drive *drive);

/* --- a request's place
 * -------------------------------------------------------------------- */

struct place {
    struct drives *drives;
    struct drive *drive;     /* whose workers do what may block */
    struct footing *footing; /* held from place_at_hand or place_settle on; else NULL */
    const char *path;        /* below the footing: no leading '/', "" for its top */
    const char *full;        /* the same below the folder served */
    struct str piece;        /* the sv## the path begins with; n = 0: none */
    bool settled;            /* drive is the right one */
};

/* Own thread of the caller, never blocks. `path` must live as long as the place. */
void place_init(struct place *place, struct drives *drives, const struct path *path);
/* Moves the place to a copy of its path. */
void place_move(struct place *place, const char *full);
/* Takes a path that is nothing but sv## for what it is in the folder served: an entry
 * there. */
void place_plain(struct place *place);
/* Takes the drive's footing if it is known and was looked at within the last second. */
bool place_at_hand(struct place *place);

enum settle {
    SETTLE_LOOK, /* a footing looked at within the last second is good enough */
    SETTLE_SURE, /* look now: for writes */
    SETTLE_MAKE, /* the same, and make the sv## folder when there is none */
};
/* On drive_workers(place->drive). 0: the footing is there. -EAGAIN: the drive has become
 * known, submit once more, to its workers. Otherwise -errno. */
int place_settle(struct place *place, enum settle how);
/* Lets go of the footing. Any thread. */
void place_drop(struct place *place);

/* --- a footing
 * ---------------------------------------------------------------------------- */

int footing_fd(const struct footing *footing);
struct durable *footing_durable(const struct footing *footing);
/* O_TMPFILE does not serve there. Once said it is remembered. */
bool footing_without_tmpfile(const struct footing *footing);
void footing_no_tmpfile(struct footing *footing);
/* The dot folder, made when need be: a descriptor that is valid until footing_dot_done(),
 * or -errno. Workers only. */
int footing_dot(struct footing *footing);
void footing_dot_done(struct footing *footing);

#endif
