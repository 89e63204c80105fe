/*
 * The places that matter where a key's value is to come to lie at places that may lack it
 * (transfer.h): those, every other place that its record names, and what is known of
 * each. Pure: who asks, copies and commits fills in what came of it.
 */
#ifndef MASTER_SPOTS_H
#define MASTER_SPOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "master/index.h"
#include "master/volumes/volumes.h"

enum spot_state {
    SPOT_UNKNOWN, /* named; not asked, or no answer that tells */
    SPOT_HOLDS,   /* named; a file of the value's size is there */
    SPOT_LACKS,   /* named; no file of the value's size is there */
    SPOT_FREE,    /* wanted; nothing names it */
    SPOT_TAKEN,   /* wanted; it is to be cleared first */
    SPOT_COPIED,  /* wanted; the volume has acknowledged a copy of the value */
    SPOT_SPOILT,  /* wanted; a copy that failed may be there, or come to be */
};

struct spot {
    enum spot_state state;
    struct str place;
    bool wanted;     /* the value is to lie there */
    bool named;      /* by the record */
    bool given_up;   /* no copy is sent there (any more) */
    bool bad_source; /* could not be copied from */
    bool late;       /* SPOILT: the request may still arrive; TAKEN: one may */
    bool has_length; /* HOLDS: of the file */
    uint64_t length;
};

struct spots {
    int n;
    struct spot *spot; /* those wanted, then the others */
    char *homes;       /* the text of a key's homes */
};

/* The key's homes are wanted, in the order of their rank; the others are where the record
 * has it besides. The entry must outlive them. Once more after it was read again: what
 * was known is forgotten. */
void spots_find_homes(struct spots *spots, const struct volumes *volumes, struct str key,
                      const struct entry *entry);
/* What the record names is wanted, in its order; there are no others. */
void spots_find_named(struct spots *spots, const struct entry *entry);
void spots_free(struct spots *spots);

static inline bool spot_holds(const struct spot *spot)
{
    return spot->state == SPOT_HOLDS || spot->state == SPOT_COPIED;
}

/* Does every wanted one hold the value? */
bool spots_complete(const struct spots *spots);
/* A wanted one that lacks the value, and may be given it? */
bool spot_is_target(const struct spot *spot);
/* The next of those; NULL: none. */
struct spot *spots_target(const struct spots *spots);
/* Is there a wanted one that can neither be given the value nor holds it, and is each of
 * those about to be cleared? Not where a request may still arrive, nor where it was given
 * up: then the value has to stay where it is, whatever becomes of the others. */
bool spots_soon_free(const struct spots *spots);
/* Do files that should be the value differ in size? Otherwise *size is theirs, and the
 * result 0; -1 where none told its size. */
int spots_sizes_differ(const struct spots *spots, uint64_t *size);
/* The value's size is known now: what has another one lacks the value, and is left for
 * `verify` to mend. */
void spots_learn_size(struct spots *spots, uint64_t size);

/* What the record is to name while the targets are being written to: all that it named
 * but them. */
void spots_record_meanwhile(const struct spots *spots, struct record *record);
/* What the record is to name from now on, in place of what it names: those wanted once
 * all of them hold the value; until then also all that it named, since each may be a
 * copy. */
void spots_record(const struct spots *spots, struct record *record);

#endif
