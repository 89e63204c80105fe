/*
 * The one file that knows LevelDB.
 *
 * Why the shape of it: LevelDB's handle is thread-safe but for its end, and the handle
 * must end after a failed write. So the handle readers use (`shared`) stands behind a
 * read-write lock that is held for single steps only, and the writer side takes it away
 * before it closes. Iterators keep a handle alive in LevelDB's eyes: they are listed, and
 * end with it.
 *
 * Paranoid checks: a log or table that is not what was written fails the opening, where
 * LevelDB would otherwise drop what it cannot read and go on. The one damage that a crash
 * may leave behind is cut off before (log_tail.h).
 */
#include "master/index/leveldb.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <leveldb/c.h>

#include "common/assure.h"
#include "common/log.h"
#include "master/index/folder.h"
#include "master/index/log_tail.h"
#include "master/index/opening.h"

enum {
    BLOOM_BITS = 10, /* per key: 1 % of misses touch a table */
    BLOCK_CACHE = 8 << 20,
    /* LevelDB's own. With half of it a key that was not asked for lately is no cheaper to
     * read, and the tables' own indexes, held in memory, are twice as large (4 bytes a key
     * of ten million); what is asked for often is in the cache before all this. */
    BLOCK = 4 << 10,
    /* Twice that in memory while one is written out. 8 or 16 MiB save next to nothing: a
     * table of new keys is merged down as soon as it is read past, whatever its size
     * (docs/benchmarks.md). */
    WRITE_BUFFER = 4 << 20,
};

struct db {
    char *path;
    int lock_fd;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *bloom;
    leveldb_readoptions_t *get;
    leveldb_readoptions_t *scan;
    leveldb_writeoptions_t *write[2]; /* [synced] */

    leveldb_t *handle; /* DB_WRITER only; NULL while shut */
    pthread_rwlock_t gate;
    leveldb_t *shared; /* what DB_READER may use, under gate; NULL while shut */
    pthread_mutex_t cursors_lock; /* taken inside gate */
    struct db_cursor *cursors;    /* DB_READER's */
};

struct db_batch {
    leveldb_writebatch_t *batch;
    size_t bytes;
};

struct db_cursor {
    struct db *db;
    enum db_side side;
    leveldb_iterator_t *iterator; /* NULL: shut since */
    char *copy; /* key and value of this step: the iterator may end under a reader */
    size_t room;
    struct db_cursor *prev, *next;
};

/* --- errors ------------------------------------------------------------------------ */

/* LevelDB hands errors on as text; strerror's part of it is all that tells a full
 * disk. */
static int error_number(const char *message)
{
    static const int no_room[] = {ENOSPC, EDQUOT, EFBIG};
    for (size_t i = 0; i < sizeof(no_room) / sizeof(no_room)[0]; i++)
        if (strstr(message, strerrordesc_np(no_room[i])))
            return -ENOSPC;
    return -EIO;
}

/* Logs and frees what LevelDB said. */
static int failed(const char *doing, char *message)
{
    int err = error_number(message);
    log_error("index: %s: %s", doing, message);
    leveldb_free(message);
    return err;
}

/* --- opening ----------------------------------------------------------------------- */

static int open_handle(struct db *db, char **message)
{
    *message = NULL;
    leveldb_t *handle = leveldb_open(db->options, db->path, message);
    if (*message) {
        assure(!handle);
        return error_number(*message);
    }
    db->handle = handle;
    return 0;
}

static void make_options(struct db *db)
{
    db->cache = leveldb_cache_create_lru(BLOCK_CACHE);
    db->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    db->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(db->options, 1);
    leveldb_options_set_paranoid_checks(db->options, 1);
    leveldb_options_set_write_buffer_size(db->options, WRITE_BUFFER);
    leveldb_options_set_cache(db->options, db->cache);
    leveldb_options_set_block_size(db->options, BLOCK);
    leveldb_options_set_filter_policy(db->options, db->bloom);
    leveldb_options_set_compression(db->options, leveldb_snappy_compression);
    db->get = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(db->get, 1);
    db->scan = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(db->scan, 1);
    leveldb_readoptions_set_fill_cache(db->scan, 0);
    for (int synced = 0; synced < 2; synced++) {
        db->write[synced] = leveldb_writeoptions_create();
        leveldb_writeoptions_set_sync(db->write[synced], (unsigned char)synced);
    }
}

static void release(struct db *db)
{
    for (int synced = 0; synced < 2; synced++)
        leveldb_writeoptions_destroy(db->write[synced]);
    leveldb_readoptions_destroy(db->scan);
    leveldb_readoptions_destroy(db->get);
    leveldb_options_destroy(db->options);
    leveldb_filterpolicy_destroy(db->bloom);
    leveldb_cache_destroy(db->cache);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    pthread_mutex_destroy(&db->cursors_lock);
    pthread_rwlock_destroy(&db->gate);
    free(db->path);
    free(db);
}

