/*
 * Walks the files of one place (a volume, or a subvolume of it) over HTTP, by the JSON
 * listings of its folders: <place>/xx/yy/… and all below. For rebuild, which makes the
 * index of what is found, and for whoever looks for files that no record names.
 *
 * Whole or failed: a folder is asked for again a few times, and one that cannot be read
 * then fails the walk. That holds for 404 too. No server of ours takes a folder away, so
 * one that was listed and is gone is the sign of a drive that went away, with all else
 * that was on it.
 *
 * Memory is bounded: folders still to be read are kept by name (4 MiB of them, then the
 * walk fails), files are told as they come. One loop.
 */
#ifndef MASTER_JOBS_VOLUME_WALK_H
#define MASTER_JOBS_VOLUME_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"
#include "common/loop.h"
#include "common/str.h"

struct volume_walk;

/* Called from the loop, never from within volume_walk_start(). Strings are valid during
 * the call only. */
struct volume_walk_ops {
    /* A file below the folders xx/yy: its path as it lies on the disk, "/xx/yy/…". It is
     * told again where a folder had to be read again. */
    void (*file)(void *arg, struct str path, uint64_t size, int64_t mtime);
    /* At the top of the place something is called sv##. `folder`: it is one, or a link
     * to one. */
    void (*subvolume)(void *arg, struct str name, bool folder);
    /* Not ours: a path that no key has a file at, and not followed. `within`: it lies
     * below folders xx/yy, where nothing but values should. Maybe told again, as files. */
    void (*foreign)(void *arg, struct str path, bool within);
    /* The end. `failure`: NULL when all was read, else a line. */
    void (*done)(void *arg, const char *failure);
};

struct volume_walk_spec {
    struct http_client *client;
    struct loop *loop;
    struct str place; /* "host:port/prefix/sv03" */
    int at_once;      /* requests under way at a time */
    int answer_ms;    /* for a listing to begin, and between two stretches of it */
    int retry_ms;     /* before a folder is asked for again; then twice that, … */
};

/* All of `spec` is copied but the client and the loop. */
struct volume_walk *volume_walk_start(const struct volume_walk_spec *spec,
                                      const struct volume_walk_ops *ops, void *arg);
/* No done() follows if it has not been called. Not from within a callback but done(). */
void volume_walk_free(struct volume_walk **walk);

/* Tells of no file and nothing foreign until volume_walk_resume(). Subvolumes, which are
 * few, and the end may be told meanwhile. From any callback, or outside of them. */
void volume_walk_pause(struct volume_walk *walk);
/* Not from within a callback. */
void volume_walk_resume(struct volume_walk *walk);

/* From now on at most so many requests at a time, 1 to what the spec says. */
void volume_walk_at_once(struct volume_walk *walk, int n);
/* How much of it is through, 0 to 1: folders of equal depth count the same. */
double volume_walk_part(const struct volume_walk *walk);
/* Has any folder xx been found? Where a drive is not mounted there is none. */
bool volume_walk_found_any(const struct volume_walk *walk);

#endif
