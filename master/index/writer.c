/*
 * Group commit, and what follows a write that fails.
 *
 * LevelDB's handle is of no use after a failed write: it goes on appending behind a torn
 * record and acknowledges what the next start will not find. And whether the failed batch
 * itself will be found is open: its bytes may be in the log though the sync failed. So
 * each batch carries a number, and the way back is to close, open again and see which
 * number is there:
 *
 *   - There is no room to open again (LevelDB turns its log into a table then): the old
 *     handle stays open for reading, for it shows exactly what was acknowledged, and
 *     writes are refused.
 *   - Opened again, at the first try: the batch is done if its number is there, else it
 *     failed.
 *   - Opened again later, after the batch was reported as failed: if its number is there
 *     all the same, it is undone before anything else is written, from the values the old
 *     handle showed. (Letting its clients wait for somebody to free the disk was the
 *     other choice.)
 *   - Opening again fails: readers get -EIO as well, until it succeeds.
 *
 * It is tried again every RETRY_MS, so an index with room again recovers by itself.
 * Background errors of LevelDB (a compaction out of room) show as failed writes and go
 * the same way.
 *
 * Only the writer's own changes (marks whose claim ended while writes failed) are kept
 * until they are written; there are at most as many as there were claims. They stay ahead
 * of all that came after them: a later mark of the same key is somebody's at work.
 */
#include "master/index/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/assure.h"
#include "common/log.h"
#include "common/thread.h"
#include "master/crash_point.h"
#include "master/index/apply.h"
#include "master/index/batch_number.h"
#include "master/index/report.h"

enum {
    BATCH_BYTES = 4 << 20,
    BATCH_CHANGES = 16 * 1024,
    RETRY_MS = 1000,
};

struct writer {
    struct db *db;
    struct claims *claims;
    struct cache *cache;
    bool sync;
    pthread_t thread;

    pthread_mutex_t lock; /* of what follows, up to the blank line */
    pthread_cond_t wake;
    bool waiting; /* the thread is, for wake, and nobody has signalled it yet */
    bool stopping;
    bool retry_now; /* do not wait until the next try to open again is due */
    int refusing;   /* 0, or what commits are answered with */
    struct change *queue, **queue_end;
    struct change *kept, **kept_end; /* own ones that failed, ahead of the queue */
    struct writer_counts counts;

    _Atomic uint64_t removals; /* listed now */

    /* The thread's own. */
    struct applier *applier;
    struct db_batch *batch;
    struct db_batch *undo; /* of the batch that failed, while refusing */
    bool can_undo;
    uint64_t number;         /* of the last batch written or tried; none is used twice */
    uint64_t failed;         /* that of the batch that failed */
    struct change **changes; /* those of the batch */
    int n_changes, changes_room;
};

/* --- reporting --------------------------------------------------------------------- */

/* Under lock. */
static void keep(struct writer *w, struct change *change)
{
    change->next = NULL;
    *w->kept_end = change;
    w->kept_end = &change->next;
}

/* Ends the changes of the batch: those that could be read get err, the others their
 * own. */
static void report_batch(struct writer *w, int err)
{
    struct report report;
    report_begin(&report, w->claims);
    for (int i = 0; i < w->n_changes; i++) {
        struct change *change = w->changes[i];
        int own = change->err != 0 ? change->err : err;
        if (err != 0 && change->own && change->err == 0) {
            pthread_mutex_lock(&w->lock);
            keep(w, change);
            pthread_mutex_unlock(&w->lock);
        } else {
            report_add(&report, change, own);
        }
    }
    w->n_changes = 0;
    report_send(&report);
}

/* --- the failed write -------------------------------------------------------------- */

/*
 * Closes and opens the database again and brings it to a state that what was reported
 * agrees with. `reported`: the batch was reported as failed. 0 and *applied tells whether
 * the batch is in force; otherwise writes go on being refused, and readers too where it
 * was shut.
 */
static int reopen(struct writer *w, bool reported, bool *applied)
{
    uint64_t found, removals;
    int err = db_has_room(w->db);
    if (err != 0)
        return err;
    db_shut(w->db);
    cache_empty(w->cache);
    err = db_reopen(w->db);
    if (err != 0)
        goto shut;
    err = batch_number_read(w->db, &found);
    if (err != 0)
        goto shut;
    *applied = found == w->failed;
    if (*applied && reported && w->can_undo) {
        /* Should this fail too, the next try finds the old number or this one. */
        batch_number_add(w->undo, ++w->number);
        err = db_write(w->db, w->undo, w->sync);
        if (err != 0)
            goto shut;
        *applied = false;
        log_info("index: undid a batch that had been reported as failed");
    } else if (*applied && reported) {
        log_error("index: a batch reported as failed is in force: it cannot be undone");
    }
    err = index_settle(w->db, false, false, &removals);
    if (err != 0)
        goto shut;
    atomic_store_explicit(&w->removals, removals, memory_order_relaxed);
    db_publish(w->db);
    pthread_mutex_lock(&w->lock);
    w->counts.reopened++;
    w->refusing = 0;
    pthread_mutex_unlock(&w->lock);
    log_info("index: opened again, takes writes");
    return 0;
shut:
    db_shut(w->db);
    return err;
}

