/* What bodies in tests are made of, so that a byte out of place is found. */
#ifndef TESTS_UNIT_PATTERN_H
#define TESTS_UNIT_PATTERN_H

#include <stddef.h>

/* The byte at i: a letter, so that a body can be printed. It repeats at no round
 * distance, so that a lost block shows as well. */
static inline char pattern(size_t i)
{
    return (char)('a' + (i + i / 251 + i / 65537) % 23);
}

#endif
