/*
 * What the index was last asked for, record, size and time of a key in one piece, also of
 * a key that is not there: in front of LevelDB, whose reads of a large index visit some
 * sixty cache lines nobody has touched lately (docs/benchmarks.md).
 *
 * It never says what LevelDB would not say at that moment:
 *   - The writer holds a key from before it writes its record until that is done, or has
 *     failed. A key that is held is not in the cache.
 *   - A reader that finds nothing is given a ticket before it reads LevelDB. What it read
 *     is taken only where no key of the same stripe was held at any time between.
 *   - Where the database is shut, the cache is emptied, and all tickets end.
 *
 * Its memory is a fixed number of equal slots, set aside at once and in use (resident) as
 * it fills. What has no room in a slot is not kept. Any thread; no call waits for
 * anything but another's few instructions.
 */
#ifndef MASTER_INDEX_CACHE_H
#define MASTER_INDEX_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"

struct cache;

struct cached {
    struct str text; /* the record's; empty: there is none, and none of the others */
    bool has_size;
    uint64_t size;
    int64_t time;
};

struct cache_ticket {
    uint64_t hash, generation;
};

struct cache *cache_new(void);
void cache_free(struct cache **cache);

/* true: *found is the key's, and *copy, which its text points into, the caller's to give
 * to cache_copy_free (NULL where it has none). false: *ticket is for cache_put. */
bool cache_get(struct cache *cache, struct str key, struct cached *found, char **copy,
               struct cache_ticket *ticket);
/* NULL is fine. It may be another thread than got it. */
void cache_copy_free(char *copy);
/* What was read from LevelDB after the ticket was given; copied, or passed over. */
void cache_put(struct cache *cache, const struct cache_ticket *ticket, struct str key,
               const struct cached *value);

/* The writer: the key's record is about to change; it did, or did not. Between, nothing
 * is known of the key. Each hold has one release; of several, the last counts. */
void cache_hold(struct cache *cache, struct str key);
void cache_release(struct cache *cache, struct str key);
/* Nothing is known of any key, nor of what is being read now. */
void cache_empty(struct cache *cache);

#endif
