/*
 * The drives, between their source files:
 *   drive.c        a drive, where its name leads, and the table
 *   drive_care.c   waking, resting, hanging: what a timer looks after
 * Private to them.
 */
#ifndef VOLUMED_DRIVE_PRIVATE_H
#define VOLUMED_DRIVE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "volumed/drive.h"
#include "volumed/footing.h"

/* Further sv## are served as plain folders of the root drive. */
enum { DRIVES_MOST = 1024 };

struct drive {
    struct drives *drives;
    char *name;         /* the root drive: the path as given; else sv## */
    struct drive *root; /* NULL: it is the root drive itself */
    struct workers *readers, *writers;
    struct errands *errands; /* NULL: what writes also syncs, and always waits */
    pthread_mutex_t opening; /* held by the worker that looks for a new footing */
    pthread_mutex_t lock;    /* over the two below */
    struct footing *footing;
    uint64_t looked_ms;
    /* Kept when a footing is let go of, for the next if it is the same folder. Under
     * opening. */
    struct durable *durable;
    struct identity durable_of;
    struct job waking;         /* looks for a footing, once */
    struct errand_job resting; /* lets go of the footing */
    bool rests;                /* the loop's: that job is under way */
    bool hangs;                /* the loop's: that was logged */
};

struct drives {
    int threads; /* of a drive: so many to read, so many to write */
    bool sync;   /* names of drives are to be on disk */
    struct crew *crew;
    struct standby *standby;
    struct drive *root;
    pthread_mutex_t lock; /* over the table's growth */
    atomic_int n;
    struct drive *drive[DRIVES_MOST]; /* [0..n) never change */
    struct loop *loop;                /* the one that has the timer */
    struct timer care;
    uint64_t hang_ms;
};

/* drive.c */
/* The drive of that name, made where there is none. NULL: the table is full. Any
 * thread. */
struct drive *drives_add(struct drives *drives, const char *name);
/* Has nobody asked for it in a while? Any thread. */
bool drive_is_idle(struct drive *drive);
/* Lets go of a drive that is idle still: a descriptor that is held keeps an operator from
 * unmounting it. What is known of its folders is kept. On a worker of the drive. */
void drive_rest(struct drive *drive);

#endif
