/* The command line, see config.h. One table serves parsing and --help, so neither lags
 * behind. */
#include "master/config.h"

#include <stdlib.h>
#include <string.h>

#include "common/flags.h"
#include "master/record.h"
#include "master/volumes.h"

enum { HOUR_MS = 3600 * 1000, FLAGS_MAX = 24 };

static const char *const commands[] = {"server"};

static void defaults(struct config *c)
{
    *c = (struct config){
        .db = "",
        .fallback = "",
        .volumes = "",
        .port = 3000,
        .replicas = 3,
        .subvolumes = 10,
        .voltimeout_ms = 1000,
        .md5sum = true,
        .bind = "",
        .public_volumes = "",
        .answer_ms = 10 * 1000,
        .drain_ms = 30 * 1000,
        .sync = true,
    };
}

/* The table of flags, with `c` to read them into. */
static void table(struct config *c, struct flag out[FLAGS_MAX])
{
    const struct flag flags[] = {
        {"answertimeout", FLAG_DURATION, &c->answer_ms, 1, HOUR_MS, "time",
         "how long a volume may take to answer a small PUT or a DELETE"},
        {"bind", FLAG_STRING, &c->bind, 0, 0, "address",
         "address to listen on; all of them, IPv6 included, when empty"},
        {"db", FLAG_STRING, &c->db, 0, 0, "folder",
         "the index; made when it is not there"},
        {"drain", FLAG_DURATION, &c->drain_ms, 0, HOUR_MS, "time",
         "how long running requests may take to finish after SIGTERM or SIGINT"},
        {"fallback", FLAG_STRING, &c->fallback, 0, 0, "host:port",
         "where a GET of a missing key is sent; 404 when empty"},
        {"loops", FLAG_INT, &c->loops, 0, 1024, "n", "event loops; one per core when 0"},
        {"md5sum", FLAG_BOOL, &c->md5sum, 0, 0, NULL, "keep the MD5 of values"},
        {"port", FLAG_INT, &c->port, 0, 65535, "port", "port to listen on"},
        {"protect", FLAG_BOOL, &c->protect, 0, 0, NULL,
         "refuse DELETE of a key that was not unlinked before"},
        {"public-volumes", FLAG_STRING, &c->public_volumes, 0, 0, "name=public,…",
         "what redirects call a volume that clients reach by another address"},
        {"replicas", FLAG_INT, &c->replicas, 1, RECORD_PLACES_MAX, "n",
         "copies of a value"},
        {"subvolumes", FLAG_INT, &c->subvolumes, 1, SUBVOLUMES_MAX, "n",
         "disks per volume server"},
        {"sync", FLAG_BOOL, &c->sync, 0, 0, NULL,
         "have the index on disk before a write is acknowledged"},
        {"v", FLAG_BOOL, &c->verbose, 0, 0, NULL, "log every request, and details"},
        {"volumes", FLAG_STRING, &c->volumes, 0, 0, "host:port,…",
         "the volume servers, each host:port or host:port/prefix"},
        {"voltimeout", FLAG_DURATION, &c->voltimeout_ms, 1, HOUR_MS, "time",
         "how long a volume may take to answer a HEAD before the next one is asked"},
        {NULL, FLAG_BOOL, NULL, 0, 0, NULL, NULL},
    };

    _Static_assert(sizeof(flags) <= FLAGS_MAX * sizeof(flags[0]),
                   "FLAGS_MAX is too small");
    memcpy(out, flags, sizeof(flags));
}

static bool is_command(const char *word)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(word, commands[i]) == 0)
            return true;
    return false;
}

/* It goes into Location as it is. */
static bool is_authority(const char *s)
{
    if (strstr(s, "://") != NULL)
        return false;
    for (; *s != '\0'; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
            return false;
    return true;
}

int config_read(int argc, char **argv, struct config *config, char *err, size_t errlen)
{
    struct flag flags[FLAGS_MAX];
    const char *words[2];
    int n, got;

    defaults(config);
    table(config, flags);
    got = flags_parse(flags, argc, argv, words, 2, &n, err, errlen);
    if (got != 0)
        return got;

    if (n == 0)
        snprintf(err, errlen, "need a command: server; see mkv --help");
    else if (!is_command(words[0]))
        snprintf(err, errlen, "unknown command '%s'; see mkv --help", words[0]);
    else if (n > 1)
        snprintf(err, errlen, "unexpected argument '%s' after '%s'", words[1], words[0]);
    else if (config->db[0] == '\0')
        snprintf(err, errlen, "need a path to the index: -db folder");
    else if (!is_authority(config->fallback))
        snprintf(err, errlen, "-fallback: '%s' is not host:port", config->fallback);
    else
        return 0;
    return -1;
}

void config_help(FILE *out)
{
    struct flag flags[FLAGS_MAX];
    struct config config;

    defaults(&config);
    table(&config, flags);
    fputs("usage: mkv [flags] command\n\n"
          "commands:\n"
          "  server  answer the HTTP API, keep the index, store values on the volumes\n\n"
          "flags, before or after the command:\n",
          out);
    flags_help(flags, out);
}
