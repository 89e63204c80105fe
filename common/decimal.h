/* Decimal digits, for what is written with every request: printf costs ten times that. */
#ifndef COMMON_DECIMAL_H
#define COMMON_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_MAX = 20 }; /* digits of the largest number */

/* How many digits the number has. */
static inline size_t decimal_length(uint64_t value)
{
    size_t n = 1;
    while (value >= 10) {
        value /= 10;
        n++;
    }
    return n;
}

/* Writes that many, and returns how many. */
static inline size_t decimal_put(uint64_t value, char *out)
{
    size_t n = decimal_length(value);
    for (size_t i = n; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    return n;
}

#endif
