/* See progress.h. Nothing is buffered and nothing waits: whoever works says how far it is,
 * and what is due is written from there. */
#include "master/jobs/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    BAR_MS = 200,
    LINE_MS = 5000,
    BAR_WIDTH = 30,
    REPORT_MAX = 4096,
};

struct progress {
    const char *what, *units;
    bool terminal;
    bool shown; /* a bar stands on the terminal's last line */
    uint64_t begun, due;
};

struct progress *progress_new(const char *what, const char *units)
{
    struct progress *p = xcalloc(1, sizeof(*p));

    p->what = what;
    p->units = units;
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->begun = clock_ms();
    p->due = p->begun + (p->terminal ? BAR_MS : LINE_MS);
    return p;
}

const char *progress_number(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    char *o = out;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *o++ = ',';
        *o++ = digits[i];
    }
    *o = '\0';
    return out;
}

uint64_t progress_rate(uint64_t n, uint64_t ms)
{
    return n * 1000 / (ms > 0 ? ms : 1);
}

static void clear(struct progress *p)
{
    static const char text[] = "\r\033[K";

    if (p->shown && write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        p->terminal = false;
    p->shown = false;
}

static void put_left(uint64_t ms, double part, char *out, size_t room)
{
    double left = part > 0 ? (double)ms / 1000 * (1 - part) / part : -1;

    if (left < 0 || left > 1e7)
        snprintf(out, room, "-");
    else if (left < 3600)
        snprintf(out, room, "%d:%02d", (int)left / 60, (int)left % 60);
    else
        snprintf(out, room, "%d:%02d:%02d", (int)left / 3600, (int)left / 60 % 60,
                 (int)left % 60);
}

void progress_at(struct progress *p, uint64_t done, double part)
{
    uint64_t now = clock_coarse_ms();
    char bar[BAR_WIDTH + 1], number[32], rate[32], left[32], line[256];

    if (now < p->due)
        return;
    p->due = now + (p->terminal ? BAR_MS : LINE_MS);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    uint64_t ms = now > p->begun ? now - p->begun : 1;
    progress_number(done, number);
    progress_number(progress_rate(done, ms), rate);
    put_left(ms, part, left, sizeof(left));
    if (!p->terminal) {
        log_info("%s: %d %%, %s %s, %s/s, %s left", p->what, (int)(part * 100), number,
                 p->units, rate, left);
        return;
    }
    int full = (int)(part * BAR_WIDTH);
    memset(bar, '#', (size_t)full);
    memset(bar + full, '.', (size_t)(BAR_WIDTH - full));
    bar[BAR_WIDTH] = '\0';
    int n = snprintf(line, sizeof(line), "\r%s [%s] %d %%  %s %s  %s/s  %s left\033[K",
                     p->what, bar, (int)(part * 100), number, p->units, rate, left);
    p->shown =
        n > 0 && (size_t)n < sizeof(line) && write(STDERR_FILENO, line, (size_t)n) == n;
}

void progress_free(struct progress **pp)
{
    struct progress *p = *pp;

    *pp = NULL;
    if (!p)
        return;
    clear(p);
    free(p);
}

void progress_report(struct progress *p, const char *fmt, ...)
{
    char text[REPORT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clear(p);
    log_warn("%s", text);
}
