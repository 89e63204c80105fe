/*
 * LevelDB as the index needs it: get, atomic batches, cursors, and a way to close and
 * reopen the database beneath readers that go on. Knows nothing of records, marks or
 * claims.
 *
 * Two sides use it. DB_WRITER is one thread (the writer's, or the opener's before it
 * starts): it alone opens, shuts and writes, so its reads need no lock. DB_READER is any
 * thread: it sees the database only between db_publish and db_shut, and gets -EIO
 * outside. A loop thread thus never waits for a reopening.
 *
 * Errors: 0 or -errno, logged where they arise. -ENOSPC stands for every way of having no
 * room (quota and file size limit included), -EIO for all else.
 */
#ifndef MASTER_INDEX_LEVELDB_H
#define MASTER_INDEX_LEVELDB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/str.h"

struct db;
struct db_batch;
struct db_cursor;

enum db_side { DB_READER, DB_WRITER };

/* Creates the folder if need be, makes sure that nobody else has it, opens for DB_WRITER.
 * NULL: err holds one line, and errno is EBADMSG where it is damaged. */
struct db *db_open(const char *path, char *err, size_t errlen);
/* Readers may read from now on. */
void db_publish(struct db *db);
/* Readers get -EIO, their cursors are dead, the handle is closed. */
void db_shut(struct db *db);
/* After db_shut, or another db_reopen that failed. Not yet published. */
int db_reopen(struct db *db);
/* Is there room to open this database again? LevelDB turns its log into a table then, and
 * the handle must be closed before, so it is better asked first. */
int db_has_room(struct db *db);
/* The folder stays this process's until the caller closes the descriptor returned, also
 * after db_close. */
int db_keep_lock(struct db *db);
/* Closes; all cursors must be gone. What is in the logs is on disk when it returns 0. */
int db_close(struct db **db);

/* *value is NULL when the key is not there; freed with db_value_free. */
int db_get(struct db *db, enum db_side side, struct str key, char **value, size_t *len);
void db_value_free(char *value);

/* --- batches, DB_WRITER ------------------------------------------------------------ */
struct db_batch *db_batch_new(void);
void db_batch_free(struct db_batch **batch);
void db_batch_clear(struct db_batch *batch);
void db_batch_put(struct db_batch *batch, struct str key, struct str value);
void db_batch_drop(struct db_batch *batch, struct str key);
size_t db_batch_bytes(const struct db_batch *batch);
/* After an error the handle must not be written to again: LevelDB would acknowledge what
 * it loses at the next start (it appends to a log whose tail is torn). db_shut and
 * db_reopen. */
int db_write(struct db *db, struct db_batch *batch, bool sync);
/* Adds to `undo` what brings back the values that `batch` (not applied) would replace,
 * except the one of the key `but`. */
int db_batch_inverse(struct db *db, const struct db_batch *batch, struct str but,
                     struct db_batch *undo);

/* --- cursors ----------------------------------------------------------------------- */
/* Sees the database as it is now, whatever is written later. Never NULL; where the
 * database is shut, all steps give -EIO. Cheap for what it passes over: leaves the block
 * cache alone. */
struct db_cursor *db_cursor_new(struct db *db, enum db_side side);
void db_cursor_free(struct db_cursor **cursor);
/* To the first key >= from; one further. 1: *key and *value, valid until the next step;
 * 0: the end; -EIO. */
int db_cursor_seek(struct db_cursor *cursor, struct str from, struct str *key,
                   struct str *value);
int db_cursor_next(struct db_cursor *cursor, struct str *key, struct str *value);

#endif
