/*
 * Orphans: see orphans.h.
 *
 * What a listing told may be gone by now, and its key's entry with it: a file that nothing
 * names is asked for once more, and looked up once more, before it is called an orphan.
 *
 * A file is looked up as it is told of, some at a time: between them the loop's other
 * work has its turn, and the job's rate is kept. One that is to go is deleted as every place is:
 * under a claim on its key (a PUT may be about to choose that very place) it is made a
 * removal, which is then cleared like any other, and swept later where that fails.
 */
#include "master/jobs/orphans.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"
#include "common/json.h"
#include "common/log.h"
#include "master/jobs/volume_walk.h"
#include "master/removals.h"
#include "master/volumes/volume_head.h"

enum {
    LISTINGS_AT_ONCE = 4,
    RETRY_MS = 500,
    TICK_MS = 200,      /* between two looks whether to stop */
    FILES_AT_ONCE = 64, /* looked up in a turn */
    SUSPECTS_MAX = 64,
};

struct orphans {
    struct shard *shard;
    struct keys_job *job;
    bool delete_old;
    void (*done)(void *arg);
    void *arg;
    struct volume_walk *walk;
    struct timer tick;
    struct timer go_on; /* with the walk, after a pause */
    struct task next;   /* deferred: the next place, or the end */
    unsigned files;     /* looked up since the last pause */
    int at;             /* the place that is being walked */
    int n, room;        /* volumes, then the subvolumes that were found on them */
    char **place;
    int volumes;   /* so many of them are volumes themselves */
    int suspects;  /* under way */
    unsigned stay; /* orphans that do */
    unsigned deleted;
};

/* A file that nothing seems to name, until it is known what it is, or deleted. */
struct suspect {
    struct orphans *orphans;
    int64_t mtime;
    int status;            /* of the answer to the HEAD */
    struct str key, place; /* in text */
    char text[];
};

static struct master *master_of(const struct orphans *o)
{
    return o->shard->master;
}

static struct str current_place(const struct orphans *o)
{
    return str_of(o->place[o->at]);
}

static void add_place(struct orphans *o, struct str volume, struct str subvolume)
{
    if (o->n == o->room) {
        o->room = o->room > 0 ? 2 * o->room : 64;
        o->place = xrealloc(o->place, (size_t)o->room * sizeof(o->place[0]));
    }
    char *text = xmalloc(volume.n + subvolume.n + 2);
    size_t n = volume.n;

    memcpy(text, volume.p, n);
    if (subvolume.n > 0) {
        text[n++] = '/';
        memcpy(text + n, subvolume.p, subvolume.n);
        n += subvolume.n;
    }
    text[n] = '\0';
    o->place[o->n++] = text;
}

/* --- reports ----------------------------------------------------------------------- */
/* A failure of the job: "PLACE/PATH what"; the path may hold any bytes. */
static void report(const struct orphans *o, struct str place, struct str path,
                   const char *what)
{
    char quoted[JSON_STRING_MAX(PLACEMENT_PATH_MAX)], line[JOB_WHY];

    if (path.n > PLACEMENT_PATH_MAX)
        path.n = PLACEMENT_PATH_MAX;
    size_t n = json_quote(path, quoted);
    snprintf(line, sizeof(line), "%.*s: %.*s %s", (int)place.n, place.p, (int)n, quoted,
             what);
    job_failed(o->job, line);
}

/* --- deletions --------------------------------------------------------------------- */
static void suspect_over(struct suspect *d)
{
    struct orphans *o = d->orphans;

    free(d);
    o->suspects--;
    if (!o->walk)
        loop_defer(o->shard->loop, &o->next);
    else if (!timer_is_set(&o->go_on))
        timer_set(o->shard->loop, &o->go_on, 0);
}

static void on_cleared(void *arg)
{
    struct suspect *d = arg;

    d->orphans->deleted++;
    suspect_over(d);
}

static void on_listed(void *arg, int err)
{
    struct suspect *d = arg;
    struct orphans *o = d->orphans;
    struct master *master = master_of(o);

    index_release(master->index, d->key);
    if (err != 0) {
        job_failed(o->job, "the index takes no writes");
        suspect_over(d);
        return;
    }
    log_info("verify: deletes an orphan at %.*s", (int)d->place.n, d->place.p);
    removals_clear(master->removals, o->shard->loop, o->shard->client, d->key, &d->place,
                   1, on_cleared, d);
}

