/*
 * Command-line flags as Go's flag package reads them: one dash or two, "-flag v" or
 * "-flag=v"; a boolean takes only "-flag" or "-flag=v" (1 t true 0 f false, any case).
 * "--" ends flags.
 */
#ifndef COMMON_FLAGS_H
#define COMMON_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum flag_kind {
    FLAG_BOOL,     /* bool * */
    FLAG_INT,      /* int *, within min..max */
    FLAG_STRING,   /* const char ** : points into argv */
    FLAG_DURATION, /* int *, milliseconds, from Go's syntax: 300ms, 1.5s, 2m, 1h;
                    * min..max */
};

struct flag {
    const char *name;
    enum flag_kind kind;
    void *value; /* holds the default before parsing */
    int min, max;
    const char *arg;  /* the placeholder in the help, e.g. "host:port,…" */
    const char *help; /* one sentence; the default is printed after it */
};

/* Parses argv[1..argc) against flags (ended by a NULL name); flags may stand before and
 * after positional words, which are gathered in order into words[0..*n_words) (at most
 * max_words). Returns 0; 1 when -h, -help or --help was asked for; or -1 with one line in
 * err (the caller prints it and exits 2). */
int flags_parse(const struct flag *flags, int argc, char **argv, const char **words,
                int max_words, int *n_words, char *err, size_t errlen);
/* The flags' part of --help. */
void flags_help(const struct flag *flags, FILE *out);

#endif
