/*
 * HTTP/1.x heads of requests.
 *
 * The rules are those of nginx 1.22, found by sending it raw bytes (docs/http.md has the
 * table, and where RFC 9112 says otherwise): a master or a browser must not be able to
 * tell a volumed from an nginx, and what one of the two takes for the end of a head or of
 * a body, the other must take for it as well.
 *
 * One pass over the bytes does it all for a head that is there whole, which is nearly
 * every one. For one that comes in pieces, *seen keeps where the first unfinished line
 * begins: the lines before it are known to be well-formed and are read a second time only
 * once, when the end of the head is there. So that it makes no difference how the bytes
 * were cut, whatever is refused because of two lines together (a second Host, both
 * framings) or because of all lines together (too many) is refused at the end of the head
 * only, and everything else at the first byte that cannot be right.
 */
#include "common/http/parse.h"

#include "common/http/parse_lines.h"

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

static enum line refuse(struct http_head *head, int status)
{
    head->status = status;
    return LINE_BAD;
}

static enum line refuse_size(struct http_head *head)
{
    head->too_large = true;
    return refuse(head, 400);
}

/* What follows the target: spaces, "HTTP/1.x" or for HTTP/0.9 nothing, the line's end. */
static enum line read_version(const char **pos, const char *end, struct http_head *head)
{
    static const char http[] = "HTTP/";
    const char *p = skip_byte(*pos, end, ' ');

    if (p == end)
        return LINE_MORE;
    bool none = *p == '\r' || *p == '\n';
    if (!none) {
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
    head->http_09 = none;
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
    return LINE_FIELD;
}

/* method, spaces, target, version. */
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
    if (slash && !host_ok(head->host))
        return refuse(head, 400);
    if (head->http_09 && !str_eq(head->method, STR("GET")))
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

enum { BUFFER_SMALL = 1024, BUFFER_LARGE = 8192, BUFFERS_LARGE = 4 };

/* Fields, those it ignores not counted (nginx since Debian's 1.22.1-9+deb12u8). */
enum { FIELDS_MAX = 1000 };

static inline void pack(struct packing *k, size_t line)
{
    if (line <= k->room) {
        k->room -= line;
    } else {
        k->large++;
        k->room = BUFFER_LARGE - line;
    }
}

/* What the fields together make of the request, in nginx's order: 0, or the status that
 * refuses it. */
static int judge_request(struct http_head *head, const struct facts *f)
{
    if (f->twice || (f->once & F_HOST && !host_ok(f->host)))
        return 400;
    if (head->minor > 0 && !(f->once & F_HOST))
        return 400; /* also where an absolute form names the host */
    if (f->once & F_CONTENT_LENGTH) {
        if (!http_read_length(f->length, &head->length))
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

/* The fields from *pos on, and what they make of the request. */
static enum line read_fields(const char **pos, const char *end, struct packing *packing,
                             struct http_head *head, const char **line)
{
    const char *p = *pos;
    struct facts facts = {0};
    struct str name, value;
    enum line kind;
    int fields = 0;

    do {
        *line = p;
        kind = http_read_field(&p, end, &name, &value);
        if (kind == LINE_MORE)
            return LINE_MORE;
        if (kind == LINE_LONG)
            return refuse_size(head);
        if (kind == LINE_BAD)
            return refuse(head, 400);
        if (kind == LINE_FIELD) {
            http_note_field(&facts, name, value);
            fields++;
        }
        pack(packing, (size_t)(p - *line));
    } while (kind != LINE_LAST);

    head->fields = between(*pos, *line);
    head->names = facts.names;
    *pos = p;
    if (packing->large > BUFFERS_LARGE || fields > FIELDS_MAX)
        return refuse_size(head);
    int status = judge_request(head, &facts);
    return status ? refuse(head, status) : LINE_LAST;
}

ssize_t http_parse_request(const char *buf, size_t len, size_t *seen,
                           struct http_head *head)
{
    const char *end = buf + (len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX);
    bool full = len >= HTTP_HEAD_MAX;

    *head = (struct http_head){0};
    if (http_resume(buf, end, seen) == LINE_MORE && !full)
        return 0;

    const char *p = buf + http_suspended_line(*seen);
    while (p < end && (*p == '\r' || *p == '\n'))
        p++; /* RFC 9112 §2.2 */
    const char *start = p, *stop = end;
    if (end - p > HTTP_LINE_MAX)
        stop = p + HTTP_LINE_MAX;
    enum line kind = read_request_line(&p, stop, head);
    if (kind == LINE_BAD)
        return -1;
    if (kind == LINE_MORE) {
        if (stop - start == HTTP_LINE_MAX || full) {
            head->status = stop - start == HTTP_LINE_MAX ? 414 : 400;
            return -1;
        }
        http_suspend(seen, buf, start, false);
        return 0;
    }
    head->fields = between(p, p);
    if (head->http_09)
        return p - buf;

    struct packing packing = {BUFFER_SMALL - (size_t)(start - buf) % BUFFER_SMALL, 0};
    pack(&packing, (size_t)(p - start));
    const char *line;
    kind = read_fields(&p, end, &packing, head, &line);
    if (kind == LINE_LAST)
        return p - buf;
    if (kind == LINE_BAD)
        return -1;
    if (full) {
        refuse_size(head);
        return -1;
    }
    http_suspend(seen, buf, line, true);
    return 0;
}
