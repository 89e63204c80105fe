/*
 * What rebuild has to read: the volumes it was given and those that the old index names,
 * and for each of the places that index names, whether anything of ours was found there.
 */
#ifndef MASTER_JOBS_REBUILD_SOURCES_H
#define MASTER_JOBS_REBUILD_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"
#include "master/volumes/volumes.h"

struct sources;

enum { SOURCES_MOST = 1024 }; /* volumes */

/* With the volumes of the set, which must outlive it. */
struct sources *sources_new(const struct volumes *volumes);
void sources_free(struct sources **sources);

/* A record names this place. false: that would be more volumes or places than can be. */
bool sources_name(struct sources *sources, struct str place);

int sources_count(const struct sources *sources);
/* The name of a volume; valid as long as the sources are. */
struct str sources_volume(const struct sources *sources, int i);

/* Folders of ours were found at the place. */
void sources_found(struct sources *sources, struct str place);
/* A place where none was, though records name it. `place` has PLACE_MAX bytes. */
bool sources_bare(const struct sources *sources, char *place, uint64_t *records);

#endif
