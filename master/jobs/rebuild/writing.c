/*
 * See writing.h.
 *
 * Two lists in the same order are merged: what the scratch store has, and the records of
 * the old index. Removals of keys without a record or a file are taken from the index's
 * own list of them. Commits go through the door of the new index, some thousands under
 * way; the last one is durable, and with it all before it.
 *
 * Reads may wait for a disk: this loop is there for nothing else.
 */
#include "master/jobs/rebuild/writing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/http/parse.h"

enum {
    UNDER_WAY = 4096, /* commits at a time */
    STEPS = 256,      /* keys of one turn */
};

enum writing_state {
    WRITING_KEYS,     /* records are merged */
    WRITING_REMOVALS, /* the places still to be cleared come along */
    WRITING_LAST,     /* the durable commit is under way, or waits for the others */
    WRITING_OVER,
};

struct writing {
    struct writing_spec spec;
    void (*done)(void *arg, const char *failure);
    void *arg;
    enum writing_state state;
    struct writing_counts counts;
    struct task pump;
    struct scan *scan;       /* of the old records; NULL: no more */
    bool has_found, has_old; /* the next of each list is here */
    struct found_key found;
    struct str old_key; /* the scan's */
    struct record old_record;
    struct str key; /* that is being judged */
    unsigned under_way;
    uint64_t files; /* through */
    const char *failure;
    size_t from_n; /* where the list of removals goes on */
    char from[PLACEMENT_KEY_MAX];
};

static void set_state(struct writing *w, enum writing_state to)
{
    assure(to > w->state);
    w->state = to;
}

static void fail(struct writing *w, const char *why)
{
    if (!w->failure)
        w->failure = why;
    if (w->state != WRITING_OVER)
        set_state(w, WRITING_OVER);
}

/* --- commits ----------------------------------------------------------------------- */

static void on_committed(void *arg, int err)
{
    struct writing *w = arg;

    w->under_way--;
    if (err != 0)
        fail(w, err == -ENOSPC ? "no room on the disk for the new index"
                               : "the new index cannot be written: see above");
    loop_defer(w->spec.loop, &w->pump);
}

static void commit(struct writing *w, struct change *change, bool durable)
{
    w->under_way++;
    index_commit(w->spec.fresh, w->spec.loop, &change, durable, on_committed, w);
}

/* --- keys -------------------------------------------------------------------------- */

static const char *key_text(struct str key, char out[3 * PLACEMENT_KEY_MAX + 1])
{
    out[http_percent_encode(key, out)] = '\0';
    return out;
}

static void on_told(void *arg, enum adopt_finding finding, struct str place)
{
    static const char *const says[ADOPT_FINDINGS] = {
        [ADOPT_MISSING] = "has no file there any more",
        [ADOPT_EMPTY] = "its file there is empty, left out",
        [ADOPT_DIFFERS] = "its file there has another size than the value, left out",
        [ADOPT_UNNAMED] =
            "its file there is one that the old index does not name, left out",
        [ADOPT_CHANGED] = "no file is the value that was recorded: its MD5 is dropped",
        [ADOPT_LOST] = "no file of it is left: lost",
    };
    struct writing *w = arg;
    char text[3 * PLACEMENT_KEY_MAX + 1];

    w->counts.finding[finding]++;
    /* Too few copies of all keys, after a loss, are one line in the end. */
    if (says[finding])
        progress_report(w->spec.progress, "%s%s%.*s: %s", key_text(w->key, text),
                        place.n > 0 ? " at " : "", (int)place.n, place.p, says[finding]);
}

/* What the old index has of the key; nothing, where that cannot be read. */
static void read_old(struct writing *w, struct entry *entry)
{
    char text[3 * PLACEMENT_KEY_MAX + 1];

    *entry = (struct entry){.n_marks = 0};
    if (!w->spec.old || index_entry(w->spec.old, w->key, entry) == 0)
        return;
    w->counts.unreadable++;
    progress_report(w->spec.progress, "%s: what the old index has of it does not read",
                    key_text(w->key, text));
    *entry = (struct entry){.n_marks = 0};
}

static void write_key(struct writing *w, const struct found_key *found)
{
    struct entry old;
    struct adoption to;

    read_old(w, &old);
    adopt(w->spec.volumes, found, &old, &to, on_told, w);
    if (to.record.state != RECORD_ABSENT) {
        struct change *change = change_new(w->key);
        change_record(change, &to.record, to.has_size, to.size, to.time);
        commit(w, change, false);
        w->counts.keys++;
        w->counts.unlinked += to.record.state == RECORD_UNLINKED;
    }
    entry_clear(&old);
}

