/*
 * Opening paths that cannot leave a folder: resolution below a directory descriptor,
 * links inside followed, links that lead outside refused.
 */
#ifndef VOLUMED_BENEATH_H
#define VOLUMED_BENEATH_H

#include <stdbool.h>
#include <sys/types.h>

/* openat() of `path` (relative; "" and "." are the folder itself; trailing slashes are
 * fine) below dirfd, O_CLOEXEC added. Returns the descriptor or -errno: -EXDEV when a
 * link or ".." leads outside. May block: workers only. Flags: O_RDONLY, O_PATH,
 * O_DIRECTORY, O_NONBLOCK. */
int beneath_open(int dirfd, const char *path, int flags);

/* The same, but only what the kernel can answer from memory; -EAGAIN when it cannot. Any
 * thread. */
int beneath_open_cached(int dirfd, const char *path, int flags);

/* The folder that `path` (relative, not empty, no trailing slash) lies in, opened for
 * reading (so that it can be synced); *name is the last piece of path. With `make`
 * missing folders are made, mode 0775; made() is then told each new one (NULL: nobody
 * wants to know). Workers only; the descriptor or -errno. */
int beneath_parent(int dirfd, const char *path, bool make, const char **name,
                   void (*made)(void *arg, int fd), void *arg);

/* The deepest folder on the way to `path` that exists. Workers only. */
int beneath_deepest(int dirfd, const char *path);

/* For tests: true forces the walk that stands in for openat2 where it is missing. */
void beneath_without_openat2(bool yes);

#endif
