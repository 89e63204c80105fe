/* A folder's listing in nginx's autoindex JSON. */
#ifndef VOLUMED_LISTING_H
#define VOLUMED_LISTING_H

#include <stdbool.h>

#include "common/http/server.h"

struct listing;

/* Where a folder lies. */
struct listed {
    int top;          /* of the footing; no link may lead out of it */
    const char *path; /* below that: "" or ending in '/' */
    bool served;      /* it is the folder served, whose sv## links may lead anywhere */
};

/* Reads the folder `fd` (taken), sorted. Blocks: workers only. 0 or -errno. */
int listing_read(int fd, const struct listed *of, struct listing **out);
/* Writes on to the answer (begun, chunked), and ends it after the last entry; false as
 * long as there is more to be written when there is room. */
bool listing_write(struct listing *listing, struct exchange *ex);
void listing_free(struct listing **listing);

#endif
