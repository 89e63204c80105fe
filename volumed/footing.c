/*
 * The descriptor of a drive's top is kept, for two reasons. A path resolved below it
 * cannot leave the drive, though the way to the drive is a link. And a drive that is
 * unmounted under the server cannot have its files written unnoticed to the empty folder
 * below the mount point, since a look at the name (one statx) tells that it leads
 * elsewhere now.
 */
#include "volumed/footing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"
#include "volumed/dot.h"
#include "volumed/durable.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U /* Linux 6.8: one that is never used again */
#endif

struct footing {
    atomic_int refs;
    int fd;
    struct identity is;
    bool in_memory; /* a tmpfs, of this device */
    dev_t device;
    atomic_bool no_tmpfile;
    atomic_bool named;
    struct durable *durable;
    struct dot *dot;
};

int identity_of(int dirfd, const char *name, struct identity *out)
{
    struct statx st;
    if (statx(dirfd, name, name[0] ? 0 : AT_EMPTY_PATH,
              STATX_TYPE | STATX_INO | STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &st))
        return -errno;
    if (!S_ISDIR(st.stx_mode))
        return -ENOTDIR;
    bool mount = st.stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE);
    out->dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
    out->ino = st.stx_ino;
    out->mount = mount ? st.stx_mnt_id : 0;
    return 0;
}

bool identity_same(const struct identity *a, const struct identity *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->mount == b->mount;
}

/* preadv2() does not know RWF_NOWAIT there, and it is not needed. */
static void look_whether_in_memory(struct footing *f)
{
    struct statfs fs;
    struct stat st;
    if (fstatfs(f->fd, &fs) || fs.f_type != TMPFS_MAGIC || fstat(f->fd, &st))
        return;
    f->in_memory = true;
    f->device = st.st_dev;
}

int footing_open(int dirfd, const char *name, struct footing **out)
{
    struct identity is;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = identity_of(fd, "", &is);
    if (err) {
        close(fd);
        return err;
    }
    struct footing *f = xcalloc(1, sizeof(*f));
    atomic_init(&f->refs, 1);
    f->fd = fd;
    f->is = is;
    look_whether_in_memory(f);
    f->durable = durable_new(fd);
    f->dot = dot_new(fd, DOT_FOLDER);
    dot_clear(f->dot);
    *out = f;
    return 0;
}

struct footing *footing_ref(struct footing *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void footing_unref(struct footing *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
        return;
    dot_free(&f->dot);
    durable_free(&f->durable);
    close(f->fd);
    free(f);
}

bool footing_sole(const struct footing *f)
{
    return atomic_load_explicit(&f->refs, memory_order_acquire) == 1;
}

int footing_fd(const struct footing *f)
{
    return f->fd;
}

bool footing_in_memory(const struct footing *f, dev_t dev)
{
    return f->in_memory && f->device == dev;
}

const struct identity *footing_identity(const struct footing *f)
{
    return &f->is;
}

struct durable *footing_durable(const struct footing *f)
{
    return f->durable;
}

struct durable *footing_swap_durable(struct footing *f, struct durable *durable)
{
    struct durable *before = f->durable;
    f->durable = durable;
    return before;
}

bool footing_named(const struct footing *f)
{
    return atomic_load_explicit(&f->named, memory_order_relaxed);
}

void footing_set_named(struct footing *f)
{
    atomic_store_explicit(&f->named, true, memory_order_relaxed);
}

bool footing_without_tmpfile(const struct footing *f)
{
    return atomic_load_explicit(&f->no_tmpfile, memory_order_relaxed);
}

void footing_no_tmpfile(struct footing *f)
{
    if (!atomic_exchange(&f->no_tmpfile, true)) {
        log_info("a drive has no O_TMPFILE: files under way are kept in its " DOT_FOLDER);
        dot_keep(f->dot);
    }
}

int footing_dot(struct footing *f)
{
    return dot_get(f->dot);
}

void footing_dot_done(struct footing *f)
{
    dot_put(f->dot);
}

int footing_try(struct footing *f)
{
    return dot_try(f->dot);
}
