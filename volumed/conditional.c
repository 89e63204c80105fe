/*
 * nginx's reading, with its own ways: If-Modified-Since must name the very time ("exact",
 * its default), and when both it and If-None-Match are there both must say "not
 * modified".
 */
#include "volumed/conditional.h"

#include "common/hex.h"

static char *put_hex(char *at, uint64_t value)
{
    int shift = (63 - __builtin_clzll(value | 1)) & ~3; /* of the first digit */
    for (; shift >= 0; shift -= 4)
        *at++ = hex_digit((unsigned)(value >> shift));
    return at;
}

size_t etag_of(const struct stat *st, char out[ETAG_MAX])
{
    int64_t t = st->st_mtime;
    char *at = out;
    *at++ = '"';
    if (t < 0)
        *at++ = '-';
    at = put_hex(at, (uint64_t)(t < 0 ? -t : t));
    *at++ = '-';
    at = put_hex(at, (uint64_t)st->st_size);
    *at++ = '"';
    return (size_t)(at - out);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Is the tag in the list? Ours is a strong one; `weak`: one of the list marked W/ matches
 * it as well (RFC 9110 §8.8.3.2). */
static bool lists_tag(struct str list, struct str etag, bool weak)
{
    const char *p = list.p, *end = list.p + list.n;
    if (str_eq(list, STR("*")))
        return true;
    if (etag.n == 0)
        return false;
    while (p < end) {
        if (weak && end - p > 2 && p[0] == 'W' && p[1] == '/')
            p += 2;
        if ((size_t)(end - p) < etag.n)
            return false;
        if (memcmp(p, etag.p, etag.n) == 0) {
            p += etag.n;
            while (p < end && is_space(*p))
                p++;
            if (p == end || *p == ',')
                return true;
        }
        while (p < end && *p != ',')
            p++;
        while (p < end && (is_space(*p) || *p == ','))
            p++;
    }
    return false;
}

int conditional_status(const struct http_head *head, struct str etag, int64_t mtime)
{
    struct str v;
    bool modified_since, none_match;

    if (http_field(head, STR("If-Unmodified-Since"), &v) &&
        (mtime == -1 || http_parse_date(v) < mtime))
        return 412;
    if (http_field(head, STR("If-Match"), &v) && !lists_tag(v, etag, false))
        return 412;

    modified_since = http_field(head, STR("If-Modified-Since"), &v);
    if (modified_since && (mtime == -1 || http_parse_date(v) != mtime))
        return 200;
    none_match = http_field(head, STR("If-None-Match"), &v);
    if (none_match && !lists_tag(v, etag, true))
        return 200;
    return modified_since || none_match ? 304 : 200;
}

bool conditional_range(const struct http_head *head, struct str etag, int64_t mtime)
{
    struct str v;
    if (!http_field(head, STR("If-Range"), &v))
        return true;
    if (v.n >= 2 && v.p[v.n - 1] == '"')
        return str_eq(v, etag);
    return http_parse_date(v) == mtime;
}
