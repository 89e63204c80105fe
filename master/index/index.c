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
#include "master/index/apply.h"
#include "master/index/claims.h"
#include "master/index/entry_text.h"
#include "master/index/handover.h"
#include "master/index/private.h"
#include "master/index/writer.h"

enum { LOOPS_MAX = 256 }; /* that hand over by turns; the changes of others go at once */

struct index {
    struct db *db;
    struct claims *claims;
    struct writer *writer;
    struct handover *handover[LOOPS_MAX];
    int n_handovers;
};

/* --- opening ----------------------------------------------------------------------- */

struct index *index_open(const struct index_options *options, char *err, size_t errlen)
{
    int why;
    struct index *index = xcalloc(1, sizeof(*index));
    index->db = db_open(options->path, err, errlen);
    if (index->db == NULL)
        goto no_db;
    index->claims = claims_new();
    index->writer = writer_start(index->db, index->claims, options->sync, err, errlen);
    if (index->writer == NULL)
        goto no_writer;
    return index;
no_writer:
    why = errno;
    claims_free(&index->claims);
    db_close(&index->db);
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
    int fd = db_keep_lock(index->db);
    int err = db_close(&index->db);
    claims_free(&index->claims);
    free(index);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

int index_close(struct index **indexp)
{
    if (*indexp == NULL)
        return 0;
    int fd = index_close_held(indexp);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* --- reading ----------------------------------------------------------------------- */

static void entry_none(struct entry *entry)
{
    entry->record.state = RECORD_ABSENT;
    entry->record.md5[0] = '\0';
    entry->record.n = 0;
    entry->has_size = false;
    entry->size = 0;
    entry->time = 0;
    entry->n_marks = 0;
    entry->mark = NULL;
    entry->n_removals = 0;
    entry->removal = NULL;
    entry->text[0] = NULL;
    entry->text[1] = NULL;
}

/* text[0] is the record's text, LevelDB's; text[1] holds the arrays and text of the
 * places. */
void entry_clear(struct entry *entry)
{
    db_value_free(entry->text[0]);
    free(entry->text[1]);
    entry_none(entry);
}

static bool is_key(struct str key)
{
    return key.n > 0 && key.n <= PLACEMENT_KEY_MAX && key.p[0] == '/';
}

/* Record, size and time. The hot path of every GET: one read of the record, one more
 * where it has an MD5, parsed where they lie. */
static int read_record(struct db *db, struct str key, struct entry *entry)
{
    entry_none(entry);
    if (!is_key(key))
        return -EINVAL;
    char *value;
    size_t len;
    int err = db_get(db, DB_READER, key, &value, &len);
    if (err != 0 || value == NULL)
        return err;
    entry->text[0] = value;
    if (record_parse((struct str){value, len}, &entry->record) != 0) {
        log_error("index: the record of %.*s does not read", (int)key.n, key.p);
        return -EIO;
    }
    if (entry->record.md5[0] == '\0')
        return 0;
    struct index_key room;
    char *meta;
    err = db_get(db, DB_READER, index_key(&room, INDEX_META, key), &meta, &len);
    if (err != 0 || meta == NULL)
        return err;
    entry->has_size = meta_parse((struct str){meta, len}, entry->record.md5, &entry->size,
                                 &entry->time);
    db_value_free(meta);
    return 0;
}

/* Copies the places into the entry, arrays and text in one piece. */
static void take_places(struct entry *entry, const struct places *p)
{
    size_t marks = (size_t)p->n_marks * sizeof(*p->mark);
    size_t removals = (size_t)p->n_removals * sizeof(*p->removal);
    size_t text = 0;
    for (int i = 0; i < p->n_marks; i++)
        text += p->mark[i].n;
    for (int i = 0; i < p->n_removals; i++)
        text += p->removal[i].place.n;
    if (text == 0)
        return;
    char *block = xmalloc(removals + marks + text);
    char *at = block + removals + marks;
    entry->text[1] = block;
    entry->removal = (struct removal *)(void *)block;
    entry->mark = (struct str *)(void *)(block + removals);
    for (int i = 0; i < p->n_removals; i++) {
        struct removal r = p->removal[i];
        memcpy(at, r.place.p, r.place.n);
        r.place.p = at;
        at += r.place.n;
        entry->removal[entry->n_removals++] = r;
    }
    for (int i = 0; i < p->n_marks; i++) {
        struct str place = p->mark[i];
        memcpy(at, place.p, place.n);
        place.p = at;
        at += place.n;
        entry->mark[entry->n_marks++] = place;
    }
}

/* Marks and removals, but those that the entry's record names. */
static int parse_places(struct str key, struct str text, struct entry *entry)
{
    struct places places = {0};
    int err = places_parse(text, &places);
    if (err == 0) {
        places_drop_named(&places, &entry->record);
        take_places(entry, &places);
    } else {
        log_error("index: what is kept of the places of %.*s does not read", (int)key.n,
                  key.p);
        err = -EIO;
    }
    places_free(&places);
    return err;
}

static int read_entry(struct db *db, struct str key, struct entry *entry)
{
    int err = read_record(db, key, entry);
    if (err != 0)
        return err;
    struct index_key room;
    char *value;
    size_t len;
    err = db_get(db, DB_READER, index_key(&room, INDEX_PLACES, key), &value, &len);
    if (err != 0 || value == NULL)
        return err;
    err = parse_places(key, (struct str){value, len}, entry);
    db_value_free(value);
    return err;
}

void index_get(struct index *index, struct loop *loop, struct str key, index_got *got,
               void *arg)
{
    (void)loop;
    struct entry entry;
    int err = read_record(index->db, key, &entry);
    if (err != 0)
        entry_clear(&entry);
    got(arg, err, &entry);
}

int index_entry(struct index *index, struct str key, struct entry *entry)
{
    int err = read_entry(index->db, key, entry);
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
    int err = read_entry(index->db, key, &entry);
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
    if (index->n_handovers < LOOPS_MAX)
        index->handover[index->n_handovers++] = handover_new(loop, index->writer);
}

void index_part(struct index *index, struct loop *loop)
{
    struct handover *handover = handover_of(index, loop);
    if (handover != NULL)
        handover_close(handover);
}

void index_commit(struct index *index, struct loop *loop, struct change **change,
                  bool durable, index_done *done, void *arg)
{
    struct change *c = *change;
    struct handover *handover =
        loop != NULL && loop == loop_here() ? handover_of(index, loop) : NULL;
    *change = NULL;
    c->loop = loop;
    c->durable = durable;
    c->done = done;
    c->arg = arg;
    c->claim = claims_pin(index->claims, change_key(c));
    if (handover != NULL)
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
    struct db_cursor *cursor = db_cursor_new(index->db, DB_READER);
    int r = db_cursor_seek(cursor, index_key(&room, INDEX_PLACES, from), &at, &text);
    for (; r == 1; r = db_cursor_next(cursor, &at, &text)) {
        if (!str_starts(at, INDEX_PLACES)) {
            r = 0;
            break;
        }
        struct str found = {at.p + INDEX_PLACES.n, at.n - INDEX_PLACES.n};
        /* One that does not read must not hide those behind it; it was logged. */
        if (!is_key(found) || read_record(index->db, found, entry) != 0 ||
            parse_places(found, text, entry) != 0 || entry->n_removals == 0) {
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
    scan->cursor = db_cursor_new(index->db, DB_READER);
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
    if (scan == NULL)
        return;
    *scanp = NULL;
    db_cursor_free(&scan->cursor);
    free(scan);
}
