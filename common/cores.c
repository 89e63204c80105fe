/* Processors, see cores.h. */
#include "common/cores.h"

#include <sched.h>

int cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > CORES_MAX ? CORES_MAX : n;
}
