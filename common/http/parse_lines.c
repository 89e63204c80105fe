/*
 * Field lines, for requests and answers alike, and the walks over them that callers make.
 *
 * Values are scanned by a table, a byte at a time, for NUL, CR and LF together. Three
 * calls of memchr were tried: no gain with the heads of curl, mkv and load generators (40
 * to 110 ns each), 100 ns with a browser's long values, and a bad byte would be noticed
 * only with the end of its line.
 */
#include "common/http/parse_lines.h"

#include "common/assure.h"

enum {
    K_CTL = C_VALUE,
    K_PUNCT = C_ODD | C_TARGET | C_VALUE,
    K_SUB = K_PUNCT | C_LITERAL, /* RFC 3986: sub-delims and what else is unreserved */
    K_DIGIT = C_SCHEME | C_HOST | C_LITERAL | C_NAME | C_TARGET | C_VALUE,
    K_UPPER = K_DIGIT | C_METHOD,
    K_LOWER = K_DIGIT,
    K_DASH = K_UPPER,
};

const uint8_t http_classes[256] = {
    [0x01 ... 0x09] = K_CTL,
    [0x0b ... 0x0c] = K_CTL,
    [0x0e ... 0x20] = K_CTL,
    ['!'] = K_SUB,
    ['"'] = K_PUNCT,
    ['#'] = K_PUNCT,
    ['$'] = K_SUB,
    ['%'] = K_PUNCT,
    ['&' ... '*'] = K_SUB,
    ['+'] = K_SUB | C_SCHEME,
    [','] = K_SUB,
    ['-'] = K_DASH,
    ['.'] = C_SCHEME | C_HOST | K_SUB,
    ['/'] = K_PUNCT,
    ['0' ... '9'] = K_DIGIT,
    [':'] = C_LITERAL | C_TARGET | C_VALUE,
    [';'] = K_SUB,
    ['<'] = K_PUNCT,
    ['='] = K_SUB,
    ['>' ... '@'] = K_PUNCT,
    ['A' ... 'Z'] = K_UPPER,
    ['[' ... '^'] = K_PUNCT,
    ['_'] = K_SUB | C_METHOD,
    ['`'] = K_PUNCT,
    ['a' ... 'z'] = K_LOWER,
    ['{' ... '}'] = K_PUNCT,
    ['~'] = K_SUB,
    [0x7f] = K_CTL,
    [0x80 ... 0xff] = K_PUNCT,
};

/* --- field lines -------------------------------------------------------------------- */

static enum line read_field(const char **pos, const char *end, struct str *name,
                            struct str *value)
{
    const char *p = *pos, *start = p;

    if (p == end)
        return LINE_MORE;
    if (!is(*p, C_NAME)) {
        if (*p == '\r') {
            if (++p == end)
                return LINE_MORE;
            if (*p != '\n')
                return LINE_BAD;
        }
        if (*p == '\n') {
            *pos = p + 1;
            return LINE_LAST;
        }
    }
    enum line kind = LINE_FIELD;
    for (;;) {
        p = skip(p, end, C_NAME);
        if (p == end)
            return LINE_MORE;
        if (!is(*p, C_ODD))
            break;
        kind = LINE_ODD;
        p++;
    }
    *name = between(start, p);

    const char *last = p;
    if (*p == ':') {
        if (p == start)
            return LINE_BAD;
        start = p = skip_byte(p + 1, end, ' ');
        p = skip(p, end, C_VALUE);
        if (p == end)
            return LINE_MORE;
        last = p;
        while (last > start && last[-1] == ' ')
            last--;
    } else {
        start = p;
    }
    *value = between(start, last);

    p = skip_byte(p, end, '\r');
    if (p == end)
        return LINE_MORE;
    if (*p != '\n')
        return LINE_BAD;
    *pos = p + 1;
    return kind;
}

/* As read_field, within the limit on a line's length. */
enum line http_read_field(const char **pos, const char *end, struct str *name,
                          struct str *value)
{
    const char *stop = end;
    if ((size_t)(end - *pos) > HTTP_LINE_MAX)
        stop = *pos + HTTP_LINE_MAX;
    enum line kind = read_field(pos, stop, name, value);
    if (kind == LINE_MORE && stop - *pos == HTTP_LINE_MAX)
        return LINE_LONG;
    return kind;
}

