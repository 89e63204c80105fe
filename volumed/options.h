/* The command line of volumed: flags, their defaults, and what is wrong with them. */
#ifndef VOLUMED_OPTIONS_H
#define VOLUMED_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct options {
    const char *dir;        /* the folder to serve */
    int port;               /* 0: the kernel chooses */
    const char *bind;       /* "" for all addresses */
    const char *access_log; /* "" for none */
    bool sync, verbose;
    int threads; /* of a drive: so many to read, so many to write */
    int loops;   /* 0: one per core */
    int drain_ms, head_ms, body_ms, send_ms, idle_ms, hang_ms;
};

/* Strings point into argv. 0; 1 when help was asked for; -1 with one line in err. */
int options_read(int argc, char **argv, struct options *options, char *err,
                 size_t errlen);
void options_help(FILE *out);

#endif
