/*
 * What the fuzzers of heads share: bytes in memory of their own, so that a read behind
 * them is seen, and given to a parser as they come over a network, in three stretches.
 */
#ifndef TESTS_FUZZ_CUT_H
#define TESTS_FUZZ_CUT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "common/assure.h"

/* data[0..n) behind one byte that nobody looks at: there is memory also where n is 0. */
static inline char *copy(const uint8_t *data, size_t n)
{
    char *c = xmalloc(n + 1);
    if (n > 0)
        memcpy(c + 1, data, n);
    return c;
}

/* A parser of what has come so far: 0 asks for more. */
typedef ssize_t parse_fn(void *arg, const char *p, size_t n);

/* Lets more and more of data come until the parser has a result, which is returned. The
 * copy it was made from stays in *piece. */
static inline ssize_t parse_cut(const uint8_t *data, size_t size, parse_fn *parse,
                                void *arg, char **piece)
{
    size_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    size_t at = sum % (size + 1), next = at + (size - at) / 2;
    size_t cuts[] = {at, next, size};
    ssize_t r = 0;
    *piece = NULL;
    for (size_t i = 0; i < 3 && r == 0; i++) {
        free(*piece);
        *piece = copy(data, cuts[i]);
        r = parse(arg, *piece + 1, cuts[i]);
    }
    return r;
}

#endif
