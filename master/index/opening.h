/*
 * What comes before LevelDB opens the index, and what is said when that fails: the folder
 * is made, taken and looked at, and whatever stands in the way becomes one line that says
 * what to do. Of LevelDB it knows the words of its messages only.
 *
 * Each line names the index; errno is EBADMSG where the index is damaged.
 */
#ifndef MASTER_INDEX_OPENING_H
#define MASTER_INDEX_OPENING_H

#include <stdbool.h>
#include <stddef.h>

/* Makes the folder if need be, makes sure that nobody else has it, and that it has all of
 * an index or nothing. false: err holds the line. *lock_fd is folder_lock()'s, the
 * caller's to close, maybe also then; -1 when it was not taken. */
bool opening_prepare(const char *path, int *lock_fd, char *err, size_t errlen);

/* Does LevelDB's message speak of damage? */
bool opening_met_damage(const char *message);
/* The line for LevelDB's message. */
void opening_failed(const char *path, const char *message, char *err, size_t errlen);

#endif
