/*
 * volumed: a volume server. Keeps each value as one plain file below a folder, in nginx's
 * place and with its manners. This file reads the flags, puts the parts together and runs
 * them; what they do is told in volumed.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/http/request_log.h"
#include "common/log.h"
#include "common/service.h"
#include "volumed/answer.h"
#include "volumed/drive.h"
#include "volumed/options.h"
#include "volumed/volumed.h"

enum { LOGGED_MOST = 2048 }; /* of a target, in the line of a request */

static _Noreturn void fail(int status, const char *text)
{
    fprintf(stderr, "volumed: %s\n", text);
    exit(status);
}

/* Makes the folder to serve where there is none. With `sync` its name is on disk from here
 * on, as far as the folder above can be opened: one that was there before may have been
 * made a moment ago by another that had no time to sync it. 0 or -errno. */
static int make_folder(const char *dir, bool sync)
{
    bool made = mkdir(dir, 0775) == 0;
    int err = made || errno == EEXIST ? 0 : -errno;
    if (err || !sync)
        return err;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int above = fd < 0 ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system that has nothing to sync in a folder. */
    if ((above < 0 || fsync(above)) && made && errno != EINVAL)
        err = -errno;
    if (above >= 0)
        close(above);
    if (fd >= 0)
        close(fd);
    return err;
}

static void log_request(void *ctx, const struct exchange *ex)
{
    struct str target = exchange_head(ex)->target;
    (void)ctx;
    if (target.n > LOGGED_MOST)
        target.n = LOGGED_MOST;
    request_log(ex, target, STR(""));
}

static void *shard_new(void *arg, struct loop *loop, int number)
{
    struct shard *shard = xcalloc(1, sizeof(*shard));
    (void)number;
    shard->volumed = arg;
    shard->loop = loop;
    drives_serve(shard->volumed->drives, loop);
    shard->next = shard->volumed->shards;
    shard->volumed->shards = shard;
    return shard;
}

/* A job of a hung drive never ends, and joining its thread would wait for it forever. */
static void give_up(int signal)
{
    static const char text[] = "volumed: a drive does not answer; leaving it\n";
    (void)signal;
    ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)n;
    _exit(1);
}

static int serve(const struct options *o)
{
    char err[512];
    struct volumed volumed = {.sync = o->sync};
    struct service_config config;

    if (o->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    volumed.drives = drives_open(o->dir, o->threads, o->sync, err, sizeof(err));
    if (!volumed.drives)
        fail(1, err);

    service_defaults(&config);
    config.bind = o->bind[0] ? o->bind : NULL;
    config.port = o->port;
    config.loops = o->loops;
    config.drain_ms = o->drain_ms;
    config.access_log = o->access_log[0] ? o->access_log : NULL;
    config.http.name = SERVER_NAME;
    config.http.on_request = route_request;
    config.http.on_refused = route_refused;
    config.http.on_finished = o->verbose ? log_request : NULL;
    config.http.head_ms = o->head_ms;
    config.http.body_ms = o->body_ms;
    config.http.send_ms = o->send_ms;
    config.http.idle_ms = o->idle_ms;
    config.shard_new = shard_new;
    config.arg = &volumed;
    struct service *service = service_new(&config, err, sizeof(err));
    if (!service) {
        drives_free(&volumed.drives);
        fail(1, err);
    }
    volumed.port = service_port(service);
    log_info("serving %s on port %d%s", o->dir, volumed.port,
             o->sync ? "" : ", without syncing");
    drives_wake(volumed.drives, service_loop(service, 0), o->hang_ms);
    int status = service_run(service);
    if (status < 0)
        fprintf(stderr, "volumed: cannot start a thread: %s\n", strerror(-status));

    /* Jobs of requests that were cut may still run; they post to the loops. */
    signal(SIGALRM, give_up);
    alarm(o->drain_ms < 10 * 1000 ? 1 + (unsigned)o->drain_ms / 1000 : 10);
    drives_end(volumed.drives);
    service_free(&service);
    drives_free(&volumed.drives);
    while (volumed.shards) {
        struct shard *shard = volumed.shards;
        volumed.shards = shard->next;
        free(shard);
    }
    log_info("stopped");
    return status < 0 ? 1 : status;
}

int main(int argc, char **argv)
{
    struct options o;
    char err[512];

    switch (options_read(argc, argv, &o, err, sizeof(err))) {
    case 0:
        break;
    case 1:
        options_help(stdout);
        return 0;
    default:
        fail(2, err);
    }
    umask(0); /* file modes are ours to choose, as nginx's dav_access does */
    int made = make_folder(o.dir, o.sync);
    if (made) {
        snprintf(err, sizeof(err), "cannot make %.200s: %s", o.dir, strerror(-made));
        fail(1, err);
    }
    return serve(&o);
}
