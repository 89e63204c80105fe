/*
 * The changes of a batch are sorted by key, those of one key kept in order; each key's
 * places are read once, edited in memory by all of its changes, and written once. Sorting
 * is the overlay: two changes of a key in one batch compose without a table of what is
 * not yet written.
 */
#include "master/index/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/assure.h"
#include "common/log.h"

struct applier {
    struct db *db;
    struct places places;
    char *text; /* of places, to be written */
    size_t room;
    struct change **sorted;
    int sorted_room;
};

struct str index_key(struct index_key *room, struct str prefix, struct str key)
{
    assure(prefix.n + key.n <= sizeof(room->text));
    memcpy(room->text, prefix.p, prefix.n);
    memcpy(room->text + prefix.n, key.p, key.n);
    room->n = prefix.n + key.n;
    return (struct str){room->text, room->n};
}

struct applier *applier_new(struct db *db)
{
    struct applier *a = xcalloc(1, sizeof(*a));
    a->db = db;
    return a;
}

void applier_free(struct applier **ap)
{
    struct applier *a = *ap;
    if (!a)
        return;
    *ap = NULL;
    places_free(&a->places);
    free(a->sorted);
    free(a->text);
    free(a);
}

static void put_places(struct applier *a, struct str key, struct db_batch *batch)
{
    struct index_key room;
    struct str at = index_key(&room, INDEX_PLACES, key);
    size_t n = places_size(&a->places);
    if (n == 0) {
        db_batch_drop(batch, at);
        return;
    }
    if (n > a->room) {
        a->room = n * 2;
        a->text = xrealloc(a->text, a->room);
    }
    places_format(&a->places, a->text);
    db_batch_put(batch, at, (struct str){a->text, n});
}

static int get_places(struct applier *a, struct str key, char **value)
{
    struct index_key room;
    size_t n;
    int err = db_get(a->db, DB_WRITER, index_key(&room, INDEX_PLACES, key), value, &n);
    if (err != 0)
        return err;
    if (places_parse((struct str){*value, n}, &a->places) == 0)
        return 0;
    log_error("index: what is kept of the places of %.*s does not read", (int)key.n,
              key.p);
    db_value_free(*value);
    return -EIO;
}

/* One key's changes on their way into the batch. */
struct group {
    struct change *const *change;
    int n;
    struct str key;
    bool changed; /* the places */
    bool lists;   /* this change may have listed a removal */
    /* The last edit that writes or drops the record, and whose it is; or NULL. */
    const struct change *record_of;
    const struct edit *record_edit;
    /* The record in force: read, or written by the group so far. */
    bool record_known;
    struct record record;
    char *record_text; /* what it points into where it was read */
};

static void apply_edit(struct applier *a, struct group *g, const struct change *c,
                       const struct edit *edit, int64_t late)
{
    struct str text = edit_text(c, edit);
    switch (edit->kind) {
    case EDIT_RECORD:
    case EDIT_DROP_RECORD:
        g->record_of = c;
        g->record_edit = edit;
        break;
    case EDIT_MARK:
        g->changed |= places_mark(&a->places, text);
        break;
    case EDIT_END_MARKS:
        g->changed |= places_end_marks(&a->places);
        break;
    case EDIT_REMOVAL:
        g->lists = true;
        g->changed |= places_remove(&a->places, text, edit->due, edit->late);
        break;
    case EDIT_CLEARED:
        g->changed |= places_cleared(&a->places, text);
        break;
    case EDIT_ORPHAN_MARKS:
        g->lists = true;
        g->changed |= places_orphan_marks(&a->places, late);
        break;
    }
}

/* A text that does not read names nothing. */
static void know_record(struct group *g, struct str text)
{
    if (text.n == 0 || record_parse(text, &g->record) != 0)
        g->record.state = RECORD_ABSENT;
    g->record_known = true;
}

static int read_record(struct applier *a, struct group *g)
{
    size_t len;
    int err = db_get(a->db, DB_WRITER, g->key, &g->record_text, &len);
    if (err == 0)
        know_record(g, (struct str){g->record_text, len});
    return err;
}

/* All edits of one change, then the rule that the record holds: what it names is neither
 * marked nor to be cleared. The record is read only where something was listed, which
 * most changes do not do: they mark, end marks and clear. */
static int apply_change(struct applier *a, struct group *g, const struct change *c,
                        int64_t late)
{
    g->lists = false;
    for (int i = 0; i < c->n_edits; i++)
        apply_edit(a, g, c, &c->edit[i], late);
    if (g->record_of == c) {
        know_record(g, edit_text(c, g->record_edit));
    } else if (!g->lists) {
        return 0;
    } else if (!g->record_known) {
        int err = read_record(a, g);
        if (err != 0)
            return err;
    }
    g->changed |= places_drop_named(&a->places, &g->record);
    return 0;
}

