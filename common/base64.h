/* Standard base64 (RFC 4648 §4: '+', '/', padded), both ways. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <stddef.h>
#include <sys/types.h>

#include "common/str.h"

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters, no NUL; returns that length. */
size_t base64_encode(const void *data, size_t len, char *out);
/* Strict: canonical input only (padding present, unused bits zero, no other bytes), so
 * that every accepted text is what base64_encode gives. Returns the length, or -1. `out`
 * has room for text.n / 4 * 3 bytes. */
ssize_t base64_decode(struct str text, void *out);

#endif
