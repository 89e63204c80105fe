/*
 * The door: what index.h promises, put together from LevelDB (leveldb.c), the
 * writer (writer.c) and the claims (claims.c).
 *
 * Reads run on the caller's thread and complete at once: what is asked for is mostly in
 * memory, and a hand-over to another thread costs more than a read. The completions are
 * there for an engine that cannot do that.
 */
#include "master/index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"
#include "common/service.h"
#include "master/index/apply.h"
#include "master/index/claims.h"
#include "master/index/handover.h"
#include "master/index/private.h"
#include "master/index/reading.h"
#include "master/index/writer.h"

struct index {
    struct reading reading; /* its database and cache */
    struct claims *claims;
    struct writer *writer;
    struct handover *handover[LOOPS_MAX]; /* of loops that hand over by turns */
    int n_handovers;
};

/* --- opening ----------------------------------------------------------------------- */

struct index *index_open(const struct index_options *options, char *err, size_t errlen)
{
    int why;
    struct index *index = xcalloc(1, sizeof(*index));
    index->reading.db = db_open(options->path, err, errlen);
    if (!index->reading.db)
        goto no_db;
    index->claims = claims_new();
    index->reading.cache = cache_new();
    index->writer = writer_start(index->reading.db, index->claims, index->reading.cache,
                                 options->sync, err, errlen);
    if (!index->writer)
        goto no_writer;
    return index;
no_writer:
    why = errno;
    cache_free(&index->reading.cache);
    claims_free(&index->claims);
    db_close(&index->reading.db);
    errno = why;
no_db:
    why = errno;
    free(index);
    errno = why;
    return NULL;
}

