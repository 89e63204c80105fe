/*
 * See volume_walk.h.
 *
 * Depth first, from a stack: of each folder on the way down only the brothers not yet
 * read are kept, a few hundred names. A folder's own folders go onto the stack when its
 * listing has been read to its end, so that one that is read again is not told twice.
 */
#include "master/jobs/volume_walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/placement.h"
#include "master/jobs/listing_reader.h"
#include "master/jobs/volume_folder.h"
#include "master/record.h"
#include "master/volumes/target.h"

enum {
    TRIES = 4,
    KEPT_MOST = 4 << 20, /* bytes of folders to be read */
    FAILURE_MAX = 2048,
};

/* One request at a time, and the folder it is about. */
struct visit {
    struct volume_walk *walk;
    struct volume_folder *folder; /* NULL: none */
    struct call *call;
    struct listing_reader *reader;
    struct volume_folder *children; /* found in this listing so far */
    unsigned n_children;
    int tries;
    int status;
    bool bad;  /* what came is no listing */
    bool held; /* its call offers bytes that are to wait */
    struct timer retry;
};

struct volume_walk {
    const struct volume_walk_ops *ops;
    void *arg;
    struct http_client *client;
    struct loop *loop;
    int answer_ms, retry_ms;
    struct volume_folder *stack;
    size_t kept; /* bytes of folders */
    double part;
    bool found_any, over, paused;
    struct task end;
    size_t place_n;
    char place[PLACE_MAX];
    char failure[FAILURE_MAX]; /* "" while there is none */
    int at_once;
    int n_visits;
    struct visit visit[];
};

/* --- a listing --------------------------------------------------------------------- */

static void fail(struct volume_walk *w, const struct volume_folder *f, const char *why)
{
    char path[PLACEMENT_PATH_MAX];

    if (w->failure[0] != '\0')
        return;
    snprintf(w->failure, sizeof(w->failure), "%.*s%.*s/: %s", (int)w->place_n, w->place,
             (int)volume_folder_path(f, path), path, why);
    loop_defer(w->loop, &w->end);
}

static void take_entry(struct visit *v, const struct listing_entry *e)
{
    struct volume_walk *w = v->walk;
    struct volume_folder *f = v->folder;
    char text[PLACEMENT_PATH_MAX + 1024 + 1];
    int at = volume_folder_depth(f);
    size_t n = volume_folder_path(f, text);

    text[n++] = '/';
    memcpy(text + n, e->name.p, e->name.n);
    struct str path = {text, n + e->name.n};
    bool folder = e->kind == LISTED_FOLDER;
    bool subvolume = at == 0 && placement_names_subvolume(e->name);
    if (path.n + 1 >= PLACEMENT_PATH_MAX) {
        w->ops->foreign(w->arg, path, at >= 2);
    } else if (subvolume || (folder && volume_folder_is_ours(e->name, at))) {
        struct volume_folder *child = volume_folder_new(f, e->name, &w->kept);
        child->subvolume = subvolume;
        child->is_folder = folder;
        child->next = v->children;
        v->children = child;
        v->n_children += !subvolume;
        if (w->kept > KEPT_MOST)
            fail(w, f, "has more folders than can be kept");
    } else if (e->kind == LISTED_FILE && at >= 2) {
        w->ops->file(w->arg, path, e->size, e->mtime);
    } else {
        w->ops->foreign(w->arg, path, at >= 2);
    }
}

static void missed(struct visit *v, enum call_result result);

/* There is nothing in the rest of this answer for us, and it may be without end. */
static void hang_up(struct visit *v)
{
    call_cancel(&v->call);
    missed(v, CALL_OK);
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct visit *v = call_arg(call);

    v->status = head->status;
    if (v->status != 200)
        hang_up(v);
}

static size_t on_body(struct call *call, struct block *block, const char *data,
                      size_t len)
{
    struct visit *v = call_arg(call);
    struct volume_walk *w = v->walk;
    struct str in = {data, len};
    struct listing_entry entry;
    int r = 0;

    (void)block;
    while (w->failure[0] == '\0' && !w->paused &&
           (r = listing_reader_next(v->reader, &in, &entry)) == 1)
        take_entry(v, &entry);
    if (r < 0) {
        v->bad = true;
        hang_up(v);
        return len;
    }
    v->held = w->paused && in.n > 0;
    return w->failure[0] == '\0' ? len - in.n : len;
}

static void next_visits(struct volume_walk *w);

/* The folder is read to its end. */
static void finish(struct visit *v)
{
    struct volume_walk *w = v->walk;
    struct volume_folder *f = v->folder;

    if (v->n_children == 0)
        w->part += f->share;
    while (v->children) {
        struct volume_folder *child = v->children;
        v->children = child->next;
        if (child->subvolume) {
            w->ops->subvolume(w->arg, (struct str){child->name, child->name_n},
                              child->is_folder);
            volume_folder_unref(child, &w->kept);
            continue;
        }
        w->found_any = true;
        child->share = f->share / v->n_children;
        child->next = w->stack;
        w->stack = child;
    }
    v->n_children = 0;
    v->folder = NULL;
    volume_folder_unref(f, &w->kept);
}

static void ask(struct visit *v);

static void on_retry(struct timer *timer)
{
    ask(container_of(timer, struct visit, retry));
}

static void say_why(const struct visit *v, enum call_result result, char *out, size_t n)
{
    if (v->status != 0 && v->status != 200)
        snprintf(out, n, "its listing was answered with %d", v->status);
    else if (v->bad)
        snprintf(out, n, "what came is not a listing in JSON");
    else if (result == CALL_OK)
        snprintf(out, n, "its listing ends too early");
    else
        snprintf(out, n, "%s", call_result_text(result));
}

