/*
 * Fuzzes heads of requests: whatever the bytes are, what is returned lies inside them,
 * and how they are cut makes no difference. Targets, lengths and dates go on to the small
 * syntax.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* p[0..n) in memory of its own, so that a read behind it is seen. */
static char *copy(const uint8_t *p, size_t n)
{
    char *c = xmalloc(n + 1);
    if (n > 0)
        memcpy(c + 1, p, n);
    return c;
}

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
        http_has_token(value, STR("close"));
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head whole, cut;
    size_t seen = 0, sum = 0;

    char *all = copy(data, size), *p = all + 1;
    ssize_t r = http_parse_request(p, size, &seen, &whole);
    check(&whole, r, p, size);

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    size_t at = sum % (size + 1), next = at + (size - at) / 2;
    size_t cuts[] = {at, next, size};
    char *piece = NULL;
    ssize_t r2 = 0;
    seen = 0;
    for (size_t i = 0; i < 3 && r2 == 0; i++) {
        free(piece);
        piece = copy(data, cuts[i]);
        r2 = http_parse_request(piece + 1, cuts[i], &seen, &cut);
        check(&cut, r2, piece + 1, cuts[i]);
    }
    assure(r2 == r);
    if (r != 0)
        assure(cut.status == whole.status);
    if (r > 0) {
        assure(same(cut.method, piece + 1, whole.method, p));
        assure(same(cut.target, piece + 1, whole.target, p));
        assure(same(cut.host, piece + 1, whole.host, p));
        assure(same(cut.fields, piece + 1, whole.fields, p));
        assure(cut.body == whole.body && cut.length == whole.length);
        assure(cut.minor == whole.minor && cut.http_09 == whole.http_09);
        assure(cut.keep_alive == whole.keep_alive);
        assure(cut.expect_continue == whole.expect_continue);
    }
    free(piece);
    free(all);
    return 0;
}
