/*
 * See folder_swap.h.
 *
 * RENAME_EXCHANGE changes two names at once. The new index first gets the name under
 * which the old one is to be kept, so that after the exchange nothing more has to be
 * done; a crash between leaves a folder of that name, and the old index in place.
 *
 * Few file systems cannot do that. There the old one is renamed away first, and for a
 * moment there is none: an index is then not opened (folder_make), and the next rebuild
 * puts the new one in place.
 */
#include "master/index/folder_swap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"
#include "master/crash_point.h"
#include "master/index/folder.h"

enum { ADDED_MAX = 64 }; /* bytes added to the index's path */

struct folder_swap {
    char index[PATH_MAX];
    char parent[PATH_MAX];
    char work[PATH_MAX + ADDED_MAX];
    char fresh[PATH_MAX + ADDED_MAX];
    char scratch[PATH_MAX + ADDED_MAX];
    char kept[PATH_MAX + ADDED_MAX];
    bool made;
};

/* --- paths ------------------------------------------------------------------------- */

/* Room is left for what is added to it. */
static bool fits(const char *path)
{
    return strlen(path) + ADDED_MAX < PATH_MAX;
}

/* The index's path free of links; where it is not there, its folder's. */
static int resolve(const char *path, char out[PATH_MAX])
{
    if (realpath(path, out))
        return fits(out) ? 0 : -ENAMETOOLONG;
    if (errno != ENOENT)
        return -errno;
    char *a = xstrdup(path), *b = xstrdup(path), parent[PATH_MAX];
    const char *name = basename(a);
    int err = realpath(dirname(b), parent) ? 0 : -errno;
    if (err == 0) {
        int n = snprintf(out, PATH_MAX, "%s/%s", strcmp(parent, "/") != 0 ? parent : "",
                         name);
        err = n < PATH_MAX && fits(out) ? 0 : -ENAMETOOLONG;
    }
    free(a);
    free(b);
    return err;
}

static void name_parts(struct folder_swap *s)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", s->index);
    snprintf(s->parent, sizeof(s->parent), "%s", dirname(copy));
    snprintf(s->work, sizeof(s->work), "%s" FOLDER_WORK, s->index);
    snprintf(s->fresh, sizeof(s->fresh), "%s" FOLDER_WORK "/" FOLDER_FRESH, s->index);
    snprintf(s->scratch, sizeof(s->scratch), "%s" FOLDER_WORK "/scratch", s->index);
}

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* A folder that something is mounted on cannot be renamed. */
static bool is_mount(const char *path)
{
    struct statx st;

    return statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_tree(const char *path)
{
    if (!is_there(path))
        return 0;
    return nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -errno;
}

/* --- the swap ---------------------------------------------------------------------- */

/* The new name is on disk when this returns 0. Where that cannot be known it is renamed
 * back: *moved tells whether `to` is the new name all the same. */
static int rename_synced(const struct folder_swap *s, const char *from, const char *to,
                         unsigned flags, bool *moved)
{
    *moved = renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) == 0;
    if (!*moved)
        return -errno;
    int err = folder_sync(s->parent);
    if (err != 0 && renameat2(AT_FDCWD, to, AT_FDCWD, from, flags) == 0) {
        *moved = false;
        folder_sync(s->parent);
    }
    return err;
}

/* Nobody needs to know whether it is on disk. */
static bool rename_back(const struct folder_swap *s, const char *from, const char *to)
{
    if (rename(from, to) != 0) {
        log_warn("%s cannot be renamed to %s: %s", from, to, strerror(errno));
        return false;
    }
    folder_sync(s->parent);
    return true;
}

/* A name that nothing has yet. */
static int choose_kept(struct folder_swap *s)
{
    time_t now = time(NULL);
    struct tm tm;
    char stamp[32];

    gmtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    for (int i = 1; i < 1000; i++) {
        int n = snprintf(s->kept, sizeof(s->kept), "%s.old-%s", s->index, stamp);
        if (i > 1)
            snprintf(s->kept + n, sizeof(s->kept) - (size_t)n, "-%d", i);
        if (!is_there(s->kept))
            return 0;
    }
    return -EEXIST;
}

