/*
 * HTTP/1.x heads: requests and answers.
 *
 * The rules for requests are those of nginx 1.22, found by sending it raw bytes
 * (docs/http.md has the table, and where RFC 9112 says otherwise): a master or a browser
 * must not be able to tell a volumed from an nginx, and what one of the two takes for the
 * end of a head or of a body, the other must take for it as well. Answers come from
 * volumes, which may be broken or hostile: there the strictest reading holds, and
 * anything unclear is refused.
 *
 * One pass over the bytes does it all for a head that is there whole, which is nearly
 * every one. For one that comes in pieces, *seen keeps where the first unfinished line
 * begins: the lines before it are known to be well-formed and are read a second time only
 * once, when the end of the head is there. So that it makes no difference how the bytes
 * were cut, whatever is refused because of two lines together (a second Host, both
 * framings) or because of all lines together (too many) is refused at the end of the head
 * only, and everything else at the first byte that cannot be right.
 *
 * Tried and left: finding the end of the head first (memmem, or memchr for each line) and
 * parsing then. Lines are some 30 bytes long, so the calls cost more than the table loop,
 * and a bad byte would be noticed only with the end of its line.
 */
#include "common/http_parse.h"

#include "common/assure.h"

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

enum {
    K_CTL = C_VALUE,
    K_PUNCT = C_ODD | C_TARGET | C_VALUE,
    K_SUB =
        K_PUNCT | C_LITERAL, /* sub-delims of RFC 3986, and the rest of `unreserved` */
    K_DIGIT = C_SCHEME | C_HOST | C_LITERAL | C_NAME | C_TARGET | C_VALUE,
    K_UPPER = K_DIGIT | C_METHOD,
    K_LOWER = K_DIGIT,
    K_DASH = K_UPPER,
};

static const uint8_t classes[256] = {
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

static inline bool is(char c, unsigned class)
{
    return (classes[(uint8_t)c] & class) != 0;
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
    LINE_FIELD, /* a field line that counts */
    LINE_ODD,   /* one that is ignored for its name */
    LINE_LAST,  /* the empty line */
};

/* --- field lines
 * -------------------------------------------------------------------------- */

/*
 * Reads one line of the fields at *p, which moves behind it. As in nginx a line may end
 * with LF alone, or with several CR before it; spaces around the value are not part of
 * it, but a tab is; and a line without a colon is a field with an empty value. No space
 * before the colon, no folded lines (RFC 9112 §5.1, §5.2).
 */
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
static enum line read_bounded_field(const char **pos, const char *end, struct str *name,
                                    struct str *value)
{
    const char *stop = end;
    if ((size_t)(end - *pos) > HTTP_LINE_MAX)
        stop = *pos + HTTP_LINE_MAX;
    enum line kind = read_field(pos, stop, name, value);
    if (kind == LINE_MORE && stop - *pos == HTTP_LINE_MAX)
        return LINE_BAD;
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

bool http_field(const struct http_head *head, struct str name, struct str *value)
{
    size_t pos = 0;
    struct str n;

    while (http_field_next(head, &pos, &n, value))
        if (str_caseeq(n, name))
            return true;
    *value = (struct str){NULL, 0};
    return false;
}

bool http_has_token(struct str value, struct str token)
{
    const char *p = value.p, *end = value.p + value.n;

    while (p < end) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == ','))
            p++;
        const char *start = p;
        while (p < end && *p != ',')
            p++;
        const char *last = p;
        while (last > start && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (last > start && str_caseeq(between(start, last), token))
            return true;
    }
    return false;
}

/* --- what the fields say
 * ------------------------------------------------------------------ */

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
    bool bad_host;
    bool close; /* Connection: the last line that says either */
    bool keep_alive;
    bool ever_close; /* Connection: any line says close */
    struct str host, length, coding, expect;
};

