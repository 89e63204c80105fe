/*
 * Whoever works in the folder holds a shared lock on it (flock), and who empties it an
 * exclusive one. So a server that starts clears what a crash has left, but not what
 * another process, the one it replaces and that still drains, is writing.
 */
#include "volumed/dot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"

struct dot {
    int top;
    const char *name;
    pthread_mutex_t lock;
    int fd; /* -1: not open */
    int users;
    bool keep;
};

struct dot *dot_new(int top, const char *name)
{
    struct dot *dot = xcalloc(1, sizeof(*dot));
    dot->top = top;
    dot->name = name;
    dot->fd = -1;
    pthread_mutex_init(&dot->lock, NULL);
    return dot;
}

/* Under the lock. */
static void leave(struct dot *dot)
{
    if (dot->fd < 0)
        return;
    close(dot->fd); /* the lock goes with it */
    dot->fd = -1;
    unlinkat(dot->top, dot->name, AT_REMOVEDIR); /* fails while others have files in it */
}

void dot_free(struct dot **dotp)
{
    struct dot *dot = *dotp;
    *dotp = NULL;
    if (!dot)
        return;
    assure(dot->users == 0);
    leave(dot);
    pthread_mutex_destroy(&dot->lock);
    free(dot);
}

void dot_keep(struct dot *dot)
{
    pthread_mutex_lock(&dot->lock);
    dot->keep = true;
    pthread_mutex_unlock(&dot->lock);
}

void dot_clear(struct dot *dot)
{
    int fd = openat(dot->top, dot->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    DIR *folder = NULL;
    if (flock(fd, LOCK_EX | LOCK_NB) || !(folder = fdopendir(fd))) {
        close(fd);
        return;
    }
    const struct dirent *entry;
    unsigned n = 0;
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(fd, entry->d_name, 0) == 0)
            n++;
    if (n)
        log_info("cleared %u file%s left under way", n, n == 1 ? "" : "s");
    unlinkat(dot->top, dot->name, AT_REMOVEDIR);
    closedir(folder);
}

/* Opens the folder and locks it; makes it first. Under the lock. */
static int enter(struct dot *dot)
{
    for (int tries = 0; tries < 8; tries++) {
        struct stat st;
        if (mkdirat(dot->top, dot->name, 0700) && errno != EEXIST)
            return -errno;
        int fd =
            openat(dot->top, dot->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            if (errno == ENOENT)
                continue;
            return -errno;
        }
        /* Somebody who empties it may remove it before we have the lock. ENOLCK and the
         * like: a file system without locks, where there is nothing to be guarded by. */
        while (flock(fd, LOCK_SH) && errno == EINTR)
            ;
        if (fstat(fd, &st) == 0 && st.st_nlink > 0) {
            dot->fd = fd;
            return 0;
        }
        close(fd);
    }
    return -EBUSY;
}

int dot_get(struct dot *dot)
{
    int err = 0;
    pthread_mutex_lock(&dot->lock);
    if (dot->fd < 0)
        err = enter(dot);
    if (!err)
        dot->users++;
    int fd = dot->fd;
    pthread_mutex_unlock(&dot->lock);
    return err ? err : fd;
}

void dot_put(struct dot *dot)
{
    pthread_mutex_lock(&dot->lock);
    assure(dot->users > 0);
    if (--dot->users == 0 && !dot->keep)
        leave(dot);
    pthread_mutex_unlock(&dot->lock);
}

int dot_try(struct dot *dot)
{
    int fd = dot_get(dot);
    if (fd < 0)
        return fd;
    int file = openat(fd, "try", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int err = file < 0 ? -errno : 0;
    if (file >= 0) {
        close(file);
        unlinkat(fd, "try", 0);
    }
    dot_put(dot);
    return err;
}
