/*
 * O_TMPFILE makes a file without a name, and linkat() gives it one when it is whole: a
 * crash at any moment leaves nothing to clean up. It is made in the deepest folder there
 * is on its way, so that it lies on the file system its name will be on. Two cases need
 * the drive's dot folder instead: file systems without O_TMPFILE, and a name that is
 * taken already, since a link replaces nothing: the file is linked there and renamed over
 * the old one.
 *
 * The bytes are synced before the name appears, not after: otherwise a power cut between
 * the two could show a file with its name and without its bytes, and who finds it there
 * has no way to tell.
 */
#include "volumed/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/workers.h"
#include "volumed/beneath.h"
#include "volumed/durable.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

enum {
    FILE_MODE = 0664, /* nginx's dav_access group:rw all:r; the umask is 0 */
    PUSH_BYTES = 8 << 20,
    TRIES = 3, /* when a folder on the way is removed under our hands */
};

/* Linking a descriptor by itself (AT_EMPTY_PATH) is a privilege on older kernels and
 * gives ENOENT to those who lack it; through /proc it is open to all. */
enum link_means { LINK_BY_SELF, LINK_BY_PROC, LINK_NOT };

static pthread_once_t link_probed = PTHREAD_ONCE_INIT;
static atomic_int link_means;

static void probe_link(void)
{
    if (geteuid() != 0)
        atomic_store(&link_means,
                     access("/proc/self/fd", X_OK) == 0 ? LINK_BY_PROC : LINK_NOT);
}

static int link_fd(int fd, int folder, const char *name)
{
    char self[32];
    if (atomic_load_explicit(&link_means, memory_order_relaxed) == LINK_BY_SELF) {
        if (linkat(fd, "", folder, name, AT_EMPTY_PATH) == 0)
            return 0;
        if (errno != ENOENT)
            return -errno;
    }
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    int err = linkat(AT_FDCWD, self, folder, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
    if (err == 0 || err == -EEXIST)
        atomic_store_explicit(&link_means, LINK_BY_PROC, memory_order_relaxed);
    return err;
}

void newfile_init(struct newfile *file, bool sync)
{
    *file = (struct newfile){.fd = -1, .parent = -1, .dot = -1, .sync = sync};
}

/* A name that no other file under way has: by process, and counted within it. */
static void temp_name(char out[32])
{
    static atomic_uint_fast64_t count;
    snprintf(out, 32, "%x-%llx", (unsigned)getpid(),
             (unsigned long long)atomic_fetch_add(&count, 1));
}

struct making {
    struct newfile *file;
    struct durable *durable;
};

static void made_folder(void *arg, int fd)
{
    const struct making *making = arg;
    making->file->made++;
    if (making->file->sync) /* else nothing is known to be durable */
        durable_forget(making->durable, fd);
}

static int open_parent(struct newfile *file, const struct place *place, const char **name)
{
    struct making making = {file, footing_durable(place->footing)};
    return beneath_parent(footing_fd(place->footing), place->path, true, name,
                          made_folder, &making);
}

/* The folders that were made for a file that does not come to be. One that another file
 * has come to lie in stays; a file that is to come there makes it anew. */
static void unmake_folders(const struct newfile *file, const struct place *place)
{
    char way[PATH_MAX];
    const char *name;
    size_t n = strlen(place->path);
    if (file->made == 0 || n >= sizeof(way))
        return;
    memcpy(way, place->path, n + 1);
    for (int left = file->made; left > 0;) {
        char *slash = strrchr(way, '/');
        if (!slash)
            return;
        *slash = '\0';
        int above =
            beneath_parent(footing_fd(place->footing), way, false, &name, NULL, NULL);
        if (above == -ENOENT) /* it was one of those above that could not be made */
            continue;
        if (above < 0)
            return;
        int err = unlinkat(above, name, AT_REMOVEDIR) ? errno : 0;
        close(above);
        if (err && err != ENOENT)
            return;
        left -= err == 0;
    }
}

/* It may have been removed since it was opened: what comes next begins at the top. */
static void forget_parent(struct newfile *file)
{
    if (file->parent >= 0)
        close(file->parent);
    file->parent = -1;
}

static int open_in_dot(struct newfile *file, const struct place *place)
{
    int dot = footing_dot(place->footing);
    if (dot < 0)
        return dot;
    temp_name(file->temp);
    int fd = openat(dot, file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0) {
        int err = -errno;
        footing_dot_done(place->footing);
        return err;
    }
    file->fd = fd;
    file->dot = dot;
    file->in_dot = true;
    return 0;
}

/* A file without a name. ext4 says EPERM in a folder that was removed since it was opened,
 * where others say ENOENT. */
static int open_unnamed(int folder)
{
    struct stat st;
    int fd = openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, FILE_MODE);
    if (fd >= 0)
        return fd;
    int err = -errno;
    if (err == -EPERM && fstat(folder, &st) == 0 && st.st_nlink == 0)
        return -ENOENT;
    return err;
}