static bool contains_word(struct str s, struct str word)
{
    for (size_t i = 0; i + word.n <= s.n; i++)
        if (strncasecmp(s.p + i, word.p, word.n) == 0)
            return true;
    return false;
}

/* nginx looks for the words anywhere in the value, and the last line that has one
 * decides. */
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

static void note_field(struct facts *f, struct str name, struct str value)
{
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

/* Content-Length as a file offset: digits only, below 2^63 (RFC 9112 §6.3 rule 5). */
static bool read_length(struct str value, uint64_t *length)
{
    return http_parse_u64(value, length) && *length <= INT64_MAX;
}

/*
 * nginx's idea of a host: no '/', no control byte or space, no two dots in a row, and not
 * empty once a port and one closing dot are taken off.
 */
static bool host_ok(struct str host)
{
    enum { USUAL, LITERAL, REST } state = USUAL;
    size_t len = host.n, dot = host.n;

    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (c == '.') {
            if (i > 0 && dot == i - 1)
                return false;
            dot = i;
        } else if (c == ':') {
            if (state == USUAL) {
                len = i;
                state = REST;
            }
        } else if (c == '[') {
            if (i == 0)
                state = LITERAL;
        } else if (c == ']') {
            if (state == LITERAL) {
                len = i + 1;
                state = REST;
            }
        } else if (c == '/' || !is(c, C_TARGET)) {
            return false;
        }
    }
    if (len > 0 && dot == len - 1)
        len--;
    return len > 0;
}

/* --- requests
 * ----------------------------------------------------------------------------- */

static enum line refuse(struct http_head *head, int status)
{
    head->status = status;
    return LINE_BAD;
}

/* "HTTP/1.x", spaces, the line's end. *p is behind the space that follows the target. */
static enum line read_version(const char **pos, const char *end, struct http_head *head)
{
    static const char http[] = "HTTP/";
    const char *p = skip_byte(*pos, end, ' ');

    if (p == end)
        return LINE_MORE;
    if (*p == '\r' || *p == '\n') {
        head->http_09 = true;
    } else {
        for (size_t i = 0; i < sizeof(http) - 1; i++, p++) {
            if (p == end)
                return LINE_MORE;
            if (*p != http[i])
                return refuse(head, 400);
        }
        if (p == end)
            return LINE_MORE;
        if (*p < '1' || *p > '9')
            return refuse(head, 400);
        if (*p != '1')
            return refuse(head, 505);
        if (++p == end)
            return LINE_MORE;
        if (is_digit(*p))
            return refuse(head, 505);
        if (*p != '.')
            return refuse(head, 400);
        if (++p == end)
            return LINE_MORE;
        if (!is_digit(*p))
            return refuse(head, 400);
        int minor = 0;
        for (; p < end && is_digit(*p); p++) {
            if (minor > 99)
                return refuse(head, 400);
            minor = minor * 10 + (*p - '0');
        }
        head->minor = minor;
        p = skip_byte(p, end, ' ');
        if (p == end)
            return LINE_MORE;
    }
    if (*p == '\r' && ++p == end)
        return LINE_MORE;
    if (*p != '\n')
        return refuse(head, 400);
    *pos = p + 1;
    return LINE_FIELD;
}

/* scheme://authority of an absolute form; leaves *pos at what follows the authority. */
static enum line read_authority(const char **pos, const char *end, struct http_head *head,
                                const char **slash)
{
    const char *p = skip(*pos, end, C_SCHEME);

    for (const char *want = "://"; *want; want++, p++) {
        if (p == end)
            return LINE_MORE;
        if (*p != *want)
            return refuse(head, 400);
        if (*want == '/')
            *slash = p;
    }
    const char *start = p;
    if (p == end)
        return LINE_MORE;
    if (*p == '[') {
        p = skip(p + 1, end, C_LITERAL);
        if (p == end)
            return LINE_MORE;
        if (*p != ']')
            return refuse(head, 400);
        p++;
    } else {
        p = skip(p, end, C_HOST);
    }
    const char *host_end = p;
    if (p < end && *p == ':') {
        p++;
        while (p < end && is_digit(*p))
            p++;
    }
    if (p == end)
        return LINE_MORE;
    if (*p != '/' && *p != '?' && *p != ' ')
        return refuse(head, 400);
    head->host = between(start, p);
    *pos = p;
    /* Only known to be wrong once it is whole, and nginx reports it with the line's end.
     */
    if (!host_ok(between(start, host_end)))
        head->status = 400;
    return LINE_FIELD;
}

