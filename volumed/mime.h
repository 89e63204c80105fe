/* The Content-Type of a file by its name. */
#ifndef VOLUMED_MIME_H
#define VOLUMED_MIME_H

#include "common/str.h"

/* Never NULL. `path` is the whole path of the request. */
const char *mime_type(struct str path);

#endif
