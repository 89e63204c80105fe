/*
 * nginx's reading, with its own ways: If-Modified-Since must name the very time ("exact",
 * its default), and when both it and If-None-Match are there both must say "not
 * modified".
 */
#include "volumed/conditional.h"

#include <stdio.h>

size_t etag_of(const struct stat *st, char out[ETAG_MAX])
{
    int n = snprintf(out, ETAG_MAX, "\"%llx-%llx\"", (unsigned long long)st->st_mtime,
                     (unsigned long long)st->st_size);
    return (size_t)n;
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

    if (http_field(head, STR("If-Unmodified-Since"), &v) && http_parse_date(v) < mtime)
        return 412;
    if (http_field(head, STR("If-Match"), &v) && !lists_tag(v, etag, false))
        return 412;

    modified_since = http_field(head, STR("If-Modified-Since"), &v);
    if (modified_since && http_parse_date(v) != mtime)
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
