/*
 * The prober: asks each volume that is thought down, again and again, whether it answers.
 * Since health orders attempts, a volume that came back would otherwise get no request
 * that could tell.
 */
#ifndef MASTER_VOLUMES_PROBER_H
#define MASTER_VOLUMES_PROBER_H

#include "common/http/client.h"
#include "common/loop.h"
#include "master/volumes/volumes.h"

struct prober;

/* An answer may take `answer_ms`. The volumes outlive it. */
struct prober *prober_new(struct volumes *volumes, int answer_ms);
/* It runs on this loop with this client from now on. */
void prober_start(struct prober *prober, struct loop *loop, struct http_client *client);
/* On that loop, before its client is freed. */
void prober_stop(struct prober *prober);
void prober_free(struct prober **prober);

#endif
