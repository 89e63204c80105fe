/*
 * Named points at which a build made for it (VARIANT=crash) kills itself as kill -9 would,
 * so that tests/crash can try each moment between two steps of an operation. In any other
 * build they are nothing.
 *
 * MKV_CRASH_AT="name:n" in the environment: when the point of that name is passed for the
 * n-th time (1: the first). MKV_CRASH_AT="?": none, but each that is passed is a line on
 * standard error.
 */
#ifndef MASTER_CRASH_POINT_H
#define MASTER_CRASH_POINT_H

#ifdef MKV_CRASH_POINTS
/* Any thread. Names are found by the tests in the sources: literals, each used once. */
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
