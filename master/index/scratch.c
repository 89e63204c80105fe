/*
 * See scratch.h. LevelDB sorts it, in the memory and on the disk that it takes.
 *
 *   f KEY' 0 1 PLACE   size and mtime, in the machine's own bytes
 *   m PATH 0 KEY       nothing
 *
 * KEY' has each 0 of the key as 0 255, so that entries come in the order of the keys and
 * none of another key lies between two of one.
 */
#include "master/index/scratch.h"

#include <stdlib.h>

#include "common/assure.h"
#include "master/index/leveldb.h"

enum {
    BATCH_BYTES = 256 * 1024,
    TEXT_MAX = 1 + 2 * PLACEMENT_KEY_MAX + 2 + PLACE_MAX,
    MERGED_MAX = 1 + PLACEMENT_PATH_MAX + 1 + PLACEMENT_KEY_MAX,
};

struct value {
    uint64_t size;
    int64_t mtime;
};

struct scratch {
    struct db *db;
    struct db_batch *batch;
    struct db_cursor *cursor; /* once it is read back */
    int at;                   /* 1: it stands on the entry below; 0: at the end */
    struct str text, value;   /* the cursor's */
    char key[PLACEMENT_KEY_MAX];
    struct found found[FOUND_MOST];
    char places[FOUND_MOST][PLACE_MAX];
};

struct scratch *scratch_open(const char *path, char *err, size_t errlen)
{
    struct db *db = db_open(path, err, errlen);
    if (!db)
        return NULL;
    struct scratch *s = xcalloc(1, sizeof(*s));
    s->db = db;
    s->batch = db_batch_new();
    return s;
}

void scratch_free(struct scratch **sp)
{
    struct scratch *s = *sp;
    if (!s)
        return;
    *sp = NULL;
    db_cursor_free(&s->cursor);
    db_batch_free(&s->batch);
    db_close(&s->db);
    free(s);
}

/* --- noting ------------------------------------------------------------------------ */

static int flush(struct scratch *s)
{
    if (db_batch_bytes(s->batch) == 0)
        return 0;
    int err = db_write(s->db, s->batch, false);
    db_batch_clear(s->batch);
    return err;
}

static int put(struct scratch *s, struct str text, struct str value)
{
    assure(!s->cursor);
    db_batch_put(s->batch, text, value);
    return db_batch_bytes(s->batch) < BATCH_BYTES ? 0 : flush(s);
}

int scratch_note(struct scratch *s, struct str key, const struct found *found)
{
    struct value value = {found->size, found->mtime};
    char text[TEXT_MAX], *o = text;

    assure(key.n <= PLACEMENT_KEY_MAX && found->place.n < PLACE_MAX);
    *o++ = 'f';
    for (size_t i = 0; i < key.n; i++) {
        *o++ = key.p[i];
        if (key.p[i] == '\0')
            *o++ = '\xff';
    }
    *o++ = '\0';
    *o++ = '\1';
    memcpy(o, found->place.p, found->place.n);
    o += found->place.n;
    return put(s, (struct str){text, (size_t)(o - text)},
               (struct str){(const char *)&value, sizeof(value)});
}

static size_t merged_prefix(struct str path, char *text)
{
    assure(path.n < PLACEMENT_PATH_MAX);
    text[0] = 'm';
    memcpy(text + 1, path.p, path.n);
    text[1 + path.n] = '\0';
    return path.n + 2;
}

int scratch_note_merged(struct scratch *s, struct str path, struct str key)
{
    char text[MERGED_MAX];
    size_t n = merged_prefix(path, text);

    assure(key.n <= PLACEMENT_KEY_MAX);
    memcpy(text + n, key.p, key.n);
    return put(s, (struct str){text, n + key.n}, STR(""));
}

int scratch_merged(struct scratch *s, struct str path,
                   int (*each)(void *arg, struct str key), void *arg)
{
    char text[MERGED_MAX];
    struct str prefix = {text, merged_prefix(path, text)}, at, value;
    int n = 0, err = flush(s);

    if (err != 0)
        return err;
    struct db_cursor *cursor = db_cursor_new(s->db, DB_WRITER);
    int r = db_cursor_seek(cursor, prefix, &at, &value);
    for (; r == 1 && str_starts(at, prefix); r = db_cursor_next(cursor, &at, &value)) {
        err = each(arg, (struct str){at.p + prefix.n, at.n - prefix.n});
        if (err != 0)
            break;
        n++;
    }
    db_cursor_free(&cursor);
    return r < 0 ? r : err != 0 ? err : n;
}

/* --- reading back ------------------------------------------------------------------ */

/* The key of the entry that the cursor stands on goes to `out`, the place to *place. */
static size_t take_key(const struct scratch *s, char *out, struct str *place)
{
    const char *p = s->text.p + 1, *end = s->text.p + s->text.n;
    size_t n = 0;

    for (; end - p >= 2 && (p[0] != '\0' || p[1] != '\1'); p += p[0] == '\0' ? 2 : 1) {
        assure(n < PLACEMENT_KEY_MAX);
        out[n++] = *p;
    }
    assure(end - p >= 2 && end - p - 2 < PLACE_MAX);
    *place = (struct str){p + 2, (size_t)(end - p) - 2};
    return n;
}

static int step(struct scratch *s)
{
    int r = db_cursor_next(s->cursor, &s->text, &s->value);
    s->at = r == 1 && str_starts(s->text, STR("f"));
    return r < 0 ? r : 0;
}

static int begin(struct scratch *s)
{
    int err = flush(s);
    if (err != 0)
        return err;
    s->cursor = db_cursor_new(s->db, DB_WRITER);
    int r = db_cursor_seek(s->cursor, STR("f"), &s->text, &s->value);
    s->at = r == 1 && str_starts(s->text, STR("f"));
    return r < 0 ? r : 0;
}

static void keep(struct scratch *s, struct found_key *out, struct str place)
{
    struct value value;

    if (out->n == FOUND_MOST) {
        out->more++;
        return;
    }
    assure(s->value.n == sizeof(value));
    memcpy(&value, s->value.p, sizeof(value));
    memcpy(s->places[out->n], place.p, place.n);
    s->found[out->n] = (struct found){
        .place = {s->places[out->n], place.n}, .size = value.size, .mtime = value.mtime};
    out->n++;
}

int scratch_next(struct scratch *s, struct found_key *out)
{
    char key[PLACEMENT_KEY_MAX];
    struct str place;
    int err = s->cursor ? 0 : begin(s);

    if (err != 0 || s->at == 0)
        return err;
    size_t n = take_key(s, s->key, &place);
    *out = (struct found_key){.key = {s->key, n}, .found = s->found};
    do {
        keep(s, out, place);
        err = step(s);
        if (err != 0)
            return err;
    } while (s->at != 0 && str_eq((struct str){key, take_key(s, key, &place)}, out->key));
    return 1;
}
