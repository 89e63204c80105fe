/*
 * Input for parsers, placed at the end of a page behind which nothing can be read: a read
 * of one byte too many is a crash, also where no sanitizer watches. To be included after
 * cmocka.
 */
#ifndef TESTS_UNIT_WALL_H
#define TESTS_UNIT_WALL_H

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WALL_ROOM = 128 * 1024 };

/* A copy of p[0..n) that ends at the wall. It is overwritten by the next one. */
static inline char *at_wall(const char *p, size_t n)
{
    static char *wall; /* the first byte that may not be read */

    if (!wall) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *room = mmap(NULL, WALL_ROOM + page, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(room != MAP_FAILED);
        assert_int_equal(mprotect(room + WALL_ROOM, page, PROT_NONE), 0);
        wall = room + WALL_ROOM;
    }
    assert_true(n <= WALL_ROOM);
    if (n > 0)
        memcpy(wall - n, p, n);
    return wall - n;
}

#endif
