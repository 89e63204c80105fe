/*
 * What the tests of the index share: an index in a temp folder, a loop in a thread for
 * its completions, and calls that wait for them. In a header, since a unit test is one
 * file.
 */
#ifndef TESTS_UNIT_INDEX_RIG_H
#define TESTS_UNIT_INDEX_RIG_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/assure.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/placement.h"
#include "master/index/private.h"

#define MD5_A "0123456789abcdef0123456789abcdef"
#define MD5_B "fedcba9876543210fedcba9876543210"

struct rig {
    char dir[PATH_MAX]; /* the temp folder; the index is in its "db" */
    char path[PATH_MAX];
    bool sync;
    struct loop *loop;
    pthread_t thread;
    struct index *index;
};

__attribute__((unused)) static void *rig_run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

__attribute__((unused)) static void rig_start_loop(struct rig *rig)
{
    rig->loop = loop_new();
    assure(rig->loop != NULL);
    int err = pthread_create(&rig->thread, NULL, rig_run_loop, rig->loop);
    assure(err == 0);
}

__attribute__((unused)) static void rig_open(struct rig *rig)
{
    struct index_options options = {.path = rig->path, .sync = rig->sync};
    char err[512] = "";
    rig->index = index_open(&options, err, sizeof(err));
    if (!rig->index) {
        fprintf(stderr, "%s\n", err);
        abort();
    }
}

__attribute__((unused)) static void rig_reopen(struct rig *rig)
{
    index_close(&rig->index);
    rig_open(rig);
}

/* `under`: the folder to make the temp folder in, or NULL. */
__attribute__((unused)) static void rig_folder(struct rig *rig, const char *under)
{
    const char *tmp = getenv("TMPDIR");
    if (!under)
        under = tmp ? tmp : "/tmp";
    *rig = (struct rig){.sync = true};
    snprintf(rig->dir, sizeof(rig->dir) - 8, "%s/mkv-index-XXXXXX", under);
    const char *made = mkdtemp(rig->dir);
    assure(made != NULL);
    memcpy(rig->path, rig->dir, strlen(rig->dir) + 1);
    memcpy(rig->path + strlen(rig->path), "/db", sizeof("/db"));
}

__attribute__((unused)) static void rig_begin(struct rig *rig)
{
    rig_folder(rig, NULL);
    rig_start_loop(rig);
    rig_open(rig);
}

__attribute__((unused)) static void rig_end(struct rig *rig)
{
    if (rig->index)
        index_close(&rig->index);
    if (rig->loop) {
        loop_stop(rig->loop);
        pthread_join(rig->thread, NULL);
        loop_free(&rig->loop);
    }
    char command[PATH_MAX + 32];
    snprintf(command, sizeof(command), "rm -rf '%s'", rig->dir);
    int status = system(command);
    assure(status == 0);
}

/* --- waiting ----------------------------------------------------------------------- */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int left;
    int failed; /* how many ended in an error */
    int err;    /* the last one */
};

__attribute__((unused)) static void waiter_init(struct waiter *w, int n)
{
    *w = (struct waiter){.left = n};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
}

__attribute__((unused)) static void waiter_done(void *arg, int err)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->lock);
    if (err != 0) {
        w->failed++;
        w->err = err;
    }
    if (--w->left == 0)
        pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

__attribute__((unused)) static int waiter_wait(struct waiter *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->left > 0)
        pthread_cond_wait(&w->wake, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    return w->err;
}

__attribute__((unused)) static int rig_commit(struct rig *rig, struct change *change,
                                              bool durable)
{
    struct waiter w;
    waiter_init(&w, 1);
    index_commit(rig->index, rig->loop, &change, durable, waiter_done, &w);
    return waiter_wait(&w);
}

/* --- reading ----------------------------------------------------------------------- */
struct taken {
    int err;
    struct entry entry;
};

__attribute__((unused)) static void take_entry(void *arg, int err, struct entry *entry)
{
    struct taken *taken = arg;
    taken->err = err;
    taken->entry = *entry;
}