/* From now on commits are refused, and first those that wait: nobody hears of a change
 * before an earlier one has been answered. */
static void refuse(struct writer *w, int err)
{
    struct report report;
    report_begin(&report, w->claims);
    pthread_mutex_lock(&w->lock);
    w->refusing = err;
    while (w->queue) {
        struct change *change = w->queue;
        w->queue = change->next;
        if (change->own)
            keep(w, change);
        else
            report_add(&report, change, err);
    }
    w->queue_end = &w->queue;
    report_send(&report);
    pthread_mutex_unlock(&w->lock);
}

static void write_failed(struct writer *w, int err)
{
    pthread_mutex_lock(&w->lock);
    w->counts.failures++;
    pthread_mutex_unlock(&w->lock);
    w->failed = w->number;
    db_batch_clear(w->undo);
    w->can_undo = db_batch_inverse(w->db, w->batch, INDEX_BATCH, w->undo) == 0;
    bool applied = false;
    int r = reopen(w, false, &applied);
    if (r == 0) {
        report_batch(w, applied ? 0 : err);
        return;
    }
    log_error("index: takes no writes until it can be opened again: %s",
              r == -ENOSPC ? "no room on the disk" : "see the lines above");
    report_batch(w, err);
    refuse(w, err);
}

/* --- the thread -------------------------------------------------------------------- */

/* Holds in the cache, or releases, the keys whose records the batch writes. */
static void tell_cache(struct writer *w, void (*verb)(struct cache *, struct str))
{
    for (int i = 0; i < w->n_changes; i++)
        if (w->changes[i]->err == 0 && change_has_record(w->changes[i]))
            verb(w->cache, change_key(w->changes[i]));
}

static void write_batch(struct writer *w)
{
    bool durable = false;
    db_batch_clear(w->batch);
    int64_t growth = applier_run(w->applier, w->changes, w->n_changes, w->batch);
    for (int i = 0; i < w->n_changes; i++)
        durable |= w->changes[i]->durable && w->changes[i]->err == 0;
    /* A durable change that changes nothing may rest on one that was not synced: it is
     * written all the same. */
    if (db_batch_bytes(w->batch) == 0 && !durable) {
        report_batch(w, 0);
        return;
    }
    bool sync = durable && w->sync;
    batch_number_add(w->batch, ++w->number);
    CRASH_POINT("index: a batch is to be written");
    tell_cache(w, cache_hold);
    int err = db_write(w->db, w->batch, sync);
    tell_cache(w, cache_release);
    CRASH_POINT("index: a batch is written, nobody knows");
    if (err != 0) {
        write_failed(w, err);
        return;
    }
    atomic_fetch_add_explicit(&w->removals, (uint64_t)growth, memory_order_relaxed);
    pthread_mutex_lock(&w->lock);
    w->counts.batches++;
    w->counts.syncs += sync;
    w->counts.changes += (uint64_t)w->n_changes;
    pthread_mutex_unlock(&w->lock);
    report_batch(w, 0);
}

static void add_to_batch(struct writer *w, struct change *change)
{
    if (w->n_changes == w->changes_room) {
        w->changes_room = w->changes_room > 0 ? w->changes_room * 2 : 64;
        w->changes =
            xrealloc(w->changes, (size_t)w->changes_room * sizeof(struct change *));
    }
    w->changes[w->n_changes++] = change;
}

/* Under lock: moves what was kept and the front of the queue to the batch. */
static void take_batch(struct writer *w)
{
    size_t bytes = 0;
    for (; w->kept; w->kept = w->kept->next)
        add_to_batch(w, w->kept);
    w->kept_end = &w->kept;
    while (w->queue && bytes < BATCH_BYTES && w->n_changes < BATCH_CHANGES) {
        struct change *change = w->queue;
        w->queue = change->next;
        add_to_batch(w, change);
        bytes += change->text_len;
    }
    if (!w->queue)
        w->queue_end = &w->queue;
}

