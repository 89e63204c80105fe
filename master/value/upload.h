/*
 * One PUT of a value to a place: the call to the volume with its limits, and what its end
 * means. Used by a PUT's replicas and by copies, so that both judge a volume alike.
 */
#ifndef MASTER_VALUE_UPLOAD_H
#define MASTER_VALUE_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block.h"
#include "common/http/client.h"
#include "common/str.h"
#include "master/volumes/volumes.h"

struct upload;

struct upload_spec {
    struct http_client *client;
    struct volumes *volumes; /* told how the call went */
    struct str place;
    struct str path; /* the key's, from placement_path() */
    bool has_length; /* false: sent in chunks */
    uint64_t length;
    int answer_ms; /* for the answer to a small value; grows with the length */
};

/* How it ended. At most one of good and local is set. */
struct upload_end {
    bool good;     /* the volume has acknowledged the whole value */
    bool reached;  /* the whole value went out: without `good` it may be there, or come to
                      be */
    bool answered; /* the volume did answer, so nothing of this call can arrive later */
    bool local;    /* it was our own fault: descriptors, ports, memory */
};

struct upload_ops {
    void (*room)(void *arg); /* connected, or there is room for more; may be NULL */
    /* Over, the upload is gone. From the loop, never from within a call below. */
    void (*done)(void *arg, const struct upload_end *end);
};

/* `place` must stay where it is until the end, all else is copied. Nothing goes out
 * before the first upload_send(), so that head and body of a small value leave in one
 * write. */
struct upload *upload_start(const struct upload_spec *spec, const struct upload_ops *ops,
                            void *arg);
void upload_send(struct upload *upload, struct block *block, const char *data,
                 size_t len);
/* That was all of it: only from now on can the volume carry it out. */
void upload_finish(struct upload *upload);
bool upload_connected(const struct upload *upload);
/* Wait for room(). */
bool upload_full(const struct upload *upload);
/* Cuts it, no done() follows; returns whether the whole value had gone out. */
bool upload_cancel(struct upload **upload);

#endif
