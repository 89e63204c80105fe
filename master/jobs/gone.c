/* Removals on volumes that are gone for good: see gone.h. */
#include "master/jobs/gone.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"
#include "common/log.h"
#include "master/volumes/volume_head.h"

enum {
    VOLUMES_MAX = 64, /* that are told apart; of what is more nothing is dropped */
    STEPS = 64,       /* keys looked at in a turn of the loop */
    TURN_MS = 2,      /* between two of those */
};

struct unlisted {
    char *authority;
    bool gone;
};

struct gone {
    struct shard *shard;
    struct keys_job *job;
    void (*done)(void *arg);
    void *arg;
    struct timer turn;
    int n; /* a call under way is to the last one */
    struct unlisted volume[VOLUMES_MAX];
    uint64_t dropped, dropping; /* places; those of the commit under way */
    size_t cursor_n;
    char cursor[PLACEMENT_KEY_MAX];
};

static void finish(struct gone *gone)
{
    void (*done)(void *) = gone->done;
    void *arg = gone->arg;

    if (gone->dropped > 0)
        log_info("%llu places on volumes that are gone are cleared no more",
                 (unsigned long long)gone->dropped);
    for (int i = 0; i < gone->n; i++)
        free(gone->volume[i].authority);
    free(gone);
    done(arg);
}

/* --- is there anybody? ------------------------------------------------------------- */
static struct unlisted *find_volume(struct gone *gone, struct str authority)
{
    for (int i = 0; i < gone->n; i++)
        if (str_eq(str_of(gone->volume[i].authority), authority))
            return &gone->volume[i];
    return NULL;
}

/* Whatever the answer is, somebody is there. */
static void on_answer(struct call *call, const struct http_head *head)
{
    (void)call;
    (void)head;
}

static void on_asked(struct call *call, enum call_result result)
{
    struct gone *gone = call_arg(call);

    gone->volume[gone->n - 1].gone = result == CALL_REFUSED;
    timer_set(gone->shard->loop, &gone->turn, 0);
}

static void ask(struct gone *gone, struct str authority)
{
    static const struct call_ops ops = {.answer = on_answer, .done = on_asked};

    gone->volume[gone->n++] =
        (struct unlisted){.authority = xmemdupz(authority.p, authority.n)};
    volume_head(gone->shard->client, authority, STR("/"),
                gone->shard->master->voltimeout_ms, &ops, gone);
}

/* --- the removals ------------------------------------------------------------------ */
/* Is the removal to be dropped? -1: its volume is being asked. */
static int to_drop(struct gone *gone, const struct removal *removal)
{
    const struct unlisted *volume;
    struct str authority, prefix;

    if (volumes_lists(gone->shard->master->volumes, removal->place) ||
        removal->late > time(NULL))
        return 0;
    place_split(removal->place, &authority, &prefix);
    volume = find_volume(gone, authority);
    if (volume)
        return volume->gone;
    if (gone->n == VOLUMES_MAX)
        return 0;
    ask(gone, authority);
    return -1;
}

static void on_dropped(void *arg, int err)
{
    struct gone *gone = arg;

    if (err != 0) { /* they stay listed, and the next run finds them */
        job_failed(gone->job, "the index takes no writes");
        finish(gone);
        return;
    }
    gone->dropped += gone->dropping;
    timer_set(gone->shard->loop, &gone->turn, 0);
}

/* Does what is to be done for one key; false: goes on from a callback. */
static bool drop_of(struct gone *gone, struct str key, const struct entry *entry)
{
    struct change *change = NULL;
    uint64_t n = 0;

    for (int i = 0; i < entry->n_removals; i++) {
        int drop = to_drop(gone, &entry->removal[i]);

        if (drop < 0) { /* the key is looked at again */
            change_free(&change);
            return false;
        }
        if (drop == 0)
            continue;
        if (!change)
            change = change_new(key);
        change_cleared(change, entry->removal[i].place);
        n++;
    }
    gone->dropping = n;
    gone->cursor_n = index_key_after(key, gone->cursor);
    if (!change)
        return true;
    index_commit(gone->shard->master->index, gone->shard->loop, &change, false,
                 on_dropped, gone);
    return false;
}

static void on_turn(struct timer *timer)
{
    struct gone *gone = container_of(timer, struct gone, turn);

    for (int steps = 0; steps < STEPS; steps++) {
        char keybuf[PLACEMENT_KEY_MAX];
        struct entry entry;
        struct str key;
        bool go_on;
        int found = 0;

        if (!job_stopping(gone->job))
            found = index_removals_next(gone->shard->master->index,
                                        (struct str){gone->cursor, gone->cursor_n},
                                        keybuf, &key, &entry);
        if (found < 0)
            job_failed(gone->job, "the index cannot be read");
        if (found <= 0) {
            finish(gone);
            return;
        }
        go_on = drop_of(gone, key, &entry);
        entry_clear(&entry);
        if (!go_on)
            return;
    }
    timer_set(gone->shard->loop, timer, TURN_MS);
}

void gone_drop(struct shard *shard, struct keys_job *job, void (*done)(void *arg),
               void *arg)
{
    struct gone *gone = xcalloc(1, sizeof(*gone));

    gone->shard = shard;
    gone->job = job;
    gone->done = done;
    gone->arg = arg;
    gone->turn.fire = on_turn;
    timer_set(shard->loop, &gone->turn, 0);
}
