/*
 * `mkv server`, see server.h.
 *
 * Parts are opened in the order in which they can fail cheaply (flags, index, port) and
 * closed so that nothing posts to what is gone: the index and the look-up threads post
 * completions to loops, so both end before the service frees those.
 */
#include "master/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"
#include "common/service.h"
#include "common/workers.h"
#include "master/master.h"
#include "master/removals.h"
#include "master/resting.h"
#include "master/route.h"
#include "master/sweeper.h"

enum {
    LOOKUP_THREADS = 4,
    CONNECT_MS = 2000, /* to a volume: there are others */
    SWEEPER = 0,       /* the loop that runs the sweeper */
};

/* Kept until the end: whether all requests of a shard are over is asked after its loop
 * is. */
struct kept_shard {
    struct shard shard;
    int number;
    struct kept_shard *next;
};

struct server {
    struct master master;
    struct workers *lookups;
    struct resting *resting;
    struct sweeper *sweeper;
    struct kept_shard *shards;
};

static void *shard_new(void *arg, struct loop *loop, int number)
{
    struct server *server = arg;
    struct kept_shard *kept = xcalloc(1, sizeof(*kept));
    struct shard *shard = &kept->shard;
    struct http_client_config client;

    http_client_defaults(&client);
    client.agent = "mkv";
    client.lookups = server->lookups;
    client.connect_ms = CONNECT_MS;
    client.answer_ms = server->master.answer_ms;
    shard->master = &server->master;
    shard->loop = loop;
    shard->client = http_client_new(loop, &client);
    kept->number = number;
    kept->next = server->shards;
    server->shards = kept;
    if (number == SWEEPER)
        sweeper_start(server->sweeper, loop, shard->client);
    return shard;
}

/* The last exchange is over, but a request whose client left may still be at work. */
static void shard_drain(void *arg, void *ctx, struct task *rested)
{
    struct shard *shard = ctx;

    (void)arg;
    if (shard->running == 0)
        loop_defer(shard->loop, rested);
    else
        shard->drained = rested;
}

static void shard_free(void *arg, void *ctx)
{
    struct server *server = arg;
    struct kept_shard *kept = container_of(ctx, struct kept_shard, shard);

    if (kept->number == SWEEPER)
        sweeper_stop(server->sweeper);
    kept->shard.drained = NULL;
    http_client_free(&kept->shard.client);
}

static bool all_over(const struct server *server)
{
    for (struct kept_shard *kept = server->shards; kept != NULL; kept = kept->next)
        if (kept->shard.running > 0)
            return false;
    return true;
}

static void shards_free(struct server *server)
{
    while (server->shards != NULL) {
        struct kept_shard *kept = server->shards;

        server->shards = kept->next;
        free(kept);
    }
}

int server_run(const struct config *config)
{
    struct index_options options = {.path = config->db, .sync = config->sync};
    struct server server = {
        .master =
            {
                .fallback = config->fallback,
                .protect = config->protect,
                .md5sum = config->md5sum,
                .voltimeout_ms = config->voltimeout_ms,
                .answer_ms = config->answer_ms,
            },
    };
    struct master *master = &server.master;
    struct service *service = NULL;
    struct service_config service_config;
    char err[512] = "";
    int status = 2;

    if (config->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    master->volumes = volumes_new(config->volumes, config->replicas, config->subvolumes,
                                  config->public_volumes, err, sizeof(err));
    if (master->volumes == NULL)
        goto out;

    status = 1;
    master->index = index_open(&options, err, sizeof(err));
    if (master->index == NULL)
        goto out;
    server.resting = resting_new();
    master->removals = removals_new(master->index, master->volumes, server.resting);
    server.sweeper = sweeper_new(master->removals, master->index, server.resting);
    server.lookups = workers_new("lookup", LOOKUP_THREADS);

    service_defaults(&service_config);
    service_config.bind = config->bind[0] == '\0' ? NULL : config->bind;
    service_config.port = config->port;
    service_config.loops = config->loops;
    service_config.drain_ms = config->drain_ms;
    service_config.http.name = "mkv";
    service_config.http.on_request = master_on_request;
    service_config.http.on_finished = config->verbose ? master_on_finished : NULL;
    service_config.shard_new = shard_new;
    service_config.shard_drain = shard_drain;
    service_config.shard_free = shard_free;
    service_config.arg = &server;
    service = service_new(&service_config, err, sizeof(err));
    if (service == NULL)
        goto out;

    log_info("mkv serves on port %d, with %d volumes", service_port(service),
             volumes_count(master->volumes));
    int ran = service_run(service);
    if (ran < 0) {
        snprintf(err, sizeof(err), "cannot start a thread: %s", strerror(-ran));
        goto out;
    }
    status = ran;
    if (!all_over(&server)) {
        /* Requests that the drain's limit cut off from their volumes. Their loops have
         * stopped, so nobody can finish them, and completions of the index would find
         * closed parts; leave as a crash would, which loses nothing. */
        log_warn("requests were cut while under way: leaving as if killed");
        _exit(1);
    }

out:
    if (err[0] != '\0')
        fprintf(stderr, "mkv: %s\n", err);
    if (master->removals != NULL)
        removals_free(&master->removals);
    if (server.sweeper != NULL)
        sweeper_free(&server.sweeper);
    if (server.resting != NULL)
        resting_free(&server.resting);
    if (master->index != NULL)
        index_close(&master->index);
    if (server.lookups != NULL)
        workers_free(&server.lookups);
    if (service != NULL)
        service_free(&service);
    shards_free(&server);
    volumes_free(&master->volumes);
    return status;
}
