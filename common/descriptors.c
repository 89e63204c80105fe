/* The limit of descriptors, and how near it is; see descriptors.h. */
#include "common/descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

enum { KEPT_MOST = 1024 }; /* and a quarter of all at most */

int descriptors_take(void)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            limit.rlim_cur = before;
    }
    rlim_t all = limit.rlim_cur < INT_MAX ? limit.rlim_cur : INT_MAX;
    return (int)(all - (all / 4 < KEPT_MOST ? all / 4 : KEPT_MOST));
}

int descriptors_next(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);
    if (fd < 0)
        return INT_MAX;
    close(fd);
    return fd;
}
