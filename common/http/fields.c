/*
 * Header lines are written once and sent as they are, so the one thing that must hold
 * here is that a value can never end its line: whatever a key, an index record or a
 * peer's answer brought into it, CR, LF and NUL become spaces.
 */
#include "common/http/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/assure.h"
#include "common/log.h"

/* Room for the value of a new line and, behind it, two bytes more (which hold the NUL of
 * printf, and then the line's end): how much it may be, *value where it goes. NULL: there
 * is none. */
static char *room_for_value(struct http_fields *f, size_t name_len, size_t *room)
{
    assure(f->len <= sizeof(f->text));
    *room = sizeof(f->text) - f->len;
    if (*room < name_len + 4) /* ": " and "\r\n" */
        return NULL;
    *room -= name_len + 4;
    return f->text + f->len + name_len + 2;
}

/* The value stands where it belongs: the rest of its line. */
static void end_line(struct http_fields *f, const char *name, size_t name_len,
                     char *value, size_t n)
{
    char *line = f->text + f->len;
    memcpy(line, name, name_len);
    line[name_len] = ':';
    line[name_len + 1] = ' ';
    for (size_t i = 0; i < n; i++)
        if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
            value[i] = ' ';
    value[n] = '\r';
    value[n + 1] = '\n';
    f->len += name_len + 2 + n + 2;
}

/* The length of a value may come from the index, so this is no assert. */
static void does_not_fit(const char *name)
{
    log_warn("a %s header does not fit in the answer and is left out", name);
}

void http_fields_put(struct http_fields *f, const char *name, struct str value)
{
    size_t name_len = strlen(name), room;
    char *to = room_for_value(f, name_len, &room);
    if (!to || value.n > room) {
        does_not_fit(name);
        return;
    }
    memcpy(to, value.p, value.n);
    end_line(f, name, name_len, to, value.n);
}

void http_fields_add(struct http_fields *f, const char *name, const char *fmt, ...)
{
    size_t name_len = strlen(name), room;
    char *to = room_for_value(f, name_len, &room);
    va_list ap;
    int n = -1;

    if (to) {
        va_start(ap, fmt);
        n = vsnprintf(to, room + 1, fmt, ap);
        va_end(ap);
    }
    if (n < 0 || (size_t)n > room)
        does_not_fit(name);
    else
        end_line(f, name, name_len, to, (size_t)n);
}
