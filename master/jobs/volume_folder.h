/*
 * The folders of a place that a walk has found and not read yet: each a name below its
 * parent, which it keeps, so that a path costs no more than its last name.
 */
#ifndef MASTER_JOBS_VOLUME_FOLDER_H
#define MASTER_JOBS_VOLUME_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/str.h"

struct volume_folder {
    struct volume_folder *parent; /* a reference; NULL: the place itself */
    struct volume_folder *next;   /* the owner's */
    double share;                 /* of the whole walk */
    unsigned refs;
    uint16_t path_n; /* of the whole path below the place, "" or "/xx/yy" */
    uint16_t name_n;
    bool subvolume, is_folder; /* not to be read here, but told */
    char name[];
};

/* Takes a reference to the parent, which may be NULL. *kept counts the bytes of all. */
struct volume_folder *volume_folder_new(struct volume_folder *parent, struct str name,
                                        size_t *kept);
/* NULL is fine. */
void volume_folder_unref(struct volume_folder *folder, size_t *kept);
/* A reference to each of a list, which is empty then. */
void volume_folder_unref_all(struct volume_folder **list, size_t *kept);

/* Writes the path, path_n bytes without a NUL; returns path_n. */
size_t volume_folder_path(const struct volume_folder *folder, char *out);
/* How many folders down from the place it lies; more than 3 are 3. */
int volume_folder_depth(const struct volume_folder *folder);

/* May a folder of that name, so deep, lead to files of keys? */
bool volume_folder_is_ours(struct str name, int depth);

#endif
