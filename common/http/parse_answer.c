/*
 * HTTP/1.x heads of answers. They come from volumes, which may be broken or hostile, and
 * decide where a body ends: the strictest reading holds, and what is unclear is refused,
 * for a connection that is cut costs less than one that is out of step.
 */
#include "common/http/parse.h"
#include "common/http/parse_lines.h"

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
    int status = head->status;

    if (f->twice)
        return false;
    if (status == 101)
        return false; /* nobody asked for an upgrade */
    if (f->once & F_CONTENT_LENGTH) {
        if (!http_read_length(f->length, &head->length))
            return false;
        head->has_length = true;
    }
    if (f->once & F_TRANSFER_ENCODING) {
        /* Both framings, a coding we do not know, or one that HTTP/1.0 has not: where the
         * body ends is a guess then (RFC 9112 §6.3 rules 3 and 4). */
        if (head->has_length || head->minor == 0)
            return false;
        if (!str_caseeq(f->coding, STR("chunked")))
            return false;
        head->body = HTTP_BODY_CHUNKED;
    } else if (head->has_length) {
        head->body = HTTP_BODY_LENGTH;
    } else {
        head->body = HTTP_BODY_CLOSE;
    }
    if (to_head || status < 200 || status == 204 || status == 304)
        head->body = HTTP_BODY_NONE;
    head->keep_alive = !f->ever_close && (head->minor > 0 || f->keep_alive) &&
                       head->body != HTTP_BODY_CLOSE;
    return true;
}

ssize_t http_parse_answer(const char *buf, size_t len, size_t *seen, bool to_head,
                          struct http_head *head)
{
    const char *p = buf, *end = buf + (len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX);
    const char *stop = len < HTTP_LINE_MAX ? end : buf + HTTP_LINE_MAX;
    struct facts facts = {0};
    struct str name, value;

    *head = (struct http_head){0};
    enum line kind = http_resume(buf, end, seen);
    if (kind == LINE_MORE && len < HTTP_HEAD_MAX)
        return 0;

    kind = read_status_line(&p, stop, head);
    if (kind == LINE_MORE && len < HTTP_LINE_MAX)
        goto more;
    if (kind != LINE_FIELD)
        goto bad;

    const char *line, *fields = p;
    do {
        line = p;
        kind = http_read_field(&p, end, &name, &value);
        if (kind == LINE_FIELD)
            http_note_field(&facts, name, value);
    } while (kind == LINE_FIELD || kind == LINE_ODD);
    if (kind == LINE_MORE && len < HTTP_HEAD_MAX) {
        http_suspend(seen, buf, line, true);
        goto more;
    }
    head->fields = between(fields, line);
    head->names = facts.names;
    if (kind == LINE_LAST && judge_answer(head, &facts, to_head))
        return p - buf;

bad:
    *head = (struct http_head){0};
    return -1;
more:
    *head = (struct http_head){0};
    return 0;
}
