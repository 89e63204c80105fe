/*
 * Every batch carries its number, so that an index opened again after a failed write tells
 * whether that batch is in it. DB_WRITER's.
 */
#ifndef MASTER_INDEX_BATCH_NUMBER_H
#define MASTER_INDEX_BATCH_NUMBER_H

#include <stdint.h>

#include "master/index/leveldb.h"

void batch_number_add(struct db_batch *batch, uint64_t number);
/* 0 and the number of the last batch the database knows of (0 where there was none), or
 * -errno. */
int batch_number_read(struct db *db, uint64_t *number);

#endif
