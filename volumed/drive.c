/*
 * Which drive a path is for is decided by its first piece alone, without touching the
 * disk: a table of names that were once seen in the folder served. A name not in the
 * table is looked up by a worker of the folder itself, and enters the table when it is
 * there; so the table holds what operators made, not what clients ask for.
 *
 * The descriptor of a drive's top is kept, for two reasons: a path resolved below it
 * cannot leave the drive though the way to the drive is a link; and a drive that is
 * unmounted under the server cannot have its files written to the empty folder below the
 * mount point unnoticed, since a look at the name (one statx) tells that it leads
 * elsewhere now.
 */
#include "volumed/drive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"
#include "volumed/dot.h"
#include "volumed/durable.h"

enum {
    DRIVES_MOST = 1024, /* further sv## are served as plain folders of the root drive */
    FRESH_MS = 1000,    /* how long a look at a drive's name is good for reads */
    NAME_ROOM = 12,     /* "sv" and up to eight digits */
};

/* Which folder of which mount: what changes when a drive is replaced. */
struct identity {
    uint64_t dev, ino, mount;
};

struct footing {
    atomic_int refs;
    int fd;
    struct identity is;
    atomic_bool no_tmpfile;
    atomic_bool named; /* its own name in the folder served is on disk */
    struct durable *durable;
    struct dot *dot;
};

struct drive {
    struct drives *drives;
    char *name; /* the root drive: the path as given; else sv## */
    struct drive *root;
    struct workers *workers;
    pthread_mutex_t opening; /* held by the worker that looks for a new footing */
    pthread_mutex_t lock; /* over the two below; never held across a call that blocks */
    struct footing *footing;
    uint64_t looked_ms;
};

