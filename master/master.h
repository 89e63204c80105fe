/*
 * What the operations share: the master's parts, one loop's share of them, and a request
 * with its decoded key. Each operation is one file with one entry point, declared in
 * operations.h.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>

#include "common/http/client.h"
#include "common/http/server.h"
#include "common/loop.h"
#include "common/placement.h"
#include "master/index.h"
#include "master/volumes/volumes.h"

struct jobs;
struct removals;
struct resting;
struct workers;

struct master {
    struct index *index;
    struct volumes *volumes;
    struct removals *removals;
    struct resting *resting;  /* volumes that leave DELETEs unanswered */
    struct resting *unlisted; /* volumes out of the list that leave HEADs unanswered */
    struct jobs *jobs;        /* NULL in a process that serves nobody */
    struct workers *summers;  /* of bodies under way */
    /* flags */
    const char *fallback; /* "" for none */
    bool protect;
    bool md5sum;
    int voltimeout_ms; /* for a HEAD */
    /* While a volume takes nothing of a body: the others wait for it, and nginx drops a
     * body that is silent for 60 s. */
    int stall_ms;
    int answer_ms; /* for a volume's answer to a small PUT or a DELETE; grows with size */
    int readers_s; /* how long a place is kept that a record names no more, for readers
                      who were sent there; 0: there are none */
    int list_ms;   /* for a volume's listing of a folder */
    int orphan_age_s; /* younger files that nothing names are not deleted */
};

/* A loop's share. */
struct shard {
    struct master *master;
    struct loop *loop;
    struct http_client *client;
    unsigned running;     /* requests, homecomings and the like that are not over */
    struct task *drained; /* deferred, in a drain, when none is left */
};

/* What is under way on a shard counts as running there: a drain waits until it is over.
 * Own thread. */
void shard_enter(struct shard *shard);
void shard_leave(struct shard *shard);

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