bool http_field_next(const struct http_head *head, size_t *pos, struct str *name,
                     struct str *value)
{
    if (*pos >= head->fields.n)
        return false;
    const char *p = head->fields.p + *pos, *end = head->fields.p + head->fields.n;
    enum line kind;
    do {
        kind = read_field(&p, end, name, value);
    } while (kind == LINE_ODD);
    *pos = (size_t)(p - head->fields.p);
    return kind == LINE_FIELD;
}

bool http_field_walk(const struct http_head *head, struct str name, struct str *value)
{
    size_t pos = 0;
    struct str n;

    while (http_field_next(head, &pos, &n, value))
        if (str_caseeq(n, name))
            return true;
    *value = (struct str){NULL, 0};
    return false;
}

/* --- the fields that matter to HTTP ------------------------------------------------- */

static bool contains_word(struct str s, struct str word)
{
    for (size_t i = 0; i + word.n <= s.n; i++)
        if ((s.p[i] | 0x20) == word.p[0] && strncasecmp(s.p + i, word.p, word.n) == 0)
            return true;
    return false;
}

/* nginx looks for either word anywhere in the value; the last line with one decides. */
static void note_connection(struct facts *f, struct str value)
{
    if (contains_word(value, STR("close"))) {
        f->close = true;
        f->keep_alive = false;
        f->ever_close = true;
    } else if (contains_word(value, STR("keep-alive"))) {
        f->close = false;
        f->keep_alive = true;
    }
}

/* Most fields are told apart by their length and first letter alone. */
static unsigned known_field(struct str name)
{
    struct str full;
    unsigned bit;

    switch (name.n) {
    case 4:
        full = STR("host"), bit = F_HOST;
        break;
    case 6:
        full = STR("expect"), bit = F_EXPECT;
        break;
    case 8:
        full = STR("if-match"), bit = F_IF_MATCH;
        if ((name.p[3] | 0x20) == 'r')
            full = STR("if-range"), bit = F_IF_RANGE;
        break;
    case 13:
        full = STR("if-none-match"), bit = F_IF_NONE_MATCH;
        if ((name.p[0] | 0x20) == 'a')
            full = STR("authorization"), bit = F_AUTHORIZATION;
        else if ((name.p[0] | 0x20) == 'c')
            full = STR("content-range"), bit = F_CONTENT_RANGE;
        break;
    case 14:
        full = STR("content-length"), bit = F_CONTENT_LENGTH;
        break;
    case 17:
        full = STR("transfer-encoding"), bit = F_TRANSFER_ENCODING;
        if ((name.p[0] | 0x20) == 'i')
            full = STR("if-modified-since"), bit = F_IF_MODIFIED_SINCE;
        break;
    case 19:
        full = STR("if-unmodified-since"), bit = F_IF_UNMODIFIED_SINCE;
        break;
    default:
        return 0;
    }
    if ((name.p[0] | 0x20) != full.p[0] || !str_caseeq(name, full))
        return 0;
    return bit;
}

void http_note_field(struct facts *f, struct str name, struct str value)
{
    f->names |= http_name_mark(name);
    if (name.n == 10 && str_caseeq(name, STR("connection"))) {
        note_connection(f, value);
        return;
    }
    unsigned bit = known_field(name);
    if (bit == 0)
        return;
    if (f->once & bit) {
        f->twice = true;
        return;
    }
    f->once |= bit;
    if (bit == F_HOST)
        f->host = value;
    else if (bit == F_CONTENT_LENGTH)
        f->length = value;
    else if (bit == F_TRANSFER_ENCODING)
        f->coding = value;
    else if (bit == F_EXPECT)
        f->expect = value;
}

bool http_read_length(struct str value, uint64_t *length)
{
    return http_parse_u64(value, length) && *length <= INT64_MAX;
}

enum line http_resume(const char *buf, const char *end, size_t *seen)
{
    const char *p = buf + (*seen >> 1);
    struct str name, value;
    enum line kind;

    assure(p <= end);
    if (!(*seen & 1))
        return LINE_LAST;
    do {
        http_suspend(seen, buf, p, true);
        kind = http_read_field(&p, end, &name, &value);
    } while (kind == LINE_FIELD || kind == LINE_ODD);
    return kind;
}