static int open_once(struct newfile *file, const struct place *place, bool at_once)
{
    const char *name;
    if (at_once) {
        int parent = open_parent(file, place, &name);
        if (parent < 0)
            return parent;
        file->parent = parent;
    }
    if (footing_without_tmpfile(place->footing) || atomic_load(&link_means) == LINK_NOT)
        return open_in_dot(file, place);

    int folder =
        at_once ? file->parent : beneath_deepest(footing_fd(place->footing), place->path);
    if (folder < 0)
        return folder;
    int fd = open_unnamed(folder);
    if (folder != file->parent)
        close(folder);
    /* EISDIR: a kernel, EOPNOTSUPP: a file system without it. */
    if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL) {
        footing_no_tmpfile(place->footing);
        return open_in_dot(file, place);
    }
    if (fd < 0)
        return fd;
    file->fd = fd;
    return 0;
}

int newfile_open(struct newfile *file, const struct place *place, bool at_once)
{
    assure(file->fd < 0 && file->parent < 0);
    pthread_once(&link_probed, probe_link);
    for (int tries = 1;; tries++) {
        int err = open_once(file, place, at_once);
        if (err != -ENOENT || tries == TRIES)
            return err;
        forget_parent(file);
    }
}

int newfile_write(struct newfile *file, struct iovec *iov, int n)
{
    while (n > 0) {
        ssize_t done = pwritev(file->fd, iov, n, file->length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        file->length += done;
        for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
            done -= (ssize_t)iov->iov_len;
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
    if (file->sync && file->length - file->pushed >= PUSH_BYTES) {
        /* Have the kernel begin to write back what has gathered, so that the sync at the
         * end finds little left. Only a hint: that sync is what counts. */
        sync_file_range(file->fd, file->pushed, file->length - file->pushed,
                        SYNC_FILE_RANGE_WRITE);
        file->pushed = file->length;
    }
    return 0;
}

/* Closes what is open; the dot folder's entry is the caller's business. */
static void let_go(struct newfile *file, const struct place *place)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->parent >= 0)
        close(file->parent);
    if (file->in_dot)
        footing_dot_done(place->footing);
    newfile_init(file, file->sync);
}

void newfile_drop(struct newfile *file, const struct place *place)
{
    if (file->in_dot)
        unlinkat(file->dot, file->temp, 0);
    unmake_folders(file, place);
    let_go(file, place);
}

/* The name is taken: by a folder, by a file that is to be replaced, or by a link that
 * leads nowhere, which counts as nothing. */
static int replace(struct newfile *file, const struct place *place, const char *name)
{
    struct stat st;
    int err = 0;
    bool there = fstatat(file->parent, name, &st, 0) == 0;
    if (there && S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!file->in_dot) {
        int dot = footing_dot(place->footing);
        if (dot < 0)
            return dot;
        temp_name(file->temp);
        err = link_fd(file->fd, dot, file->temp);
        if (err) {
            footing_dot_done(place->footing);
            return err;
        }
        file->dot = dot;
        file->in_dot = true;
    }
    if (renameat(file->dot, file->temp, file->parent, name))
        return -errno;
    return there ? 204 : 201;
}

/* Takes the name if it is free; -EEXIST when it is not. */
static int take_name(struct newfile *file, const char *name)
{
    if (!file->in_dot)
        return link_fd(file->fd, file->parent, name);
    if (renameat2(file->dot, file->temp, file->parent, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system that cannot: a hard link refuses a taken name as well. */
    if (linkat(file->dot, file->temp, file->parent, name, 0))
        return errno == EPERM || errno == EOPNOTSUPP ? -EEXIST : -errno;
    unlinkat(file->dot, file->temp, 0);
    return 0;
}

static int give_name(struct newfile *file, const struct place *place)
{
    for (int tries = 1;; tries++) {
        const char *name = strrchr(place->path, '/');
        name = name ? name + 1 : place->path;
        if (file->parent < 0) {
            file->parent = open_parent(file, place, &name);
            if (file->parent < 0)
                return file->parent;
        }
        int status = take_name(file, name);
        if (status == 0)
            return 201;
        if (status == -EEXIST)
            status = replace(file, place, name);
        if (status == -EXDEV) /* -EXDEV of ours means a link that leads outside */
            status = -EIO;    /* another file system was mounted on the way meanwhile */
        if (status != -ENOENT || tries == TRIES)
            return status;
        forget_parent(file);
    }
}

int newfile_commit(struct newfile *file, const struct place *place, int64_t mtime)
{
    bool sync = file->sync;
    int status = 0;
    if (mtime != -1) {
        struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = mtime}};
        if (futimens(file->fd, times))
            status = -errno;
    }
    if (!status && sync)
        workers_waiting();
    /* fdatasync() would leave out the time. */
    if (!status && sync && (mtime != -1 ? fsync(file->fd) : fdatasync(file->fd)))
        status = -errno;
    if (!status)
        status = give_name(file, place);
    if (status < 0) {
        newfile_drop(file, place);
        return status;
    }
    int err = sync ? durable_names(footing_durable(place->footing), file->parent) : 0;
    let_go(file, place);
    return err ? err : status;
}
