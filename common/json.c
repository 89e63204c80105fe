/*
 * JSON strings out of arbitrary bytes. Keys are bytes; JSON is text. What is valid UTF-8
 * stands as it is, and every other byte gets an escape that valid text cannot contain, so
 * that no two keys look the same in a list (the header says how).
 */
#include "common/json.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/hex.h"

static bool continues(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/*
 * The length of the well-formed UTF-8 sequence at p (Unicode, table 3-7: no overlong
 * forms, no surrogates, nothing past U+10FFFF), or 0 when there is none.
 */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < 2 || !continues(p[1]))
        return 0;
    if (p[0] < 0xe0)
        return 2;
    if (n < 3 || !continues(p[2]))
        return 0;
    if (p[0] < 0xf0) {
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (n < 4 || !continues(p[3]))
        return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return 4;
}

/* The letter of JSON's short escape for c, or 0. */
static char short_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static char *put_unicode(char *o, const char high[2], uint8_t low)
{
    *o++ = '\\';
    *o++ = 'u';
    *o++ = high[0];
    *o++ = high[1];
    *o++ = hex_digit(low >> 4);
    *o++ = hex_digit(low);
    return o;
}

size_t json_quote(struct str s, char *out)
{
    const uint8_t *p = (const uint8_t *)s.p;
    char *o = out;

    *o++ = '"';
    for (size_t left = s.n; left > 0;) {
        size_t n = utf8_length(p, left);
        char letter = n == 1 ? short_escape(*p) : 0;
        if (n == 0) {
            o = put_unicode(o, "dc", *p);
            n = 1;
        } else if (letter) {
            *o++ = '\\';
            *o++ = letter;
        } else if (*p < 0x20) {
            o = put_unicode(o, "00", *p);
        } else {
            memcpy(o, p, n);
            o += n;
        }
        p += n;
        left -= n;
    }
    *o++ = '"';
    return (size_t)(o - out);
}

void json_readable(struct str s, char *out, size_t size)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t used = 0;

    for (size_t left = s.n; left > 0;) {
        size_t n = utf8_length(p, left);
        size_t need = n > 0 ? n : 3;

        if (used + need >= size)
            break;
        if (n > 0) {
            memcpy(out + used, p, n);
        } else {
            out[used] = '%';
            out[used + 1] = hex_digit_upper(*p >> 4);
            out[used + 2] = hex_digit_upper(*p);
            n = 1;
        }
        used += need;
        p += n;
        left -= n;
    }
    out[used] = '\0';
}