static void put_record(const struct group *g, struct db_batch *batch)
{
    struct index_key room;
    struct str meta_at = index_key(&room, INDEX_META, g->key);
    const struct edit *edit = g->record_edit;
    if (edit->kind == EDIT_DROP_RECORD) {
        db_batch_drop(batch, g->key);
        db_batch_drop(batch, meta_at);
        return;
    }
    db_batch_put(batch, g->key, edit_text(g->record_of, edit));
    if (!edit->has_size || g->record.md5[0] == '\0') {
        db_batch_drop(batch, meta_at);
        return;
    }
    char meta[META_TEXT_MAX];
    size_t n = meta_format(g->record.md5, edit->size, edit->time, meta);
    db_batch_put(batch, meta_at, (struct str){meta, n});
}

static int apply_group(struct applier *a, struct group *g, int64_t late,
                       struct db_batch *batch, int64_t *growth)
{
    char *places_text;
    int err = get_places(a, g->key, &places_text);
    if (err != 0)
        return err;
    int before = a->places.n_removals;
    for (int i = 0; err == 0 && i < g->n; i++)
        err = apply_change(a, g, g->change[i], late);
    if (err == 0) {
        if (g->record_edit)
            put_record(g, batch);
        if (g->changed)
            put_places(a, g->key, batch);
        *growth += a->places.n_removals - before;
    }
    db_value_free(g->record_text);
    db_value_free(places_text);
    return err;
}

static int by_key_and_order(const void *x, const void *y)
{
    const struct change *a = *(struct change *const *)x, *b = *(struct change *const *)y;
    size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
    int c = memcmp(a->text, b->text, n);
    if (c == 0)
        c = (a->key_len > b->key_len) - (a->key_len < b->key_len);
    return c != 0 ? c : (a->order > b->order) - (a->order < b->order);
}

int64_t applier_run(struct applier *a, struct change *const *changes, int n,
                    struct db_batch *batch)
{
    int64_t late = (int64_t)time(NULL) + REMOVAL_LATE_SECONDS;
    int64_t growth = 0;
    if (n > a->sorted_room) {
        a->sorted_room = n * 2;
        a->sorted = xrealloc(a->sorted, (size_t)a->sorted_room * sizeof(struct change *));
    }
    struct change **sorted = a->sorted;
    for (int i = 0; i < n; i++) {
        changes[i]->order = (uint64_t)i;
        sorted[i] = changes[i];
    }
    qsort(sorted, (size_t)n, sizeof(struct change *), by_key_and_order);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n; end++)
            if (!str_eq(change_key(sorted[end]), change_key(sorted[i])))
                break;
        struct group group = {
            .change = sorted + i, .n = end - i, .key = change_key(sorted[i])};
        int err = apply_group(a, &group, late, batch, &growth);
        for (int k = i; k < end; k++)
            sorted[k]->err = err;
    }
    return growth;
}

/* --- settling ---------------------------------------------------------------------- */

enum { SETTLE_BATCH = 1 << 20 };

static int settle_key(struct applier *a, struct str key, int64_t late,
                      struct db_batch *batch)
{
    struct group g = {.key = key};
    int err = read_record(a, &g);
    if (err != 0)
        return err;
    /* First what the record names: such a mark must not become a removal. */
    bool changed = places_drop_named(&a->places, &g.record);
    changed |= places_orphan_marks(&a->places, late);
    if (changed)
        put_places(a, key, batch);
    db_value_free(g.record_text);
    return 0;
}

int index_settle(struct db *db, bool repair, bool sync, uint64_t *removals)
{
    int64_t late = (int64_t)time(NULL) + REMOVAL_LATE_SECONDS;
    struct applier *a = applier_new(db);
    struct db_batch *batch = db_batch_new();
    struct db_cursor *cursor = db_cursor_new(db, DB_WRITER);
    struct str at, text;
    int err = 0;
    *removals = 0;
    int r = db_cursor_seek(cursor, INDEX_PLACES, &at, &text);
    for (; r == 1 && str_starts(at, INDEX_PLACES);
         r = db_cursor_next(cursor, &at, &text)) {
        struct str key = {at.p + INDEX_PLACES.n, at.n - INDEX_PLACES.n};
        if (key.n == 0 || key.n > PLACEMENT_KEY_MAX ||
            places_parse(text, &a->places) != 0) {
            log_error("index: what is kept of the places of %.*s does not read",
                      (int)key.n, key.p);
            continue;
        }
        if (repair) {
            err = settle_key(a, key, late, batch);
            if (err == 0 && db_batch_bytes(batch) > SETTLE_BATCH) {
                err = db_write(db, batch, false);
                db_batch_clear(batch);
            }
            if (err != 0)
                break;
        }
        *removals += (uint64_t)a->places.n_removals;
    }
    if (r < 0)
        err = r;
    if (err == 0 && db_batch_bytes(batch) > 0)
        err = db_write(db, batch, sync);
    db_cursor_free(&cursor);
    db_batch_free(&batch);
    applier_free(&a);
    return err;
}