static void on_claimed(void *arg, int err, struct entry *entry)
{
    struct suspect *d = arg;
    struct orphans *o = d->orphans;
    struct master *master = master_of(o);
    struct change *change;

    if (err != 0) {
        if (err != -EBUSY)
            job_failed(o->job, "the index cannot be read");
        suspect_over(d); /* in use: a later run sees what became of it */
        return;
    }
    bool named = entry_names(entry, d->place);
    entry_clear(entry);
    if (named) {
        index_release(master->index, d->key);
        suspect_over(d);
        return;
    }
    change = change_new(d->key);
    change_removal(change, d->place, removals_due(master->removals), 0);
    index_commit(master->index, o->shard->loop, &change, true, on_listed, d);
}

/* --- suspects ---------------------------------------------------------------------- */
/* It is there, and nothing names it. */
static void on_orphan(struct suspect *d)
{
    struct orphans *o = d->orphans;
    const char *what = "is named by nothing";
    char path[PLACEMENT_PATH_MAX];

    if (o->delete_old) {
        /* One whose time is not told may be of this minute. */
        if (d->mtime > 0 && time(NULL) - d->mtime >= master_of(o)->orphan_age_s) {
            index_claim(master_of(o)->index, o->shard->loop, d->key, on_claimed, d);
            return;
        }
        what = "is named by nothing, and too young to be deleted";
    }
    o->stay++;
    report(o, d->place, (struct str){path, placement_path(d->key, path)}, what);
    suspect_over(d);
}

/* Does nothing in the index name the place? An index that cannot be read is a failure of
 * the job, and tells of no orphan. */
static bool may_be_orphan(const struct orphans *o, struct str key, struct str place)
{
    struct entry entry;

    if (index_entry(master_of(o)->index, key, &entry) != 0) {
        job_failed(o->job, "the index cannot be read");
        return false;
    }
    bool named = entry_names(&entry, place);
    entry_clear(&entry);
    return !named;
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct suspect *d = call_arg(call);

    d->status = head->status;
}

static void on_asked(struct call *call, enum call_result result)
{
    struct suspect *d = call_arg(call);
    struct orphans *o = d->orphans;
    char path[PLACEMENT_PATH_MAX];

    volumes_saw(master_of(o)->volumes, d->place, result);
    if ((result == CALL_OK && d->status == 404) || !may_be_orphan(o, d->key, d->place)) {
        suspect_over(d);
    } else if (result == CALL_OK && d->status == 200) {
        on_orphan(d);
    } else {
        report(o, d->place, (struct str){path, placement_path(d->key, path)},
               "could not be asked for");
        suspect_over(d);
    }
}

static void suspect(struct orphans *o, struct str key, int64_t mtime)
{
    static const struct call_ops ops = {.answer = on_answer, .done = on_asked};
    struct str place = current_place(o);
    struct suspect *d = xmalloc(sizeof(*d) + key.n + place.n);
    char path[PLACEMENT_PATH_MAX];

    d->orphans = o;
    d->mtime = mtime;
    d->status = 0;
    d->key = (struct str){memcpy(d->text, key.p, key.n), key.n};
    d->place = (struct str){memcpy(d->text + key.n, place.p, place.n), place.n};
    o->suspects++;
    volume_head(o->shard->client, d->place,
                (struct str){path, placement_path(d->key, path)},
                master_of(o)->voltimeout_ms, &ops, d);
}

/* --- what the walk tells ----------------------------------------------------------- */
/* For as long as so many files may take at the job's rate, a turn of the loop at least. */
static void pause_walk(struct orphans *o)
{
    unsigned rate = job_rate(o->job);

    volume_walk_pause(o->walk);
    timer_set(o->shard->loop, &o->go_on, rate > 0 ? 1000 * (uint64_t)o->files / rate : 0);
    o->files = 0;
}

static void on_go_on(struct timer *timer)
{
    struct orphans *o = container_of(timer, struct orphans, go_on);

    /* With the most of them under way the end of one goes on. */
    if (o->walk && o->suspects < SUSPECTS_MAX)
        volume_walk_resume(o->walk);
}

