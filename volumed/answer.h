/* Answers that are not a file: error pages and redirects, in nginx's form. */
#ifndef VOLUMED_ANSWER_H
#define VOLUMED_ANSWER_H

#include "common/http/server.h"
#include "common/str.h"
#include "volumed/status.h"
#include "volumed/volumed.h"

#define SERVER_NAME "volumed"

/* Owns an exchange that is answered from within on_request. */
void answer_own(struct exchange *ex);

/* A page for `status`. The connection ends after those where nginx ends it. `fields`
 * (NULL: none) gets the Content-Type added. */
void answer_page(struct exchange *ex, int status, struct http_fields *fields);

/* The page for a deed that failed with `err` (positive errno), which is logged as it
 * deserves. A drive's fault does not end the connection: the next request may be for
 * another. */
void answer_failure(struct exchange *ex, enum deed deed, int err, struct str path);

/* Adds Location: http://host:port/path, the path percent-encoded; `slash`: with a '/'
 * after it; `query`: with that behind '?', n = 0 for none. Host is what the request
 * names. */
void answer_location(struct http_fields *fields, const struct shard *shard,
                     struct exchange *ex, struct str path, bool slash, struct str query);

#endif
