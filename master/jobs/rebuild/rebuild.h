/* `mkv rebuild`: makes the index anew from the volumes' listings. */
#ifndef MASTER_JOBS_REBUILD_REBUILD_H
#define MASTER_JOBS_REBUILD_REBUILD_H

#include "master/config.h"

enum {
    REBUILD_CLEAN = 0,  /* every file is a copy of a key in the new index */
    REBUILD_FAILED = 1, /* the index is what it was */
    REBUILD_USAGE = 2,
    REBUILD_TOLD = 3, /* done, but something was reported that is not as it should be */
};

/* Returns the exit status, which is one of the above. */
int rebuild_run(const struct config *config);

#endif
