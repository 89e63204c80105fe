/*
 * Filling a change: a list of edits and one text that all their strings stand in, both
 * within the change itself as long as they are small, so that a commit costs one
 * allocation, and none once the thread's stock is warm.
 */
#include "master/index/change.h"

#include <stdlib.h>

#include "common/assure.h"
#include "common/placement.h"
#include "common/stock.h"

static _Thread_local struct stock changes = {.size = sizeof(struct change)};

struct change *change_new(struct str key)
{
    /* Keys share the database with what begins otherwise. */
    assure(key.n > 0 && key.n <= PLACEMENT_KEY_MAX && key.p[0] == '/');
    struct change *c = stock_get(&changes);
    memset(c, 0, offsetof(struct change, edits_within));
    c->edit = c->edits_within;
    c->edit_room = EDITS_WITHIN;
    c->text = c->text_within;
    c->text_room = TEXT_WITHIN;
    c->key_len = key.n;
    if (key.n > c->text_room) {
        c->text_room = key.n * 2;
        c->text = xmalloc(c->text_room);
    }
    memcpy(c->text, key.p, key.n);
    c->text_len = key.n;
    return c;
}

void change_free(struct change **changep)
{
    struct change *c = *changep;
    if (!c)
        return;
    *changep = NULL;
    if (c->edit != c->edits_within)
        free(c->edit);
    if (c->text != c->text_within)
        free(c->text);
    stock_put(&changes, c);
}

/* A new last edit, its text reserved but not yet written. */
static struct edit *add_edit(struct change *c, enum edit_kind kind, size_t len)
{
    if (c->n_edits == c->edit_room) {
        size_t size = (size_t)c->edit_room * sizeof(*c->edit);
        bool within = c->edit == c->edits_within;
        c->edit = xrealloc(within ? NULL : c->edit, size * 2);
        if (within)
            memcpy(c->edit, c->edits_within, size);
        c->edit_room *= 2;
    }
    if (c->text_len + len > c->text_room) {
        bool within = c->text == c->text_within;
        c->text_room = (c->text_len + len) * 2;
        assure(c->text_room < UINT32_MAX);
        c->text = xrealloc(within ? NULL : c->text, c->text_room);
        if (within)
            memcpy(c->text, c->text_within, c->text_len);
    }
    struct edit *edit = &c->edit[c->n_edits++];
    *edit =
        (struct edit){.kind = kind, .at = (uint32_t)c->text_len, .len = (uint32_t)len};
    c->text_len += len;
    return edit;
}

static struct edit *add_place(struct change *c, enum edit_kind kind, struct str place)
{
    assure(record_place_ok(place));
    struct edit *edit = add_edit(c, kind, place.n);
    memcpy(c->text + edit->at, place.p, place.n);
    return edit;
}

void change_record(struct change *c, const struct record *record, bool has_size,
                   uint64_t size, int64_t time)
{
    char text[RECORD_TEXT_MAX];
    long len = record_format(record, text, sizeof(text));
    assure(len > 0);
    struct edit *edit = add_edit(c, EDIT_RECORD, (size_t)len);
    memcpy(c->text + edit->at, text, (size_t)len);
    edit->has_size = has_size;
    edit->size = size;
    edit->time = time;
}

void change_drop_record(struct change *c)
{
    add_edit(c, EDIT_DROP_RECORD, 0);
}

void change_mark(struct change *c, struct str place)
{
    add_place(c, EDIT_MARK, place);
}

void change_end_marks(struct change *c)
{
    add_edit(c, EDIT_END_MARKS, 0);
}

void change_removal(struct change *c, struct str place, int64_t due, int64_t late)
{
    struct edit *edit = add_place(c, EDIT_REMOVAL, place);
    edit->due = due;
    edit->late = late;
}

void change_cleared(struct change *c, struct str place)
{
    add_place(c, EDIT_CLEARED, place);
}

void change_orphan_marks(struct change *c)
{
    add_edit(c, EDIT_ORPHAN_MARKS, 0);
}

bool change_has_record(const struct change *c)
{
    for (int i = 0; i < c->n_edits; i++)
        if (c->edit[i].kind == EDIT_RECORD || c->edit[i].kind == EDIT_DROP_RECORD)
            return true;
    return false;
}