/* Under lock: until there is something to do, or for RETRY_MS. */
static void wait_for_work(struct writer *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_MS / 1000;
    until.tv_nsec += RETRY_MS % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    w->waiting = true;
    int r = 0;
    if (w->refusing == 0 && !w->kept) {
        while (!w->queue && !w->stopping)
            pthread_cond_wait(&w->wake, &w->lock);
    } else if (w->refusing == 0) {
        while (r != ETIMEDOUT && !w->queue && !w->stopping)
            r = pthread_cond_timedwait(&w->wake, &w->lock, &until);
    } else {
        while (r != ETIMEDOUT && !w->stopping && !w->retry_now)
            r = pthread_cond_timedwait(&w->wake, &w->lock, &until);
        w->retry_now = false;
    }
    w->waiting = false;
}

static void drop_list(struct change **list)
{
    while (*list) {
        struct change *change = *list;
        *list = change->next;
        change_free(&change);
    }
}

static void *run(void *arg)
{
    struct writer *w = arg;
    bool applied;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        wait_for_work(w);
        if (w->refusing != 0) {
            pthread_mutex_unlock(&w->lock);
            int err = reopen(w, true, &applied);
            pthread_mutex_lock(&w->lock);
            w->counts.retries++;
            if (err == 0)
                continue;
            w->refusing = err;
            if (w->stopping)
                break;
            continue;
        }
        if (!w->queue && w->stopping)
            break;
        take_batch(w);
        pthread_mutex_unlock(&w->lock);
        write_batch(w);
        pthread_mutex_lock(&w->lock);
    }
    /* What is left is the writer's own; the next opening finds the marks it is about. */
    drop_list(&w->kept);
    drop_list(&w->queue);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- the door ---------------------------------------------------------------------- */

static void release(struct writer *w)
{
    applier_free(&w->applier);
    db_batch_free(&w->batch);
    db_batch_free(&w->undo);
    free(w->changes);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct writer *writer_start(struct db *db, struct claims *claims, struct cache *cache,
                            bool sync, char *err, size_t errlen)
{
    struct writer *w = xcalloc(1, sizeof(*w));
    w->db = db;
    w->claims = claims;
    w->cache = cache;
    w->sync = sync;
    w->queue_end = &w->queue;
    w->kept_end = &w->kept;
    w->applier = applier_new(db);
    w->batch = db_batch_new();
    w->undo = db_batch_new();
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);

    uint64_t removals = 0;
    int r = index_settle(db, true, sync, &removals);
    atomic_store_explicit(&w->removals, removals, memory_order_relaxed);
    if (r == 0)
        r = batch_number_read(db, &w->number);
    if (r != 0) {
        snprintf(err, errlen, "index: cannot be brought up to date: %s%s", strerror(-r),
                 r == -EIO ? ": if its disk is well, make it anew with mkv rebuild" : "");
        r = r == -EIO ? EBADMSG : -r;
        goto fail;
    }
    r = -thread_start(&w->thread, "index", run, w);
    if (r != 0) {
        snprintf(err, errlen, "index: no thread to write it: %s", strerror(r));
        goto fail;
    }
    db_publish(db);
    return w;
fail:
    release(w);
    errno = r;
    return NULL;
}

void writer_stop(struct writer **wp)
{
    struct writer *w = *wp;
    *wp = NULL;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    release(w);
}

/* Under lock. Takes a list. true: the thread waits, and is to be woken once the lock is
 * free again, so that it does not wake into a closed door. */
static bool enqueue(struct writer *w, struct change *changes)
{
    bool asleep = w->waiting;
    assure(!w->stopping);
    *w->queue_end = changes;
    while (*w->queue_end)
        w->queue_end = &(*w->queue_end)->next;
    w->waiting = false; /* one signal is enough */
    return asleep;
}

static void report_refused(struct writer *w, struct change *changes, int err)
{
    struct report report;
    report_begin(&report, w->claims);
    while (changes) {
        struct change *change = changes;
        changes = change->next;
        report_add(&report, change, err);
    }
    report_send(&report);
}

void writer_submit(struct writer *w, struct change *changes)
{
    bool asleep = false;
    pthread_mutex_lock(&w->lock);
    int refusing = w->refusing;
    if (refusing == 0)
        asleep = enqueue(w, changes);
    pthread_mutex_unlock(&w->lock);
    if (asleep)
        pthread_cond_signal(&w->wake);
    if (refusing != 0)
        report_refused(w, changes, refusing);
}

void writer_submit_own(struct writer *w, struct change *change)
{
    change->own = true;
    change->next = NULL;
    pthread_mutex_lock(&w->lock);
    bool asleep = enqueue(w, change);
    pthread_mutex_unlock(&w->lock);
    if (asleep)
        pthread_cond_signal(&w->wake);
}

void writer_retry(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->retry_now = w->refusing != 0;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

uint64_t writer_removals(struct writer *w)
{
    return atomic_load_explicit(&w->removals, memory_order_relaxed);
}

void writer_counts(struct writer *w, struct writer_counts *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->counts;
    out->refusing = w->refusing != 0;
    pthread_mutex_unlock(&w->lock);
}
