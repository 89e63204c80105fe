/*
 * openat2() with RESOLVE_BENEATH does the work where it exists. Where it is missing
 * (ENOSYS, before Linux 5.6) or forbidden (EPERM, an old container engine's seccomp
 * filter) a walk takes its place: piece by piece, each opened with O_NOFOLLOW below the
 * one before, links read and their text walked in turn. Nothing is ever opened by a path
 * of more than one piece, so a folder exchanged for a link between two steps is noticed,
 * not followed.
 *
 * EPERM is also what a file system may say to a single open, so which of the two it is
 * gets decided once, by opening "/".
 */
#include "volumed/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

enum { LINKS_MAX = 40 }; /* as the kernel */

enum means { MEANS_WALK, MEANS_OPENAT2, MEANS_OPENAT2_CACHED };

static pthread_once_t probed = PTHREAD_ONCE_INIT;
static atomic_int means;

static int openat2_call(int dirfd, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                           .resolve = resolve};
    long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

static void probe(void)
{
    int fd = openat2_call(AT_FDCWD, "/", O_PATH, 0);
    if (fd < 0) {
        log_info("openat2 is not to be had (%s): paths are walked", strerror(-fd));
        atomic_store(&means, MEANS_WALK);
        return;
    }
    int again = openat2_call(fd, ".", O_PATH, RESOLVE_BENEATH | RESOLVE_CACHED);
    atomic_store(&means, again == -EINVAL ? MEANS_OPENAT2 : MEANS_OPENAT2_CACHED);
    if (again >= 0)
        close(again);
    close(fd);
}

static int means_now(void)
{
    pthread_once(&probed, probe);
    return atomic_load_explicit(&means, memory_order_relaxed);
}

void beneath_without_openat2(bool yes)
{
    means_now();
    if (yes)
        atomic_store(&means, MEANS_WALK);
    else
        probe();
}

/* --- the walk ------------------------------------------------------------------- */

struct walk {
    int root;            /* the caller's */
    int at;              /* where we are: root or a descriptor of ours */
    int links;           /* followed so far */
    size_t n;            /* bytes of done */
    char done[PATH_MAX]; /* the way from root to at, free of links */
    char todo[PATH_MAX]; /* what is still to be walked */
};

static void go(struct walk *w, int fd)
{
    if (w->at != w->root)
        close(w->at);
    w->at = fd;
}

