/*
 * The folder the database lies in: made, locked, looked at, synced. LevelDB's names for
 * files, but none of its calls.
 *
 * All return 0 or -errno.
 */
#ifndef MASTER_INDEX_FOLDER_H
#define MASTER_INDEX_FOLDER_H

/* What rebuild adds to an index's path for the folder it works in, and the new index
 * there. Where the file system cannot exchange two folders, a crash may leave this one
 * and none at the path itself. */
#define FOLDER_WORK ".rebuild"
#define FOLDER_FRESH "index"

/* One level; its name is on disk then. There already: fine. -EEXIST: it is missing, but
 * rebuild has left a new one that is to take its place. */
int folder_make(const char *path);

/* Takes the folder for this process; -EBUSY: another has it. *fd is to be kept open as
 * long as the index is, and closed after LevelDB has let go of it. After an error it is to
 * be closed where it is not -1. */
int folder_lock(const char *path, int *fd);

/* Where CURRENT is missing LevelDB makes a new database, and deletes the tables of the
 * old one. Logs and tables without CURRENT are therefore a damaged index; a manifest
 * alone is a creation that was cut off. */
enum folder_state { FOLDER_NEW, FOLDER_HAS_INDEX, FOLDER_LOST_CURRENT };
int folder_look(const char *path, enum folder_state *state);

int folder_sync(const char *path);
/* All logs, and the folder. */
int folder_sync_logs(const char *path);

/* Is there room for LevelDB to turn its logs into tables? -ENOSPC, or -EIO when it cannot
 * be told. */
int folder_has_room(const char *path);

#endif
