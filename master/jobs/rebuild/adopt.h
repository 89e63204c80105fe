/*
 * What the index is to say of a key, from the copies that the volumes list and from what
 * an old index says. Pure: nothing is asked here.
 *
 * Where the old index has a record, it says which files count: those at the places it
 * names that have the recorded size; where it has none, those of one size. What else
 * there is, is told and left alone. Only when no named place has the value do the other
 * copies count: the newest whole set of them, as for a key that no record is known of. A
 * place that the old index has listed to be cleared never counts, nor does an empty file
 * (a value has at least one byte; a power cut leaves such files).
 */
#ifndef MASTER_JOBS_REBUILD_ADOPT_H
#define MASTER_JOBS_REBUILD_ADOPT_H

#include <stdbool.h>
#include <stdint.h>

#include "master/index.h"
#include "master/index/scratch.h"
#include "master/volumes/volumes.h"

/* What is worth telling of a key. */
enum adopt_finding {
    ADOPT_MISSING, /* a place that the old record names has no file */
    ADOPT_EMPTY,   /* an empty file */
    ADOPT_DIFFERS, /* a file of another size than the value */
    ADOPT_UNNAMED, /* a file like the value, at a place that the old record does not name */
    ADOPT_CHANGED, /* no place has the value that was recorded: hash and size are dropped */
    ADOPT_LOST,    /* there is no copy at all of a key that the old index has */
    ADOPT_FEW,     /* fewer copies than replicas; not with ADOPT_LOST */
    ADOPT_FINDINGS,
};

struct adoption {
    struct record record; /* RECORD_ABSENT: nothing is to stand in the index */
    bool has_size;
    uint64_t size;
    int64_t time;
};

/* `place` is empty where the finding is about the key as a whole. */
typedef void adopt_told(void *arg, enum adopt_finding finding, struct str place);

/* `old`: with a record RECORD_ABSENT when it knows of none. The places in *out are those
 * of `old` and `found`. Their order is the old record's, else that of the ranks. Tells
 * each finding, at most once for a place. */
void adopt(const struct volumes *volumes, const struct found_key *found,
           const struct entry *old, struct adoption *out, adopt_told *told, void *arg);

#endif