/* One piece below w->at, which must be a folder. */
static int step(struct walk *w, const char *piece, size_t n)
{
    char name[NAME_MAX + 1];
    if (n > NAME_MAX || w->n + n + 1 >= sizeof(w->done))
        return -ENAMETOOLONG;
    memcpy(name, piece, n);
    name[n] = '\0';
    int fd = openat(w->at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    go(w, fd);
    w->done[w->n++] = '/';
    memcpy(w->done + w->n, piece, n);
    w->n += n;
    return 0;
}

/* "..": from root again along the way that holds no links. */
static int step_back(struct walk *w)
{
    char way[PATH_MAX];
    if (w->n == 0)
        return -EXDEV;
    while (w->done[--w->n] != '/')
        ;
    size_t n = w->n;
    memcpy(way, w->done, n);
    go(w, w->root);
    w->n = 0;
    for (size_t i = 0; i < n;) {
        size_t end = ++i;
        while (end < n && way[end] != '/')
            end++;
        int err = step(w, way + i, end - i);
        if (err)
            return err;
        i = end;
    }
    return 0;
}

/* Puts the text of the link `name` in front of what is still to be walked. */
static int follow(struct walk *w, const char *name, const char *rest)
{
    char text[PATH_MAX];
    if (++w->links > LINKS_MAX)
        return -ELOOP;
    ssize_t n = readlinkat(w->at, name, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    if (n > 0 && text[0] == '/')
        return -EXDEV;
    size_t left = strlen(rest); /* "", or begins with '/' */
    if ((size_t)n + left >= sizeof(w->todo))
        return -ENAMETOOLONG;
    memmove(w->todo + n, rest, left + 1); /* rest points into todo */
    memcpy(w->todo, text, (size_t)n);
    return 0;
}

static int walk_open(int dirfd, const char *path, int flags)
{
    struct walk w = {.root = dirfd, .at = dirfd};
    struct stat st;
    int fd = -1;

    size_t len = strlen(path);
    if (path[0] == '/')
        return -EXDEV;
    if (len >= sizeof(w.todo))
        return -ENAMETOOLONG;
    memcpy(w.todo, path, len + 1);
    const char *p = w.todo;

    while (fd == -1) {
        char name[NAME_MAX + 1];
        int err = 0;
        p += strspn(p, "/");
        size_t n = strcspn(p, "/");
        if (n == 0) {
            fd = openat(w.at, ".", flags | O_CLOEXEC);
            fd = fd < 0 ? -errno : fd;
            break;
        }
        bool last = p[n] == '\0';
        if (n == 1 && p[0] == '.') {
            p += n;
            continue;
        }
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            p += n;
            err = step_back(&w);
        } else if (n > NAME_MAX) {
            err = -ENAMETOOLONG;
        } else {
            memcpy(name, p, n);
            name[n] = '\0';
            if (fstatat(w.at, name, &st, AT_SYMLINK_NOFOLLOW)) {
                err = -errno;
            } else if (S_ISLNK(st.st_mode)) {
                err = follow(&w, name, p + n);
                p = w.todo;
            } else if (last) {
                fd = openat(w.at, name, flags | O_NOFOLLOW | O_CLOEXEC);
                fd = fd < 0 ? -errno : fd;
            } else {
                err = step(&w, p, n);
                p += n;
            }
        }
        if (err)
            fd = err;
    }
    go(&w, dirfd);
    return fd;
}

/* --- the calls ------------------------------------------------------------------ */

/* Nothing in it leads upwards or to the system's root; a link on its way may. */
static bool leads_down(const char *path)
{
    return path[0] != '/' && !strstr(path, "..");
}

/* Most paths have no link on them, and then it is cheaper not to have the kernel look
 * where the way has ended: that takes a lock and a counter that all processors share. */
static int open_beneath(int dirfd, const char *path, int flags, uint64_t resolve)
{
    if (path[0] == '\0')
        path = ".";
    if (leads_down(path)) {
        int fd = openat2_call(dirfd, path, flags, RESOLVE_NO_SYMLINKS | resolve);
        if (fd != -ELOOP)
            return fd;
    }
    return openat2_call(dirfd, path, flags,
                        RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve);
}

int beneath_open(int dirfd, const char *path, int flags)
{
    if (means_now() == MEANS_WALK)
        return walk_open(dirfd, path[0] ? path : ".", flags);
    for (int tries = 0;; tries++) {
        int fd = open_beneath(dirfd, path, flags, 0);
        /* A rename elsewhere on the system while ".." was resolved. */
        if (fd != -EAGAIN || tries == 8)
            return fd == -EAGAIN ? -EIO : fd;
    }
}

int beneath_open_cached(int dirfd, const char *path, int flags)
{
    if (means_now() != MEANS_OPENAT2_CACHED)
        return -EAGAIN;
    return open_beneath(dirfd, path, flags, RESOLVE_CACHED);
}

int beneath_parent(int dirfd, const char *path, bool make, const char **name,
                   void (*made)(void *arg, int fd), void *arg)
{
    char way[PATH_MAX];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    size_t n = slash ? (size_t)(slash - path) : 0;
    size_t name_n = strlen(*name);
    /* Also what could be made, step by step, but not be opened again in one. */
    bool too_long = name_n > NAME_MAX;
    if (n + 1 + name_n >= sizeof(way) || (too_long && make))
        return -ENAMETOOLONG;
    memcpy(way, path, n);
    way[n] = '\0';

    int fd = beneath_open(dirfd, way, O_RDONLY | O_DIRECTORY);
    if (too_long && fd >= 0) { /* what is wrong on the way counts first */
        close(fd);
        return -ENAMETOOLONG;
    }
    if (fd != -ENOENT || !make || n == 0)
        return fd;

    /* Back to the deepest folder there is, then forward again, making each. */
    size_t there = n;
    while (fd == -ENOENT && there > 0) {
        do
            there--;
        while (there > 0 && way[there] != '/');
        way[there] = '\0';
        fd = beneath_open(dirfd, way, O_RDONLY | O_DIRECTORY);
    }
    while (fd >= 0 && there < n) {
        size_t from = there == 0 ? 0 : there + 1;
        memcpy(way, path, n);
        there = from + strcspn(path + from, "/");
        way[there] = '\0';
        bool fresh = mkdirat(fd, way + from, 0775) == 0;
        int err = fresh || errno == EEXIST ? 0 : -errno;
        int next = -1;
        if (fresh) /* just made, so no link: the way from the top is spared */
            next =
                openat(fd, way + from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(fd);
        if (err)
            return err;
        fd = next >= 0 ? next : beneath_open(dirfd, way, O_RDONLY | O_DIRECTORY);
        if (fd >= 0 && fresh && made)
            made(arg, fd);
    }
    return fd;
}

int beneath_deepest(int dirfd, const char *path)
{
    char way[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof(way))
        return -ENAMETOOLONG;
    memcpy(way, path, n + 1);
    for (;;) {
        char *slash = strrchr(way, '/');
        if (slash)
            *slash = '\0';
        else
            way[0] = '\0';
        int fd = beneath_open(dirfd, way, O_RDONLY | O_DIRECTORY);
        if (fd != -ENOENT || way[0] == '\0')
            return fd;
    }
}