/* May it be otherwise next time? What hung took all the time there is to wait, and what
 * was clearly said is not going to change. */
static bool is_passing(const struct visit *v, enum call_result result)
{
    if (v->bad || result == CALL_TIMEOUT)
        return false;
    return v->status < 300 || v->status >= 500;
}

/* The folder was not read to its end. */
static void missed(struct visit *v, enum call_result result)
{
    struct volume_walk *w = v->walk;
    char why[128];

    if (w->failure[0] != '\0')
        return;
    volume_folder_unref_all(&v->children, &w->kept);
    v->n_children = 0;
    if (++v->tries < TRIES && is_passing(v, result)) {
        timer_set(w->loop, &v->retry, (uint64_t)w->retry_ms << (v->tries - 1));
        return;
    }
    say_why(v, result, why, sizeof(why));
    fail(w, v->folder, why);
}

static void on_done(struct call *call, enum call_result result)
{
    struct visit *v = call_arg(call);

    v->call = NULL;
    if (result == CALL_OK && listing_reader_ended(v->reader) &&
        v->walk->failure[0] == '\0') {
        finish(v);
        next_visits(v->walk);
    } else {
        missed(v, result);
    }
}

static void ask(struct visit *v)
{
    static const struct call_ops ops = {
        .answer = on_answer, .body = on_body, .done = on_done};
    struct volume_walk *w = v->walk;
    char path[PLACEMENT_PATH_MAX];
    struct target target;

    v->status = 0;
    v->bad = v->held = false;
    listing_reader_restart(v->reader);
    size_t n = volume_folder_path(v->folder, path);
    path[n++] = '/';
    target_of(&target, (struct str){w->place, w->place_n}, (struct str){path, n});
    struct call_spec spec = {
        .authority = target.authority,
        .method = STR("GET"),
        .target = target.path,
        .body = HTTP_BODY_NONE,
        .answer_ms = w->answer_ms,
    };
    v->call = call_start(w->client, &spec, &ops, v);
}

/* --- the walk ---------------------------------------------------------------------- */

/* Gives every visit that has none a folder, and ends the walk when there is none left. */
static void next_visits(struct volume_walk *w)
{
    bool busy = false;

    for (int i = 0; i < w->n_visits; i++) {
        struct visit *v = &w->visit[i];
        if (!v->folder && w->stack && i < w->at_once) {
            v->folder = w->stack;
            w->stack = v->folder->next;
            v->tries = 0;
            ask(v);
        }
        busy |= v->folder != NULL;
    }
    if (!busy && !w->stack)
        loop_defer(w->loop, &w->end);
}

static void stop(struct volume_walk *w)
{
    for (int i = 0; i < w->n_visits; i++) {
        struct visit *v = &w->visit[i];
        if (v->call)
            call_cancel(&v->call);
        timer_clear(w->loop, &v->retry);
    }
}

static void on_end(struct task *task)
{
    struct volume_walk *w = container_of(task, struct volume_walk, end);

    w->over = true;
    stop(w);
    w->ops->done(w->arg, w->failure[0] != '\0' ? w->failure : NULL);
}

struct volume_walk *volume_walk_start(const struct volume_walk_spec *spec,
                                      const struct volume_walk_ops *ops, void *arg)
{
    size_t visits = (size_t)spec->at_once * sizeof(struct visit);
    struct volume_walk *w = xcalloc(1, sizeof(*w) + visits);

    assure(spec->at_once > 0 && spec->place.n < PLACE_MAX);
    w->ops = ops;
    w->arg = arg;
    w->client = spec->client;
    w->loop = spec->loop;
    w->answer_ms = spec->answer_ms;
    w->retry_ms = spec->retry_ms;
    w->end.run = on_end;
    w->place_n = spec->place.n;
    memcpy(w->place, spec->place.p, spec->place.n);
    w->n_visits = w->at_once = spec->at_once;
    for (int i = 0; i < w->n_visits; i++) {
        w->visit[i].walk = w;
        w->visit[i].reader = listing_reader_new();
        w->visit[i].retry.fire = on_retry;
    }
    w->stack = volume_folder_new(NULL, STR(""), &w->kept);
    w->stack->share = 1;
    next_visits(w);
    return w;
}

void volume_walk_free(struct volume_walk **walk)
{
    struct volume_walk *w = *walk;

    *walk = NULL;
    if (!w)
        return;
    stop(w);
    loop_undefer(w->loop, &w->end);
    volume_folder_unref_all(&w->stack, &w->kept);
    for (int i = 0; i < w->n_visits; i++) {
        struct visit *v = &w->visit[i];
        volume_folder_unref_all(&v->children, &w->kept);
        volume_folder_unref(v->folder, &w->kept);
        listing_reader_free(&v->reader);
    }
    assure(w->kept == 0);
    free(w);
}

void volume_walk_pause(struct volume_walk *w)
{
    w->paused = true;
}

void volume_walk_resume(struct volume_walk *w)
{
    w->paused = false;
    for (int i = 0; i < w->n_visits && !w->paused; i++) {
        struct visit *v = &w->visit[i];

        if (!v->held)
            continue;
        v->held = false;
        call_resume(v->call);
    }
}

void volume_walk_at_once(struct volume_walk *w, int n)
{
    assure(n > 0 && n <= w->n_visits);
    w->at_once = n;
    if (!w->over && w->failure[0] == '\0')
        next_visits(w);
}

double volume_walk_part(const struct volume_walk *w)
{
    return w->over ? 1 : w->part;
}

bool volume_walk_found_any(const struct volume_walk *w)
{
    return w->found_any;
}
