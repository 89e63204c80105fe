/* A HEAD to a volume: who asks wants its answer within the time that -voltimeout gives. */
#ifndef MASTER_VOLUMES_VOLUME_HEAD_H
#define MASTER_VOLUMES_VOLUME_HEAD_H

#include "common/http/client.h"
#include "common/str.h"

/* Asks for the path at the place (as target_of() takes them); neither is kept. `limit_ms`
 * bounds connecting, sending and waiting each. */
struct call *volume_head(struct http_client *client, struct str place, struct str path,
                         int limit_ms, const struct call_ops *ops, void *arg);

#endif
