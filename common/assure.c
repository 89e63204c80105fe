/*
 * The last words of a process that must not go on: a broken invariant, or no memory. Both
 * are written with one write(2) from a buffer on the stack, since neither malloc nor
 * stdio can be trusted at that point, and both end in abort(), so that a core shows where
 * it was.
 *
 * Running out of memory ends the process as well: what a server holds is bounded by
 * design, so a failed allocation means that the machine is out of memory, and the index
 * and the volumes are made to survive a process that ends at any moment. A path for it
 * behind every allocation would be code that no test ever runs.
 */
#include "common/assure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void die(const char *line, int len, size_t room)
{
    if (len > 0) {
        size_t n = (size_t)len < room ? (size_t)len : room - 1;
        ssize_t ignored = write(STDERR_FILENO, line, n);
        (void)ignored;
    }
    abort();
}

void assure_failed(const char *expr, const char *file, int line)
{
    char text[512];

    int n = snprintf(text, sizeof(text), "%s:%d: assured, but not so: %s\n", file, line,
                     expr);
    die(text, n, sizeof(text));
}

static void *need(void *p, unsigned long size)
{
    if (__builtin_expect(!p, 0)) {
        char text[64];
        int n = snprintf(text, sizeof(text), "out of memory (%lu bytes)\n", size);
        die(text, n, sizeof(text));
    }
    return p;
}

/* malloc(0) may give NULL, which would look like being out of memory. */
static unsigned long at_least_one(unsigned long size)
{
    return size ? size : 1;
}

void *xmalloc(unsigned long size)
{
    return need(malloc(at_least_one(size)), size);
}

void *xcalloc(unsigned long n, unsigned long size)
{
    return need(calloc(at_least_one(n), at_least_one(size)), size);
}

void *xrealloc(void *p, unsigned long size)
{
    return need(realloc(p, at_least_one(size)), size);
}

char *xstrdup(const char *s)
{
    return xmemdupz(s, strlen(s));
}

char *xmemdupz(const void *p, unsigned long n)
{
    char *copy = xmalloc(n + 1);

    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}
