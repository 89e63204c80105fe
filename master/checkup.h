/*
 * The checkup of one key: each of its replicas is read back and held against the recorded
 * MD5 (where there is none: against each other), and where that is asked for, what is
 * missing or corrupt is made good from one that is right. What `verify` does to every
 * key. The rules it keeps are those of every write (docs/writes.md).
 *
 * Reading holds no claim on the key; only mending does, once the record is found to be
 * the same still.
 */
#ifndef MASTER_CHECKUP_H
#define MASTER_CHECKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"
#include "master/master.h"

enum checkup_result {
    CHECKUP_RIGHT,  /* every replica is the value */
    CHECKUP_MENDED, /* … is it now */
    CHECKUP_WRONG,  /* some are not: `why` says which, and what is wrong with them */
    CHECKUP_ABSENT, /* there is no such key */
    CHECKUP_BUSY,   /* the key changed meanwhile, or somebody else has it */
    CHECKUP_INDEX,  /* the index cannot be read or written */
};

struct checkup_end {
    enum checkup_result result;
    const char *why; /* WRONG; valid in done() */
    uint64_t bytes;  /* that came from volumes, whatever the result */
};

struct checkup_spec {
    struct shard *shard;
    struct str key;
    bool repair;
};

/* Own thread of the shard, which it counts as running on. `spec` is copied; done() is
 * called once, on that loop, maybe before this returns. */
void checkup_start(const struct checkup_spec *spec,
                   void (*done)(void *arg, const struct checkup_end *end), void *arg);

#endif