struct drives {
    int threads;
    struct drive *root;
    pthread_mutex_t lock; /* over the table's growth */
    atomic_int n;
    struct drive *drive[DRIVES_MOST]; /* [0..n) never change */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- footings
 * ----------------------------------------------------------------------------- */

/* What a name leads to (with an empty name: what dirfd is). */
static int identify(int dirfd, const char *name, struct identity *out)
{
    struct statx st;
    if (statx(dirfd, name, name[0] ? 0 : AT_EMPTY_PATH,
              STATX_TYPE | STATX_INO | STATX_MNT_ID, &st))
        return -errno;
    if (!S_ISDIR(st.stx_mode))
        return -ENOTDIR;
    out->dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
    out->ino = st.stx_ino;
    out->mount = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
    return 0;
}

static bool stands(const struct footing *f, const struct identity *is)
{
    return f->is.dev == is->dev && f->is.ino == is->ino && f->is.mount == is->mount;
}

static struct footing *footing_ref(struct footing *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

static void footing_unref(struct footing *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
        return;
    dot_free(&f->dot);
    durable_free(&f->durable);
    close(f->fd);
    free(f);
}

static int footing_open(int dirfd, const char *name, int threads, struct footing **out)
{
    struct identity is;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = identify(fd, "", &is);
    if (err) {
        close(fd);
        return err;
    }
    struct footing *f = xcalloc(1, sizeof *f);
    atomic_init(&f->refs, 1);
    f->fd = fd;
    f->is = is;
    f->durable = durable_new(fd, threads);
    f->dot = dot_new(fd, DOT_FOLDER);
    dot_clear(f->dot);
    *out = f;
    return 0;
}

int footing_fd(const struct footing *f)
{
    return f->fd;
}

struct durable *footing_durable(const struct footing *f)
{
    return f->durable;
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

/* --- drives
 * ------------------------------------------------------------------------------- */

static struct drive *drive_new(struct drives *drives, const char *name)
{
    char thread[16];
    struct drive *d = xcalloc(1, sizeof *d);
    d->drives = drives;
    d->root = drives->root;
    d->name = xstrdup(name);
    snprintf(thread, sizeof thread, "disk-%.10s", d->root ? name : "top");
    d->workers = workers_new(thread, drives->threads);
    pthread_mutex_init(&d->opening, NULL);
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

static void drive_free(struct drive *d)
{
    workers_free(&d->workers);
    footing_unref(d->footing);
    pthread_mutex_destroy(&d->opening);
    pthread_mutex_destroy(&d->lock);
    free(d->name);
    free(d);
}

struct workers *drive_workers(const struct drive *drive)
{
    return drive->workers;
}

/* The footing, if it was looked at within the last second (or at any time, with `any`).
 */
static struct footing *drive_at_hand(struct drive *d, bool any)
{
    struct footing *f = NULL;
    uint64_t now = now_ms();
    pthread_mutex_lock(&d->lock);
    if (d->footing && (any || now - d->looked_ms < FRESH_MS))
        f = footing_ref(d->footing);
    pthread_mutex_unlock(&d->lock);
    return f;
}

/* Puts a footing in (NULL: the drive is gone), takes over the reference. */
static void drive_set(struct drive *d, struct footing *f)
{
    pthread_mutex_lock(&d->lock);
    struct footing *old = d->footing;
    d->footing = f;
    d->looked_ms = now_ms();
    pthread_mutex_unlock(&d->lock);
    footing_unref(old);
}

/* Looks where the name leads now. 0 with a reference in *out, or -errno. */
static int drive_look(struct drive *d, enum settle how, struct footing **out)
{
    struct footing *top = NULL;
    struct identity is;
    int err, dirfd = AT_FDCWD;

    *out = how == SETTLE_LOOK ? drive_at_hand(d, false) : NULL;
    if (*out)
        return 0;

    if (d->root) {
        err = drive_look(d->root, SETTLE_LOOK, &top);
        if (err)
            return err;
        dirfd = top->fd;
    }
    err = identify(dirfd, d->name, &is);
    if (err == -ENOENT && how == SETTLE_MAKE && d->root &&
        (mkdirat(dirfd, d->name, 0775) == 0 || errno == EEXIST))
        err = identify(dirfd, d->name, &is);

    struct footing *f = drive_at_hand(d, true);
    if (f && !err && stands(f, &is)) {
        pthread_mutex_lock(&d->lock);
        d->looked_ms = now_ms();
        pthread_mutex_unlock(&d->lock);
        *out = f;
    } else {
        footing_unref(f);
        f = NULL;
        if (!err)
            err = footing_open(dirfd, d->name, d->drives->threads, &f);
        if (!err) {
            log_info("drive %s: opened", d->name);
            *out = footing_ref(f);
        }
        drive_set(d, f);
    }
    footing_unref(top);
    return err;
}

/* One worker of a drive looks for its footing at a time; the others then find it. */
static int drive_footing(struct drive *d, enum settle how, struct footing **out)
{
    if (how != SETTLE_LOOK) {
        struct footing *f = drive_at_hand(d, true);
        if (f) {
            struct identity is = {0};
            struct footing *top = d->root ? drive_at_hand(d->root, true) : NULL;
            bool same = (!d->root || top) &&
                        !identify(top ? top->fd : AT_FDCWD, d->name, &is) &&
                        stands(f, &is);
            footing_unref(top);
            if (same) {
                *out = f;
                return 0;
            }
            footing_unref(f);
        }
    }
    pthread_mutex_lock(&d->opening);
    int err = drive_look(d, how, out);
    pthread_mutex_unlock(&d->opening);
    return err;
}

/* --- the table
 * ---------------------------------------------------------------------------- */

static struct drive *table_find(struct drives *drives, struct str name)
{
    int n = atomic_load_explicit(&drives->n, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (str_eq(str_of(drives->drive[i]->name), name))
            return drives->drive[i];
    return NULL;
}

/* NULL: the table is full. */
static struct drive *table_add(struct drives *drives, const char *name)
{
    pthread_mutex_lock(&drives->lock);
    struct drive *d = table_find(drives, str_of(name));
    int n = atomic_load(&drives->n);
    if (!d && n < DRIVES_MOST) {
        d = drive_new(drives, name);
        drives->drive[n] = d;
        atomic_store_explicit(&drives->n, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&drives->lock);
    return d;
}

/* Is there a sv## of that name in the folder served? On a worker of the root drive. 0 and
 * the drive, or NULL where it is no drive but an ordinary entry; or -errno. */
static int adopt(struct drives *drives, struct str piece, enum settle how,
                 struct drive **out)
{
    char name[NAME_ROOM];
    struct footing *top;
    struct stat st;

    assure(piece.n < sizeof name);
    memcpy(name, piece.p, piece.n);
    name[piece.n] = '\0';
    *out = NULL;
    int err = drive_footing(drives->root, SETTLE_LOOK, &top);
    if (err)
        return err;
    /* Of the entry itself: what it leads to may hang. */
    if (fstatat(top->fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
        err = -errno;
    footing_unref(top);
    if (err == -ENOENT && how == SETTLE_MAKE) {
        err = 0; /* the drive's own worker makes it */
        st.st_mode = S_IFDIR;
    }
    if (!err && (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)))
        *out = table_add(drives, name);
    return err;
}

/* --- places
 * ------------------------------------------------------------------------------- */

void place_init(struct place *place, struct drives *drives, const struct path *path)
{
    const char *rest;
    *place = (struct place){.drives = drives,
                            .drive = drives->root,
                            .full = path->z + 1,
                            .path = path->z + 1,
                            .settled = true};
    if (!path_subvolume(path, &place->piece, &rest))
        return;
    struct drive *d = table_find(drives, place->piece);
    place->settled = d != NULL;
    if (d) {
        place->drive = d;
        place->path = rest;
    }
}

void place_move(struct place *place, const char *full)
{
    place->path = full + (place->path - place->full);
    if (place->piece.n)
        place->piece.p = full;
    place->full = full;
}

bool place_at_hand(struct place *place)
{
    if (!place->settled)
        return false;
    if (!place->footing)
        place->footing = drive_at_hand(place->drive, false);
    return place->footing != NULL;
}

/* Before the first write to a drive: a folder sv## that somebody made just now may not be
 * on disk itself. Once per footing. */
static int name_drive(struct drive *d, struct footing *f)
{
    if (!d->root || atomic_load_explicit(&f->named, memory_order_relaxed))
        return 0;
    struct footing *top = drive_at_hand(d->root, true);
    if (!top)
        return -ENOENT;
    int err = durable_names(top->durable, top->fd);
    if (err == -EROFS) /* then it was not made just now either */
        err = 0;
    if (!err)
        atomic_store(&f->named, true);
    footing_unref(top);
    return err;
}

int place_settle(struct place *place, enum settle how)
{
    if (!place->settled) {
        struct drive *d;
        int err = adopt(place->drives, place->piece, how, &d);
        if (err)
            return err;
        place->settled = true;
        if (d) {
            place->drive = d;
            place->path = place->full + place->piece.n;
            place->path += *place->path == '/';
            return -EAGAIN;
        }
        place->piece.n = 0;
    }
    place_drop(place);
    int err = drive_footing(place->drive, how, &place->footing);
    if (!err && how != SETTLE_LOOK)
        err = name_drive(place->drive, place->footing);
    if (err)
        place_drop(place);
    return err;
}

void place_plain(struct place *place)
{
    place->drive = place->drives->root;
    place->path = place->full;
    place->piece.n = 0;
    place->settled = true;
}

void place_drop(struct place *place)
{
    footing_unref(place->footing);
    place->footing = NULL;
}

/* --- the whole
 * ---------------------------------------------------------------------------- */

struct drives *drives_open(const char *dir, int threads, char *err, size_t errlen)
{
    struct footing *f = NULL;
    struct drives *drives = xcalloc(1, sizeof *drives);
    pthread_mutex_init(&drives->lock, NULL);
    drives->threads = threads;
    drives->root = drive_new(drives, dir);

    int e = drive_footing(drives->root, SETTLE_LOOK, &f);
    if (!e)
        e = dot_try(f->dot);
    footing_unref(f);
    if (e) {
        snprintf(err, errlen, "cannot %s %s: %s", f ? "write to" : "open", dir,
                 strerror(-e));
        drives_free(&drives);
    }
    return drives;
}

void drives_free(struct drives **dp)
{
    struct drives *drives = *dp;
    *dp = NULL;
    if (!drives)
        return;
    int n = atomic_load(&drives->n);
    for (int i = 0; i < n; i++)
        drive_free(drives->drive[i]);
    drive_free(drives->root);
    pthread_mutex_destroy(&drives->lock);
    free(drives);
}

struct waking {
    struct job job;
    struct drive *drive;
};

static void wake_work(struct job *job)
{
    struct waking *w = container_of(job, struct waking, job);
    struct footing *f;
    int err = drive_footing(w->drive, SETTLE_LOOK, &f);
    if (err)
        log_warn("drive %s: %s", w->drive->name, strerror(-err));
    else
        footing_unref(f);
}

static void wake_done(struct job *job)
{
    free(container_of(job, struct waking, job));
}

void drives_wake(struct drives *drives, struct loop *loop)
{
    struct footing *top = drive_at_hand(drives->root, true);
    int fd = top ? openat(top->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    footing_unref(top);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return; /* they are found when they are asked for */
    }
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        struct path path;
        struct str piece;
        const char *rest;
        path.n = (size_t)snprintf(path.z, sizeof path.z, "/%s", entry->d_name);
        if (!path_subvolume(&path, &piece, &rest) ||
            (entry->d_type != DT_DIR && entry->d_type != DT_LNK))
            continue;
        struct drive *d = table_add(drives, entry->d_name);
        if (!d)
            break;
        struct waking *w = xcalloc(1, sizeof *w);
        w->drive = d;
        w->job = (struct job){.work = wake_work, .done = wake_done};
        workers_submit(d->workers, loop, &w->job);
    }
    closedir(folder);
}