static void next_found(struct writing *w)
{
    int r = scratch_next(w->spec.scratch, &w->found);

    if (r < 0)
        fail(w, "what was found cannot be read back: see above");
    w->has_found = r == 1;
}

static void next_old(struct writing *w)
{
    int r = w->scan ? scan_next(w->scan, &w->old_key, &w->old_record) : 0;

    w->has_old = r == 1;
    if (r == 1)
        return;
    if (r < 0) {
        w->counts.unreadable++;
        progress_report(w->spec.progress,
                        "the old index cannot be read to its end: keys that have no file "
                        "any more are not told from here on");
    }
    scan_free(&w->scan);
}

static int order_of(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* One key of either list, or of both. */
static void step_keys(struct writing *w)
{
    int c = !w->has_old ? -1 : !w->has_found ? 1 : order_of(w->found.key, w->old_key);
    const struct found_key none = {.key = w->old_key};

    if (!w->has_found && !w->has_old) {
        set_state(w, WRITING_REMOVALS);
        return;
    }
    w->key = c <= 0 ? w->found.key : w->old_key;
    write_key(w, c <= 0 ? &w->found : &none);
    if (c <= 0) {
        w->files += (uint64_t)w->found.n + w->found.more;
        next_found(w);
    }
    if (c >= 0 && w->state == WRITING_KEYS)
        next_old(w);
}

static void step_removals(struct writing *w)
{
    char keybuf[PLACEMENT_KEY_MAX];
    struct str key = {NULL, 0};
    struct entry entry;
    int r = 0;

    if (w->spec.old)
        r = index_removals_next(w->spec.old, (struct str){w->from, w->from_n}, keybuf,
                                &key, &entry);
    if (r < 0) {
        fail(w, "the old index's list of places to be cleared cannot be read");
        return;
    }
    if (r == 0) {
        set_state(w, WRITING_LAST);
        return;
    }
    struct change *change = change_new(key);
    for (int i = 0; i < entry.n_removals; i++)
        change_removal(change, entry.removal[i].place, entry.removal[i].due,
                       entry.removal[i].late);
    w->counts.removals += (uint64_t)entry.n_removals;
    commit(w, change, false);
    w->from_n = index_key_after(key, w->from);
    entry_clear(&entry);
}

static void on_last(void *arg, int err)
{
    struct writing *w = arg;

    if (err != 0)
        fail(w, "the new index cannot be synced: see above");
    else if (w->state == WRITING_LAST)
        set_state(w, WRITING_OVER);
    w->under_way--;
    loop_defer(w->spec.loop, &w->pump);
}

/* Changes nothing, and is written all the same, with all before it. */
static void commit_last(struct writing *w)
{
    struct change *change = change_new(STR("/"));

    w->under_way++;
    index_commit(w->spec.fresh, w->spec.loop, &change, true, on_last, w);
}

static void on_pump(struct task *task)
{
    struct writing *w = container_of(task, struct writing, pump);

    for (int i = 0; i < STEPS && w->under_way < UNDER_WAY && w->state < WRITING_LAST;
         i++) {
        if (w->state == WRITING_KEYS)
            step_keys(w);
        else
            step_removals(w);
        if (w->state == WRITING_LAST)
            commit_last(w);
    }
    progress_at(w->spec.progress, w->counts.keys,
                w->spec.files > 0 ? (double)w->files / (double)w->spec.files : 1);
    if (w->state < WRITING_LAST && w->under_way < UNDER_WAY)
        loop_defer(w->spec.loop, &w->pump);
    else if (w->state == WRITING_OVER && w->under_way == 0)
        w->done(w->arg, w->failure);
}

struct writing *writing_start(const struct writing_spec *spec,
                              void (*done)(void *arg, const char *failure), void *arg)
{
    struct writing *w = xcalloc(1, sizeof(*w));

    w->spec = *spec;
    w->done = done;
    w->arg = arg;
    w->pump.run = on_pump;
    if (spec->old)
        w->scan = index_scan(spec->old, STR("/"), STR(""));
    next_old(w);
    next_found(w);
    loop_defer(spec->loop, &w->pump);
    return w;
}

void writing_counts(const struct writing *w, struct writing_counts *out)
{
    *out = w->counts;
}

void writing_free(struct writing **wp)
{
    struct writing *w = *wp;

    *wp = NULL;
    if (!w)
        return;
    assure(w->under_way == 0);
    scan_free(&w->scan);
    free(w);
}
