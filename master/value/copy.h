/*
 * Copying a key's value from one place to another: a GET whose answer becomes the body of
 * a PUT as it comes, the slower side setting the pace. As in PUT, the last piece is held
 * back until all has come and size and MD5 are right, so the target keeps nothing that is
 * not the value.
 *
 * One loop, one client. The mark of the target must be durable before a copy is started.
 */
#ifndef MASTER_VALUE_COPY_H
#define MASTER_VALUE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"
#include "common/str.h"
#include "master/volumes/volumes.h"

struct copy;
struct workers;

struct copy_spec {
    struct http_client *client;
    struct volumes *volumes; /* told how the calls went */
    struct workers *summers; /* of the MD5 */
    struct str from, to;     /* places */
    struct str path;         /* the key's, from placement_path() */
    bool has_size;
    uint64_t size;
    const char *md5; /* 32 hex digits; "" when none is known */
    int answer_ms;   /* for the answer to a small PUT; grows with the size */
};

enum copy_result {
    COPY_DONE,   /* the target has acknowledged the value */
    COPY_SOURCE, /* the source could not be read to its end, or holds something else */
    COPY_TARGET, /* the target failed */
    COPY_LOCAL,  /* we are out of descriptors or the like */
};

struct copy_end {
    enum copy_result result;
    bool reached;      /* as in struct upload_end, of the target */
    bool answered;     /* the same */
    int source_status; /* of the GET's answer; 0: none */
    uint64_t size;     /* what came from the source; with COPY_DONE the value's size */
    char md5[MD5_HEX + 1]; /* COPY_DONE: the value's */
};

/* All of `spec` is copied. done() is called once, from the loop, never from within
 * this. */
struct copy *copy_start(const struct copy_spec *spec,
                        void (*done)(void *arg, const struct copy_end *end), void *arg);
/* Cuts both sides, no done() follows; returns whether the whole value had gone out. */
bool copy_cancel(struct copy **copy);

#endif