__attribute__((unused)) static int rig_get(struct rig *rig, struct str key,
                                           struct entry *entry)
{
    struct taken taken = {.err = 1};
    index_get(rig->index, rig->loop, key, take_entry, &taken);
    *entry = taken.entry;
    return taken.err;
}

__attribute__((unused)) static int rig_claim(struct rig *rig, struct str key,
                                             struct entry *entry)
{
    struct taken taken = {.err = 1};
    index_claim(rig->index, rig->loop, key, take_entry, &taken);
    *entry = taken.entry;
    return taken.err;
}

/* Claims the key, and marks the place. */
__attribute__((unused)) static void rig_claim_marked(struct rig *rig, const char *key,
                                                     const char *place)
{
    struct entry e;
    assert_int_equal(rig_claim(rig, str_of(key), &e), 0);
    entry_clear(&e);
    struct change *c = change_new(str_of(key));
    change_mark(c, str_of(place));
    assert_int_equal(rig_commit(rig, c, true), 0);
}

/* The whole of a key's entry as one text: "state md5 places|size time|marks|removals".
 * The index has it in its cache from then on, if it can be had: what is expected next
 * must not be what was. */
__attribute__((unused)) static const char *rig_text(struct rig *rig, const char *key)
{
    static _Thread_local char text[4096];
    static const char *const states[] = {"absent", "live", "unlinked"};
    struct entry e;
    int err = rig_claim(rig, str_of(key), &e);
    if (err != 0) {
        assert_int_equal(rig_get(rig, str_of(key), &e), err);
        snprintf(text, sizeof(text), "error %d", err);
        return text;
    }
    int at = snprintf(text, sizeof(text), "%s", states[e.record.state]);
    if (e.record.md5[0] != '\0')
        at += sprintf(text + at, " %.4s", e.record.md5);
    for (int i = 0; i < e.record.n; i++)
        at += sprintf(text + at, "%c%.*s", i == 0 ? ' ' : ',', (int)e.record.place[i].n,
                      e.record.place[i].p);
    if (e.has_size)
        at += sprintf(text + at, " | %llu %lld", (unsigned long long)e.size,
                      (long long)e.time);
    for (int i = 0; i < e.n_marks; i++)
        at += sprintf(text + at, " | mark %.*s", (int)e.mark[i].n, e.mark[i].p);
    for (int i = 0; i < e.n_removals; i++)
        at += sprintf(text + at, " | removal %.*s %lld%s", (int)e.removal[i].place.n,
                      e.removal[i].place.p, (long long)e.removal[i].due,
                      e.removal[i].late > 0 ? " late" : "");
    entry_clear(&e);
    index_release(rig->index, str_of(key));
    rig_get(rig, str_of(key), &e);
    entry_clear(&e);
    return text;
}

/* A record of places "a,b,c". The text must outlive it. */
__attribute__((unused)) static struct record
record_of(enum record_state state, const char *md5, const char *places)
{
    struct record record;
    int err = record_parse(str_of(places), &record);
    assure(err == 0);
    record.state = state;
    snprintf(record.md5, sizeof(record.md5), "%s", md5);
    return record;
}

/* --- tests ------------------------------------------------------------------------- */
__attribute__((unused)) static int begin(void **state)
{
    struct rig *rig = xmalloc(sizeof(*rig));
    rig_begin(rig);
    *state = rig;
    return 0;
}

__attribute__((unused)) static int end(void **state)
{
    rig_end(*state);
    free(*state);
    return 0;
}

__attribute__((unused)) static void expect(struct rig *rig, const char *key,
                                           const char *want)
{
    assert_string_equal(rig_text(rig, key), want);
}

__attribute__((unused)) static struct change *put(const char *key, const char *md5,
                                                  const char *places)
{
    struct change *c = change_new(str_of(key));
    struct record r = record_of(RECORD_LIVE, md5, places);
    change_record(c, &r, true, 1000, 50);
    return c;
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, begin, end)

#endif
