/*
 * The Range header's arithmetic, as nginx does it (ngx_http_range_filter_module.c in its
 * src/http/modules): overflow, count and total are checked. Pure.
 */
#ifndef VOLUMED_RANGES_H
#define VOLUMED_RANGES_H

#include <stdint.h>

#include "common/str.h"

struct range {
    int64_t start, end; /* bytes start..end-1; start < end <= size */
};

enum ranges_result {
    RANGES_WHOLE, /* no range, or one that is answered with the whole: 200 */
    RANGES_SOME,  /* 206; *n of them */
    RANGES_NONE,  /* not satisfiable: 416 */
};

/* Reads the value of a Range header for a file of `size` bytes. The ranges are allocated
 * (free() them) when there is more than one; a single one is written to *one and *out
 * points there. Their total is never more than `size`. */
enum ranges_result ranges_parse(struct str value, int64_t size, struct range *one,
                                struct range **out, int *n);

#endif
