/*
 * `mkv server`, see server.h.
 *
 * Parts are opened in the order in which they can fail cheaply (flags, index, port) and
 * closed so that nothing posts to what is gone: the index and the worker threads post
 * completions to loops, so they end before the service frees those.
 */
#include "master/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/cores.h"
#include "common/log.h"
#include "common/service.h"
#include "common/workers.h"
#include "master/client_config.h"
#include "master/jobs/jobs.h"
#include "master/master.h"
#include "master/removals.h"
#include "master/route.h"
#include "master/sweeper.h"
#include "master/volumes/prober.h"
#include "master/volumes/resting.h"

enum {
    LOOKUP_THREADS = 4,
    READERS_SECONDS = 3, /* from a redirect to the volume's answer, usually */
    CARETAKER = 0,       /* the loop that runs the sweeper and the prober */
};

struct server {
    struct master master;
    const struct server_work *work; /* NULL: it serves */
    struct workers *lookups;
    struct sweeper *sweeper;
    struct prober *prober;
    /* Kept until the end: whether all is over on a shard is asked after its loop is. */
    int n_shards;
    struct shard **shard;
};

static void *shard_new(void *arg, struct loop *loop, int number)
{
    struct server *server = arg;
    struct shard *shard = xcalloc(1, sizeof(*shard));
    struct http_client_config client;

    client_config(&client, server->lookups);
    client.send_ms = server->master.stall_ms;
    client.answer_ms = server->master.answer_ms;
    shard->master = &server->master;
    shard->loop = loop;
    shard->client = http_client_new(loop, &client);
    index_join(server->master.index, loop);
    assure(number == server->n_shards);
    server->shard =
        xrealloc(server->shard, (size_t)(number + 1) * sizeof(struct shard *));
    server->shard[server->n_shards++] = shard;
    if (number == CARETAKER) {
        sweeper_start(server->sweeper, loop, shard->client);
        prober_start(server->prober, loop, shard->client);
    }
    return shard;
}

/* The last exchange is over, but a request whose client left may still be at work, and a
 * job is. */
static void shard_drain(void *arg, void *ctx, struct task *rested)
{
    struct server *server = arg;
    struct shard *shard = ctx;

    if (server->work)
        server->work->stop(server->work->arg);
    else
        jobs_close(server->master.jobs);
    if (shard->running == 0)
        loop_defer(shard->loop, rested);
    else
        shard->drained = rested;
}

static void shard_free(void *arg, void *ctx)
{
    struct server *server = arg;
    struct shard *shard = ctx;

    if (shard == server->shard[CARETAKER]) {
        sweeper_stop(server->sweeper);
        prober_stop(server->prober);
    }
    shard->drained = NULL;
    http_client_free(&shard->client);
    if (server->master.index) /* else it was closed before the loops ran */
        index_part(server->master.index, shard->loop);
}

static bool all_over(const struct server *server)
{
    for (int i = 0; i < server->n_shards; i++)
        if (server->shard[i]->running > 0)
            return false;
    return true;
}

static void shards_free(struct server *server)
{
    for (int i = 0; i < server->n_shards; i++)
        free(server->shard[i]);
    free(server->shard);
}

/* Runs until a signal, or the work, has ended it; the exit status. */
static int run(struct server *server, struct service *service)
{
    struct master *master = &server->master;
    int ran;

    if (server->work) {
        server->work->begin(server->work->arg, server->shard, server->n_shards, service);
    } else {
        log_info("mkv serves on port %d, with %d volumes", service_port(service),
                 volumes_count(master->volumes));
    }
    ran = service_run(service);
    if (ran < 0 && server->work)
        server->work->stop(server->work->arg);
    if (ran < 0)
        fprintf(stderr, "mkv: cannot start a thread: %s\n", strerror(-ran));
    else if (server->work && ran == 0)
        ran = server->work->status(server->work->arg);
    return ran < 0 ? 1 : ran;
}

/* --- the parts --------------------------------------------------------------------- */
static struct master master_of(const struct config *config, bool serves)
{
    return (struct master){
        .list_ms = config->list_ms,
        .orphan_age_s = config->orphan_age_ms / 1000,
        .readers_s = serves ? READERS_SECONDS : 0,
        .fallback = config->fallback,
        .protect = config->protect,
        .md5sum = config->md5sum,
        .voltimeout_ms = config->voltimeout_ms,
        .stall_ms = config->stall_ms,
        .answer_ms = config->answer_ms,
    };
}

/* What cannot fail, once volumes and index are there. */
static void make_parts(struct server *server)
{
    struct master *master = &server->master;

    master->resting = resting_new();
    master->unlisted = resting_new();
    master->removals = removals_new(master->index, master->volumes, master->resting);
    server->sweeper = sweeper_new(master->removals, master->index, master->resting);
    server->prober = prober_new(master->volumes, master->voltimeout_ms);
    server->lookups = workers_new("lookup", LOOKUP_THREADS);
    master->summers = workers_new("md5", cores());
}

/* All that there is, as far as it was opened. false: the index, which said so, may have
 * lost what it took without a sync. */
static bool close_parts(struct server *server, struct service **service)
{
    struct master *master = &server->master;
    int closed;

    jobs_free(&master->jobs);
    if (master->removals)
        removals_free(&master->removals);
    if (server->sweeper)
        sweeper_free(&server->sweeper);
    if (master->resting)
        resting_free(&master->resting);
    if (master->unlisted)
        resting_free(&master->unlisted);
    if (server->prober)
        prober_free(&server->prober);
    closed = index_close(&master->index);
    if (server->lookups)
        workers_free(&server->lookups);
    if (master->summers)
        workers_free(&master->summers);
    if (*service)
        service_free(service);
    shards_free(server);
    volumes_free(&master->volumes);
    return closed == 0;
}

static struct service *open_service(struct server *server, const struct config *config,
                                    char *err, size_t errlen)
{
    struct service_config service;

    service_defaults(&service);
    service.bind = config->bind[0] == '\0' ? NULL : config->bind;
    service.port = config->port;
    service.deaf = server->work != NULL;
    service.loops = config->loops;
    service.drain_ms = config->drain_ms;
    service.access_log = config->access_log[0] == '\0' ? NULL : config->access_log;
    service.http.name = "mkv";
    service.http.on_request = master_on_request;
    service.http.on_finished = config->verbose ? master_on_finished : NULL;
    service.shard_new = shard_new;
    service.shard_drain = shard_drain;
    service.shard_free = shard_free;
    service.arg = server;
    return service_new(&service, err, errlen);
}

int server_run(const struct config *config, const struct server_work *work)
{
    struct index_options options = {.path = config->db, .sync = config->sync};
    struct server server = {.work = work, .master = master_of(config, !work)};
    struct master *master = &server.master;
    struct service *service = NULL;
    char err[512] = "";
    int status = 2;

    if (config->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    master->volumes = volumes_new(config->volumes, config->replicas, config->subvolumes,
                                  config->public_volumes, err, sizeof(err));
    if (!master->volumes)
        goto out;

    status = 1;
    master->index = index_open(&options, err, sizeof(err));
    if (!master->index)
        goto out;
    make_parts(&server);
    service = open_service(&server, config, err, sizeof(err));
    if (!service)
        goto out;
    master->jobs = jobs_new(server.shard, server.n_shards, (unsigned)config->jobs,
                            (unsigned)config->jobs_rate);

    status = run(&server, service);
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
    if (!close_parts(&server, &service) && status == 0)
        status = 1;
    return status;
}
