/* The command line, see config.h. One table serves parsing and --help, so neither lags
 * behind. */
#include "master/config.h"

#include <stdlib.h>
#include <string.h>

#include "common/flags.h"
#include "common/service.h"
#include "master/record.h"
#include "master/volumes/volumes.h"

enum { HOUR_MS = 3600 * 1000, FLAGS_MAX = 40 };

static const char *const commands[] = {"rebalance", "rebuild", "server", "verify"};

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
        .access_log = "",
        .public_volumes = "",
        .answer_ms = 10 * 1000,
        .stall_ms = 20 * 1000,
        .drain_ms = 30 * 1000,
        .sync = true,
        .jobs = 16,
        .jobs_rate = 1000,
        .master = "",
        .orphan_age_ms = 7 * 24 * HOUR_MS,
        .list_ms = 2 * 60 * 1000,
    };
}

/* The table of flags, with `c` to read them into. */
static void table(struct config *c, struct flag out[FLAGS_MAX])
{
    const struct flag flags[] = {
        {"access-log", FLAG_STRING, &c->access_log, 0, 0, "file",
         "log each request there, as nginx's \"combined\" does; - is standard output; "
         "SIGUSR1 opens it anew"},
        {"answertimeout", FLAG_DURATION, &c->answer_ms, 1, HOUR_MS, "time",
         "how long a volume may take to answer a small PUT or a DELETE"},
        {"bind", FLAG_STRING, &c->bind, 0, 0, "address",
         "address to listen on; all of them, IPv6 included, when empty"},
        {"db", FLAG_STRING, &c->db, 0, 0, "folder",
         "the index; made when it is not there"},
        {"delete-orphans", FLAG_BOOL, &c->delete_orphans, 0, 0, NULL,
         "verify: delete files that nothing in the index names, if they are old"},
        {"drain", FLAG_DURATION, &c->drain_ms, 0, HOUR_MS, "time",
         "how long running requests may take to finish after SIGTERM or SIGINT"},
        {"fallback", FLAG_STRING, &c->fallback, 0, 0, "host:port",
         "where a GET of a missing key is sent; 404 when empty"},
        {"jobs", FLAG_INT, &c->jobs, 1, 4096, "n",
         "keys, or listings of folders, that work on all keys has under way at a time"},
        {"jobs-rate", FLAG_INT, &c->jobs_rate, 0, 1000 * 1000, "n",
         "keys a second that a job in a running master takes, a MiB of values counting "
         "as one more; no bound when 0"},
        {"listtimeout", FLAG_DURATION, &c->list_ms, 1, HOUR_MS, "time",
         "rebuild, verify: how long a volume may be silent when it lists a folder"},
        {"loops", FLAG_INT, &c->loops, 0, LOOPS_MAX, "n",
         "event loops; one per core when 0"},
        {"master", FLAG_STRING, &c->master, 0, 0, "host:port",
         "have the work done in that running master, and watch it"},
        {"md5sum", FLAG_BOOL, &c->md5sum, 0, 0, NULL, "keep the MD5 of values"},
        {"orphan-age", FLAG_DURATION, &c->orphan_age_ms, 0, 24 * 24 * HOUR_MS, "time",
         "verify: how old a file must be for -delete-orphans to delete it"},
        {"port", FLAG_INT, &c->port, 0, 65535, "port", "port to listen on"},
        {"protect", FLAG_BOOL, &c->protect, 0, 0, NULL,
         "refuse DELETE of a key that was not unlinked before"},
        {"public-volumes", FLAG_STRING, &c->public_volumes, 0, 0, "name=public,…",
         "what redirects call a volume that clients reach by another address"},
        {"repair", FLAG_BOOL, &c->repair, 0, 0, NULL,
         "verify: mend what is missing or corrupt from a copy that is right"},
        {"replicas", FLAG_INT, &c->replicas, 1, RECORD_PLACES_MAX, "n",
         "copies of a value"},
        {"stalltimeout", FLAG_DURATION, &c->stall_ms, 1, HOUR_MS, "time",
         "how long a volume may take nothing of a value that is sent to it"},
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
    if (strstr(s, "://"))
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
        snprintf(err, errlen,
                 "need a command: server, rebalance, rebuild, verify; see mkv --help");
    else if (!is_command(words[0]))
        snprintf(err, errlen, "unknown command '%s'; see mkv --help", words[0]);
    else if (n > 1)
        snprintf(err, errlen, "unexpected argument '%s' after '%s'", words[1], words[0]);
    else if (!is_authority(config->master))
        snprintf(err, errlen, "-master: '%s' is not host:port", config->master);
    else if (config->master[0] != '\0' &&
             (strcmp(words[0], "server") == 0 || strcmp(words[0], "rebuild") == 0))
        snprintf(err, errlen, "-master makes no sense with %s", words[0]);
    else if (config->db[0] == '\0' && config->master[0] == '\0')
        snprintf(err, errlen, "need a path to the index: -db folder");
    else if (!is_authority(config->fallback))
        snprintf(err, errlen, "-fallback: '%s' is not host:port", config->fallback);
    else {
        config->command = words[0];
        return 0;
    }
    return -1;
}

void config_help(FILE *out)
{
    struct flag flags[FLAGS_MAX];
    struct config config;

    defaults(&config);
    table(&config, flags);
    fputs(
        "usage: mkv [flags] command\n\n"
        "commands:\n"
        "  server     answer the HTTP API, keep the index, store values on the volumes\n"
        "  rebalance  move every value to where it belongs on the volumes given\n"
        "  rebuild    make the index anew from what lies on the volumes\n"
        "  verify     read every copy of every value back\n\n"
        "flags, before or after the command:\n",
        out);
    flags_help(flags, out);
}