/* The request line, whose own rules are all of nginx's ngx_http_parse_request_line. */
static enum line read_request_line(const char **pos, const char *end,
                                   struct http_head *head)
{
    const char *start = *pos, *p = skip(start, end, C_METHOD);
    if (p == end)
        return LINE_MORE;
    if (*p != ' ' || p == start)
        return refuse(head, 400);
    head->method = between(start, p);

    p = skip_byte(p, end, ' ');
    if (p == end)
        return LINE_MORE;
    const char *slash = NULL;
    if (is_alpha(*p)) {
        enum line kind = read_authority(&p, end, head, &slash);
        if (kind != LINE_FIELD)
            return kind;
    } else if (*p != '/') {
        return refuse(head, 400); /* also the forms "*" and, for CONNECT, "host:port" */
    }
    bool bad_host = head->status != 0;
    head->status = 0;

    start = p;
    p = skip(p, end, C_TARGET);
    if (p == end)
        return LINE_MORE;
    head->target = p > start ? between(start, p) : (struct str){slash, 1};
    if (*p != ' ' && *p != '\r' && *p != '\n')
        return refuse(head, 400);
    enum line kind = read_version(&p, end, head);
    if (kind != LINE_FIELD)
        return kind;
    if (bad_host || (head->http_09 && !str_eq(head->method, STR("GET"))))
        return refuse(head, 400);
    *pos = p;
    return LINE_FIELD;
}

/*
 * nginx keeps a head in one buffer of 1 KiB and up to four of 8 KiB, a line never lying
 * across two. Whether a large head fits depends on how its lines fall, so this plays it.
 */
struct packing {
    size_t room; /* in the buffer being filled */
    int large;   /* large buffers taken */
};

/* nginx refuses more fields than this (ignored ones not counted); a Debian update has it.
 */
enum { FIELDS_MAX = 1000 };

enum { BUFFER_SMALL = 1024, BUFFER_LARGE = 8192, BUFFERS_LARGE = 4 };

static inline void pack(struct packing *k, size_t line)
{
    if (line <= k->room) {
        k->room -= line;
    } else {
        k->large++;
        k->room = BUFFER_LARGE - line;
    }
}

/* What the fields together make of the request, in nginx's order. Returns 0 or a status.
 */
static int judge_request(struct http_head *head, const struct facts *f)
{
    if (f->twice || (f->once & F_HOST && !host_ok(f->host)))
        return 400;
    if (head->minor > 0 && !(f->once & F_HOST))
        return 400; /* also where an absolute form names the host */
    if (f->once & F_CONTENT_LENGTH) {
        if (!read_length(f->length, &head->length))
            return 400;
        head->has_length = true;
        head->body = HTTP_BODY_LENGTH;
    }
    if (f->once & F_TRANSFER_ENCODING) {
        if (head->minor == 0)
            return 400;
        if (!str_caseeq(f->coding, STR("chunked")))
            return 501;
        if (f->once & F_CONTENT_LENGTH)
            return 400; /* RFC 9112 §6.3 rule 3: may be a smuggling attempt */
        head->body = HTTP_BODY_CHUNKED;
    }
    if (str_eq(head->method, STR("CONNECT")) || str_eq(head->method, STR("TRACE")))
        return 405;
    head->keep_alive = f->keep_alive || (head->minor > 0 && !f->close);
    head->expect_continue = head->minor > 0 && str_caseeq(f->expect, STR("100-continue"));
    if (head->host.n == 0)
        head->host = f->host;
    return 0;
}

