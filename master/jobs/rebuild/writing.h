/*
 * The second half of rebuild: key by key, in order, what was found and what the old index
 * says become the records of a new index.
 */
#ifndef MASTER_JOBS_REBUILD_WRITING_H
#define MASTER_JOBS_REBUILD_WRITING_H

#include <stdint.h>

#include "common/loop.h"
#include "master/index.h"
#include "master/index/scratch.h"
#include "master/jobs/progress.h"
#include "master/jobs/rebuild/adopt.h"
#include "master/volumes/volumes.h"

struct writing;

struct writing_spec {
    struct loop *loop;
    const struct volumes *volumes;
    struct scratch *scratch;
    struct index *old; /* NULL: there is none that can be read */
    struct index *fresh;
    struct progress *progress;
    uint64_t files; /* noted in the scratch store, for the progress */
};

struct writing_counts {
    uint64_t keys;       /* in the new index */
    uint64_t unlinked;   /* of those */
    uint64_t removals;   /* places to be cleared that came along */
    uint64_t unreadable; /* times that the old index could not say what it has */
    uint64_t finding[ADOPT_FINDINGS];
};

/* `done` comes once, from the loop. `failure`: NULL when the new index is complete and on
 * disk, else a line. */
struct writing *writing_start(const struct writing_spec *spec,
                              void (*done)(void *arg, const char *failure), void *arg);
void writing_counts(const struct writing *writing, struct writing_counts *out);
/* After done(), but not from within it. */
void writing_free(struct writing **writing);

#endif
