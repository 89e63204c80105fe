/*
 * Where a request for a key's value at a place goes: the volume's authority, and the path
 * there. Both are made of characters that stand for themselves in a request line.
 */
#ifndef MASTER_VOLUMES_TARGET_H
#define MASTER_VOLUMES_TARGET_H

#include <string.h>

#include "common/placement.h"
#include "common/str.h"
#include "master/volumes/volumes.h"

struct target {
    struct str authority; /* points into the place given */
    struct str path;      /* points into text */
    char text[PLACE_MAX + PLACEMENT_PATH_MAX];
};

/* `path`: the key's, from placement_path(). */
static inline void target_of(struct target *target, struct str place, struct str path)
{
    struct str prefix;

    place_split(place, &target->authority, &prefix);
    memcpy(target->text, prefix.p, prefix.n);
    memcpy(target->text + prefix.n, path.p, path.n);
    target->path = (struct str){target->text, prefix.n + path.n};
}

#endif
