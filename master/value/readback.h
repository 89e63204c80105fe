/*
 * Reading a key's file at a place back, to its last byte: its size and its MD5. One loop,
 * one client.
 */
#ifndef MASTER_VALUE_READBACK_H
#define MASTER_VALUE_READBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"
#include "common/md5.h"
#include "common/str.h"
#include "master/volumes/volumes.h"

struct readback;
struct workers;

enum readback_result {
    READBACK_WHOLE,   /* it was read */
    READBACK_MISSING, /* the volume says that there is no such file */
    READBACK_FAILED, /* neither: the volume could not be asked, or the file not be read */
};

struct readback_end {
    enum readback_result result;
    uint64_t size;  /* WHOLE: the file's */
    uint64_t bytes; /* that were read of it, whatever the result */
    char md5[MD5_HEX + 1];
};

struct readback_spec {
    struct http_client *client;
    struct volumes *volumes; /* told how the call went */
    struct workers *summers; /* of the MD5 */
    struct str place;
    struct str path; /* the key's, from placement_path() */
    bool has_size;   /* then one of another size is not read: its MD5 is "" */
    uint64_t size;
};

/* All of `spec` is copied. done() is called once, from the loop, never from within
 * this. */
void readback_start(const struct readback_spec *spec,
                    void (*done)(void *arg, const struct readback_end *end), void *arg);

#endif
