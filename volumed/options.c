/* The command line, see options.h. One table serves parsing and --help, so neither lags
 * behind. */
#include "volumed/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/flags.h"
#include "common/service.h"

enum { FLAGS_MAX = 16 };

/* The port that stands in the environment, as minikeyvalue's script took it; -1: what
 * stands there is none. */
static int default_port(void)
{
    const char *text = getenv("PORT");
    if (!text || !*text)
        return 3001;
    char *end;
    errno = 0;
    long port = strtol(text, &end, 10);
    return errno || *end || port < 0 || port > 65535 ? -1 : (int)port;
}

static void defaults(struct options *o)
{
    *o = (struct options){
        .port = default_port(),
        .bind = "",
        .access_log = "",
        .sync = true,
        .threads = 64,
        .drain_ms = 30 * 1000,
        .head_ms = 60 * 1000,
        .body_ms = 60 * 1000,
        .send_ms = 60 * 1000,
        .idle_ms = 75 * 1000,
        .hang_ms = 30 * 1000,
    };
}

/* The table of flags, with `o` to read them into. */
static void table(struct options *o, struct flag out[FLAGS_MAX])
{
    const struct flag flags[] = {
        {.name = "port",
         .kind = FLAG_INT,
         .value = &o->port,
         .max = 65535,
         .arg = "n",
         .help = "Port to listen on; 0 takes any. The default is $PORT if that is set."},
        {.name = "bind",
         .kind = FLAG_STRING,
         .value = &o->bind,
         .arg = "address",
         .help = "Address to listen on; all of the machine's if it is not given."},
        {.name = "sync",
         .kind = FLAG_BOOL,
         .value = &o->sync,
         .help = "Answer a PUT or DELETE only when it is on disk."},
        {.name = "v",
         .kind = FLAG_BOOL,
         .value = &o->verbose,
         .help =
             "Log each request (method, path, status, bytes, milliseconds), and more."},
        {.name = "access-log",
         .kind = FLAG_STRING,
         .value = &o->access_log,
         .arg = "file",
         .help = "Log each request there, as nginx's \"combined\" does; - is standard "
                 "output. SIGUSR1 opens it anew."},
        {.name = "threads",
         .kind = FLAG_INT,
         .value = &o->threads,
         .min = 1,
         .max = 1024,
         .arg = "n",
         .help = "Threads that wait for a drive, at most: so many to read, so many to "
                 "write."},
        {.name = "loops",
         .kind = FLAG_INT,
         .value = &o->loops,
         .max = LOOPS_MAX,
         .arg = "n",
         .help = "Event loops; 0 is one for each core."},
        {.name = "head-timeout",
         .kind = FLAG_DURATION,
         .value = &o->head_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long a request's head may take, from its first byte to its last."},
        {.name = "body-timeout",
         .kind = FLAG_DURATION,
         .value = &o->body_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long a client may be silent in the middle of a body."},
        {.name = "send-timeout",
         .kind = FLAG_DURATION,
         .value = &o->send_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long a client may take nothing of its answer."},
        {.name = "idle-timeout",
         .kind = FLAG_DURATION,
         .value = &o->idle_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long a connection is kept between requests."},
        {.name = "drive-timeout",
         .kind = FLAG_DURATION,
         .value = &o->hang_ms,
         .min = 1000,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "A drive none of whose threads comes back for so long hangs: what would "
                 "have to wait for one gets 503 until one does."},
        {.name = "drain",
         .kind = FLAG_DURATION,
         .value = &o->drain_ms,
         .max = 24 * 3600 * 1000,
         .arg = "time",
         .help = "How long requests under way may take to end at SIGTERM."},
        {.name = NULL},
    };

    _Static_assert(sizeof(flags) <= FLAGS_MAX * sizeof(flags[0]),
                   "FLAGS_MAX is too small");
    memcpy(out, flags, sizeof(flags));
}

int options_read(int argc, char **argv, struct options *o, char *err, size_t errlen)
{
    struct flag flags[FLAGS_MAX];
    const char *words[2];
    int n = 0;

    defaults(o);
    if (o->port < 0) {
        snprintf(err, errlen, "PORT is no port number");
        return -1;
    }
    table(o, flags);
    int got = flags_parse(flags, argc, argv, words, 2, &n, err, errlen);
    if (got)
        return got;
    if (n != 1) {
        snprintf(err, errlen, "%s",
                 n ? "one folder is served, not several; see volumed -help"
                   : "which folder? Usage: volumed [flags] DIR");
        return -1;
    }
    o->dir = words[0];
    return 0;
}

void options_help(FILE *out)
{
    struct flag flags[FLAGS_MAX];
    struct options o;

    defaults(&o);
    table(&o, flags);
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
