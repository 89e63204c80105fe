/*
 * Two things make this cheaper than a sync of every folder for every PUT.
 *
 * Shared syncs. What a thread needs is an fsync of its folder that *started* after its
 * own change; who made it start does not matter. So syncs of one folder are numbered; a
 * thread asks for the number after the last one started, runs it when none is running,
 * and otherwise waits. Of 64 writers in one folder, the 63 that come while the first sync
 * runs share the second.
 *
 * Where folders are new, all on the way up are asked for at once. Each thread then runs
 * whatever nobody runs yet, its own new folder first, and by the time that is done others
 * have mostly synced what is above it. One after the other, each would have come too late
 * for the sync of the next that just ran: five waits for the journal in place of two.
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
    STEPS = 16,        /* of them at a time */
};

/* One inode, as statx names it. */
struct inode_id {
    uint64_t dev, ino, birth;
};

/* Syncs of one folder, under way or waited for. */
struct turn {
    struct turn *next;
    int users; /* threads that wait for it */
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
    struct turn *turns;  /* at most STEPS for each thread that is here */
    struct turn *unused; /* kept for the next */
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

struct durable *durable_new(int top)
{
    struct durable *d = xcalloc(1, sizeof(*d));
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
    assure(!d->turns);
    while (d->unused) {
        struct turn *t = d->unused;
        d->unused = t->next;
        free(t);
    }
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
    d->known = xcalloc(d->slots, sizeof(*d->known));
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

/* A folder on the way up, and the sync of it that has to be over. */
struct step {
    int fd;
    struct inode_id folder;
    struct turn *turn;
    uint64_t mine; /* the number of the first sync that starts after our change */
};

/* Under the lock. */
static struct turn *turn_get(struct durable *d, const struct inode_id *folder)
{
    struct turn *t;
    for (t = d->turns; t; t = t->next)
        if (same(&t->folder, folder)) {
            t->users++;
            return t;
        }
    t = d->unused;
    if (t)
        d->unused = t->next;
    else
        t = xmalloc(sizeof(*t));
    *t = (struct turn){.folder = *folder, .users = 1, .next = d->turns};
    d->turns = t;
    return t;
}

/* Under the lock. */
static void turn_put(struct durable *d, struct turn *turn)
{
    if (--turn->users > 0)
        return;
    struct turn **at = &d->turns;
    while (*at != turn)
        at = &(*at)->next;
    *at = turn->next;
    turn->next = d->unused;
    d->unused = turn;
}

/* Runs the sync that is the turn's next. Under the lock, which it lets go meanwhile. */
static void take_turn(struct durable *d, struct turn *t, int fd)
{
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

/* Has all of them synced: what no other thread is at this one does. 0 or the first
 * error. */
static int sync_all(struct durable *d, struct step *steps, int n)
{
    int err = 0;
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < n; i++) {
        steps[i].turn = turn_get(d, &steps[i].folder);
        steps[i].mine = steps[i].turn->started + 1;
    }
    workers_waiting();
    for (int left = n; left > 0;) {
        struct step *next = NULL;
        left = 0;
        for (int i = 0; i < n; i++) {
            if (steps[i].turn->finished >= steps[i].mine)
                continue;
            left++;
            if (!next && !steps[i].turn->running)
                next = &steps[i];
        }
        if (next)
            take_turn(d, next->turn, next->fd);
        else if (left > 0)
            pthread_cond_wait(&d->turned, &d->lock);
    }
    for (int i = 0; i < n; i++) {
        if (!err && steps[i].turn->failed >= steps[i].mine)
            err = steps[i].turn->err;
        turn_put(d, steps[i].turn);
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

/* The folders from `fd` on upwards whose names are not known to be on disk, and the one
 * they end in; at most STEPS of them. Returns how many; *more: it goes on above the last.
 * All but the first, which is the caller's, are to be closed. Or -errno. */
static int climb(struct durable *d, int fd, struct step steps[STEPS], bool *more)
{
    int n = 1;
    steps[0] = (struct step){.fd = fd};
    int err = identify(fd, &steps[0].folder);
    *more = false;
    while (!err) {
        const struct step *last = &steps[n - 1];
        if (same(&last->folder, &d->top) || known(d, &last->folder))
            return n;
        *more = n == STEPS;
        if (*more)
            return n;
        int up = openat(last->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (up < 0) {
            err = -errno;
            break;
        }
        steps[n] = (struct step){.fd = up};
        err = identify(up, &steps[n++].folder);
        if (!err && same(&steps[n - 1].folder, &steps[n - 2].folder)) {
            close(up); /* the root of everything: the folder was moved away */
            return n - 1;
        }
    }
    while (n > 1)
        close(steps[--n].fd);
    return err;
}

int durable_names(struct durable *d, int fd)
{
    struct step steps[STEPS];
    struct inode_id climbed[64]; /* remembered when all of the climb is on disk */
    int n_climbed = 0, err = 0;
    int at = fd; /* a descriptor of ours once we have climbed */
    bool more = true;

    for (int levels = 0; !err && more && levels < CLIMB_MOST; levels += STEPS) {
        int n = climb(d, at, steps, &more);
        if (n < 0) {
            err = n;
            break;
        }
        err = sync_all(d, steps, n);
        for (int i = 0;
             i < n - 1 && n_climbed < (int)(sizeof(climbed) / sizeof(*climbed)); i++)
            climbed[n_climbed++] = steps[i].folder;
        if (n < 2)
            break;
        for (int i = 1; i < n - 1; i++)
            close(steps[i].fd);
        if (at != fd)
            close(at);
        at = steps[n - 1].fd;
    }
    if (at != fd)
        close(at);
    for (int i = 0; !err && i < n_climbed; i++)
        remember(d, &climbed[i]);
    return err;
}
