/*
 * See reading.h.
 *
 * A walk per place: the volume itself, then each sv## that is listed at its top. The
 * places are often drives of their own, so the next to be walked is one of the volume
 * that is least busy, and the requests there may be are shared out among the walks.
 *
 * Notes are written to the scratch store where they arise. That may wait for a disk, and
 * this loop is there for nothing else.
 */
#include "master/jobs/rebuild/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/http/parse.h"
#include "common/log.h"
#include "common/placement.h"
#include "master/jobs/volume_walk.h"

enum {
    RETRY_MS = 300,
    TICK_MS = 200,
    FAILURE_MAX = 2560,
};

struct unit {
    struct reading *reading;
    struct unit *next; /* of the volume's waiting ones, or of the running ones */
    int volume;
    bool top; /* the volume itself, where the subvolumes are */
    struct volume_walk *walk;
    size_t place_n;
    char place[];
};

struct volume {
    struct unit *waiting, **waiting_end;
    int running;
};

struct reading {
    struct reading_spec spec;
    void (*done)(void *arg, const char *failure);
    void *arg;
    struct reading_counts counts;
    struct timer tick;
    struct task end;
    struct unit *running;
    int n_running;
    uint64_t units; /* there are, known so far */
    char failure[FAILURE_MAX];
    int n_volumes;
    struct volume volume[];
};

static struct str place_of(const struct unit *u)
{
    return (struct str){u->place, u->place_n};
}

/* --- files ------------------------------------------------------------------------- */

static void fail(struct reading *r, const char *why)
{
    if (r->failure[0] != '\0')
        return;
    snprintf(r->failure, sizeof(r->failure), "%s", why);
    loop_defer(r->spec.loop, &r->end);
}

struct note {
    struct reading *reading;
    struct found found;
};

static int note(void *arg, struct str key)
{
    struct note *n = arg;
    int err = scratch_note(n->reading->spec.scratch, key, &n->found);

    n->reading->counts.files++;
    if (err != 0)
        fail(n->reading, "cannot write down what was found: see above");
    return err;
}

/* A path as a line has it. */
static const char *path_text(struct str path, char *out)
{
    out[http_percent_encode(path, out)] = '\0';
    return out;
}

static void skip(struct unit *u, struct str path, const char *why)
{
    struct reading *r = u->reading;
    char text[3 * (PLACEMENT_PATH_MAX + 1024) + 1];

    r->counts.skipped++;
    progress_report(r->spec.progress, "%s%s: %s, passed over", u->place,
                    path_text(path, text), why);
}

/* Keys that the old index has come first: there is no doubt about those. */
static bool note_merged(struct unit *u, struct str path, struct note *n)
{
    struct reading *r = u->reading;
    const size_t folders = sizeof("/xx/yy/") - 1;

    if (!r->spec.merged || !memchr(path.p + folders, '/', path.n - folders))
        return false;
    int found = scratch_merged(r->spec.scratch, path, note, n);
    if (found < 0)
        fail(r, "cannot look up what was noted: see above");
    return found != 0;
}

static void on_file(void *arg, struct str path, uint64_t size, int64_t mtime)
{
    struct unit *u = arg;
    struct note n = {.reading = u->reading,
                     .found = {.place = place_of(u), .size = size, .mtime = mtime}};
    char key[PLACEMENT_KEY_MAX];
    size_t len;

    if (note_merged(u, path, &n))
        return;
    switch (placement_disk_key(path, key, &len)) {
    case 0:
        skip(u, path, "no key has its file there");
        break;
    case 1:
        note(&n, (struct str){key, len});
        break;
    default:
        skip(u, path, "several keys may have their file there");
    }
}

static void on_foreign(void *arg, struct str path, bool within)
{
    struct unit *u = arg;
    struct reading *r = u->reading;
    char text[3 * (PLACEMENT_PATH_MAX + 1024) + 1];

    if (within) {
        skip(u, path, "not a value's file or folder");
        return;
    }
    r->counts.foreign++;
    log_info("%s%s: not mkv's, left alone", u->place, path_text(path, text));
}

/* --- walks ------------------------------------------------------------------------- */

static void add_unit(struct reading *r, int volume, bool top, struct str name,
                     struct str subvolume)
{
    size_t n = name.n + (top ? 0 : 1 + subvolume.n);
    struct unit *u = xcalloc(1, sizeof(*u) + n + 1);
    struct volume *v = &r->volume[volume];

    u->reading = r;
    u->volume = volume;
    u->top = top;
    u->place_n = n;
    memcpy(u->place, name.p, name.n);
    if (!top) {
        u->place[name.n] = '/';
        memcpy(u->place + name.n + 1, subvolume.p, subvolume.n);
    }
    *v->waiting_end = u;
    v->waiting_end = &u->next;
    r->units++;
}

