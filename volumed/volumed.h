/*
 * What the parts of a volume server share: the drives, the flags that matter to more than
 * one of them, and one loop's share.
 */
#ifndef VOLUMED_VOLUMED_H
#define VOLUMED_VOLUMED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/http/server.h"
#include "common/loop.h"
#include "volumed/path.h"

struct drives;

struct volumed {
    struct drives *drives;
    bool sync; /* a 201 or 204 means: on disk */
    int port;  /* as it stands in a Location */
    struct shard *shards;
};

/* A loop's share. */
struct shard {
    struct volumed *volumed;
    struct loop *loop;
    size_t held; /* bytes of bodies that wait for more to come */
    struct shard *next;
};

/* One request each, from its head on: the function owns the exchange. `path` is the
 * caller's and only valid during the call. */
void get_answer(struct shard *shard, struct exchange *ex, const struct path *path);
void put_answer(struct shard *shard, struct exchange *ex, const struct path *path);
void delete_answer(struct shard *shard, struct exchange *ex, const struct path *path);

/* http_server_config's on_request and on_refused; ctx is the shard. */
void route_request(void *ctx, struct exchange *ex);
void route_refused(void *ctx, struct exchange *ex, int status);

#endif
