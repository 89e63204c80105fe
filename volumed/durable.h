/*
 * Making names durable: a file's name is on disk when its folder has been synced, and the
 * folder's own name in its parent, up to the top of the drive.
 */
#ifndef VOLUMED_DURABLE_H
#define VOLUMED_DURABLE_H

#include <stdbool.h>
#include <sys/types.h>

struct durable;

/* For the drive whose top is the folder `top`. */
struct durable *durable_new(int top);
/* Nobody waits in it any more. */
void durable_free(struct durable **durable);

/* All of it may block: workers only. */

/* Every name that is in the folder `fd` (opened for reading) when this is called is on
 * disk when it returns 0, and so are the names of the folders that lead to it from the
 * top. Otherwise -errno. */
int durable_names(struct durable *durable, int fd);
/* The folder `fd` was just made: whatever is known of its inode's number is of
 * another. */
void durable_forget(struct durable *durable, int fd);

#endif
