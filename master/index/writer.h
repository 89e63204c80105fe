/*
 * The writer: one thread through which every change of the index goes, so that a batch is
 * whatever gathered while the last one was being synced.
 */
#ifndef MASTER_INDEX_WRITER_H
#define MASTER_INDEX_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "master/index/cache.h"
#include "master/index/change.h"
#include "master/index/claims.h"
#include "master/index/leveldb.h"

struct writer;

/* What it did since it began; for tests. */
struct writer_counts {
    uint64_t changes;  /* committed */
    uint64_t batches;  /* written */
    uint64_t syncs;    /* of those, synced */
    uint64_t failures; /* writes that failed */
    uint64_t reopened; /* times the database was opened again */
    uint64_t retries;  /* times it was tried after writes had been refused */
    bool refusing;
};

/* Settles the index, publishes it to readers and starts the thread. NULL: err holds one
 * line, and errno is EBADMSG where something cannot be read. */
struct writer *writer_start(struct db *db, struct claims *claims, struct cache *cache,
                            bool sync, char *err, size_t errlen);
/* Writes what is queued, then ends the thread. */
void writer_stop(struct writer **writer);
/* Any thread. Takes a list of changes, whose loop, done, arg and durable are set. */
void writer_submit(struct writer *writer, struct change *changes);
/* Queued even while writes are refused, and reported to nobody. */
void writer_submit_own(struct writer *writer, struct change *change);
/* Where writes are refused: tries now to open the database again. */
void writer_retry(struct writer *writer);
uint64_t writer_removals(struct writer *writer);
void writer_counts(struct writer *writer, struct writer_counts *out);

#endif
