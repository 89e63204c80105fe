/*
 * See rebuild.h. The parts, in order: the old index is opened, and so held against every
 * other process until the end; its records say which volumes must be read beside those
 * given; all places are walked (reading.h); the new index is written (writing.h) and put
 * in the old one's place (index/folder_swap.h). What fails before that leaves the old
 * index as it was.
 */
#include "master/jobs/rebuild/rebuild.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http/client.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/workers.h"
#include "master/client_config.h"
#include "master/crash_point.h"
#include "master/index.h"
#include "master/index/folder.h"
#include "master/index/folder_swap.h"
#include "master/index/scratch.h"
#include "master/jobs/progress.h"
#include "master/jobs/rebuild/reading.h"
#include "master/jobs/rebuild/sources.h"
#include "master/jobs/rebuild/writing.h"
#include "master/volumes/volumes.h"

enum { LOOKUP_THREADS = 4, ERR_MAX = 3072 };

struct rebuild {
    const struct config *config;
    struct volumes *volumes;
    struct folder_swap *swap;
    struct index *old, *fresh;
    bool was_new;     /* there was no old index */
    bool was_damaged; /* there is one, but it cannot be opened */
    int old_lock, fresh_lock;
    struct scratch *scratch;
    struct sources *sources;
    struct loop *loop; /* of the part that runs */
    struct progress *progress;
    bool merged;
    bool has_gaps; /* the old index names places, maybe, that cannot be read there */
    uint64_t begun;
    struct reading_counts read;
    struct writing_counts wrote;
    const char *old_at; /* not NULL: it failed, and left the old index there */
    char err[ERR_MAX];  /* why it failed; "" */
};

static int failed(struct rebuild *r, const char *fmt, const char *what, int err)
{
    snprintf(r->err, sizeof(r->err), fmt, what, strerror(-err));
    return err;
}

/* --- the old index ----------------------------------------------------------------- */

/* Opens it and keeps others out. What is damaged is held by its lock alone. */
static int open_old(struct rebuild *r)
{
    const char *path = folder_swap_index(r->swap);
    struct index_options options = {.path = path, .sync = r->config->sync};
    enum folder_state state = FOLDER_NEW;

    int err = folder_look(path, &state);
    if (err != 0 && err != -ENOENT)
        return failed(r, "index %s: %s", path, err);
    r->was_new = state == FOLDER_NEW;
    r->old = index_open(&options, r->err, sizeof(r->err));
    if (r->old || errno != EBADMSG)
        return r->old ? 0 : -EIO;
    log_warn("%s", r->err);
    log_warn(
        "it is left out: which keys are unlinked, which files are to be cleared, and "
        "all MD5s are not known");
    r->err[0] = '\0';
    r->was_damaged = true;
    err = folder_lock(path, &r->old_lock);
    return err == 0 ? 0 : failed(r, "index %s: %s", path, err);
}

/* A key whose path a file system changes is looked for where that puts it. */
static int note_if_merged(struct rebuild *r, struct str key)
{
    char path[PLACEMENT_PATH_MAX];
    size_t n = placement_path(key, path), merged;

    if (!memmem(path, n, "//", 2))
        return 0;
    merged = placement_merge(path, n);
    r->merged = true;
    return scratch_note_merged(r->scratch, (struct str){path, merged}, key);
}

/* A damaged index is what rebuild is there for: it goes on, but not as if all were well. */
static void note_gaps(struct rebuild *r, uint64_t unreadable, bool cut)
{
    char number[32];

    r->has_gaps = unreadable > 0 || cut;
    if (unreadable > 0)
        log_warn("%s records of the old index do not read: volumes that only these name "
                 "are not asked",
                 progress_number(unreadable, number));
    if (cut)
        log_warn("the old index cannot be read whole: volumes that only lost records "
                 "name are not asked");
}

