/*
 * Header lines are written once and sent as they are, so the one thing that must hold
 * here is that a value can never end its line: whatever a key, an index record or a
 * peer's answer brought into it, CR, LF and NUL become spaces.
 */
#include "common/http_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/assure.h"
#include "common/log.h"

void http_fields_add(struct http_fields *f, const char *name, const char *fmt, ...)
{
    size_t name_len = strlen(name);
    size_t room = sizeof(f->text) - f->len;
    char *line = f->text + f->len;
    char *value = line + name_len + 2;
    va_list ap;
    int n;

    assure(f->len <= sizeof(f->text));
    /* ": ", and a NUL from vsnprintf where "\r" will be, and "\n" */
    if (room < name_len + 4)
        goto full;
    room -= name_len + 4;

    va_start(ap, fmt);
    n = vsnprintf(value, room + 1, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n > room)
        goto full;

    memcpy(line, name, name_len);
    line[name_len] = ':';
    line[name_len + 1] = ' ';
    for (int i = 0; i < n; i++)
        if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
            value[i] = ' ';
    value[n] = '\r';
    value[n + 1] = '\n';
    f->len += name_len + 2 + (size_t)n + 2;
    return;

full:
    /* The length of a value may come from the index, so this is no assert. */
    log_warn("a %s header does not fit in the answer and is left out", name);
}
