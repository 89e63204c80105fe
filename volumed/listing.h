/* A folder's listing in nginx's autoindex JSON. */
#ifndef VOLUMED_LISTING_H
#define VOLUMED_LISTING_H

#include <stdbool.h>

#include "common/http_server.h"

struct listing;

/* Reads the folder `fd` (taken), sorted. `top`: it is the folder served, whose sv## links
 * may lead anywhere. Blocks: workers only. 0 or -errno. */
int listing_read(int fd, bool top, struct listing **out);
/* Writes on to the answer (begun, chunked), and ends it after the last entry; false as
 * long as there is more to be written when there is room. */
bool listing_write(struct listing *listing, struct exchange *ex);
void listing_free(struct listing **listing);

#endif