/* Which places its records name. */
static int look_at_old(struct rebuild *r)
{
    struct str key;
    struct record record;
    int got = 0, err = 0;
    bool too_many = false;
    uint64_t n = 0;

    if (!r->old)
        return 0;
    r->progress = progress_new("looking at the old index", "keys");
    struct scan *scan = index_scan(r->old, STR("/"), STR(""));
    while (!too_many && err == 0 && (got = scan_next(scan, &key, &record)) == 1) {
        for (int i = 0; i < record.n; i++)
            too_many |= !sources_name(r->sources, record.place[i]);
        err = note_if_merged(r, key);
        progress_at(r->progress, ++n, 0);
    }
    note_gaps(r, scan_unreadable(scan), got < 0);
    scan_free(&scan);
    progress_free(&r->progress);
    if (too_many) {
        snprintf(r->err, sizeof(r->err),
                 "%s names more volumes or places than there may be",
                 folder_swap_index(r->swap));
        return -EINVAL;
    }
    return err == 0
               ? 0
               : failed(r, "noting what %s names: %s", folder_swap_index(r->swap), err);
}

/* --- the volumes ------------------------------------------------------------------- */

static int make_loop(struct rebuild *r)
{
    r->loop = loop_new();
    return r->loop ? 0 : failed(r, "%s: %s", "no event loop", -errno);
}

static void on_ended(void *arg, const char *failure)
{
    struct rebuild *r = arg;

    if (failure)
        snprintf(r->err, sizeof(r->err), "%s", failure);
    loop_stop(r->loop);
}

/* A drive that is not mounted shows as an empty folder. */
static int look_for_bare(struct rebuild *r)
{
    char bare[PLACE_MAX];
    uint64_t records;

    if (!sources_bare(r->sources, bare, &records))
        return 0;
    snprintf(r->err, sizeof(r->err),
             "%s: nothing is there, but %" PRIu64
             " keys of the old index have a copy there; is its disk mounted?",
             bare, records);
    return -EIO;
}

static int read_volumes(struct rebuild *r)
{
    struct http_client_config config;
    int err = make_loop(r);

    if (err != 0)
        return err;
    struct workers *lookups = workers_new("lookup", LOOKUP_THREADS);
    client_config(&config, lookups);
    config.max_idle = r->config->jobs;
    struct http_client *client = http_client_new(r->loop, &config);
    r->progress = progress_new("reading the volumes", "files");
    struct reading_spec spec = {.loop = r->loop,
                                .client = client,
                                .scratch = r->scratch,
                                .sources = r->sources,
                                .progress = r->progress,
                                .at_once = r->config->jobs,
                                .answer_ms = r->config->list_ms,
                                .merged = r->merged};
    struct reading *reading = reading_start(&spec, on_ended, r);
    loop_run(r->loop);
    reading_counts(reading, &r->read);
    reading_free(&reading);
    progress_free(&r->progress);
    http_client_free(&client);
    workers_free(&lookups);
    loop_free(&r->loop);
    return r->err[0] != '\0' ? -EIO : look_for_bare(r);
}

/* --- the new index ----------------------------------------------------------------- */

static int write_fresh(struct rebuild *r)
{
    struct index_options options = {.path = folder_swap_fresh(r->swap), .sync = true};

    CRASH_POINT("rebuild: the volumes are read");
    r->fresh = index_open(&options, r->err, sizeof(r->err));
    if (!r->fresh)
        return -EIO;
    int err = make_loop(r);
    if (err != 0)
        return err;
    r->progress = progress_new("writing the index", "keys");
    struct writing_spec spec = {.loop = r->loop,
                                .volumes = r->volumes,
                                .scratch = r->scratch,
                                .old = r->old,
                                .fresh = r->fresh,
                                .progress = r->progress,
                                .files = r->read.files};
    struct writing *writing = writing_start(&spec, on_ended, r);
    loop_run(r->loop);
    writing_counts(writing, &r->wrote);
    writing_free(&writing);
    progress_free(&r->progress);
    return r->err[0] != '\0' ? -EIO : 0;
}

/* Closes an index and holds it on. */
static int close_held(struct rebuild *r, struct index **index, const char *path,
                      int *lock)
{
    if (!*index)
        return 0;
    int fd = index_close_held(index);
    if (fd < 0)
        return failed(r, "closing %s: %s", path, fd);
    *lock = fd;
    return 0;
}

static int put_in_place(struct rebuild *r)
{
    const char *kept;
    int err = close_held(r, &r->fresh, folder_swap_fresh(r->swap), &r->fresh_lock);

    if (err == 0)
        err = close_held(r, &r->old, folder_swap_index(r->swap), &r->old_lock);
    if (err != 0)
        return err;
    CRASH_POINT("rebuild: the new index is complete");
    err = folder_swap_names(r->swap, &kept);
    if (err != 0) {
        r->old_at = kept;
        return failed(r, "the new index cannot take the place of %s: %s",
                      folder_swap_index(r->swap), err);
    }
    CRASH_POINT("rebuild: the new index is in place");
    if (r->was_new)
        folder_swap_forget(r->swap);
    else
        log_info("the old index is kept as %s", kept);
    return 0;
}

