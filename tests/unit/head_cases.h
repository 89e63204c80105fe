/*
 * The parser of heads held to words: bytes, and what must be made of them. Each case runs
 * whole, cut in two at every byte (or every few), and in growing pieces, always at the end
 * of a page behind which nothing may be read. To be included after cmocka.
 */
#ifndef TESTS_UNIT_HEAD_CASES_H
#define TESTS_UNIT_HEAD_CASES_H

#include <stdio.h>
#include <string.h>

#include "common/http/parse.h"
#include "tests/unit/wall.h"

enum kind { REQUEST, ANSWER, ANSWER_TO_HEAD };

struct outcome {
    ssize_t n;
    char text[512];
};

static inline void describe(struct outcome *o, enum kind kind, const struct http_head *h)
{
    static const char *const bodies[] = {"none", "length", "chunked", "close"};
    char length[32] = "";
    size_t used = 0;

    if (o->n == 0) {
        strcpy(o->text, "more");
        return;
    }
    if (o->n < 0) {
        if (kind == REQUEST)
            sprintf(o->text, "%d", h->status);
        else
            strcpy(o->text, "bad");
        return;
    }
    if (h->has_length)
        sprintf(length, " %llu", (unsigned long long)h->length);
    if (kind == REQUEST)
        used = (size_t)snprintf(o->text, sizeof(o->text), "%.*s %.*s %.*s",
                                (int)h->method.n, h->method.p, (int)h->target.n,
                                h->target.p, (int)h->host.n, h->host.p ? h->host.p : "");
    else
        used = (size_t)snprintf(o->text, sizeof(o->text), "%d", h->status);
    if (used < sizeof(o->text))
        snprintf(o->text + used, sizeof(o->text) - used, " 1.%d %s%s%s%s%s", h->minor,
                 bodies[h->body], length, h->keep_alive ? " keep" : "",
                 h->expect_continue ? " expect" : "", h->http_09 ? " 0.9" : "");
}

static inline void parse(struct outcome *o, enum kind kind, const char *p, size_t n,
                         size_t *seen)
{
    struct http_head head;

    if (kind == REQUEST)
        o->n = http_parse_request(p, n, seen, &head);
    else
        o->n = http_parse_answer(p, n, seen, kind == ANSWER_TO_HEAD, &head);
    describe(o, kind, &head);
}

/* Parses all of it, and in pieces: [0, cut) first and all of it then, for every cut that
 * is a multiple of `step`; then `step` bytes more each time. */
static inline void parse_every_way(struct outcome *whole, enum kind kind, const char *p,
                                   size_t n, size_t step)
{
    struct outcome o;
    size_t seen = 0;

    parse(whole, kind, at_wall(p, n), n, &seen);
    for (size_t cut = 0; cut <= n; cut += step) {
        seen = 0;
        parse(&o, kind, at_wall(p, cut), cut, &seen);
        if (o.n == 0)
            parse(&o, kind, at_wall(p, n), n, &seen);
        else if (o.n > 0)
            assert_true((size_t)o.n <= cut);
        assert_int_equal(o.n, whole->n);
        assert_string_equal(o.text, whole->text);
    }
    seen = 0;
    for (size_t have = 0;; have = have + step < n ? have + step : n) {
        parse(&o, kind, at_wall(p, have), have, &seen);
        if (o.n != 0 || have == n)
            break;
    }
    assert_int_equal(o.n, whole->n);
    assert_string_equal(o.text, whole->text);
}

struct head_case {
    const char *bytes;
    size_t n;
    const char *want;
    size_t rest; /* bytes behind the head, when it is one */
};

#define CASE(bytes, want)                 \
    {                                     \
        bytes, sizeof(bytes) - 1, want, 0 \
    }
#define CASE_REST(bytes, want, rest)         \
    {                                        \
        bytes, sizeof(bytes) - 1, want, rest \
    }

static inline void run_cases(enum kind kind, const struct head_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct head_case *c = &cases[i];
        struct outcome o;
        parse_every_way(&o, kind, c->bytes, c->n, 1);
        if (strcmp(o.text, c->want) != 0)
            print_error("case %zu: %s\n", i, c->bytes);
        assert_string_equal(o.text, c->want);
        if (o.n > 0)
            assert_int_equal(o.n, c->n - c->rest);
    }
}

#define RUN(kind, cases) run_cases(kind, cases, sizeof(cases) / sizeof((cases)[0]))

#define G "GET /f HTTP/1.1\r\n"
#define GH G "Host: x\r\n"

#endif
