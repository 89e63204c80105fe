/*
 * Fuzzes chunked framing: however the bytes are cut, the same data comes out, the body
 * ends at the same byte, and what is malformed is so every time.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    bool bad, over;
    size_t eaten; /* bytes of the body, framing and data */
    uint64_t data, sum;
};

/* Feeds one piece, from memory of its own so that a read behind it is seen. */
static void feed(struct http_chunks *c, struct outcome *o, const uint8_t *data, size_t n)
{
    char *piece = xmalloc(n + 1), *p = piece + 1;
    size_t i = 0;

    if (n > 0)
        memcpy(p, data, n);
    while (i < n && !o->over && !o->bad) {
        if (c->left > 0) {
            size_t take = n - i < c->left ? n - i : (size_t)c->left;
            if (take > 1 && (c->left & 1)) /* takers need not take all at once */
                take /= 2;
            for (size_t k = 0; k < take; k++)
                o->sum = o->sum * 31 + (uint8_t)p[i + k];
            http_chunks_took(c, take);
            o->data += take;
            i += take;
            continue;
        }
        ssize_t eaten = http_chunks_eat(c, p + i, n - i);
        assure(eaten >= -1 && eaten <= (ssize_t)(n - i));
        if (eaten < 0) {
            o->bad = true;
            break;
        }
        i += (size_t)eaten;
        o->over = http_chunks_end(c);
        assure(!o->over || c->left == 0);
        assure(o->over || c->left > 0 || i == n);
        assure(c->left <= INT64_MAX / 16);
    }
    o->eaten += i;
    free(piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = {0}, halves = {0}, bytes = {0};
    struct http_chunks c;
    size_t sum = 0;

    http_chunks_init(&c);
    feed(&c, &whole, data, size);

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    size_t at = sum % (size + 1);
    http_chunks_init(&c);
    feed(&c, &halves, data, at);
    feed(&c, &halves, data + at, size - at);

    http_chunks_init(&c);
    for (size_t i = 0; i < size && i < 512; i++)
        feed(&c, &bytes, data + i, 1);

    assure(whole.bad == halves.bad && whole.over == halves.over);
    if (!whole.bad)
        assure(whole.eaten == halves.eaten);
    assure(whole.data == halves.data && whole.sum == halves.sum);
    if (size <= 512) {
        assure(whole.bad == bytes.bad && whole.over == bytes.over);
        assure(whole.data == bytes.data && whole.sum == bytes.sum);
    }
    return 0;
}
