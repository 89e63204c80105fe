/* The log's line for a request, of both programs under -v. */
#ifndef COMMON_HTTP_REQUEST_LOG_H
#define COMMON_HTTP_REQUEST_LOG_H

#include "common/http/server.h"

/* From on_finished. `path` and `query` (with its '?', or nothing) are what the line calls
 * the target: two, since a program may write its paths in a form of its own. Any
 * thread. */
void request_log(const struct exchange *ex, struct str path, struct str query);

#endif
