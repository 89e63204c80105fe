/*
 * What the operations share: the master's parts, one loop's share of them, and a request
 * with its decoded key. Each operation is one file with one entry point, declared in
 * operations.h.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>

#include "common/http_client.h"
#include "common/http_server.h"
#include "common/loop.h"
#include "common/placement.h"
#include "master/index.h"
#include "master/volumes.h"

struct removals;

struct master {
    struct index *index;
    struct volumes *volumes;
    struct removals *removals;
    /* flags */
    const char *fallback; /* "" for none */
    bool protect;
    bool md5sum;
    int voltimeout_ms; /* for a HEAD */
    int answer_ms; /* for a volume's answer to a small PUT or a DELETE; grows with size */
};

/* A loop's share. */
struct shard {
    struct master *master;
    struct loop *loop;
    struct http_client *client;
    unsigned running;     /* requests not freed yet */
    struct task *drained; /* deferred, in a drain, when none is left */
};

/* A request to an operation. The operation owns it from its entry point on and frees it
 * with request_free (which leaves the exchange alone) when it has no more use for it. */
struct request {
    struct shard *shard;
    struct exchange *ex; /* the operation sets it to NULL in its over() */
    struct str key;      /* points into keybuf */
    struct str path;     /* as sent, still percent-encoded; points into the head */
    struct str query;    /* the same, without '?' */
    char keybuf[PLACEMENT_KEY_MAX];
};

/* With an empty key, path and query. Own thread, as request_free. */
struct request *request_new(struct shard *shard, struct exchange *ex);
void request_free(struct request **request);

/* Answers what changed something, or did not: with nothing but the status, or where that
 * is an error with a line that says why. The exchange must be there. */
void request_answer(const struct request *request, int status, const char *why);
/* The status, and the line, for a claim that ended in err. */
int request_claim_refused(int err, const char **why);

#endif
