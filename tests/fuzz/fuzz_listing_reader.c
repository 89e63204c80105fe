/*
 * Fuzzes the reader of listings: however the bytes are cut, the same entries come out and
 * it ends in the same way; and no entry has a name that no file has.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "master/jobs/listing_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    bool bad;
    uint64_t entries, sum;
};

static void feed(struct listing_reader *r, struct outcome *o, const uint8_t *data,
                 size_t n)
{
    struct listing_entry e;
    int got = 0;

    if (o->bad)
        return;
    /* Memory of its own, so that a read behind it is seen. */
    char *piece = xmalloc(n + 1);
    if (n > 0)
        memcpy(piece + 1, data, n);
    struct str in = {piece + 1, n};
    while ((got = listing_reader_next(r, &in, &e)) == 1) {
        assure(e.name.n > 0 && e.name.n <= 1024);
        assure(!memchr(e.name.p, '/', e.name.n));
        assure(!memchr(e.name.p, '\0', e.name.n));
        assure(e.size <= INT64_MAX && e.mtime >= 0);
        o->entries++;
        for (size_t i = 0; i < e.name.n; i++)
            o->sum = o->sum * 31 + (uint8_t)e.name.p[i];
        o->sum = o->sum * 31 + e.size + (uint64_t)e.mtime + (uint64_t)e.kind;
    }
    assure(got == -1 || in.n == 0);
    o->bad = got == -1;
    free(piece);
}

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->bad == b->bad && a->entries == b->entries && a->sum == b->sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = {0}, cut = {0}, bytes = {0};
    struct listing_reader *r = listing_reader_new();
    size_t sum = 0;

    feed(r, &whole, data, size);
    bool ended = listing_reader_ended(r);
    assure(!whole.bad || !ended);

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    size_t at = sum % (size + 1);
    listing_reader_restart(r);
    feed(r, &cut, data, at);
    feed(r, &cut, data + at, size - at);
    assure(same(&whole, &cut));
    assure(listing_reader_ended(r) == ended);

    if (size <= 512) {
        listing_reader_restart(r);
        for (size_t i = 0; i < size; i++)
            feed(r, &bytes, data + i, 1);
        assure(same(&whole, &bytes));
        assure(listing_reader_ended(r) == ended);
    }
    listing_reader_free(&r);
    return 0;
}
