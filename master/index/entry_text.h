/*
 * What the index keeps of a key beside its record, as text: its places under way and to
 * be cleared ("places"), and its value's size and time ("meta"). Pure: no database in
 * here.
 *
 *   places   lines "mark PLACE\n" and "removal DUE LATE PLACE\n"
 *   meta     "MD5 SIZE TIME"
 *
 * No value of either begins with HASH or DELETED, and in each a blank comes before any
 * comma: the Go program's rebalance takes every entry of the database for a record, and a
 * "volume" with a blank in it is no URL, so that it gives up on the entry at once instead
 * of acting on it.
 */
#ifndef MASTER_INDEX_ENTRY_TEXT_H
#define MASTER_INDEX_ENTRY_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/decimal.h"
#include "common/str.h"
#include "master/index.h"

/* The marks and removals of a key. Strings are whoever's they were read from. Zeroed it
 * is empty; places_parse reuses the room it has, places_free gives it back. */
struct places {
    struct str *mark;
    struct removal *removal;
    int n_marks, n_removals;
    int mark_room, removal_room;
};

void places_free(struct places *places);
/* 0, or -EINVAL and `places` is empty. */
int places_parse(struct str text, struct places *places);
size_t places_size(const struct places *places);
/* Writes places_size() bytes. */
void places_format(const struct places *places, char *out);

/* Each returns whether it changed anything. */
bool places_mark(struct places *places, struct str place);
/* Listed already: this due, the later late. Ends a mark on the place. Negative times
 * count as 0. */
bool places_remove(struct places *places, struct str place, int64_t due, int64_t late);
bool places_cleared(struct places *places, struct str place);
bool places_end_marks(struct places *places);
/* Nobody works on the marked places any more: they become removals, to be cleared at once
 * and once more at `late`. */
bool places_orphan_marks(struct places *places, int64_t late);
/* What the record names is neither marked nor to be cleared. */
bool places_drop_named(struct places *places, const struct record *record);

enum { META_TEXT_MAX = MD5_HEX + 1 + DECIMAL_MAX + 1 + DECIMAL_MAX };

/* Returns the length. */
size_t meta_format(const char *md5, uint64_t size, int64_t time, char out[META_TEXT_MAX]);
/* false: not a meta, or one of another MD5 than this. */
bool meta_parse(struct str text, const char *md5, uint64_t *size, int64_t *time);

#endif
