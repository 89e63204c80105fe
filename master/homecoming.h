/*
 * Bringing one key home: its value comes to lie at the key's homes on today's volumes,
 * and at no other place. What REBALANCE does to one key, and the job of that name to all
 * of them. The rules it keeps are those of every write (docs/writes.md).
 *
 * The record keeps its MD5 and whether it is unlinked, the value its size and time.
 */
#ifndef MASTER_HOMECOMING_H
#define MASTER_HOMECOMING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"
#include "master/master.h"

enum homecoming_result {
    HOMECOMING_HOME,   /* every home holds the value, and did before */
    HOMECOMING_MOVED,  /* every home holds it now */
    HOMECOMING_STAYS,  /* some home does not: `why` tells what stands in the way */
    HOMECOMING_ABSENT, /* there is no such key, or none of those asked for */
    HOMECOMING_BUSY,   /* somebody else has the key */
    HOMECOMING_INDEX,  /* the index cannot be read or written */
};

struct homecoming_end {
    enum homecoming_result result;
    const char *why; /* STAYS; valid in done() */
    bool soon;       /* STAYS: all that stands in the way is about to be cleared */
    uint64_t size;   /* of the value; 0 where it is not known */
    unsigned copies; /* made of it, whatever the result */
};

struct homecoming_spec {
    struct shard *shard;
    struct str key;
    bool unlinked; /* one that is unlinked, too */
    bool hasty;    /* a volume thought down is not waited for: one of very many keys */
};

/* Own thread of the shard, which it counts as running on. `spec` is copied; done() is
 * called once, on that loop, maybe before this returns. It runs to its end in bounded
 * time. */
void homecoming_start(const struct homecoming_spec *spec,
                      void (*done)(void *arg, const struct homecoming_end *end),
                      void *arg);

#endif