/* One after the other, for want of an exchange. *away: the old one is not where it was. */
static int swap_by_two(struct folder_swap *s, bool *away)
{
    bool placed;
    int err = rename_synced(s, s->index, s->kept, 0, away);
    if (err != 0)
        return err;
    CRASH_POINT("rebuild: there is no index");
    err = rename_synced(s, s->fresh, s->index, 0, &placed);
    if (err != 0 && !placed)
        *away = !rename_back(s, s->kept, s->index);
    return err;
}

int folder_swap_names(struct folder_swap *s, const char **kept)
{
    bool named, away;

    *kept = NULL;
    int err = choose_kept(s);
    if (err == 0)
        err = folder_sync(s->work);
    if (err != 0)
        return err;
    err = rename_synced(s, s->fresh, s->kept, 0, &named);
    if (err != 0) {
        if (named)
            log_warn("%s is the new index, which nothing uses", s->kept);
        return err;
    }
    CRASH_POINT("rebuild: the new index has the old one's later name");
    err = rename_synced(s, s->kept, s->index, RENAME_EXCHANGE, &away);
    if (err != 0 && !away && rename_back(s, s->kept, s->fresh) &&
        (err == -EINVAL || err == -ENOSYS || err == -EOPNOTSUPP))
        err = swap_by_two(s, &away);
    if (err == 0 || away)
        *kept = s->kept;
    return err;
}

void folder_swap_forget(struct folder_swap *s)
{
    int err = remove_tree(s->kept);

    if (err != 0)
        log_warn("%s cannot be removed: %s", s->kept, strerror(-err));
}

/* --- making and ending ------------------------------------------------------------- */

/* There is no index, but a new one that was to become it. */
static int end_cut_off(struct folder_swap *s)
{
    bool moved;
    int fd;
    int err = folder_lock(s->fresh, &fd);

    if (err == 0)
        err = rename_synced(s, s->fresh, s->index, 0, &moved);
    if (fd >= 0)
        close(fd);
    if (err == 0)
        log_info("an earlier rebuild was cut off as it put its index in place: done now");
    return err;
}

struct folder_swap *folder_swap_new(const char *path, char *err, size_t errlen)
{
    struct folder_swap *s = xcalloc(1, sizeof(*s));
    int r = resolve(path, s->index);

    if (r == 0) {
        name_parts(s);
        if (!is_there(s->index) && is_there(s->fresh))
            r = end_cut_off(s);
    }
    if (r != 0) {
        snprintf(err, errlen, "index %s: %s", path,
                 r == -EBUSY ? "another process has it open" : strerror(-r));
        goto fail;
    }
    if (is_mount(s->index)) {
        snprintf(err, errlen,
                 "index %s: a file system is mounted there, so that no other folder can "
                 "take its place: use a folder within",
                 path);
        goto fail;
    }
    return s;
fail:
    free(s);
    return NULL;
}

int folder_swap_make(struct folder_swap *s, bool *left)
{
    *left = is_there(s->work);
    int err = remove_tree(s->work);
    if (err != 0)
        return err;
    if (mkdir(s->work, 0777) != 0)
        return -errno;
    s->made = true;
    return 0;
}

void folder_swap_free(struct folder_swap **sp)
{
    struct folder_swap *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    /* Where there is no index, what lies there is to become it. */
    int err = s->made && is_there(s->index) ? remove_tree(s->work) : 0;
    if (err != 0)
        log_warn("%s cannot be removed: %s", s->work, strerror(-err));
    free(s);
}

const char *folder_swap_index(const struct folder_swap *s)
{
    return s->index;
}

const char *folder_swap_fresh(const struct folder_swap *s)
{
    return s->fresh;
}

const char *folder_swap_scratch(const struct folder_swap *s)
{
    return s->scratch;
}
