/*
 * Asking the places of a key, by HEAD and all at once, whether they hold its value: what
 * a record says is not what a drive that was exchanged holds.
 */
#ifndef MASTER_INQUIRY_H
#define MASTER_INQUIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "master/master.h"
#include "master/spots.h"

struct inquiry_spec {
    const struct shard *shard;
    struct spots *spots;
    struct str path; /* the key's, from placement_path() */
    bool hasty;      /* places that inquiry_passes_over() are not asked */
    bool has_size;   /* then a file of another size is not the value */
    uint64_t size;
};

/* Asks every spot that is named, and notes what it said. done() is called once, on the
 * shard's loop, maybe before this returns. The spots stay where they are until then. */
void inquiry_start(const struct inquiry_spec *spec, void (*done)(void *arg), void *arg);

/* Is it no use to wait for the volume of this place, with very many other keys to come?
 * One that is in the list has its health; any other is left alone for a while when it did
 * not answer, but for one caller after each rest, who is to ask it (resting_admit()). */
bool inquiry_passes_over(const struct master *master, struct str place);

#endif
