/*
 * See entry_text.h. Reading is strict and whole: an entry of which one line is not
 * understood is not understood at all, for a place that is forgotten is a file that stays
 * for ever.
 */
#include "master/index/entry_text.h"

#include <errno.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/decimal.h"

static const struct str mark_word = STR_INIT("mark ");
static const struct str removal_word = STR_INIT("removal ");

/* --- the set ----------------------------------------------------------------------- */

static void places_clear(struct places *p)
{
    p->n_marks = 0;
    p->n_removals = 0;
}

void places_free(struct places *p)
{
    free(p->mark);
    free(p->removal);
    *p = (struct places){0};
}

static int find_mark(const struct places *p, struct str place)
{
    for (int i = 0; i < p->n_marks; i++)
        if (str_eq(p->mark[i], place))
            return i;
    return -1;
}

static int find_removal(const struct places *p, struct str place)
{
    for (int i = 0; i < p->n_removals; i++)
        if (str_eq(p->removal[i].place, place))
            return i;
    return -1;
}

static void add_mark(struct places *p, struct str place)
{
    if (p->n_marks == p->mark_room) {
        p->mark_room = p->mark_room > 0 ? p->mark_room * 2 : 8;
        p->mark = xrealloc(p->mark, (size_t)p->mark_room * sizeof(*p->mark));
    }
    p->mark[p->n_marks++] = place;
}

static void add_removal(struct places *p, struct removal removal)
{
    if (p->n_removals == p->removal_room) {
        p->removal_room = p->removal_room > 0 ? p->removal_room * 2 : 8;
        p->removal = xrealloc(p->removal, (size_t)p->removal_room * sizeof(*p->removal));
    }
    p->removal[p->n_removals++] = removal;
}

static void drop_mark(struct places *p, int i)
{
    p->mark[i] = p->mark[--p->n_marks];
}

static void drop_removal(struct places *p, int i)
{
    p->removal[i] = p->removal[--p->n_removals];
}

bool places_mark(struct places *p, struct str place)
{
    if (find_mark(p, place) >= 0)
        return false;
    add_mark(p, place);
    return true;
}

bool places_remove(struct places *p, struct str place, int64_t due, int64_t late)
{
    due = due > 0 ? due : 0;
    late = late > 0 ? late : 0;
    int m = find_mark(p, place);
    if (m >= 0)
        drop_mark(p, m);
    int r = find_removal(p, place);
    if (r < 0) {
        add_removal(p, (struct removal){place, due, late});
        return true;
    }
    struct removal *removal = &p->removal[r];
    late = late > removal->late ? late : removal->late;
    bool changed = m >= 0 || removal->due != due || removal->late != late;
    removal->due = due;
    removal->late = late;
    return changed;
}

bool places_cleared(struct places *p, struct str place)
{
    int r = find_removal(p, place);
    if (r >= 0)
        drop_removal(p, r);
    return r >= 0;
}

bool places_end_marks(struct places *p)
{
    bool any = p->n_marks > 0;
    p->n_marks = 0;
    return any;
}

bool places_orphan_marks(struct places *p, int64_t late)
{
    bool any = p->n_marks > 0;
    while (p->n_marks > 0)
        places_remove(p, p->mark[p->n_marks - 1], 0, late);
    return any;
}

bool places_drop_named(struct places *p, const struct record *record)
{
    bool any = false;
    for (int i = p->n_marks - 1; i >= 0; i--)
        if (record_names(record, p->mark[i])) {
            drop_mark(p, i);
            any = true;
        }
    for (int i = p->n_removals - 1; i >= 0; i--)
        if (record_names(record, p->removal[i].place)) {
            drop_removal(p, i);
            any = true;
        }
    return any;
}

/* --- text -------------------------------------------------------------------------- */

/* Takes decimal digits and the blank behind them (or the end) off the front of *text. */
static bool take_number(struct str *text, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < text->n && text->p[i] != ' '; i++) {
        unsigned digit = (unsigned)(unsigned char)text->p[i] - '0';
        if (digit > 9 || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (i == 0)
        return false;
    *out = n;
    i += i < text->n;
    text->p += i;
    text->n -= i;
    return true;
}

static bool parse_line(struct str line, struct places *out)
{
    if (str_starts(line, mark_word)) {
        struct str place = {line.p + mark_word.n, line.n - mark_word.n};
        if (!record_place_ok(place))
            return false;
        add_mark(out, place);
        return true;
    }
    if (!str_starts(line, removal_word))
        return false;
    struct str rest = {line.p + removal_word.n, line.n - removal_word.n};
    uint64_t due, late;
    if (!take_number(&rest, INT64_MAX, &due) || !take_number(&rest, INT64_MAX, &late) ||
        !record_place_ok(rest))
        return false;
    add_removal(out, (struct removal){rest, (int64_t)due, (int64_t)late});
    return true;
}

int places_parse(struct str text, struct places *out)
{
    places_clear(out);
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        if (!end || !parse_line((struct str){text.p, (size_t)(end - text.p)}, out)) {
            places_clear(out);
            return -EINVAL;
        }
        text.n -= (size_t)(end + 1 - text.p);
        text.p = end + 1;
    }
    return 0;
}

/* The times are never negative: what was given so counts as 0, and what was read was
 * not. */
size_t places_size(const struct places *p)
{
    size_t n = 0;
    for (int i = 0; i < p->n_marks; i++)
        n += mark_word.n + p->mark[i].n + 1;
    for (int i = 0; i < p->n_removals; i++) {
        const struct removal *r = &p->removal[i];
        n += removal_word.n + decimal_length((uint64_t)r->due) + 1 +
             decimal_length((uint64_t)r->late) + 1 + r->place.n + 1;
    }
    return n;
}

static char *put(char *out, struct str s)
{
    memcpy(out, s.p, s.n);
    return out + s.n;
}

static char *put_number(char *out, uint64_t number)
{
    return out + decimal_put(number, out);
}

void places_format(const struct places *p, char *out)
{
    for (int i = 0; i < p->n_marks; i++) {
        out = put(out, mark_word);
        out = put(out, p->mark[i]);
        *out++ = '\n';
    }
    for (int i = 0; i < p->n_removals; i++) {
        const struct removal *r = &p->removal[i];
        out = put(out, removal_word);
        out = put_number(out, (uint64_t)r->due);
        *out++ = ' ';
        out = put_number(out, (uint64_t)r->late);
        *out++ = ' ';
        out = put(out, r->place);
        *out++ = '\n';
    }
}

size_t meta_format(const char *md5, uint64_t size, int64_t time, char out[META_TEXT_MAX])
{
    char *at = put(out, (struct str){md5, MD5_HEX});
    *at++ = ' ';
    at = put_number(at, size);
    *at++ = ' ';
    at = put_number(at, time > 0 ? (uint64_t)time : 0);
    return (size_t)(at - out);
}

bool meta_parse(struct str text, const char *md5, uint64_t *size, int64_t *time)
{
    if (text.n <= MD5_HEX || memcmp(text.p, md5, MD5_HEX) != 0 || text.p[MD5_HEX] != ' ')
        return false;
    struct str rest = {text.p + MD5_HEX + 1, text.n - MD5_HEX - 1};
    uint64_t bytes, seconds;
    if (!take_number(&rest, UINT64_MAX, &bytes) ||
        !take_number(&rest, INT64_MAX, &seconds) || rest.n > 0)
        return false;
    *size = bytes;
    *time = (int64_t)seconds;
    return true;
}
