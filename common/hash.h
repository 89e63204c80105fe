/*
 * Hashing bytes for tables in memory: FNV-1a, its bits then spread by murmur3's
 * finalizer, so that any of them may choose the slot. Where clients choose what is
 * hashed, the table starts from a random seed, so that none can aim at one slot.
 * Not for anything that is stored or sent.
 */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stdint.h>

#include "common/str.h"

/* A seed nobody can guess. */
uint64_t hash_seed(void);

/* The hash of two strings: hash_bytes(hash_bytes(seed, a), b). */
static inline uint64_t hash_bytes(uint64_t seed, struct str s)
{
    uint64_t h = seed ^ 0xcbf29ce484222325U;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3U;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdU;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53U;
    return h ^ h >> 33;
}

#endif
