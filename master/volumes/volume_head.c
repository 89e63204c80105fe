/* A HEAD to a volume: see volume_head.h. */
#include "master/volumes/volume_head.h"

#include "master/volumes/target.h"

struct call *volume_head(struct http_client *client, struct str place, struct str path,
                         int limit_ms, const struct call_ops *ops, void *arg)
{
    struct target target;

    target_of(&target, place, path);
    return call_start(client,
                      &(struct call_spec){.authority = target.authority,
                                          .method = STR("HEAD"),
                                          .target = target.path,
                                          .body = HTTP_BODY_NONE,
                                          .connect_ms = limit_ms,
                                          .send_ms = limit_ms,
                                          .answer_ms = limit_ms},
                      ops, arg);
}
