/*
 * The set of volumes: names, ranks, homes, what a redirect calls them, and their health
 * (volume_health.h). Nothing but health changes; any thread.
 */
#ifndef MASTER_VOLUMES_VOLUMES_H
#define MASTER_VOLUMES_VOLUMES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"
#include "common/placement.h"
#include "common/str.h"
#include "master/record.h"
#include "master/volumes/volume_health.h"

struct volumes;

enum { SUBVOLUMES_MAX = 65536 };

/* `list`: "host:port[/prefix],…"; `public_names`: "name=public,…" or "". NULL: err holds
 * a line. */
struct volumes *volumes_new(const char *list, int replicas, int subvolumes,
                            const char *public_names, char *err, size_t errlen);
void volumes_free(struct volumes **volumes);
int volumes_count(const struct volumes *volumes);
int volumes_replicas(const struct volumes *volumes);
struct str volumes_name(const struct volumes *volumes, int volume);

/* All volumes ranked for the key, best first. `out` has room for volumes_count(). */
void volumes_rank(const struct volumes *volumes, struct str key,
                  struct placement_rank *out);
/* The place of a ranked volume: attempt 0 is home, 1, 2, … the other subvolumes in turn
 * (with subvolumes = 1: home is the volume itself, then sv00, sv01, …). Writes the text
 * and a NUL, returns its length; 0 when there are no more attempts (256 at most). */
size_t volumes_place(const struct volumes *volumes, const struct placement_rank *rank,
                     int attempt, char out[PLACE_MAX]);
/* Does the record name exactly the key's homes (in any order)? */
bool volumes_balanced(const struct volumes *volumes, struct str key,
                      const struct record *record);

/* The place as clients reach it: writes host:port/prefix/sv## by the public names;
 * returns its length; 0 when it does not fit (a record may name anything). `out` has
 * PLACE_MAX bytes. */
size_t volumes_public(const struct volumes *volumes, struct str place,
                      char out[PLACE_MAX]);

/* Does the place lie on a volume of the list? */
bool volumes_lists(const struct volumes *volumes, struct str place);

/* --- health ------------------------------------------------------------------------ */
/* Is the volume of this place thought well? One not in the list is. */
bool volumes_well(const struct volumes *volumes, struct str place);
/* What is known of one. */
struct volume_standing volumes_standing(const struct volumes *volumes, int volume);
/* What a call to a place ended in. */
void volumes_saw(struct volumes *volumes, struct str place, enum call_result result);

/* A subvolume that just failed a write is passed over by writes for a while. */
void volumes_write_failed(struct volumes *volumes, struct str place);
bool volumes_write_shunned(const struct volumes *volumes, struct str place);

#endif
