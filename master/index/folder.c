/*
 * See folder.h.
 *
 * Beside LevelDB's own lock (fcntl, and let go of between closing and reopening) the LOCK
 * file is held with flock as long as the program has the index. That one descriptor must
 * stay open: closing any descriptor of the file would drop LevelDB's lock with it.
 */
#include "master/index/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"

enum { ROOM_MARGIN = 1 << 20 };

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

int folder_look(const char *path, enum folder_state *state)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    bool current = false, data = false;
    const struct dirent *item;
    while ((item = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(item->d_name, "CURRENT") == 0)
            current = true;
        else if (ends_with(item->d_name, ".ldb") || ends_with(item->d_name, ".sst"))
            data = true;
        else if (ends_with(item->d_name, ".log") &&
                 fstatat(dirfd(dir), item->d_name, &st, 0) == 0 && st.st_size > 0)
            data = true;
    }
    closedir(dir);
    *state = current ? FOLDER_HAS_INDEX : data ? FOLDER_LOST_CURRENT : FOLDER_NEW;
    return 0;
}

int folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return err;
}

int folder_make(const char *path)
{
    struct stat st;
    char fresh[PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    int len =
        snprintf(fresh, sizeof(fresh), "%.*s" FOLDER_WORK "/" FOLDER_FRESH, (int)n, path);
    if (len >= (int)sizeof(fresh))
        return -ENAMETOOLONG;
    if (stat(path, &st) != 0 && errno == ENOENT && stat(fresh, &st) == 0)
        return -EEXIST;
    if (mkdir(path, 0777) != 0)
        return errno == EEXIST ? 0 : -errno;
    /* The folder's own name must be on disk before anything in it counts. */
    while (n > 0 && path[n - 1] != '/')
        n--;
    char *parent = n > 0 ? xmemdupz(path, n) : xstrdup(".");
    int err = folder_sync(parent);
    free(parent);
    return err;
}

int folder_lock(const char *path, int *fd)
{
    char name[PATH_MAX];
    *fd = -1;
    if (snprintf(name, sizeof(name), "%s/LOCK", path) >= (int)sizeof(name))
        return -ENAMETOOLONG;
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0)
        return -errno;
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return 0;
}

/* Calls `each` with a descriptor of the folder and the name of every log in it. */
static int each_log(const char *path, int (*each)(int dir, const char *name, void *arg),
                    void *arg)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int err = 0;
    const struct dirent *item;
    while (err == 0 && (item = readdir(dir)) != NULL)
        if (ends_with(item->d_name, ".log"))
            err = each(dirfd(dir), item->d_name, arg);
    closedir(dir);
    return err;
}

static int add_size(int dir, const char *name, void *arg)
{
    off_t *sum = arg;
    struct stat st;
    if (fstatat(dir, name, &st, 0) != 0)
        return errno == ENOENT ? 0 : -errno;
    *sum += st.st_size;
    return 0;
}

int folder_has_room(const char *path)
{
    off_t need = ROOM_MARGIN;
    int err = each_log(path, add_size, &need);
    if (err != 0)
        return -EIO;
    char name[PATH_MAX];
    if (snprintf(name, sizeof(name), "%s/room.tmp", path) >= (int)sizeof(name))
        return -EIO;
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT ? -ENOSPC : -EIO;
    unlink(name);
    err = posix_fallocate(fd, 0, need);
    if (err == 0 && fsync(fd) != 0)
        err = errno;
    close(fd);
    if (err == ENOSPC || err == EDQUOT || err == EFBIG)
        return -ENOSPC;
    return err == 0 ? 0 : -EIO;
}

static int sync_log(int dir, const char *name, void *arg)
{
    (void)arg;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int err = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return err;
}

int folder_sync_logs(const char *path)
{
    int err = each_log(path, sync_log, NULL);
    return err != 0 ? err : folder_sync(path);
}
