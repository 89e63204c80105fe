/*
 * A server process: one loop per core with an HTTP server on each, one listening socket
 * for all, signals, and the drain. Both programs are this, with a different handler.
 *
 * New connections go to the loop that has the fewest. Running out of descriptors pauses
 * accepting for a second, then it goes on. SIGTERM and SIGINT drain: no more accepts,
 * running exchanges finish (up to drain_ms), then service_run returns.
 */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/http/server.h"
#include "common/loop.h"

struct service;

enum { LOOPS_MAX = 256 };

struct service_config {
    const char *bind; /* NULL: all addresses */
    int port;         /* 0: the kernel chooses; service_port() tells */
    bool deaf;        /* no listening socket: loops, signals and drain for other work */
    int loops;        /* 0: one per core this process may use; at most LOOPS_MAX */
    int drain_ms;     /* default 30 s */
    const char *access_log; /* a file, opened anew at SIGUSR1, or "-"; NULL: none */
    struct http_server_config http; /* ctx is replaced by what shard_new returns */
    /* A loop's own state (client pool, …), made before its loop runs; handed to the HTTP
     * server as ctx. Never NULL. */
    void *(*shard_new)(void *arg, struct loop *loop, int number);
    /* In a drain, on that loop's thread after its last exchange is over: `rested` is to
     * be run (loop_defer) once nothing of the loop's own is under way any more, such as
     * an operation whose client left. May be NULL. */
    void (*shard_drain)(void *arg, void *shard, struct task *rested);
    /* The same, or when the drain's limit has cut it short, before the loop stops. */
    void (*shard_free)(void *arg, void *shard);
    void *arg;
};

void service_defaults(struct service_config *config);
/* Opens the listening socket and makes the loops. NULL: err holds one line. */
struct service *service_new(const struct service_config *config, char *err,
                            size_t errlen);
/* The loop of that number, from 0; it exists before it runs. */
struct loop *service_loop(struct service *service, int number);
int service_port(const struct service *service);
/* Runs until a signal has drained it. 0; 1 when exchanges had to be cut at the limit;
 * -errno when a loop's thread could not be started and nothing was served. */
int service_run(struct service *service);
/* Any thread, while service_run() runs: the same as SIGTERM. */
void service_stop(struct service *service);
/* After the pools of worker threads are freed, whose jobs may still come back to a
 * loop. */
void service_free(struct service **service);

#endif
