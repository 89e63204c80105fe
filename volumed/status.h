/* From what the kernel says to what the client is told. */
#ifndef VOLUMED_STATUS_H
#define VOLUMED_STATUS_H

#include "common/str.h"

enum deed {
    DEED_READ,   /* GET, HEAD, a listing */
    DEED_WRITE,  /* PUT */
    DEED_DELETE, /* DELETE */
};

/* The HTTP status for a deed that failed with `err` (positive errno); logs it as it
 * deserves: an absent file not at all, what the operator must see to as an error. Any
 * thread. */
int status_of(enum deed deed, int err, struct str path);
/* The same where no client is left to be told: it is only logged. */
void status_log(enum deed deed, int err, struct str path);

#endif
