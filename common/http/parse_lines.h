/*
 * What requests and answers have in common: classes of bytes, field lines, and the notes
 * taken of the fields that matter to HTTP itself. Private to the parser.
 */
#ifndef COMMON_HTTP_PARSE_LINES_H
#define COMMON_HTTP_PARSE_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/parse.h"
#include "common/str.h"

/* What a byte may be. */
enum {
    C_METHOD = 1,  /* A-Z _ - */
    C_SCHEME = 2,  /* ALPHA DIGIT + - . */
    C_HOST = 4,    /* ALPHA DIGIT - . */
    C_LITERAL = 8, /* within [...] of an absolute form */
    C_NAME = 16,   /* of a field name: ALPHA DIGIT - */
    C_ODD = 32,    /* in a field name: makes nginx ignore the line */
    C_TARGET = 64, /* no control byte, no space */
    C_VALUE = 128, /* of a field value: all but NUL, CR, LF */
};

extern const uint8_t http_classes[256];

static inline bool is(char c, unsigned class)
{
    return (http_classes[(uint8_t)c] & class) != 0;
}

static inline bool is_alpha(char c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline bool is_digit(char c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline const char *skip(const char *p, const char *end, unsigned class)
{
    while (p < end && is(*p, class))
        p++;
    return p;
}

static inline const char *skip_byte(const char *p, const char *end, char c)
{
    while (p < end && *p == c)
        p++;
    return p;
}

static inline struct str between(const char *from, const char *to)
{
    return (struct str){from, (size_t)(to - from)};
}

/* How far a line was read. */
enum line {
    LINE_MORE, /* the bytes ended before the line did */
    LINE_BAD,
    LINE_LONG,  /* longer than HTTP_LINE_MAX */
    LINE_FIELD, /* a field line that counts */
    LINE_ODD,   /* one that is ignored for its name */
    LINE_LAST,  /* the empty line */
};

/*
 * Reads one field line at *pos, which moves behind it when it is whole. As in nginx a
 * line may end with LF alone, or with several CR before it; spaces around the value are
 * not part of it, but a tab is; and a line without a colon is a field with an empty
 * value. No space before the colon, no folded lines (RFC 9112 §5.1, §5.2), no line over
 * HTTP_LINE_MAX.
 */
enum line http_read_field(const char **pos, const char *end, struct str *name,
                          struct str *value);

/* Fields of which a request may have only one (nginx), as bits of facts.once. */
enum {
    F_HOST = 1,
    F_CONTENT_LENGTH = 2,
    F_TRANSFER_ENCODING = 4,
    F_EXPECT = 8,
    F_IF_MATCH = 16,
    F_IF_NONE_MATCH = 32,
    F_IF_MODIFIED_SINCE = 64,
    F_IF_UNMODIFIED_SINCE = 128,
    F_IF_RANGE = 256,
    F_CONTENT_RANGE = 512,
    F_AUTHORIZATION = 1024,
};

struct facts {
    unsigned once; /* which of the above were there */
    bool twice;    /* one of them was there again */
    bool close;    /* of Connection, what its last line with either word says */
    bool keep_alive;
    bool ever_close; /* any of its lines says close */
    struct str host, length, coding, expect;
    uint64_t names; /* the marks of all of them */
};

void http_note_field(struct facts *f, struct str name, struct str value);
/* Content-Length as a file offset: digits only, below 2^63 (RFC 9112 §6.3 rule 5). */
bool http_read_length(struct str value, uint64_t *length);

/*
 * What a caller's *seen holds between two calls for the same head: where the first line
 * begins that was not there to its end, times two, plus one when it is a field line. 0:
 * fresh head.
 */
static inline void http_suspend(size_t *seen, const char *buf, const char *line,
                                bool field)
{
    *seen = (size_t)(line - buf) << 1 | field;
}
/* The offset to read the first line of the head from. */
static inline size_t http_suspended_line(size_t seen)
{
    return seen & 1 ? 0 : seen >> 1;
}
/* Reads on where a field line was left. LINE_MORE when the head's end is still not there
 * (or never will be, see HTTP_HEAD_MAX); else it is time to read the head from its first
 * line. */
enum line http_resume(const char *buf, const char *end, size_t *seen);

#endif
