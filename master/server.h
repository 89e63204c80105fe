/*
 * A process of the master: builds its parts, runs them, and closes them in order.
 * `mkv server` serves; work over all keys runs in such a process too, without a listening
 * socket.
 */
#ifndef MASTER_SERVER_H
#define MASTER_SERVER_H

#include "common/service.h"
#include "master/config.h"
#include "master/master.h"

/* What a process that does not serve is there for. */
struct server_work {
    /* All parts are there, no loop runs yet. service_stop() ends the process. */
    void (*begin)(void *arg, struct shard *const *shards, int n, struct service *service);
    /* It is to end (a signal, service_stop()). On each loop. */
    void (*stop)(void *arg);
    /* The loops have ended, and nothing had to be cut: the exit status. */
    int (*status)(void *arg);
    void *arg;
};

/* `work`: NULL to serve. Returns the exit status: the work's, or 0 after a drain; 1 when
 * what was under way had to be cut at its limit; with one line on standard error, 2 where
 * the flags are wrong, 1 where the world is (a port in use, an index that cannot be
 * opened, a thread that cannot be started). */
int server_run(const struct config *config, const struct server_work *work);

#endif