/* --- the whole --------------------------------------------------------------------- */

static int prepare(struct rebuild *r)
{
    bool left = false;

    r->swap = folder_swap_new(r->config->db, r->err, sizeof(r->err));
    if (!r->swap)
        return -EIO;
    int err = open_old(r);
    if (err == 0) {
        err = folder_swap_make(r->swap, &left);
        if (err != 0)
            failed(r, "no folder can be made beside %s: %s", folder_swap_index(r->swap),
                   err);
    }
    if (err != 0)
        return err;
    if (left)
        log_info("an earlier rebuild was cut off: what it left is removed, and all is "
                 "read anew");
    r->scratch = scratch_open(folder_swap_scratch(r->swap), r->err, sizeof(r->err));
    if (!r->scratch)
        return -EIO;
    r->sources = sources_new(r->volumes);
    CRASH_POINT("rebuild: begun");
    return 0;
}

static void release(struct rebuild *r)
{
    scratch_free(&r->scratch);
    index_close(&r->fresh);
    index_close(&r->old);
    /* The index's thread may still be waking it when the last commit is told. */
    if (r->loop)
        loop_free(&r->loop);
    sources_free(&r->sources);
    folder_swap_free(&r->swap);
    /* Last: nobody opens what is still being cleared up. */
    if (r->fresh_lock >= 0)
        close(r->fresh_lock);
    if (r->old_lock >= 0)
        close(r->old_lock);
    volumes_free(&r->volumes);
}

/* What there is to say about many keys at once. */
static int summary(const struct rebuild *r)
{
    const uint64_t *finding = r->wrote.finding;
    uint64_t told = r->read.skipped + r->wrote.unreadable, ms = clock_ms() - r->begun;
    char keys[32], files[32], number[32], rate[32];

    for (int i = 0; i < ADOPT_FINDINGS; i++)
        told += finding[i];
    log_info("rebuilt: %s keys (%s unlinked) of %s files in %s places, in %" PRIu64
             ".%" PRIu64 " s",
             progress_number(r->wrote.keys, keys),
             progress_number(r->wrote.unlinked, number),
             progress_number(r->read.files, files), progress_number(r->read.places, rate),
             ms / 1000, ms % 1000 / 100);
    log_info("%s files/s; %s places are still to be cleared",
             progress_number(progress_rate(r->read.files, ms), rate),
             progress_number(r->wrote.removals, number));
    if (finding[ADOPT_LOST] > 0)
        log_warn("%s keys of the old index have no file left",
                 progress_number(finding[ADOPT_LOST], number));
    if (finding[ADOPT_FEW] > 0)
        log_warn("%s keys have fewer than %d copies: see mkv rebalance",
                 progress_number(finding[ADOPT_FEW], number), r->config->replicas);
    if (r->read.skipped > 0)
        log_warn("%s files or folders are no key's",
                 progress_number(r->read.skipped, number));
    return told > 0 || r->was_damaged || r->has_gaps ? REBUILD_TOLD : REBUILD_CLEAN;
}

int rebuild_run(const struct config *config)
{
    struct rebuild r = {
        .config = config, .old_lock = -1, .fresh_lock = -1, .begun = clock_ms()};
    int status = REBUILD_USAGE;

    if (config->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    r.volumes = volumes_new(config->volumes, config->replicas, config->subvolumes,
                            config->public_volumes, r.err, sizeof(r.err));
    if (r.volumes) {
        status = REBUILD_FAILED;
        if (prepare(&r) == 0 && look_at_old(&r) == 0 && read_volumes(&r) == 0 &&
            write_fresh(&r) == 0 && put_in_place(&r) == 0)
            status = summary(&r);
    }
    if (r.old_at)
        fprintf(stderr, "mkv: %s (the old index is %s now)\n", r.err, r.old_at);
    else if (status == REBUILD_USAGE || status == REBUILD_FAILED)
        fprintf(stderr, "mkv: %s%s\n", r.err,
                status == REBUILD_FAILED ? " (the index is what it was)" : "");
    release(&r);
    return status;
}
