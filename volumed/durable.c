/*
 * Two things make this cheaper than a sync of every folder for every PUT.
 *
 * Shared syncs. What a thread needs is an fsync of its folder that *started* after its
 * own change; who made it start does not matter. So syncs of one folder are numbered; a
 * thread asks for the number after the last one started, runs it when none is running,
 * and otherwise waits. Of 64 writers in one folder, the 63 that come while the first sync
 * runs share the second.
 *
 * Known folders. Once a folder's name and those above it are on disk they stay there, so
 * it is remembered (by inode number and birth time) and the climb to the top is done
 * once. Only what has been synced is remembered: a folder that another request has made
 * and not synced yet is not, and both requests climb. The memory is bounded and may
 * forget: a slot is one fingerprint, a collision drops the older one.
 */
#include "volumed/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/workers.h"

enum {
    KNOWN_FIRST = 1 << 10, /* slots at first; doubled as they fill up to … */
    KNOWN_MOST =
        1 << 17,       /* 65,536 folders two levels deep, and as many to spare: 1 MiB */
    CLIMB_MOST = 2048, /* pieces of a path */
};

/* One inode, as statx names it. */
struct inode_id {
    uint64_t dev, ino, birth;
};

/* Syncs of one folder, under way or waited for. */
struct turn {
    int users; /* 0: the slot is free */
    struct inode_id folder;
    bool running;
    uint64_t started, finished; /* numbers of syncs */
    uint64_t failed;            /* the last that failed, and how */
    int err;
};

struct durable {
    struct inode_id top;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    uint64_t *known; /* fingerprints, 0 = free; NULL until the first */
    size_t slots, taken;
    int n_turns;
    /* One a thread, and one for the top, which the workers of other drives sync when they
     * are new there: there is always a free one. */
    struct turn turns[];
};

static int identify(int fd, struct inode_id *out)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st))
        return -errno;
    out->dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
    out->ino = st.stx_ino;
    out->birth = 0;
    if (st.stx_mask & STATX_BTIME)
        out->birth = (uint64_t)st.stx_btime.tv_sec * 1000000000u + st.stx_btime.tv_nsec;
    return 0;
}

static bool same(const struct inode_id *a, const struct inode_id *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

struct durable *durable_new(int top, int threads)
{
    struct durable *d =
        xcalloc(1, sizeof *d + (unsigned long)(threads + 1) * sizeof(struct turn));
    d->n_turns = threads + 1;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->turned, NULL);
    if (identify(top, &d->top))
        d->top = (struct inode_id){0};
    return d;
}

void durable_free(struct durable **dp)
{
    struct durable *d = *dp;
    *dp = NULL;
    if (!d)
        return;
    pthread_cond_destroy(&d->turned);
    pthread_mutex_destroy(&d->lock);
    free(d->known);
    free(d);
}

/* --- known folders -------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t fingerprint(const struct inode_id *f)
{
    return mix(mix(mix(f->dev + 1) + f->ino) ^ f->birth) | 1;
}

static size_t slot_of(const struct durable *d, uint64_t print)
{
    return (size_t)(print >> 8) & (d->slots - 1);
}

static bool known(struct durable *d, const struct inode_id *f)
{
    uint64_t print = fingerprint(f);
    pthread_mutex_lock(&d->lock);
    bool yes = d->known && d->known[slot_of(d, print)] == print;
    pthread_mutex_unlock(&d->lock);
    return yes;
}

/* Under the lock. */
static void grow(struct durable *d)
{
    size_t before = d->slots;
    uint64_t *old = d->known;
    d->slots = before ? before * 2 : KNOWN_FIRST;
    d->known = xcalloc(d->slots, sizeof *d->known);
    d->taken = 0;
    for (size_t i = 0; old && i < before; i++) {
        if (!old[i])
            continue;
        uint64_t *slot = &d->known[slot_of(d, old[i])];
        d->taken += *slot == 0;
        *slot = old[i];
    }
    free(old);
}

static void remember(struct durable *d, const struct inode_id *f)
{
    uint64_t print = fingerprint(f);
    pthread_mutex_lock(&d->lock);
    if (!d->known || (d->taken > d->slots / 2 && d->slots < KNOWN_MOST))
        grow(d);
    uint64_t *slot = &d->known[slot_of(d, print)];
    d->taken += *slot == 0;
    *slot = print;
    pthread_mutex_unlock(&d->lock);
}

void durable_forget(struct durable *d, int fd)
{
    struct inode_id f = {0};
    if (identify(fd, &f))
        return; /* then its names cannot be synced either, and nothing is promised */
    uint64_t print = fingerprint(&f);
    pthread_mutex_lock(&d->lock);
    if (d->known && d->known[slot_of(d, print)] == print)
        d->known[slot_of(d, print)] = 0;
    pthread_mutex_unlock(&d->lock);
}

/* --- shared syncs --------------------------------------------------------------- */

/* Under the lock. */
static struct turn *turn_get(struct durable *d, const struct inode_id *folder)
{
    struct turn *unused = NULL;
    for (int i = 0; i < d->n_turns; i++) {
        struct turn *t = &d->turns[i];
        if (t->users == 0)
            unused = t;
        else if (same(&t->folder, folder))
            return t;
    }
    assure(unused);
    *unused = (struct turn){.folder = *folder};
    return unused;
}

static int sync_folder(struct durable *d, int fd, const struct inode_id *folder)
{
    pthread_mutex_lock(&d->lock);
    struct turn *t = turn_get(d, folder);
    t->users++;
    uint64_t mine = t->started + 1; /* the first that starts after our change */
    workers_waiting();
    while (t->finished < mine) {
        if (t->running) {
            pthread_cond_wait(&d->turned, &d->lock);
            continue;
        }
        t->running = true;
        uint64_t number = ++t->started;
        pthread_mutex_unlock(&d->lock);
        /* EINVAL: a file system that has nothing to sync in a folder. */
        int err = fsync(fd) && errno != EINVAL ? -errno : 0;
        pthread_mutex_lock(&d->lock);
        t->running = false;
        t->finished = number;
        if (err) {
            t->failed = number;
            t->err = err;
        }
        pthread_cond_broadcast(&d->turned);
    }
    int err = t->failed >= mine ? t->err : 0;
    t->users--;
    pthread_mutex_unlock(&d->lock);
    return err;
}

int durable_names(struct durable *d, int fd)
{
    struct inode_id here = {0}, above = {0};
    int at = fd; /* a descriptor of ours once we have climbed */

    int err = identify(fd, &here);
    if (!err)
        err = sync_folder(d, fd, &here);

    struct inode_id climbed[64]; /* remembered when all of the climb is on disk */
    int n = 0;
    for (int level = 0; !err && level < CLIMB_MOST; level++) {
        if (same(&here, &d->top) || known(d, &here))
            break;
        if (n < (int)(sizeof climbed / sizeof *climbed))
            climbed[n++] = here;
        int up = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (up < 0) {
            err = -errno;
            break;
        }
        if (at != fd)
            close(at);
        at = up;
        err = identify(up, &above);
        if (err || same(&above, &here)) /* the root of everything: it was moved away */
            break;
        here = above;
        err = sync_folder(d, up, &here);
    }
    if (at != fd)
        close(at);
    for (int i = 0; !err && i < n; i++)
        remember(d, &climbed[i]);
    return err;
}
