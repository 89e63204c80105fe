/*
 * JSON, of which the programs only write strings; none of them reads any.
 *
 * Byte strings: valid UTF-8 stands as it is, with '"', '\\' and control characters
 * escaped; a byte that is part of no valid UTF-8 sequence is written as the lone
 * surrogate \udcNN, NN the byte in hex (0x80–0xff), which no valid text can hold, so
 * every key has one spelling and can be told from every other (Python's "surrogateescape"
 * reads it back as that byte).
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stddef.h>

#include "common/str.h"

/* Room for one escaped string of n bytes, quotes included. */
#define JSON_STRING_MAX(n) ((n)*6 + 2)

/* Writes s with its quotes to out (room for JSON_STRING_MAX(s.n)); returns the length.
 * (Not json_string: jansson, with which the tests read it back, has one.) */
size_t json_quote(struct str s, char *out);

/* For what people read, where a lone surrogate would keep a strict reader from all the
 * rest: s as valid UTF-8 and a NUL, in `size` bytes. A byte that is part of no sequence is
 * percent-encoded; what has no room is cut off between two characters. */
void json_readable(struct str s, char *out, size_t size);

#endif
