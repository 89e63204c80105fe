/*
 * volumed: a volume server. Keeps each value as one plain file below a folder, in nginx's
 * place and with its manners. This file reads the flags, puts the parts together and runs
 * them; what they do is told in volumed.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/flags.h"
#include "common/log.h"
#include "common/service.h"
#include "volumed/answer.h"
#include "volumed/drive.h"
#include "volumed/volumed.h"

struct options {
    int port;
    const char *bind;
    bool sync, verbose;
    int threads, loops;
    int drain_ms, body_ms, idle_ms;
};

static void help(const struct flag *flags, FILE *out)
{
    fputs("Usage: volumed [flags] DIR\n"
          "\n"
          "Serves the files below DIR: GET, HEAD, PUT and DELETE as nginx does with\n"
          "\"dav_methods PUT DELETE\", listings of folders as JSON. A PUT is on disk "
          "before it\n"
          "is answered. A folder sv## in DIR may be a mount of, or a link to, another "
          "drive.\n"
          "\n"
          "Flags:\n",
          out);
    flags_help(flags, out);
}

static _Noreturn void fail(int status, const char *text)
{
    fprintf(stderr, "volumed: %s\n", text);
    exit(status);
}

/* The port that stands in the environment, as minikeyvalue's script took it. */
static int default_port(void)
{
    const char *text = getenv("PORT");
    if (!text || !*text)
        return 3001;
    char *end;
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno || *end || port < 0 || port > 65535)
        fail(2, "PORT is no port number");
    return (int)port;
}

/* One line a request. */
static void log_request(void *ctx, const struct exchange *ex)
{
    const struct http_head *head = exchange_head(ex);
    struct exchange_stats stats;
    (void)ctx;
    exchange_stats(ex, &stats);
    log_info("%.*s %.*s %d %llu %llu.%llu ms", (int)head->method.n, head->method.p,
             head->target.n > 2048 ? 2048 : (int)head->target.n, head->target.p,
             stats.status,
             (unsigned long long)(stats.body_in ? stats.body_in : stats.body_out),
             (unsigned long long)stats.micros / 1000,
             (unsigned long long)stats.micros % 1000 / 100);
}

static void *shard_new(void *arg, struct loop *loop, int number)
{
    struct shard *shard = xcalloc(1, sizeof *shard);
    (void)number;
    shard->volumed = arg;
    shard->loop = loop;
    shard->next = shard->volumed->shards;
    shard->volumed->shards = shard;
    return shard;
}

/* A job of a hung drive never ends, and joining its thread would wait for it forever. */
static void give_up(int signal)
{
    static const char text[] = "volumed: a drive does not answer; leaving it\n";
    (void)signal;
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void)n;
    _exit(1);
}

static int serve(const struct options *o, const char *dir)
{
    char err[512];
    struct volumed volumed = {.sync = o->sync};
    struct service_config config;

    if (o->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    volumed.drives = drives_open(dir, o->threads, err, sizeof err);
    if (!volumed.drives)
        fail(1, err);

    service_defaults(&config);
    config.bind = o->bind[0] ? o->bind : NULL;
    config.port = o->port;
    config.loops = o->loops;
    config.drain_ms = o->drain_ms;
    config.http.name = SERVER_NAME;
    config.http.on_request = route_request;
    config.http.on_refused = route_refused;
    config.http.on_finished = o->verbose ? log_request : NULL;
    config.http.body_ms = o->body_ms;
    config.http.idle_ms = o->idle_ms;
    config.shard_new = shard_new;
    config.arg = &volumed;
    struct service *service = service_new(&config, err, sizeof err);
    if (!service) {
        drives_free(&volumed.drives);
        fail(1, err);
    }
    volumed.port = service_port(service);
    log_info("serving %s on port %d%s", dir, volumed.port,
             o->sync ? "" : ", without syncing");
    drives_wake(volumed.drives, service_loop(service, 0));
    int status = service_run(service);
    if (status < 0)
        fprintf(stderr, "volumed: cannot start a thread: %s\n", strerror(-status));

    /* Jobs of requests that were cut may still run; they post to the loops. */
    signal(SIGALRM, give_up);
    alarm(10);
    drives_free(&volumed.drives);
    service_free(&service);
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
    struct options o = {
        .port = default_port(),
        .bind = "",
        .sync = true,
        .threads = 16,
        .drain_ms = 30 * 1000,
        .body_ms = 60 * 1000,
        .idle_ms = 75 * 1000,
    };
    const struct flag flags[] = {
        {.name = "port",
         .kind = FLAG_INT,
         .value = &o.port,
         .max = 65535,
         .arg = "n",
         .help = "Port to listen on; 0 takes any. The default is $PORT if that is set."},
        {.name = "bind",
         .kind = FLAG_STRING,
         .value = &o.bind,
         .arg = "address",
         .help = "Address to listen on; all of the machine's if it is not given."},
        {.name = "sync",
         .kind = FLAG_BOOL,
         .value = &o.sync,
         .help = "Answer a PUT or DELETE only when it is on disk."},
        {.name = "v",
         .kind = FLAG_BOOL,
         .value = &o.verbose,
         .help =
             "Log each request (method, path, status, bytes, milliseconds), and more."},
        {.name = "threads",
         .kind = FLAG_INT,
         .value = &o.threads,
         .min = 1,
         .max = 1024,
         .arg = "n",
         .help = "Threads that wait for a drive, at most: so many to read, so many to "
                 "write."},
        {.name = "loops",
         .kind = FLAG_INT,
         .value = &o.loops,
         .max = 256,
         .arg = "n",
         .help = "Event loops; 0 is one for each core."},
        {.name = "body-timeout",
         .kind = FLAG_DURATION,
         .value = &o.body_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long a client may be silent in the middle of a body."},
        {.name = "idle-timeout",
         .kind = FLAG_DURATION,
         .value = &o.idle_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long a connection is kept between requests."},
        {.name = "drain",
         .kind = FLAG_DURATION,
         .value = &o.drain_ms,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long requests under way may take to end at SIGTERM."},
        {.name = NULL},
    };
    const char *words[2];
    int n_words = 0;
    char err[512];

    int parsed = flags_parse(flags, argc, argv, words, 2, &n_words, err, sizeof err);
    if (parsed > 0) {
        help(flags, stdout);
        return 0;
    }
    if (parsed < 0)
        fail(2, err);
    if (n_words != 1)
        fail(2, n_words ? "one folder is served, not several; see volumed -help"
                        : "which folder? Usage: volumed [flags] DIR");
    umask(0); /* file modes are ours to choose, as nginx's dav_access does */
    if (mkdir(words[0], 0775) && errno != EEXIST) {
        snprintf(err, sizeof err, "cannot make %.200s: %s", words[0], strerror(errno));
        fail(1, err);
    }
    return serve(&o, words[0]);
}
