/*
 * Base64 names files, so decoding is strict: two texts that gave the same key would be
 * two files for one value. Written out here because OpenSSL's decoder takes spaces and
 * unused bits, and hides how many bytes the padding stands for.
 */
#include "common/base64.h"

#include <stdint.h>

static const char letter[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *data, size_t len, char *out)
{
    const uint8_t *in = data;
    char *o = out;

    for (; len >= 3; len -= 3, in += 3) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *o++ = letter[v >> 18];
        *o++ = letter[v >> 12 & 63];
        *o++ = letter[v >> 6 & 63];
        *o++ = letter[v & 63];
    }
    if (len > 0) {
        uint32_t v = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);
        *o++ = letter[v >> 18];
        *o++ = letter[v >> 12 & 63];
        *o++ = len > 1 ? letter[v >> 6 & 63] : '=';
        *o++ = '=';
    }
    return (size_t)(o - out);
}

/* The six bits a letter stands for, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return -1;
}

/* Four letters, the last `padding` of them '='; their bits, or -1 where one is no
 * letter. */
static int32_t bits_of(const char *in, size_t padding)
{
    int32_t v = 0;

    for (size_t i = 0; i < 4; i++) {
        int six = i < 4 - padding ? value_of(in[i]) : 0;
        if (six < 0)
            return -1;
        v = v << 6 | six;
    }
    return v;
}

ssize_t base64_decode(struct str text, void *out)
{
    uint8_t *o = out;
    size_t padding = 0;

    if (text.n % 4 != 0)
        return -1;
    if (text.n > 0 && text.p[text.n - 1] == '=')
        padding = text.p[text.n - 2] == '=' ? 2 : 1;

    for (size_t i = 0; i < text.n; i += 4) {
        size_t pad = i + 4 == text.n ? padding : 0;
        int32_t v = bits_of(text.p + i, pad);
        /* Bits that no byte uses must be zero. */
        if (v < 0 || (v & ((1 << 8 * pad) - 1)) != 0)
            return -1;
        *o++ = (uint8_t)(v >> 16);
        if (pad < 2)
            *o++ = (uint8_t)(v >> 8);
        if (pad < 1)
            *o++ = (uint8_t)v;
    }
    return o - (uint8_t *)out;
}