int db_keep_lock(struct db *db)
{
    int fd = db->lock_fd;
    db->lock_fd = -1;
    return fd;
}

struct db *db_open(const char *path, char *err, size_t errlen)
{
    struct db *db = xcalloc(1, sizeof(*db));
    db->path = xstrdup(path);
    db->lock_fd = -1;
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Readers come without pause: they must not keep the writer out. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&db->gate, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&db->cursors_lock, NULL);
    make_options(db);

    char *message = NULL;
    int r = 0;
    errno = 0;
    if (!opening_prepare(path, &db->lock_fd, err, errlen))
        goto fail;
    r = open_handle(db, &message);
    if (r != 0 && opening_met_damage(message) && log_tail_cut(path) == 1) {
        leveldb_free(message);
        r = open_handle(db, &message);
    }
    if (r != 0) {
        opening_failed(path, message, err, errlen);
        leveldb_free(message);
        goto fail;
    }
    r = folder_sync(path);
    if (r != 0) {
        snprintf(err, errlen, "index %s: cannot sync the folder: %s", path, strerror(-r));
        leveldb_close(db->handle);
        goto fail;
    }
    return db;
fail:
    r = errno;
    release(db);
    errno = r;
    return NULL;
}

void db_publish(struct db *db)
{
    assure(db->handle != NULL);
    pthread_rwlock_wrlock(&db->gate);
    db->shared = db->handle;
    pthread_rwlock_unlock(&db->gate);
}

void db_shut(struct db *db)
{
    pthread_rwlock_wrlock(&db->gate);
    db->shared = NULL;
    for (struct db_cursor *c = db->cursors; c; c = c->next) {
        leveldb_iter_destroy(c->iterator);
        c->iterator = NULL;
    }
    db->cursors = NULL;
    pthread_rwlock_unlock(&db->gate);
    if (db->handle)
        leveldb_close(db->handle);
    db->handle = NULL;
}

int db_reopen(struct db *db)
{
    assure(!db->handle);
    char *message;
    if (open_handle(db, &message) != 0)
        return failed("opening it again", message);
    return folder_sync(db->path);
}

int db_has_room(struct db *db)
{
    return folder_has_room(db->path);
}

int db_close(struct db **dbp)
{
    struct db *db = *dbp;
    *dbp = NULL;
    assure(!db->cursors);
    db_shut(db);
    /* A synced write syncs the newest log only; one that is being turned into a table is
     * left as it stands by LevelDB's closing. */
    int err = folder_sync_logs(db->path);
    if (err != 0)
        log_error("index: syncing it at the end: %s", strerror(-err));
    release(db);
    return err;
}

/* --- reading ----------------------------------------------------------------------- */

/* The handle a side may use, until leave(); NULL while shut. */
static leveldb_t *enter(struct db *db, enum db_side side)
{
    if (side == DB_WRITER)
        return db->handle;
    pthread_rwlock_rdlock(&db->gate);
    return db->shared;
}

static void leave(struct db *db, enum db_side side)
{
    if (side == DB_READER)
        pthread_rwlock_unlock(&db->gate);
}

int db_get(struct db *db, enum db_side side, struct str key, char **value, size_t *len)
{
    *value = NULL;
    *len = 0;
    char *message = NULL;
    leveldb_t *handle = enter(db, side);
    if (handle)
        *value = leveldb_get(handle, db->get, key.p, key.n, len, &message);
    leave(db, side);
    if (!handle)
        return -EIO;
    if (message) {
        failed("reading", message);
        return -EIO;
    }
    return 0;
}

void db_value_free(char *value)
{
    leveldb_free(value);
}

/* --- batches ----------------------------------------------------------------------- */

struct db_batch *db_batch_new(void)
{
    struct db_batch *batch = xcalloc(1, sizeof(*batch));
    batch->batch = leveldb_writebatch_create();
    return batch;
}

void db_batch_free(struct db_batch **batchp)
{
    if (!*batchp)
        return;
    leveldb_writebatch_destroy((*batchp)->batch);
    free(*batchp);
    *batchp = NULL;
}

void db_batch_clear(struct db_batch *batch)
{
    leveldb_writebatch_clear(batch->batch);
    batch->bytes = 0;
}

void db_batch_put(struct db_batch *batch, struct str key, struct str value)
{
    leveldb_writebatch_put(batch->batch, key.p, key.n, value.p, value.n);
    batch->bytes += key.n + value.n;
}

void db_batch_drop(struct db_batch *batch, struct str key)
{
    leveldb_writebatch_delete(batch->batch, key.p, key.n);
    batch->bytes += key.n;
}

