/* Crash points, see crash_point.h. */
#include "master/crash_point.h"

#ifdef MKV_CRASH_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void crash_point(const char *name)
{
    static atomic_int passed;
    const char *at = getenv("MKV_CRASH_AT");
    size_t n = strlen(name);

    if (at && strcmp(at, "?") == 0)
        fprintf(stderr, "crash point: %s\n", name);
    if (!at || strncmp(at, name, n) != 0 || at[n] != ':')
        return;
    if (atomic_fetch_add(&passed, 1) + 1 == atoi(at + n + 1))
        kill(getpid(), SIGKILL);
}

#else
/* An empty translation unit is no C. */
typedef int no_crash_points;
#endif
