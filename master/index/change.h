/*
 * A change inside the index: the edits it asks for, in order, and its way through the
 * writer. The verbs that fill it are index.h's.
 */
#ifndef MASTER_INDEX_CHANGE_H
#define MASTER_INDEX_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "common/str.h"
#include "master/index.h"

struct claim;

enum edit_kind {
    EDIT_RECORD, /* text: the record's */
    EDIT_DROP_RECORD,
    EDIT_MARK, /* text: a place, here and below */
    EDIT_END_MARKS,
    EDIT_REMOVAL,
    EDIT_CLEARED,
    EDIT_ORPHAN_MARKS, /* nobody works on the marks any more: they become removals */
};

struct edit {
    enum edit_kind kind;
    uint32_t at, len; /* of its text, in the change's */
    int64_t due, late;
    bool has_size;
    uint64_t size;
    int64_t time;
};

enum {
    EDITS_WITHIN = 8, /* a commit of three replicas needs no second allocation */
    TEXT_WITHIN = 512,
};

struct change {
    struct change *next; /* in the writer's queue */
    uint64_t order;      /* its place in the batch: two changes of one key keep theirs */
    struct task task;
    struct loop *loop;
    index_done *done;
    void *arg;
    struct claim *claim; /* pinned until it is applied, or not; NULL: none was held */
    int err;
    bool durable;
    bool own; /* the writer's: waits out a failed write, reported to nobody */

    size_t key_len; /* the key is the front of the text */
    int n_edits, edit_room;
    size_t text_len, text_room;
    struct edit *edit; /* edits_within, or its own allocation; so is text */
    char *text;
    struct edit edits_within[EDITS_WITHIN];
    char text_within[TEXT_WITHIN];
};

static inline struct str change_key(const struct change *change)
{
    return (struct str){change->text, change->key_len};
}

static inline struct str edit_text(const struct change *change, const struct edit *edit)
{
    return (struct str){change->text + edit->at, edit->len};
}

void change_orphan_marks(struct change *change);
/* Does it write or drop the record? */
bool change_has_record(const struct change *change);

#endif