static void on_subvolume(void *arg, struct str name, bool folder)
{
    struct unit *u = arg;
    struct reading *r = u->reading;
    char why[512];

    if (!u->top) {
        char path[16] = "/";
        memcpy(path + 1, name.p, name.n);
        on_foreign(u, (struct str){path, name.n + 1}, false);
    } else if (!folder || u->place_n + 1 + name.n >= PLACE_MAX) {
        snprintf(why, sizeof(why), "%s/%.*s: is no folder; is its disk there?", u->place,
                 (int)name.n, name.p);
        fail(r, why);
    } else {
        add_unit(r, u->volume, false, place_of(u), name);
    }
}

/* The least busy volume that has a place waiting, or NULL. */
static struct volume *next_volume(struct reading *r)
{
    struct volume *best = NULL;

    for (int i = 0; i < r->n_volumes; i++) {
        struct volume *v = &r->volume[i];
        if (v->waiting && (!best || v->running < best->running))
            best = v;
    }
    return best;
}

static void share_out(struct reading *r)
{
    int i = 0;

    for (struct unit *u = r->running; u; u = u->next, i++)
        volume_walk_at_once(u->walk, r->spec.at_once / r->n_running +
                                         (i < r->spec.at_once % r->n_running));
}

static void on_walked(void *arg, const char *failure);

static void begin_walks(struct reading *r)
{
    static const struct volume_walk_ops ops = {
        .file = on_file,
        .subvolume = on_subvolume,
        .foreign = on_foreign,
        .done = on_walked,
    };
    struct volume *v;

    while (r->n_running < r->spec.at_once && (v = next_volume(r)) != NULL) {
        struct unit *u = v->waiting;
        struct volume_walk_spec spec = {
            .client = r->spec.client,
            .loop = r->spec.loop,
            .place = place_of(u),
            .at_once = r->spec.at_once,
            .answer_ms = r->spec.answer_ms,
            .retry_ms = RETRY_MS,
        };
        v->waiting = u->next;
        if (!v->waiting)
            v->waiting_end = &v->waiting;
        v->running++;
        r->n_running++;
        u->next = r->running;
        r->running = u;
        u->walk = volume_walk_start(&spec, &ops, u);
    }
    if (!r->running)
        loop_defer(r->spec.loop, &r->end);
    else
        share_out(r);
}

static void unit_free(struct unit *u)
{
    volume_walk_free(&u->walk);
    free(u);
}

static void on_walked(void *arg, const char *failure)
{
    struct unit *u = arg;
    struct reading *r = u->reading;
    struct unit **at = &r->running;

    if (failure) {
        fail(r, failure);
        return;
    }
    if (volume_walk_found_any(u->walk))
        sources_found(r->spec.sources, place_of(u));
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    r->volume[u->volume].running--;
    r->n_running--;
    r->counts.places++;
    unit_free(u);
    begin_walks(r);
}

static void on_tick(struct timer *timer)
{
    struct reading *r = container_of(timer, struct reading, tick);
    double part = (double)r->counts.places;

    for (struct unit *u = r->running; u; u = u->next)
        part += volume_walk_part(u->walk);
    progress_at(r->spec.progress, r->counts.files, part / (double)r->units);
    timer_set(r->spec.loop, &r->tick, TICK_MS);
}

/* --- the door ---------------------------------------------------------------------- */

static void end_walks(struct reading *r)
{
    while (r->running) {
        struct unit *u = r->running;
        r->running = u->next;
        unit_free(u);
    }
    r->n_running = 0;
    timer_clear(r->spec.loop, &r->tick);
}

static void on_end(struct task *task)
{
    struct reading *r = container_of(task, struct reading, end);

    end_walks(r);
    r->done(r->arg, r->failure[0] != '\0' ? r->failure : NULL);
}

struct reading *reading_start(const struct reading_spec *spec,
                              void (*done)(void *arg, const char *failure), void *arg)
{
    int n = sources_count(spec->sources);
    struct reading *r = xcalloc(1, sizeof(*r) + (size_t)n * sizeof(struct volume));

    r->spec = *spec;
    r->done = done;
    r->arg = arg;
    r->tick.fire = on_tick;
    r->end.run = on_end;
    r->n_volumes = n;
    for (int i = 0; i < n; i++) {
        r->volume[i].waiting_end = &r->volume[i].waiting;
        add_unit(r, i, true, sources_volume(spec->sources, i), STR(""));
    }
    begin_walks(r);
    timer_set(spec->loop, &r->tick, TICK_MS);
    return r;
}

void reading_counts(const struct reading *r, struct reading_counts *out)
{
    *out = r->counts;
}

void reading_free(struct reading **rp)
{
    struct reading *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    end_walks(r);
    loop_undefer(r->spec.loop, &r->end);
    for (int i = 0; i < r->n_volumes; i++)
        while (r->volume[i].waiting) {
            struct unit *u = r->volume[i].waiting;
            r->volume[i].waiting = u->next;
            unit_free(u);
        }
    free(r);
}
