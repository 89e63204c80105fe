/*
 * Asserts for what the program itself guarantees. Always on, and never with work inside:
 * a server that has lost its own invariants must stop before it writes. What the world
 * can do (a peer, a disk, a user) is an error, never an assert.
 */
#ifndef COMMON_ASSURE_H
#define COMMON_ASSURE_H

/* Prints where and what, then aborts. */
_Noreturn void assure_failed(const char *expr, const char *file, int line);

#define assure(expr)                                  \
    do {                                              \
        if (__builtin_expect(!(expr), 0))             \
            assure_failed(#expr, __FILE__, __LINE__); \
    } while (0)

/* malloc, calloc, strdup that never return NULL: out of memory ends the process with a
 * line. */
void *xmalloc(unsigned long size);
void *xcalloc(unsigned long n, unsigned long size);
void *xrealloc(void *p, unsigned long size);
char *xstrdup(const char *s);
char *xmemdupz(const void *p, unsigned long n);

#endif