size_t db_batch_bytes(const struct db_batch *batch)
{
    return batch->bytes;
}

int db_write(struct db *db, struct db_batch *batch, bool sync)
{
    assure(db->handle != NULL);
    char *message = NULL;
    leveldb_write(db->handle, db->write[sync], batch->batch, &message);
    return message ? failed("writing", message) : 0;
}

struct inverse {
    struct db *db;
    struct str but;
    struct db_batch *undo;
    int err;
};

static void inverse_of(void *arg, struct str key)
{
    struct inverse *inverse = arg;
    if (inverse->err != 0 || str_eq(key, inverse->but))
        return;
    char *value;
    size_t len;
    inverse->err = db_get(inverse->db, DB_WRITER, key, &value, &len);
    if (inverse->err != 0)
        return;
    if (value)
        db_batch_put(inverse->undo, key, (struct str){value, len});
    else
        db_batch_drop(inverse->undo, key);
    db_value_free(value);
}

static void inverse_of_put(void *arg, const char *key, size_t len, const char *value,
                           size_t n)
{
    (void)value, (void)n;
    inverse_of(arg, (struct str){key, len});
}

static void inverse_of_drop(void *arg, const char *key, size_t len)
{
    inverse_of(arg, (struct str){key, len});
}

int db_batch_inverse(struct db *db, const struct db_batch *batch, struct str but,
                     struct db_batch *undo)
{
    struct inverse inverse = {.db = db, .but = but, .undo = undo};
    leveldb_writebatch_iterate(batch->batch, &inverse, inverse_of_put, inverse_of_drop);
    return inverse.err;
}

/* --- cursors ----------------------------------------------------------------------- */

struct db_cursor *db_cursor_new(struct db *db, enum db_side side)
{
    struct db_cursor *c = xcalloc(1, sizeof(*c));
    c->db = db;
    c->side = side;
    leveldb_t *handle = enter(db, side);
    if (handle) {
        c->iterator = leveldb_create_iterator(handle, db->scan);
        if (side == DB_READER) {
            pthread_mutex_lock(&db->cursors_lock);
            c->next = db->cursors;
            if (c->next)
                c->next->prev = c;
            db->cursors = c;
            pthread_mutex_unlock(&db->cursors_lock);
        }
    }
    leave(db, side);
    return c;
}

void db_cursor_free(struct db_cursor **cursorp)
{
    struct db_cursor *c = *cursorp;
    if (!c)
        return;
    *cursorp = NULL;
    struct db *db = c->db;
    enter(db, c->side);
    if (c->iterator) {
        if (c->side == DB_READER) {
            pthread_mutex_lock(&db->cursors_lock);
            if (c->prev)
                c->prev->next = c->next;
            else
                db->cursors = c->next;
            if (c->next)
                c->next->prev = c->prev;
            pthread_mutex_unlock(&db->cursors_lock);
        }
        leveldb_iter_destroy(c->iterator);
    }
    leave(db, c->side);
    free(c->copy);
    free(c);
}

/* What the iterator stands on, copied; 1, 0 or -EIO. */
static int cursor_take(struct db_cursor *c, struct str *key, struct str *value)
{
    if (!leveldb_iter_valid(c->iterator)) {
        char *message = NULL;
        leveldb_iter_get_error(c->iterator, &message);
        if (!message)
            return 0;
        failed("reading", message);
        return -EIO;
    }
    const char *k = leveldb_iter_key(c->iterator, &key->n);
    const char *v = leveldb_iter_value(c->iterator, &value->n);
    size_t need = key->n + value->n;
    if (need > c->room) {
        c->room = need * 2;
        c->copy = xrealloc(c->copy, c->room);
    }
    if (key->n > 0)
        memcpy(c->copy, k, key->n);
    if (value->n > 0)
        memcpy(c->copy + key->n, v, value->n);
    key->p = c->copy;
    value->p = c->copy + key->n;
    return 1;
}

int db_cursor_seek(struct db_cursor *c, struct str from, struct str *key,
                   struct str *value)
{
    int r = -EIO;
    enter(c->db, c->side);
    if (c->iterator) {
        leveldb_iter_seek(c->iterator, from.p, from.n);
        r = cursor_take(c, key, value);
    }
    leave(c->db, c->side);
    return r;
}

int db_cursor_next(struct db_cursor *c, struct str *key, struct str *value)
{
    int r = -EIO;
    enter(c->db, c->side);
    if (c->iterator) {
        if (leveldb_iter_valid(c->iterator))
            leveldb_iter_next(c->iterator);
        r = cursor_take(c, key, value);
    }
    leave(c->db, c->side);
    return r;
}
