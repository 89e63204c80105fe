/*
 * Header lines under construction: a bounded text of "Name: value\r\n" lines, for answers
 * of the server and requests of the client alike. Lives on the caller's stack.
 */
#ifndef COMMON_HTTP_FIELDS_H
#define COMMON_HTTP_FIELDS_H

#include <stddef.h>

#include "common/str.h"

enum { HTTP_FIELDS_MAX = 8 * 1024 };

struct http_fields {
    size_t len;
    char text[HTTP_FIELDS_MAX];
};

static inline void http_fields_init(struct http_fields *f)
{
    f->len = 0;
}
/* Appends a line. CR, LF and NUL in the value are replaced by spaces. A line that does
 * not fit is left out, with a warning in the log. */
void http_fields_put(struct http_fields *f, const char *name, struct str value);
/* The same with a value that is printf-formatted. */
__attribute__((format(printf, 3, 4))) void
http_fields_add(struct http_fields *f, const char *name, const char *fmt, ...);

#endif
