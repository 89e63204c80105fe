/* The Content-MD5 header: base64 (RFC 1864), or hex in either case, as many clients send
 * it. */
#ifndef MASTER_CONTENT_MD5_H
#define MASTER_CONTENT_MD5_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/parse.h"
#include "common/md5.h"

/* false: the header is malformed. *given: there is one, and its sum is in `sum`. */
bool content_md5_read(const struct http_head *head, bool *given, uint8_t sum[MD5_BYTES]);

#endif
