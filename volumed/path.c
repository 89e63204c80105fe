/*
 * nginx decodes and merges in one pass, so that an encoded slash or dot counts like a
 * plain one; whoever does it in two passes sees other paths. This is that one pass: a
 * decoder that gives one byte at a time, and a reader of pieces on top of it that never
 * looks at raw bytes.
 */
#include "volumed/path.h"

#include <string.h>

#include "common/hex.h"
#include "common/placement.h"

enum {
    BYTE_END = -1,    /* the path is over: end of target, '?' or '#' */
    BYTE_BROKEN = -2, /* not two hex digits, or NUL */
};

struct reader {
    const char *p, *end;
};

/* The next byte of the path, decoded. */
static int next(struct reader *r)
{
    if (r->p == r->end || *r->p == '?' || *r->p == '#')
        return BYTE_END;
    if (*r->p == '\0')
        return BYTE_BROKEN;
    if (*r->p != '%')
        return (unsigned char)*r->p++;
    if (r->end - r->p < 3 || hex_value(r->p[1]) < 0 || hex_value(r->p[2]) < 0)
        return BYTE_BROKEN;
    int byte = hex_value(r->p[1]) << 4 | hex_value(r->p[2]);
    r->p += 3;
    return byte == 0 ? BYTE_BROKEN : byte;
}

/* The piece out->z[from..out->n) is complete: "." and ".." go, and so does what ".."
 * undoes. Everything before `from` is clean and ends in '/'. */
static int end_piece(struct path *out, size_t from)
{
    size_t n = out->n - from;
    if (n == 1 && out->z[from] == '.') {
        out->n = from;
    } else if (n == 2 && out->z[from] == '.' && out->z[from + 1] == '.') {
        if (from == 1)
            return -1;
        for (from--; out->z[from - 1] != '/';)
            from--;
        out->n = from;
    }
    return 0;
}

int path_parse(struct str target, struct path *out)
{
    struct reader r = {.p = target.p, .end = target.p + target.n};

    out->n = 0;
    out->query = (struct str){NULL, 0};
    if (target.n >= sizeof(out->z))
        return -1;
    if (r.p < r.end && *r.p == '/')
        r.p++;
    else if (r.p < r.end && *r.p != '?' && *r.p != '#')
        return -1;
    out->z[out->n++] = '/';
    size_t from = 1; /* where the piece being read begins */

    for (;;) {
        int byte = next(&r);
        if (byte == BYTE_BROKEN)
            return -1;
        if (byte == BYTE_END) {
            if (end_piece(out, from))
                return -1;
            break;
        }
        if (byte != '/') {
            out->z[out->n++] = (char)byte;
            continue;
        }
        if (out->n == from) /* slashes in a row count as one */
            continue;
        size_t before = out->n;
        if (end_piece(out, from))
            return -1;
        if (out->n == before)
            out->z[out->n++] = '/';
        from = out->n;
    }
    out->z[out->n] = '\0';

    if (r.p < r.end && *r.p == '?') {
        const char *args = r.p + 1;
        const char *hash = memchr(args, '#', (size_t)(r.end - args));
        out->query = (struct str){args, (size_t)((hash ? hash : r.end) - args)};
    }
    return 0;
}

bool path_is_folder(const struct path *path)
{
    return path->z[path->n - 1] == '/';
}

bool path_subvolume(const struct path *path, struct str *piece, const char **rest)
{
    const char *name = path->z + 1;
    struct str first = {name, strcspn(name, "/")};
    if (!placement_names_subvolume(first))
        return false;
    *piece = first;
    *rest = name + first.n + (name[first.n] == '/');
    return true;
}

size_t path_encode(struct str path, char *out)
{
    char *o = out;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"#%<>?\\^`{|}", c)) {
            *o++ = '%';
            *o++ = hex_digit_upper(c >> 4);
            *o++ = hex_digit_upper(c);
        } else {
            *o++ = (char)c;
        }
    }
    return (size_t)(o - out);
}
