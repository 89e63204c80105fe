/*
 * A store for one run of rebuild: what was found on the volumes, in whatever order that
 * came, given back in the order of keys; and which keys may lie where slashes were
 * merged. A database of its own, thrown away with its folder afterwards. One thread.
 *
 * Errors are -errno, logged where they arise.
 */
#ifndef MASTER_INDEX_SCRATCH_H
#define MASTER_INDEX_SCRATCH_H

#include <stdint.h>

#include "common/placement.h"
#include "common/str.h"
#include "master/record.h"

struct scratch;

/* A copy of a key's value, as a volume lists it. */
struct found {
    struct str place;
    uint64_t size;
    int64_t mtime; /* epoch seconds */
};

enum { FOUND_MOST = 256 }; /* of one key that are given back */

struct found_key {
    struct str key;
    int n;
    uint64_t more; /* that were found beyond those */
    struct found *found;
};

/* In a folder that is made for it. NULL: err holds one line. */
struct scratch *scratch_open(const char *path, char *err, size_t errlen);
void scratch_free(struct scratch **scratch);

/* A file of the key at that place; told again it replaces what was told before. */
int scratch_note(struct scratch *scratch, struct str key, const struct found *found);

/* The key's path has "//", and this is what a disk makes of it. */
int scratch_note_merged(struct scratch *scratch, struct str path, struct str key);
/* Calls `each` with the keys noted for a path. How many, or an error. */
int scratch_merged(struct scratch *scratch, struct str path,
                   int (*each)(void *arg, struct str key), void *arg);

/* The next key of which something was found, in the order of their bytes: 1, and all of
 * it is valid until the next call; 0: there is none. From the first call on nothing may
 * be noted any more. */
int scratch_next(struct scratch *scratch, struct found_key *out);

#endif
