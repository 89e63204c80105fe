/*
 * Fuzzes heads of requests: whatever the bytes are, what is returned lies inside them,
 * and how they are cut makes no difference. Targets, lengths and dates go on to the small
 * syntax.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/http/parse.h"
#include "tests/fuzz/cut.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assure_inside(struct str s, const char *p, size_t n)
{
    assure(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

static bool same(struct str a, const char *a_base, struct str b, const char *b_base)
{
    return str_eq(a, b) && (a.n == 0 || a.p - a_base == b.p - b_base);
}

static void walk(const struct http_head *head, const char *p, size_t n)
{
    struct str name, value, first;
    size_t pos = 0, before = 0;
    uint64_t number;

    assure_inside(head->fields, p, n);
    while (http_field_next(head, &pos, &name, &value)) {
        assure(pos > before && pos <= head->fields.n);
        before = pos;
        assure(name.n > 0);
        assure_inside(name, p, n);
        assure_inside(value, p, n);
        assure(value.n == 0 || (value.p[0] != ' ' && value.p[value.n - 1] != ' '));
        assure(value.n == 0 || !memchr(value.p, '\n', value.n));
        assure(value.n == 0 || !memchr(value.p, '\r', value.n));
        assure(value.n == 0 || !memchr(value.p, 0, value.n));
        assure(http_field(head, name, &first) && first.p <= value.p);
        http_parse_date(value);
        http_parse_u64(value, &number);
    }
}

static void check(const struct http_head *head, ssize_t r, const char *p, size_t n)
{
    assure(r >= -1 && r <= (ssize_t)n);
    assure_inside(head->method, p, n);
    assure_inside(head->target, p, n);
    if (r < 0) {
        int s = head->status;
        assure(s == 400 || s == 405 || s == 414 || s == 501 || s == 505);
        return;
    }
    if (r == 0) {
        assure(n < HTTP_HEAD_MAX);
        return;
    }
    assure(r <= HTTP_HEAD_MAX && p[r - 1] == '\n');
    assure_inside(head->host, p, (size_t)r);
    assure(head->method.n > 0 && head->target.n > 0);
    assure(head->target.p[0] == '/' || head->target.p[0] == '?');
    assure(head->target.n <= HTTP_LINE_MAX);
    assure(head->body != HTTP_BODY_CLOSE && head->length <= INT64_MAX);
    assure((head->body == HTTP_BODY_LENGTH) == head->has_length);
    walk(head, p, (size_t)r);

    char *out = xmalloc(head->target.n);
    ssize_t decoded = http_percent_decode(head->target, out);
    assure(decoded <= (ssize_t)head->target.n);
    free(out);
}

struct parse {
    size_t seen;
    struct http_head head;
};

static ssize_t parse(void *arg, const char *p, size_t n)
{
    struct parse *one = arg;
    ssize_t r = http_parse_request(p, n, &one->seen, &one->head);
    check(&one->head, r, p, n);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parse whole = {0}, cut = {0};
    char *all = copy(data, size), *p = all + 1, *piece;
    ssize_t r = parse(&whole, p, size);
    ssize_t r2 = parse_cut(data, size, parse, &cut, &piece);
    assure(r2 == r);
    if (r != 0)
        assure(cut.head.status == whole.head.status);
    if (r > 0) {
        assure(same(cut.head.method, piece + 1, whole.head.method, p));
        assure(same(cut.head.target, piece + 1, whole.head.target, p));
        assure(same(cut.head.host, piece + 1, whole.head.host, p));
        assure(same(cut.head.fields, piece + 1, whole.head.fields, p));
        assure(cut.head.body == whole.head.body && cut.head.length == whole.head.length);
        assure(cut.head.minor == whole.head.minor &&
               cut.head.http_09 == whole.head.http_09);
        assure(cut.head.keep_alive == whole.head.keep_alive);
        assure(cut.head.expect_continue == whole.head.expect_continue);
    }
    free(piece);
    free(all);
    return 0;
}
