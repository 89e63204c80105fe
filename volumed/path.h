/*
 * From a request's target to a path below the folder served, as nginx reads it. Pure: no
 * I/O.
 */
#ifndef VOLUMED_PATH_H
#define VOLUMED_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/http/parse.h"
#include "common/str.h"

enum { PATH_ROOM = HTTP_LINE_MAX + 1 }; /* a path is never longer than its target */

struct path {
    size_t n;          /* without the NUL that follows */
    struct str query;  /* what stood behind '?', without it; points into the target */
    char z[PATH_ROOM]; /* begins with '/'; no "//", "/./" or "/../" in it, no NUL */
};

/* 0, or -1 for a target that is to be answered with 400: no leading '/', a broken escape,
 * an encoded NUL, a ".." that leads above the top. An empty path (absolute form without
 * a path) stands for "/". */
int path_parse(struct str target, struct path *out);

/* Does it end in '/', and so names a folder? */
bool path_is_folder(const struct path *path);

/* The subvolume a path lies on: its first piece where that is one's name as the master
 * writes it (placement_names_subvolume()). Gives the piece (without slashes) and what
 * follows its slash; false when the path lies on none. */
bool path_subvolume(const struct path *path, struct str *piece, const char **rest);

/* Percent-encodes a path for a Location header, the bytes that nginx encodes. Returns the
 * length; `out` has room for 3 * path.n. */
size_t path_encode(struct str path, char *out);

#endif
