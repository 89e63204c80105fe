/*
 * Fuzzes heads of answers, as a hostile volume might send them: what is returned lies
 * inside the bytes, how they are cut makes no difference, and where the body ends is
 * never unclear.
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

static void check(const struct http_head *head, ssize_t r, bool to_head, const char *p,
                  size_t n)
{
    struct str name, value;
    size_t pos = 0, lengths = 0, codings = 0;
    int s = head->status;

    assure(r >= -1 && r <= (ssize_t)n && r <= HTTP_HEAD_MAX);
    assure(r != 0 || n < HTTP_HEAD_MAX);
    if (r <= 0)
        return;
    assure(s >= 100 && s <= 999 && s != 101);
    assure(head->fields.p >= p && head->fields.p + head->fields.n <= p + r);
    while (http_field_next(head, &pos, &name, &value)) {
        assure(name.n > 0 && name.p >= p && value.p + value.n <= p + r);
        lengths += str_caseeq(name, STR("content-length"));
        codings += str_caseeq(name, STR("transfer-encoding"));
    }
    assure(lengths + codings <= 1 && head->has_length == (lengths == 1));
    assure(head->length <= INT64_MAX);
    enum http_body want = codings   ? HTTP_BODY_CHUNKED
                          : lengths ? HTTP_BODY_LENGTH
                                    : HTTP_BODY_CLOSE;
    if (to_head || s < 200 || s == 204 || s == 304)
        want = HTTP_BODY_NONE;
    assure(head->body == want);
    assure(!(head->keep_alive && want == HTTP_BODY_CLOSE));
}

static void fuzz(const uint8_t *data, size_t size, bool to_head)
{
    struct http_head whole, cut;
    size_t seen = 0, sum = 0;

    char *all = copy(data, size);
    ssize_t r = http_parse_answer(all + 1, size, &seen, to_head, &whole);
    check(&whole, r, to_head, all + 1, size);

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
        r2 = http_parse_answer(piece + 1, cuts[i], &seen, to_head, &cut);
        check(&cut, r2, to_head, piece + 1, cuts[i]);
    }
    assure(r2 == r);
    if (r > 0) {
        assure(cut.status == whole.status && cut.minor == whole.minor);
        assure(cut.body == whole.body && cut.length == whole.length);
        assure(cut.keep_alive == whole.keep_alive);
        assure(str_eq(cut.fields, whole.fields));
    }
    free(piece);
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz(data, size, false);
    fuzz(data, size, true);
    return 0;
}
