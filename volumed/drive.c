/*
 * The table of drives, and the looks at where their names lead. The table only grows, and
 * what is in it stays, so it is read without a lock; a drive's footing is exchanged under
 * a lock that is never held across a call that may block.
 */
#include "volumed/drive_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/errands.h"
#include "common/log.h"
#include "common/standby.h"
#include "volumed/durable.h"

enum {
    FRESH_MS = 1000, /* how long a look at a drive's name is good for reads */
    REST_MS = 5000,  /* a drive nobody asked for in so long is let go of */
    NAME_ROOM = 12,  /* "sv" and up to eight digits */
};

/* --- a drive -------------------------------------------------------------------- */
static struct drive *drive_new(struct drives *drives, const char *name)
{
    struct drive *d = xcalloc(1, sizeof(*d));
    d->drives = drives;
    d->root = drives->root;
    d->name = xstrdup(name);
    /* Who is asked to read finds on the loop already that the disk is needed; a small
     * file is written to memory in no time, and its sync says that it waits. */
    d->readers = workers_of(drives->crew, WORKERS_SLOW, drives->threads);
    d->writers = workers_of(drives->crew, WORKERS_QUICK, drives->threads);
    if (!drives->sync)
        d->errands = errands_new(drives->standby, d->writers);
    pthread_mutex_init(&d->opening, NULL);
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

static void drive_end(struct drive *d)
{
    errands_free(&d->errands);
    workers_free(&d->readers);
    workers_free(&d->writers);
}

static void drive_free(struct drive *d)
{
    footing_unref(d->footing);
    durable_free(&d->durable);
    pthread_mutex_destroy(&d->opening);
    pthread_mutex_destroy(&d->lock);
    free(d->name);
    free(d);
}

struct workers *drive_readers(const struct drive *drive)
{
    return drive->readers;
}

void drive_write(struct drive *d, struct loop *loop, struct errand_job *job)
{
    if (d->errands)
        errands_submit(d->errands, loop, job);
    else if (d->writers)
        workers_submit(d->writers, loop, &job->job);
    else { /* after the end nobody waits for the caller */
        job->job.lapsed = false;
        job->job.work(&job->job);
        job->job.done(&job->job);
    }
}

/* --- its footing ---------------------------------------------------------------- */
static struct footing *take(struct drive *d, uint64_t most_ms)
{
    struct footing *f = NULL;
    uint64_t now = clock_coarse_ms();
    pthread_mutex_lock(&d->lock);
    if (d->footing && now - d->looked_ms < most_ms)
        f = footing_ref(d->footing);
    pthread_mutex_unlock(&d->lock);
    return f;
}

struct footing *drive_at_hand(struct drive *d)
{
    return take(d, FRESH_MS);
}

static void looked(struct drive *d)
{
    pthread_mutex_lock(&d->lock);
    d->looked_ms = clock_coarse_ms();
    pthread_mutex_unlock(&d->lock);
}

/* Exchanges the footing (NULL: there is none), takes over the reference. */
static void put_footing(struct drive *d, struct footing *f)
{
    pthread_mutex_lock(&d->lock);
    struct footing *old = d->footing;
    d->footing = f;
    d->looked_ms = clock_coarse_ms();
    pthread_mutex_unlock(&d->lock);
    footing_unref(old);
}

/* The folder that the drive's name is in: 0, a descriptor and what keeps it open (NULL
 * for the root drive); or -errno. */
static int folder_of(struct drive *d, int *fd, struct footing **top)
{
    *top = NULL;
    *fd = AT_FDCWD;
    if (!d->root)
        return 0;
    int err = drive_footing(d->root, SETTLE_LOOK, top);
    if (!err)
        *fd = footing_fd(*top);
    return err;
}

/* Opens what the name leads to now and makes it the drive's footing. Under d->opening. */
static int open_footing(struct drive *d, int fd, struct footing **out)
{
    struct footing *f;
    int err = footing_open(fd, d->name, &f);
    if (err) {
        put_footing(d, NULL);
        return err;
    }
    const struct identity *is = footing_identity(f);
    if (d->durable && d->durable_of.dev == is->dev && d->durable_of.ino == is->ino)
        d->durable = footing_swap_durable(f, d->durable);
    durable_free(&d->durable);
    log_debug("drive %s: opened", d->name);
    *out = footing_ref(f);
    put_footing(d, f);
    return 0;
}

/* A drive that is gone is no empty one: what lies on it is not "not found". */
static int gone(const struct drive *d, int fd)
{
    struct stat st;
    bool link = d->root && fstatat(fd, d->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    return link || !d->root ? -ENXIO : -ENOENT;
}

/* Looks where the name leads; opens it anew if that is not where it led. */
static int look(struct drive *d, enum settle how, int fd, struct footing **out)
{
    struct identity is;
    int err = identity_of(fd, d->name, &is);
    struct footing *f = err ? NULL : take(d, UINT64_MAX);
    if (f && identity_same(footing_identity(f), &is)) {
        looked(d);
        *out = f;
        return 0;
    }
    footing_unref(f);

    /* One worker opens it, the others wait and find it opened. */
    pthread_mutex_lock(&d->opening);
    if (err == -ENOENT && how == SETTLE_MAKE && d->root &&
        (mkdirat(fd, d->name, 0775) == 0 || errno == EEXIST))
        err = 0;
    if (!err)
        err = identity_of(fd, d->name, &is);
    f = err ? NULL : take(d, UINT64_MAX);
    if (f && identity_same(footing_identity(f), &is)) {
        *out = f;
    } else {
        footing_unref(f);
        if (err)
            put_footing(d, NULL);
        else
            err = open_footing(d, fd, out);
    }
    pthread_mutex_unlock(&d->opening);
    return err == -ENOENT ? gone(d, fd) : err;
}

/* Before the first write to a drive: a folder sv## that somebody made just now may not be
 * on disk itself. Once per footing. */
static int have_named(struct footing *f, struct footing *top)
{
    if (!top || footing_named(f))
        return 0;
    int err = durable_names(footing_durable(top), footing_fd(top));
    if (err == -EROFS) /* then it was not made just now either */
        err = 0;
    if (!err)
        footing_set_named(f);
    return err;
}

int drive_footing(struct drive *d, enum settle how, struct footing **out)
{
    struct footing *top;
    int fd;

    *out = how == SETTLE_LOOK ? drive_at_hand(d) : NULL;
    if (*out)
        return 0;
    int err = folder_of(d, &fd, &top);
    if (err)
        return err;
    err = look(d, how, fd, out);
    if (!err && how != SETTLE_LOOK && d->drives->sync) {
        err = have_named(*out, top);
        if (err) {
            footing_unref(*out);
            *out = NULL;
        }
    }
    footing_unref(top);
    return err;
}

/* Has nobody asked for it in a while? Under the lock. */
static bool idle(const struct drive *d)
{
    return d->footing && clock_coarse_ms() - d->looked_ms >= REST_MS;
}

bool drive_is_idle(struct drive *d)
{
    pthread_mutex_lock(&d->lock);
    bool yes = idle(d);
    pthread_mutex_unlock(&d->lock);
    return yes;
}

void drive_rest(struct drive *d)
{
    struct footing *f = NULL;
    pthread_mutex_lock(&d->opening);
    pthread_mutex_lock(&d->lock);
    /* The drive's own reference is the only one, and under the lock none is given out. */
    if (idle(d) && footing_sole(d->footing)) {
        f = d->footing;
        d->footing = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    if (f) {
        durable_free(&d->durable);
        d->durable_of = *footing_identity(f);
        d->durable = footing_swap_durable(f, NULL);
        footing_unref(f);
    }
    pthread_mutex_unlock(&d->opening);
}

/* --- the table ------------------------------------------------------------------ */
struct drive *drives_root(const struct drives *drives)
{
    return drives->root;
}

struct drive *drives_find(const struct drives *drives, struct str name)
{
    int n = atomic_load_explicit(&drives->n, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (str_eq(str_of(drives->drive[i]->name), name))
            return drives->drive[i];
    return NULL;
}

struct drive *drives_add(struct drives *drives, const char *name)
{
    pthread_mutex_lock(&drives->lock);
    struct drive *d = drives_find(drives, str_of(name));
    int n = atomic_load(&drives->n);
    if (!d && n < DRIVES_MOST) {
        d = drive_new(drives, name);
        drives->drive[n] = d;
        atomic_store_explicit(&drives->n, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&drives->lock);
    return d;
}

int drives_adopt(struct drives *drives, struct str piece, enum settle how,
                 struct drive **out)
{
    char name[NAME_ROOM];
    struct footing *top;
    struct stat st;

    assure(piece.n < sizeof(name));
    memcpy(name, piece.p, piece.n);
    name[piece.n] = '\0';
    *out = NULL;
    int err = drive_footing(drives->root, SETTLE_LOOK, &top);
    if (err)
        return err;
    /* Of the entry itself: what it leads to may hang. */
    if (fstatat(footing_fd(top), name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
        err = -errno;
    footing_unref(top);
    if (err == -ENOENT && how == SETTLE_MAKE) {
        err = 0; /* the drive's own worker makes it */
        st.st_mode = S_IFDIR;
    }
    if (!err && (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)))
        *out = drives_add(drives, name);
    return err;
}

struct drives *drives_open(const char *dir, int threads, bool sync, char *err,
                           size_t errlen)
{
    struct footing *f = NULL;
    struct drives *drives = xcalloc(1, sizeof(*drives));
    pthread_mutex_init(&drives->lock, NULL);
    drives->threads = threads;
    drives->sync = sync;
    drives->crew = crew_new("drives");
    drives->standby = standby_new();
    drives->root = drive_new(drives, dir);

    int e = drive_footing(drives->root, SETTLE_LOOK, &f);
    if (!e)
        e = footing_try(f);
    if (e) {
        snprintf(err, errlen, "cannot %s %s: %s", f ? "write to" : "open", dir,
                 strerror(-e));
        footing_unref(f);
        drives_free(&drives);
        return NULL;
    }
    footing_unref(f);
    return drives;
}

void drives_serve(struct drives *drives, struct loop *loop)
{
    standby_watch(drives->standby, loop);
}

void drives_end(struct drives *drives)
{
    drive_end(drives->root); /* first: its jobs may find further drives */
    for (int i = 0; i < atomic_load(&drives->n); i++)
        drive_end(drives->drive[i]);
    crew_free(&drives->crew);
    standby_free(&drives->standby);
}

void drives_free(struct drives **dp)
{
    struct drives *drives = *dp;
    *dp = NULL;
    if (!drives)
        return;
    drives_end(drives);
    for (int i = 0; i < atomic_load(&drives->n); i++)
        drive_free(drives->drive[i]);
    drive_free(drives->root);
    pthread_mutex_destroy(&drives->lock);
    free(drives);
}
