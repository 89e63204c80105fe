/*
 * Giving the value of a claimed key to places that lack it, from such as hold it: to the
 * homes of a key that is brought home (homecoming.h), to the named places where a checkup
 * found it missing or corrupt (checkup.h). The rules it keeps are those of every write
 * (docs/writes.md).
 */
#ifndef MASTER_TRANSFER_H
#define MASTER_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"
#include "master/master.h"
#include "master/spots.h"

struct transfer_spec {
    struct shard *shard;
    struct str key;  /* whose claim the caller holds */
    struct str path; /* the key's, from placement_path() */
    const struct entry *entry;
    struct spots *spots;    /* of that entry; what becomes of them is noted there */
    bool hasty;             /* what inquiry_passes_over() is no source */
    bool refused_are_named; /* a named place whose volume refused its copy stays named;
                               otherwise it becomes a removal */
    bool has_size;
    uint64_t size;
    const char *md5; /* 32 hex digits; "" when none is known */
};

struct transfer_end {
    int err;         /* 0, or the index did not take it: then all that may have been
                        copied is marked, and the rest of this says how far it came */
    const char *why; /* what first stood in the way of a copy; "": nothing did */
    bool settled;    /* false: nothing had to change, in the index or anywhere */
    bool has_size;   /* of the value, as given, or as it was copied */
    uint64_t size;
    unsigned copies;
    uint64_t bytes; /* that came from sources, for good copies or not */
};

/* Marks the targets, copies to each, and settles: one batch makes the record what
 * spots_record() says, ends the marks, and makes removals of what is named no more or was
 * spoilt. Without a target it only settles. What the spec points to must stay. done() is
 * called once, on the shard's loop, maybe before this returns. */
void transfer_start(const struct transfer_spec *spec,
                    void (*done)(void *arg, const struct transfer_end *end), void *arg);

#endif
