/*
 * The preconditions of a GET or HEAD (RFC 9110 §13), evaluated as nginx does:
 * If-Unmodified-Since, If-Match, then If-Modified-Since and If-None-Match together;
 * If-Range.
 */
#ifndef VOLUMED_CONDITIONAL_H
#define VOLUMED_CONDITIONAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/http/parse.h"
#include "common/str.h"

enum { ETAG_MAX = 40 };

/* nginx's: "mtime-size" in hex, with its quotes. Returns the length. */
size_t etag_of(const struct stat *st, char out[ETAG_MAX]);

/* 200: go on; 304 or 412: answer with that. A listing has no validators (etag.n == 0,
 * mtime == -1), but is there: "*" matches it, nothing else does. */
int conditional_status(const struct http_head *head, struct str etag, int64_t mtime);
/* May a Range header be honoured, as far as If-Range says? */
bool conditional_range(const struct http_head *head, struct str etag, int64_t mtime);

#endif