int index_close_held(struct index **indexp)
{
    struct index *index = *indexp;
    *indexp = NULL;
    assure(claims_count(index->claims) == 0);
    for (int i = 0; i < index->n_handovers; i++)
        handover_free(&index->handover[i]);
    writer_stop(&index->writer);
    int fd = db_keep_lock(index->reading.db);
    int err = db_close(&index->reading.db);
    cache_free(&index->reading.cache);
    claims_free(&index->claims);
    free(index);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int index_close(struct index **indexp)
{
    if (!*indexp)
        return 0;
    int fd = index_close_held(indexp);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* --- reading ----------------------------------------------------------------------- */

void index_get(struct index *index, struct loop *loop, struct str key, index_got *got,
               void *arg)
{
    (void)loop;
    struct entry entry;
    int err = reading_record(&index->reading, key, true, &entry);
    if (err != 0)
        entry_clear(&entry);
    got(arg, err, &entry);
}

int index_entry(struct index *index, struct str key, struct entry *entry)
{
    int err = reading_entry(&index->reading, key, entry);
    if (err != 0)
        entry_clear(entry);
    return err;
}

/* --- claims ------------------------------------------------------------------------ */

/* A claim that was taken and waits for what the last holder left under way. */
struct waiting_claim {
    struct task task;
    struct index *index;
    index_got *got;
    void *arg;
    size_t n;
    char key[];
};

/* Tells of a claim that was taken; it is given back where its entry cannot be read. */
static void tell_claimed(struct index *index, struct str key, index_got *got, void *arg)
{
    struct entry entry;
    int err = reading_entry(&index->reading, key, &entry);
    if (err != 0) {
        entry_clear(&entry);
        claims_drop(index->claims, key);
    }
    got(arg, err, &entry);
}

static void run_waited(struct task *task)
{
    struct waiting_claim *w = container_of(task, struct waiting_claim, task);
    tell_claimed(w->index, (struct str){w->key, w->n}, w->got, w->arg);
    free(w);
}

void index_claim(struct index *index, struct loop *loop, struct str key, index_got *got,
                 void *arg)
{
    enum claims_answer answer = claims_take(index->claims, key);
    if (answer == CLAIMS_BUSY) {
        struct entry entry;
        entry_none(&entry);
        got(arg, -EBUSY, &entry);
        return;
    }
    if (answer == CLAIMS_PINNED) {
        struct waiting_claim *w = xmalloc(sizeof(*w) + key.n);
        *w = (struct waiting_claim){
            .task.run = run_waited, .index = index, .got = got, .arg = arg, .n = key.n};
        memcpy(w->key, key.p, key.n);
        if (claims_await(index->claims, key, loop, &w->task))
            return;
        free(w);
    }
    tell_claimed(index, key, got, arg);
}

void index_release(struct index *index, struct str key)
{
    /* Its last commit failed, and the marks it would have ended stand. Queued before the
     * key is free, so before any mark of the next who takes it. */
    if (claims_marked(index->claims, key)) {
        struct change *change = change_new(key);
        change_orphan_marks(change);
        writer_submit_own(index->writer, change);
    }
    claims_drop(index->claims, key);
}

/* --- changes ----------------------------------------------------------------------- */

/* The one of this loop, or NULL. None is added while loops run. */
static struct handover *handover_of(const struct index *index, const struct loop *loop)
{
    for (int i = 0; i < index->n_handovers; i++)
        if (handover_loop(index->handover[i]) == loop)
            return index->handover[i];
    return NULL;
}

void index_join(struct index *index, struct loop *loop)
{
    assure(index->n_handovers < LOOPS_MAX);
    index->handover[index->n_handovers++] = handover_new(loop, index->writer);
}

void index_part(struct index *index, struct loop *loop)
{
    struct handover *handover = handover_of(index, loop);
    if (handover)
        handover_close(handover);
}

void index_commit(struct index *index, struct loop *loop, struct change **change,
                  bool durable, index_done *done, void *arg)
{
    struct change *c = *change;
    struct handover *handover =
        loop && loop == loop_here() ? handover_of(index, loop) : NULL;
    *change = NULL;
    c->loop = loop;
    c->durable = durable;
    c->done = done;
    c->arg = arg;
    c->claim = claims_pin(index->claims, change_key(c));
    if (handover)
        handover_add(handover, c);
    else
        writer_submit(index->writer, c);
}

void index_counts(struct index *index, struct writer_counts *out)
{
    writer_counts(index->writer, out);
}

void index_retry(struct index *index)
{
    writer_retry(index->writer);
}

size_t index_claims(struct index *index)
{
    return claims_count(index->claims);
}

/* --- walking ----------------------------------------------------------------------- */

size_t index_key_after(struct str key, char *out)
{
    size_t n = key.n;
    memmove(out, key.p, n);
    if (n < PLACEMENT_KEY_MAX) {
        out[n] = '\0';
        return n + 1;
    }
    /* Keys begin with '/', so something is left. */
    while (out[n - 1] == '\xff')
        n--;
    out[n - 1]++;
    return n;
}

/* --- removals ---------------------------------------------------------------------- */

uint64_t index_removals(struct index *index)
{
    return writer_removals(index->writer);
}

int index_removals_next(struct index *index, struct str from, char *keybuf,
                        struct str *key, struct entry *entry)
{
    entry_none(entry);
    /* Finished PUTs leave deleted entries where this walks: with nothing listed, no
     * walk. */
    if (index_removals(index) == 0 || from.n > PLACEMENT_KEY_MAX)
        return 0;
    struct index_key room;
    struct str at, text;
    struct db_cursor *cursor = db_cursor_new(index->reading.db, DB_READER);
    int r = db_cursor_seek(cursor, index_key(&room, INDEX_PLACES, from), &at, &text);
    for (; r == 1; r = db_cursor_next(cursor, &at, &text)) {
        if (!str_starts(at, INDEX_PLACES)) {
            r = 0;
            break;
        }
        struct str found = {at.p + INDEX_PLACES.n, at.n - INDEX_PLACES.n};
        /* One that does not read must not hide those behind it; it was logged. */
        if (!reading_is_key(found) ||
            reading_record(&index->reading, found, false, entry) != 0 ||
            reading_places(found, text, entry) != 0 || entry->n_removals == 0) {
            entry_clear(entry);
            continue;
        }
        memcpy(keybuf, found.p, found.n);
        *key = (struct str){keybuf, found.n};
        break;
    }
    db_cursor_free(&cursor);
    return r;
}

/* --- scans ------------------------------------------------------------------------- */

struct scan {
    struct db_cursor *cursor;
    bool begun;
    uint64_t unreadable;
    size_t prefix_len;
    size_t start_len;
    char text[]; /* prefix, then start */
};

struct scan *index_scan(struct index *index, struct str prefix, struct str start)
{
    /* Keys begin with '/', and nothing else in the database does. */
    const struct str root = STR("/");
    if (prefix.n == 0)
        prefix = root;
    struct scan *scan = xcalloc(1, sizeof(*scan) + prefix.n + start.n);
    scan->cursor = db_cursor_new(index->reading.db, DB_READER);
    scan->prefix_len = prefix.n;
    memcpy(scan->text, prefix.p, prefix.n);
    scan->start_len = start.n;
    if (start.n > 0)
        memcpy(scan->text + prefix.n, start.p, start.n);
    return scan;
}

/* Where it begins: at `start`, or at the prefix where that comes later. */
static struct str scan_from(const struct scan *scan)
{
    struct str prefix = {scan->text, scan->prefix_len};
    struct str start = {scan->text + scan->prefix_len, scan->start_len};
    size_t n = prefix.n < start.n ? prefix.n : start.n;
    int c = n > 0 ? memcmp(start.p, prefix.p, n) : 0;
    return c > 0 || (c == 0 && start.n > prefix.n) ? start : prefix;
}

int scan_next(struct scan *scan, struct str *key, struct record *record)
{
    const struct str prefix = {scan->text, scan->prefix_len};
    for (;;) {
        struct str text;
        int r = scan->begun ? db_cursor_next(scan->cursor, key, &text)
                            : db_cursor_seek(scan->cursor, scan_from(scan), key, &text);
        scan->begun = true;
        if (r != 1)
            return r;
        if (prefix.p[0] != '/' || !str_starts(*key, prefix))
            return 0;
        if (key->n <= PLACEMENT_KEY_MAX && record_parse(text, record) == 0)
            return 1;
        log_error("index: the record of %.*s does not read", (int)key->n, key->p);
        scan->unreadable++;
    }
}

uint64_t scan_unreadable(const struct scan *scan)
{
    return scan->unreadable;
}

void scan_rewind(struct scan *scan)
{
    scan->begun = false;
}

void scan_free(struct scan **scanp)
{
    struct scan *scan = *scanp;
    if (!scan)
        return;
    *scanp = NULL;
    db_cursor_free(&scan->cursor);
    free(scan);
}
