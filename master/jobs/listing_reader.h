/*
 * Reads a volume's listing of a folder, nginx's autoindex in JSON, as it comes: bytes in,
 * entries out, one at a time, whatever the length of the folder. Pure: no I/O.
 *
 * Names are bytes. What a file system has in them stands in the listing as it is, but for
 * '"', '\\' and control bytes; the escapes of JSON are undone, and \udc80 to \udcff are
 * the bytes 80 to ff, as in our own lists.
 */
#ifndef MASTER_JOBS_LISTING_READER_H
#define MASTER_JOBS_LISTING_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"

struct listing_reader;

enum listing_kind { LISTED_FOLDER, LISTED_FILE, LISTED_OTHER };

struct listing_entry {
    struct str name; /* a file's name: not empty, no '/' and no NUL; not "." or ".." */
    enum listing_kind kind;
    uint64_t size; /* of a file */
    int64_t mtime; /* epoch seconds; 0 where none is told */
};

struct listing_reader *listing_reader_new(void);
void listing_reader_free(struct listing_reader **reader);
/* For another listing, from its beginning. */
void listing_reader_restart(struct listing_reader *reader);

/* Takes bytes off the front of *in. 1: *entry is the next one, its name valid until the
 * next call; 0: all bytes are taken and more are needed, or the listing has ended; -1:
 * this is no listing, and nothing more is to be asked. */
int listing_reader_next(struct listing_reader *reader, struct str *in,
                        struct listing_entry *entry);
/* Has all of the listing been read? One that was cut off has no end. */
bool listing_reader_ended(const struct listing_reader *reader);

#endif
