/*
 * Two passes over the value: the first checks and counts, the second stores. A header
 * line is bounded, and so are the ranges it can name; the sum of what they ask for must
 * not exceed the file, so that a small request cannot ask for the same gigabyte a
 * thousand times.
 */
#include "volumed/ranges.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/assure.h"

static void skip_spaces(struct str *s)
{
    while (s->n > 0 && *s->p == ' ') {
        s->p++;
        s->n--;
    }
}

static bool at_digit(const struct str *s)
{
    return s->n > 0 && *s->p >= '0' && *s->p <= '9';
}

/* Decimal digits, at least one; false on overflow. */
static bool read_number(struct str *s, int64_t *out)
{
    int64_t v = 0;
    if (!at_digit(s))
        return false;
    for (; at_digit(s); s->p++, s->n--)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *s->p - '0', &v))
            return false;
    *out = v;
    return true;
}

/* One range spec up to its ',' or the end; false: it is none. One that lies outside the
 * file comes out empty. *whole: the file is empty, and asked for from its start on. */
static bool read_range(struct str *s, int64_t size, struct range *r, bool *whole)
{
    int64_t start = 0, end = 0;
    *whole = false;
    skip_spaces(s);
    if (s->n > 0 && *s->p == '-') {
        s->p++;
        s->n--;
        if (!read_number(s, &end))
            return false;
        skip_spaces(s);
        start = end < size ? size - end : 0;
        end = size;
    } else {
        if (!read_number(s, &start))
            return false;
        skip_spaces(s);
        if (s->n == 0 || *s->p != '-')
            return false;
        s->p++;
        s->n--;
        skip_spaces(s);
        if (s->n == 0 || *s->p == ',') {
            end = size;
        } else {
            if (!read_number(s, &end))
                return false;
            skip_spaces(s);
            end = end >= size ? size : end + 1;
        }
    }
    if (s->n > 0 && *s->p != ',')
        return false;
    r->start = start;
    r->end = end;
    *whole = start >= end && start == 0; /* nothing of nothing: an empty file */
    return true;
}

static enum ranges_result walk(struct str s, int64_t size, struct range *store, int *n)
{
    int64_t total = 0;
    *n = 0;
    for (;;) {
        struct range r;
        bool whole;
        if (!read_range(&s, size, &r, &whole))
            return RANGES_NONE;
        if (whole)
            return RANGES_WHOLE;
        if (r.start < r.end) {
            if (__builtin_add_overflow(total, r.end - r.start, &total))
                return RANGES_NONE;
            if (store)
                store[*n] = r;
            ++*n;
        }
        if (s.n == 0)
            break;
        s.p++; /* ',' */
        s.n--;
    }
    if (*n == 0)
        return RANGES_NONE;
    return total > size ? RANGES_WHOLE : RANGES_SOME;
}

enum ranges_result ranges_parse(struct str value, int64_t size, struct range *one,
                                struct range **out, int *n)
{
    *out = NULL;
    *n = 0;
    if (value.n < 7 || !str_caseeq((struct str){value.p, 6}, STR("bytes=")))
        return RANGES_WHOLE;
    value.p += 6;
    value.n -= 6;

    enum ranges_result result = walk(value, size, NULL, n);
    if (result != RANGES_SOME)
        return result;
    *out = *n == 1 ? one : xmalloc((unsigned long)*n * sizeof(**out));
    int again;
    result = walk(value, size, *out, &again);
    assure(result == RANGES_SOME && again == *n);
    return result;
}
