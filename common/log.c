/*
 * A log line is built on the stack and leaves in one write(2), so that lines of several
 * threads (and of several processes on one terminal) do not mix, and so that logging
 * takes no lock and no memory. What does not fit is cut and marked; a standard error that
 * is gone or full loses the line rather than hold up the server.
 *
 * The text of the current second is kept per thread: gmtime_r() takes a process-wide
 * lock, which a line per request would feel.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/hex.h"

enum {
    MESSAGE_MAX = 4096, /* bytes of a message before escaping, NUL included */
    STAMP_MAX = 48,     /* "2026-11-21T10:00:00.123Z level " */
    ESCAPED = sizeof("\\xNN") - 1,
};

static const char cut_mark[] = "...";

static atomic_int threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool log_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        break;
    }
    return "debug";
}

static size_t put_stamp(enum log_level level, char out[STAMP_MAX])
{
    static _Thread_local time_t second = -1;
    static _Thread_local char text[sizeof("2026-11-21T10:00:00")];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm tm;
        if (!gmtime_r(&now.tv_sec, &tm) ||
            strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
            text[0] = '\0';
        second = now.tv_sec;
    }
    int n = snprintf(out, STAMP_MAX, "%s.%03dZ %s ", text, (int)(now.tv_nsec / 1000000),
                     level_name(level));
    return n > 0 && n < STAMP_MAX ? (size_t)n : 0;
}

/* Control bytes, and the two bytes of U+0080 to U+009F, which a terminal takes for
 * control characters too. */
static size_t put_escaped(const unsigned char *in, size_t n, char *out)
{
    bool second = false;
    char *o = out;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = in[i];
        bool first = c == 0xc2 && i + 1 < n && (in[i + 1] & 0xe0) == 0x80;
        if (c < 0x20 || c == 0x7f || first || second) {
            *o++ = '\\';
            *o++ = 'x';
            *o++ = hex_digit(c >> 4);
            *o++ = hex_digit(c);
        } else {
            *o++ = (char)c;
        }
        second = first;
    }
    return (size_t)(o - out);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    char line[STAMP_MAX + MESSAGE_MAX * ESCAPED + sizeof(cut_mark)];
    int error = errno; /* for %m, and the caller's afterwards */
    size_t len, n;
    va_list ap;
    int want;

    if (!log_on(level))
        return;

    va_start(ap, fmt);
    want = vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    if (want < 0)
        want = 0;
    n = (size_t)want < sizeof(message) ? (size_t)want : sizeof(message) - 1;

    len = put_stamp(level, line);
    len += put_escaped((const unsigned char *)message, n, line + len);
    if (n < (size_t)want)
        for (const char *p = cut_mark; *p; p++)
            line[len++] = *p;
    line[len++] = '\n';

    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        ;
    errno = error;
}
