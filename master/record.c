/*
 * The text of an index record, both ways.
 *
 * It is the Go program's, to the byte: a database goes from one to the other and back.
 * Reading is stricter than that program, which takes anything: what stands here ends up
 * in request lines to volumes, so a text that it could not have written is no record.
 */
#include "master/record.h"

#include <errno.h>

#include "common/assure.h"
#include "common/hex.h"

static const struct str deleted = STR_INIT("DELETED");
static const struct str hash = STR_INIT("HASH");

bool record_place_ok(struct str place)
{
    if (place.n == 0 || place.n > RECORD_PLACE_MAX)
        return false;
    for (size_t i = 0; i < place.n; i++) {
        unsigned char c = (unsigned char)place.p[i];
        if (c <= ' ' || c == ',' || c == 0x7f)
            return false;
    }
    return true;
}

void place_split(struct str place, struct str *authority, struct str *prefix)
{
    const char *slash = memchr(place.p, '/', place.n);
    size_t n = slash ? (size_t)(slash - place.p) : place.n;

    *authority = (struct str){place.p, n};
    *prefix = (struct str){place.p + n, place.n - n};
}

static struct str skip(struct str s, size_t n)
{
    return (struct str){s.p + n, s.n - n};
}

int record_parse(struct str text, struct record *out)
{
    out->state = RECORD_LIVE;
    out->md5[0] = '\0';
    out->n = 0;
    if (str_starts(text, deleted)) {
        out->state = RECORD_UNLINKED;
        text = skip(text, deleted.n);
    }
    if (str_starts(text, hash)) {
        text = skip(text, hash.n);
        if (text.n < MD5_HEX)
            return -EINVAL;
        for (int i = 0; i < MD5_HEX; i++)
            if (hex_value(text.p[i]) < 0)
                return -EINVAL;
        memcpy(out->md5, text.p, MD5_HEX);
        out->md5[MD5_HEX] = '\0';
        text = skip(text, MD5_HEX);
    }
    for (;;) {
        const char *comma = text.n > 0 ? memchr(text.p, ',', text.n) : NULL;
        struct str place = {text.p, comma ? (size_t)(comma - text.p) : text.n};
        if (out->n == RECORD_PLACES_MAX || !record_place_ok(place))
            return -EINVAL;
        out->place[out->n++] = place;
        if (!comma)
            return 0;
        text = skip(text, place.n + 1);
    }
}

static void append(char *out, size_t *at, struct str s)
{
    memcpy(out + *at, s.p, s.n);
    *at += s.n;
}

long record_format(const struct record *record, char *out, size_t room)
{
    assure(record->state != RECORD_ABSENT);
    assure(record->n > 0 && record->n <= RECORD_PLACES_MAX);
    size_t md5_len = strlen(record->md5);
    assure(md5_len == 0 || md5_len == MD5_HEX);

    size_t need = (record->state == RECORD_UNLINKED ? deleted.n : 0) +
                  (md5_len > 0 ? hash.n + MD5_HEX : 0) + (size_t)record->n - 1;
    for (int i = 0; i < record->n; i++) {
        assure(record_place_ok(record->place[i]));
        need += record->place[i].n;
    }
    if (need > room)
        return -ENOSPC;

    size_t at = 0;
    if (record->state == RECORD_UNLINKED)
        append(out, &at, deleted);
    if (md5_len > 0) {
        append(out, &at, hash);
        append(out, &at, (struct str){record->md5, MD5_HEX});
    }
    for (int i = 0; i < record->n; i++) {
        if (i > 0)
            append(out, &at, STR(","));
        append(out, &at, record->place[i]);
    }
    return (long)at;
}

bool record_names(const struct record *record, struct str place)
{
    if (record->state == RECORD_ABSENT)
        return false;
    for (int i = 0; i < record->n; i++)
        if (str_eq(record->place[i], place))
            return true;
    return false;
}
