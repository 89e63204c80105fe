/*
 * What changes come to in the database: keys of the index under LevelDB's, and the read,
 * modify and write that turns a list of changes into one batch. Used by DB_WRITER only.
 */
#ifndef MASTER_INDEX_APPLY_H
#define MASTER_INDEX_APPLY_H

#include <stdint.h>

#include "common/placement.h"
#include "common/str.h"
#include "master/index/change.h"
#include "master/index/entry_text.h"
#include "master/index/leveldb.h"

/* Records stand under the key itself; nothing else begins with '/'. */
#define INDEX_META STR("meta")     /* followed by the key */
#define INDEX_PLACES STR("places") /* followed by the key */
#define INDEX_BATCH STR("batch")   /* the number of the last batch, "batch N" */

struct index_key {
    size_t n;
    char text[16 + PLACEMENT_KEY_MAX];
};

/* The database's key for something of a key. */
struct str index_key(struct index_key *room, struct str prefix, struct str key);

struct applier; /* keeps its buffers from batch to batch */

struct applier *applier_new(struct db *db);
void applier_free(struct applier **applier);
/* Adds the changes to the batch, in their order, as if each saw what those before it did.
 * One whose key cannot be read gets its err set and is left out, and so are all of that
 * key. Returns by how much the number of listed removals will grow. */
int64_t applier_run(struct applier *applier, struct change *const *changes, int n,
                    struct db_batch *batch);

/*
 * After a crash, before anything else is written: marks become removals, and marks and
 * removals that the record names are dropped (the Go program was here, or a mend was cut
 * off). With `repair` false only counts. Returns 0 and the number of removals listed, or
 * -errno.
 */
int index_settle(struct db *db, bool repair, bool sync, uint64_t *removals);

#endif
