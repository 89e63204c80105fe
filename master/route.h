/*
 * From an HTTP request to an operation: decodes the key, tells methods and queries apart,
 * and refuses what none of the operations takes.
 */
#ifndef MASTER_ROUTE_H
#define MASTER_ROUTE_H

#include "common/http/server.h"

/* http_server_config's on_request; ctx is the loop's struct shard. */
void master_on_request(void *ctx, struct exchange *ex);
/* http_server_config's on_finished for -v: one log line for each request. */
void master_on_finished(void *ctx, const struct exchange *ex);

#endif
