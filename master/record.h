/*
 * The index record: where a value lies, and whether it is live. Text, the Go program's:
 * "[DELETED][HASH<32 hex digits>]place,place,…". A *place* is a volume with its
 * subvolume, "localhost:3001/sv03".
 */
#ifndef MASTER_RECORD_H
#define MASTER_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/md5.h"
#include "common/str.h"

enum {
    RECORD_PLACES_MAX = 64,
    RECORD_PLACE_MAX = 319,           /* bytes of one place */
    PLACE_MAX = RECORD_PLACE_MAX + 1, /* room for one with a NUL */
    /* of a whole text: DELETED, HASH and digits, places each with a comma */
    RECORD_TEXT_MAX = 7 + 4 + MD5_HEX + RECORD_PLACES_MAX * PLACE_MAX,
};

enum record_state { RECORD_ABSENT, RECORD_LIVE, RECORD_UNLINKED };

struct record {
    enum record_state state;
    char md5[MD5_HEX + 1]; /* "" when none is recorded */
    int n;
    struct str place[RECORD_PLACES_MAX]; /* into whatever text it was read from */
};

/* Reads a record's text; places point into it. 0 or -EINVAL (no
 * place, too many, or one that cannot be one; HASH without 32 hex digits). */
int record_parse(struct str text, struct record *out);
/* Writes the text of a live or unlinked record; returns its length, at most `room`, or
 * -ENOSPC. */
long record_format(const struct record *record, char *out, size_t room);
/* Could this be a place? Not empty, at most RECORD_PLACE_MAX bytes, no comma, blank or
 * control byte: it stands in records, in lines of the index and in request lines. */
bool record_place_ok(struct str place);
/* A place's parts: "host:port" and "/prefix/sv03" (or ""). */
void place_split(struct str place, struct str *authority, struct str *prefix);
bool record_names(const struct record *record, struct str place);

#endif
