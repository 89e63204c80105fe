/*
 * The keys and values of the benchmarks, the same for whoever asks and for the index that
 * is filled beforehand. The n-th key is a prefix and 16 hex digits that tell nothing of n:
 * keys that are asked for one after the other lie far apart in the index, and between all
 * others, as names that users choose do.
 */
#ifndef TESTS_BENCH_KEYS_H
#define TESTS_BENCH_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define KEY_DIGITS "%016llx"

/* The bits of n well mixed (splitmix64); no two n give the same. */
static inline uint64_t scattered(uint64_t n)
{
    n += 0x9e3779b97f4a7c15U;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9U;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebU;
    return n ^ (n >> 31);
}

/* The value of that size, of any key. */
static inline void make_value(char *value, size_t size)
{
    for (size_t at = 0; at < size; at++)
        value[at] = (char)scattered(at);
}

#endif