static void on_file(void *arg, struct str path, uint64_t size, int64_t mtime)
{
    struct orphans *o = arg;
    char keybuf[PLACEMENT_KEY_MAX];
    struct str key = {keybuf, 0};

    (void)size;
    if (job_stopping(o->job))
        return;
    if (++o->files == FILES_AT_ONCE || o->suspects == SUSPECTS_MAX)
        pause_walk(o);
    if (placement_disk_key(path, keybuf, &key.n) != 1) {
        report(o, current_place(o), path, "is no file of ours");
        return;
    }
    if (may_be_orphan(o, key, current_place(o)))
        suspect(o, key, mtime);
}

static void on_subvolume(void *arg, struct str name, bool folder)
{
    struct orphans *o = arg;
    struct str volume = current_place(o);

    if (o->at >= o->volumes || job_stopping(o->job))
        return;
    if (!folder) {
        report(o, volume, name, "is no folder; is its disk there?");
        return;
    }
    /* A listing that was read again tells them again. */
    for (int i = o->volumes; i < o->n; i++) {
        struct str place = str_of(o->place[i]);

        if (place.n == volume.n + 1 + name.n && str_starts(place, volume) &&
            memcmp(place.p + volume.n + 1, name.p, name.n) == 0)
            return;
    }
    add_place(o, volume, name);
}

static void on_foreign(void *arg, struct str path, bool within)
{
    struct orphans *o = arg;

    if (within && !job_stopping(o->job))
        report(o, current_place(o), path, "is no file of ours");
}

static void on_walked(void *arg, const char *failure)
{
    struct orphans *o = arg;
    char line[JOB_WHY];

    if (failure) {
        snprintf(line, sizeof(line), "%s: not all of it could be read: %s",
                 o->place[o->at], failure);
        job_failed(o->job, line);
    }
    volume_walk_free(&o->walk);
    timer_clear(o->shard->loop, &o->go_on);
    o->at++;
    loop_defer(o->shard->loop, &o->next);
}

/* --- place after place ------------------------------------------------------------- */
static void end(struct orphans *o)
{
    void (*done)(void *) = o->done;
    void *arg = o->arg;

    if (o->deleted > 0 || o->stay > 0)
        log_info("verify: %u orphans deleted, %u stay", o->deleted, o->stay);
    timer_clear(o->shard->loop, &o->tick);
    timer_clear(o->shard->loop, &o->go_on);
    for (int i = 0; i < o->n; i++)
        free(o->place[i]);
    free(o->place);
    free(o);
    done(arg);
}

static void on_next(struct task *task)
{
    static const struct volume_walk_ops ops = {.file = on_file,
                                               .subvolume = on_subvolume,
                                               .foreign = on_foreign,
                                               .done = on_walked};
    struct orphans *o = container_of(task, struct orphans, next);

    if (o->walk)
        return;
    if (o->at < o->n && !job_stopping(o->job))
        o->walk = volume_walk_start(
            &(struct volume_walk_spec){.client = o->shard->client,
                                       .loop = o->shard->loop,
                                       .place = current_place(o),
                                       .at_once = LISTINGS_AT_ONCE,
                                       .answer_ms = master_of(o)->list_ms,
                                       .retry_ms = RETRY_MS},
            &ops, o);
    else if (o->suspects == 0)
        end(o);
}

static void on_tick(struct timer *timer)
{
    struct orphans *o = container_of(timer, struct orphans, tick);

    if (job_stopping(o->job) && o->walk) {
        volume_walk_free(&o->walk);
        loop_defer(o->shard->loop, &o->next);
    }
    timer_set(o->shard->loop, timer, TICK_MS);
}

void orphans_find(struct shard *shard, struct keys_job *job, bool delete_old,
                  void (*done)(void *arg), void *arg)
{
    struct orphans *o = xcalloc(1, sizeof(*o));
    const struct volumes *volumes = shard->master->volumes;

    o->shard = shard;
    o->job = job;
    o->delete_old = delete_old;
    o->done = done;
    o->arg = arg;
    o->tick.fire = on_tick;
    o->next.run = on_next;
    o->go_on.fire = on_go_on;
    o->volumes = volumes_count(volumes);
    for (int i = 0; i < o->volumes; i++)
        add_place(o, volumes_name(volumes, i), (struct str){NULL, 0});
    timer_set(shard->loop, &o->tick, TICK_MS);
    loop_defer(shard->loop, &o->next);
}
