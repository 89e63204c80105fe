/*
 * Fuzzes heads of answers, as a hostile volume might send them: what is returned lies
 * inside the bytes, how they are cut makes no difference, and where the body ends is
 * never unclear.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/http/parse.h"
#include "tests/fuzz/cut.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

struct parse {
    size_t seen;
    bool to_head;
    struct http_head head;
};

static ssize_t parse(void *arg, const char *p, size_t n)
{
    struct parse *one = arg;
    ssize_t r = http_parse_answer(p, n, &one->seen, one->to_head, &one->head);
    check(&one->head, r, one->to_head, p, n);
    return r;
}

static void fuzz(const uint8_t *data, size_t size, bool to_head)
{
    struct parse whole = {.to_head = to_head}, cut = whole;
    char *all = copy(data, size), *piece;
    ssize_t r = parse(&whole, all + 1, size);
    ssize_t r2 = parse_cut(data, size, parse, &cut, &piece);
    assure(r2 == r);
    if (r > 0) {
        assure(cut.head.status == whole.head.status &&
               cut.head.minor == whole.head.minor);
        assure(cut.head.body == whole.head.body && cut.head.length == whole.head.length);
        assure(cut.head.keep_alive == whole.head.keep_alive);
        assure(str_eq(cut.head.fields, whole.head.fields));
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
