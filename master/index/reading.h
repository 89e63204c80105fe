/*
 * Reading a key's entry, from the cache or LevelDB. Any thread. Errors: 0 or -errno; the
 * caller clears *entry after an error too.
 */
#ifndef MASTER_INDEX_READING_H
#define MASTER_INDEX_READING_H

#include <stdbool.h>

#include "common/str.h"
#include "master/index.h"
#include "master/index/cache.h"
#include "master/index/leveldb.h"

/* What is read from. */
struct reading {
    struct db *db;
    struct cache *cache;
};

bool reading_is_key(struct str key);
void entry_none(struct entry *entry);
/* Record, size and time. The hot path of every GET. `learn`: the cache is to have them
 * from now on; whoever reads in order to change the record would only fill it with what
 * is forgotten at once. */
int reading_record(const struct reading *from, struct str key, bool learn,
                   struct entry *entry);
/* Marks and removals too, but those that the record names. */
int reading_entry(const struct reading *from, struct str key, struct entry *entry);
/* Adds to an entry that has its record the places of this text. */
int reading_places(struct str key, struct str text, struct entry *entry);

#endif
