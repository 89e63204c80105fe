/*
 * A file under way: written where no listing shows it, synced, then given its name. Gone
 * without a trace when it is dropped before that, or when the machine stops.
 */
#ifndef VOLUMED_NEWFILE_H
#define VOLUMED_NEWFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "volumed/place.h"

struct newfile {
    int fd;      /* -1: none */
    int parent;  /* the folder it is to be named in, or -1 as long as that is not open */
    bool sync;   /* it and its name are to be on disk when it is committed */
    bool in_dot; /* it has a name in the drive's dot folder, which is held for it */
    int dot;     /* that folder */
    char temp[32];  /* and its name there */
    int made;       /* folders that were made on its way */
    int64_t length; /* bytes written */
    int64_t pushed; /* bytes the kernel was asked to write back */
};

/* All of it may block: on the workers of the place's drive. The place is settled. 0 or
 * -errno unless said otherwise. */

/* With `sync` it is on disk, by its name, when it has been committed. */
void newfile_init(struct newfile *file, bool sync);
/* Opens it. `at_once`: the name will be taken right away, so missing folders are made
 * now; otherwise no folder is made before the commit. */
int newfile_open(struct newfile *file, const struct place *place, bool at_once);
/* Appends; changes iov. */
int newfile_write(struct newfile *file, struct iovec *iov, int n);
/* Gives the file its name, making missing folders. `mtime` seconds, or -1 for now. With
 * `sync` its bytes are on disk before the name appears, and the name and the folders are
 * when this returns. 201 when the name is new, 204 when it replaced a file, or -errno
 * (-EISDIR: a folder is there). Where the last sync, of name and folders, fails, it is an
 * error though the file has its name, and keeps it: what it replaced is gone. The file is
 * closed in any case. */
int newfile_commit(struct newfile *file, const struct place *place, int64_t mtime);
/* Leaves nothing of it. Harmless when there is none. */
void newfile_drop(struct newfile *file, const struct place *place);

#endif