/*
 * *seen is twice the offset of the first line that was not there to its end, plus one
 * when that is a field line; so 0 is a fresh head.
 */
static const char *resume_at(const char *buf, size_t seen)
{
    return buf + (seen >> 1);
}

static void resume_from(size_t *seen, const char *buf, const char *p, bool fields)
{
    *seen = (size_t)(p - buf) << 1 | fields;
}

ssize_t http_parse_request(const char *buf, size_t len, size_t *seen,
                           struct http_head *head)
{
    size_t bound = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    const char *p = resume_at(buf, *seen), *end = buf + bound;
    bool again = (*seen & 1) != 0;
    struct str name, value;
    enum line kind;

    assure(*seen >> 1 <= bound);
    if (again) {
        do {
            resume_from(seen, buf, p, true);
            kind = read_bounded_field(&p, end, &name, &value);
        } while (kind == LINE_FIELD || kind == LINE_ODD);
        if (kind != LINE_LAST) {
            *head = (struct http_head){.status = kind == LINE_BAD ? 400 : 0};
            if (kind == LINE_MORE && bound < HTTP_HEAD_MAX)
                return 0;
        }
        p = buf;
    }

    *head = (struct http_head){0};
    while (p < end && (*p == '\r' || *p == '\n'))
        p++; /* RFC 9112 §2.2 */
    const char *start = p, *stop = end;
    if ((size_t)(end - p) > HTTP_LINE_MAX)
        stop = p + HTTP_LINE_MAX;
    kind = read_request_line(&p, stop, head);
    if (kind == LINE_BAD)
        return -1;
    if (kind == LINE_MORE) {
        if (stop - start == HTTP_LINE_MAX) {
            head->status = 414;
            return -1;
        }
        if (bound == HTTP_HEAD_MAX) {
            head->status = 400;
            return -1;
        }
        resume_from(seen, buf, start, false);
        return 0;
    }
    head->fields = between(p, p);
    if (head->http_09)
        return p - buf;

    struct packing packing = {BUFFER_SMALL - (size_t)(start - buf) % BUFFER_SMALL, 0};
    struct facts facts = {0};
    int fields = 0;
    pack(&packing, (size_t)(p - start));
    for (;;) {
        const char *line = p;
        kind = read_bounded_field(&p, end, &name, &value);
        if (kind == LINE_FIELD) {
            note_field(&facts, name, value);
            fields++;
        } else if (kind == LINE_LAST) {
            head->fields.n = (size_t)(line - head->fields.p);
            pack(&packing, (size_t)(p - line));
            break;
        } else if (kind != LINE_ODD) {
            if (kind == LINE_MORE && bound < HTTP_HEAD_MAX) {
                resume_from(seen, buf, line, true);
                return 0;
            }
            head->status = 400;
            return -1;
        }
        pack(&packing, (size_t)(p - line));
    }
    if (packing.large > BUFFERS_LARGE || fields > FIELDS_MAX)
        head->status = 400;
    else
        head->status = judge_request(head, &facts);
    return head->status ? -1 : p - buf;
}

/* --- answers
 * ------------------------------------------------------------------------------ */

/* "HTTP/1.x 200 reason" (RFC 9112 §4; the reason may be left out with its space). */
static enum line read_status_line(const char **pos, const char *end,
                                  struct http_head *head)
{
    static const char http[] = "HTTP/1.";
    const char *p = *pos;

