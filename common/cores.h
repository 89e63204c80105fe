/* How many processors there are to run on. */
#ifndef COMMON_CORES_H
#define COMMON_CORES_H

enum { CORES_MAX = 256 }; /* more are not counted */

/* Those that the calling thread may use (taskset, a container's cpuset): 1..CORES_MAX. */
int cores(void);

#endif
