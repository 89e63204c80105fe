/* Entries put together from their texts: see reading.h. */
#include "master/index/reading.h"

#include <errno.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/log.h"
#include "master/index/apply.h"
#include "master/index/entry_text.h"

void entry_none(struct entry *entry)
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
    entry->text.stored = NULL;
    entry->text.cached = NULL;
    entry->text.places = NULL;
}

void entry_clear(struct entry *entry)
{
    db_value_free(entry->text.stored);
    cache_copy_free(entry->text.cached);
    free(entry->text.places);
    entry_none(entry);
}

bool reading_is_key(struct str key)
{
    return key.n > 0 && key.n <= PLACEMENT_KEY_MAX && key.p[0] == '/';
}

static int parse_record(struct str key, struct str text, struct entry *entry)
{
    if (record_parse(text, &entry->record) == 0)
        return 0;
    log_error("index: the record of %.*s does not read", (int)key.n, key.p);
    return -EIO;
}

/* Record, size and time from LevelDB: one read of the record, one more where it has an
 * MD5, parsed where they lie. *len: that of the record's text. */
static int read_stored(struct db *db, struct str key, struct entry *entry, size_t *len)
{
    char *value;
    int err = db_get(db, DB_READER, key, &value, len);
    if (err != 0 || !value)
        return err;
    entry->text.stored = value;
    err = parse_record(key, (struct str){value, *len}, entry);
    if (err != 0 || entry->record.md5[0] == '\0')
        return err;
    struct index_key room;
    char *meta;
    size_t meta_len;
    err = db_get(db, DB_READER, index_key(&room, INDEX_META, key), &meta, &meta_len);
    if (err != 0 || !meta)
        return err;
    entry->has_size = meta_parse((struct str){meta, meta_len}, entry->record.md5,
                                 &entry->size, &entry->time);
    db_value_free(meta);
    return 0;
}

static int take_cached(struct str key, const struct cached *found, char *copy,
                       struct entry *entry)
{
    entry->text.cached = copy;
    entry->has_size = found->has_size;
    entry->size = found->size;
    entry->time = found->time;
    return copy ? parse_record(key, found->text, entry) : 0;
}

int reading_record(const struct reading *from, struct str key, bool learn,
                   struct entry *entry)
{
    struct cached found;
    struct cache_ticket ticket;
    char *copy;
    size_t len;
    entry_none(entry);
    if (!reading_is_key(key))
        return -EINVAL;
    if (cache_get(from->cache, key, &found, &copy, &ticket))
        return take_cached(key, &found, copy, entry);
    int err = read_stored(from->db, key, entry, &len);
    if (err != 0 || !learn)
        return err;
    found = (struct cached){.text = {entry->text.stored, len},
                            .has_size = entry->has_size,
                            .size = entry->size,
                            .time = entry->time};
    cache_put(from->cache, &ticket, key, &found);
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
    entry->text.places = block;
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

int reading_places(struct str key, struct str text, struct entry *entry)
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

int reading_entry(const struct reading *from, struct str key, struct entry *entry)
{
    int err = reading_record(from, key, false, entry);
    if (err != 0)
        return err;
    struct index_key room;
    char *value;
    size_t len;
    err = db_get(from->db, DB_READER, index_key(&room, INDEX_PLACES, key), &value, &len);
    if (err != 0 || !value)
        return err;
    err = reading_places(key, (struct str){value, len}, entry);
    db_value_free(value);
    return err;
}