    for (size_t i = 0; i < sizeof(http) - 1; i++, p++) {
        if (p == end)
            return LINE_MORE;
        if (*p != http[i])
            return LINE_BAD;
    }
    if (p == end)
        return LINE_MORE;
    if (!is_digit(*p))
        return LINE_BAD;
    head->minor = *p++ - '0';
    if (p == end)
        return LINE_MORE;
    if (*p++ != ' ')
        return LINE_BAD;
    int status = 0;
    for (int i = 0; i < 3; i++, p++) {
        if (p == end)
            return LINE_MORE;
        if (!is_digit(*p) || (i == 0 && *p == '0'))
            return LINE_BAD;
        status = status * 10 + (*p - '0');
    }
    if (p == end)
        return LINE_MORE;
    if (*p == ' ')
        p = skip(p, end, C_VALUE);
    if (p < end && *p == '\r')
        p++;
    if (p == end)
        return LINE_MORE;
    if (*p != '\n')
        return LINE_BAD;
    head->status = status;
    *pos = p + 1;
    return LINE_FIELD;
}

static bool judge_answer(struct http_head *head, const struct facts *f, bool to_head)
{
    bool bare =
        to_head || head->status < 200 || head->status == 204 || head->status == 304;

    if (f->twice && f->once & (F_CONTENT_LENGTH | F_TRANSFER_ENCODING))
        return false;
    if (head->status == 101)
        return false; /* nobody asked for an upgrade */
    if (f->once & F_CONTENT_LENGTH) {
        if (!read_length(f->length, &head->length))
            return false;
        head->has_length = true;
    }
    if (f->once & F_TRANSFER_ENCODING) {
        /* Both framings, a coding we do not know, or one that HTTP/1.0 has not: where the
         * body ends is a guess then (RFC 9112 §6.3 rules 3 and 4). */
        if (head->has_length || head->minor == 0 ||
            !str_caseeq(f->coding, STR("chunked")))
            return false;
        head->body = HTTP_BODY_CHUNKED;
    } else if (head->has_length) {
        head->body = HTTP_BODY_LENGTH;
    } else {
        head->body = HTTP_BODY_CLOSE;
    }
    if (bare)
        head->body = HTTP_BODY_NONE;
    head->keep_alive = !f->ever_close && (head->minor > 0 || f->keep_alive) &&
                       head->body != HTTP_BODY_CLOSE;
    return true;
}

ssize_t http_parse_answer(const char *buf, size_t len, size_t *seen, bool to_head,
                          struct http_head *head)
{
    size_t bound = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    const char *p = resume_at(buf, *seen), *end = buf + bound;
    struct str name, value;
    enum line kind;

    assure(*seen >> 1 <= bound);
    *head = (struct http_head){0};
    if (*seen & 1) {
        do {
            resume_from(seen, buf, p, true);
            kind = read_bounded_field(&p, end, &name, &value);
        } while (kind == LINE_FIELD || kind == LINE_ODD);
        if (kind == LINE_BAD || (kind == LINE_MORE && bound == HTTP_HEAD_MAX))
            return -1;
        if (kind == LINE_MORE)
            return 0;
        p = buf;
    }

    const char *stop = end;
    if (bound > HTTP_LINE_MAX)
        stop = buf + HTTP_LINE_MAX;
    kind = read_status_line(&p, stop, head);
    if (kind == LINE_MORE && bound < HTTP_LINE_MAX)
        return 0;
    if (kind != LINE_FIELD)
        goto bad;
    head->fields = between(p, p);

    struct facts facts = {0};
    for (;;) {
        const char *line = p;
        kind = read_bounded_field(&p, end, &name, &value);
        if (kind == LINE_FIELD) {
            note_field(&facts, name, value);
        } else if (kind == LINE_LAST) {
            head->fields.n = (size_t)(line - head->fields.p);
            break;
        } else if (kind == LINE_MORE && bound < HTTP_HEAD_MAX) {
            resume_from(seen, buf, line, true);
            return 0;
        } else if (kind != LINE_ODD) {
            goto bad;
        }
    }
    if (!judge_answer(head, &facts, to_head))
        goto bad;
    return p - buf;

bad:
    head->status = 0;
    return -1;
}
