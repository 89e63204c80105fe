/*
 * A standby: one thread that watches, and those that take over.
 *
 * The watcher looks at the loops once a millisecond, for as long as there are errands. A
 * thread that is out on the same errand at two looks has either blocked or waits for a
 * processor; which of the two it is stands in /proc, and only one that has blocked loses
 * its loop: to take loops from threads that are merely in a queue for the processors
 * would lengthen that queue. What neither blocks nor ends (or where /proc is not to be
 * had) gets its time, and is relieved then.
 *
 * The thread that lost its loop ends, or rests here, once its errand lets it go.
 */
#include "common/standby.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/stock.h"
#include "common/thread.h"

enum {
    LOOKS_NS = 1000 * 1000,
    PATIENCE = 50,     /* looks at one errand that does not block and does not end */
    RESTS_AFTER = 100, /* looks that found no errand */
};

struct watched {
    struct loop *loop;
    uint64_t mark; /* at the last look */
    int looks;     /* at that mark */
    bool wants;    /* a thread */
    struct watched *next;
};

struct spare {
    struct standby *standby;
    pthread_t thread;
    struct spare *next;
};

struct standby {
    pthread_mutex_t lock; /* of all but the atomic ones */
    pthread_cond_t wanted, look;
    struct watched *watched;
    int n_watched;
    struct spare *spares;
    int resting; /* spares that have no loop, nor are about to get one */
    bool end;
    atomic_bool looking;
    atomic_bool lacking; /* not every loop could be taken */
    bool has_watcher;
    pthread_t watcher;
};

/* --- those that take over ---------------------------------------------------------- */
static struct watched *one_that_wants(const struct standby *s)
{
    struct watched *w = s->watched;
    while (w && !w->wants)
        w = w->next;
    return w;
}

static void *spare_main(void *arg)
{
    struct spare *spare = arg;
    struct standby *s = spare->standby;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct watched *w;
        while (!(w = one_that_wants(s)) && !s->end)
            pthread_cond_wait(&s->wanted, &s->lock);
        if (!w)
            break;
        w->wants = false;
        pthread_mutex_unlock(&s->lock);
        loop_run(w->loop);
        stock_free_all();
        pthread_mutex_lock(&s->lock);
        s->resting++;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Under the lock. Sees to it that each loop could be taken. False: no thread is to be
 * had. */
static bool have_spares(struct standby *s)
{
    while (s->resting < s->n_watched) {
        struct spare *spare = xcalloc(1, sizeof(*spare));
        spare->standby = s;
        if (thread_start(&spare->thread, "loop-spare", spare_main, spare) != 0) {
            free(spare);
            return false;
        }
        spare->next = s->spares;
        s->spares = spare;
        s->resting++;
    }
    return true;
}

/* --- the watcher ------------------------------------------------------------------- */
/* Is the thread asleep, in the kernel's eyes? False also where that is not known. */
static bool blocked(int thread)
{
    char path[48], text[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *state = strrchr(text, ')'); /* "12 (name) S …" */
    return state && strlen(state) > 2 && state[2] != 'R';
}

/* Under the lock. Has there been an errand since the last look? */
static bool look_at(struct standby *s, struct watched *w)
{
    uint64_t mark = loop_errand_mark(w->loop);
    if (mark != w->mark) {
        w->mark = mark;
        w->looks = 0;
        return true;
    }
    if (!(mark & 1))
        return false;
    w->looks++;
    if ((w->looks >= PATIENCE || blocked(loop_thread(w->loop))) && s->resting > 0 &&
        loop_take(w->loop, mark)) {
        s->resting--;
        w->wants = true;
        pthread_cond_signal(&s->wanted);
        atomic_store(&s->lacking, !have_spares(s));
    }
    return true;
}

static bool look_at_all(struct standby *s)
{
    bool any = false;
    for (struct watched *w = s->watched; w; w = w->next)
        any |= look_at(s, w);
    return any;
}

static void *watcher_main(void *arg)
{
    struct standby *s = arg;
    const struct timespec pause = {.tv_nsec = LOOKS_NS};
    int quiet = 0;
    pthread_mutex_lock(&s->lock);
    while (!s->end) {
        if (!atomic_load(&s->looking)) {
            pthread_cond_wait(&s->look, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&s->lock);
        quiet = look_at_all(s) ? 0 : quiet + 1;
        if (quiet < RESTS_AFTER)
            continue;
        quiet = 0;
        /* An errand sets its loop's mark and asks then whether anybody looks; here it is
         * the other way round. So one of the two sees the other. */
        atomic_store(&s->looking, false);
        if (look_at_all(s))
            atomic_store(&s->looking, true);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* --- the standby ------------------------------------------------------------------- */
struct standby *standby_new(void)
{
    struct standby *s = xcalloc(1, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wanted, NULL);
    pthread_cond_init(&s->look, NULL);
    return s;
}

void standby_free(struct standby **sp)
{
    struct standby *s = *sp;
    if (!s)
        return;
    *sp = NULL;
    pthread_mutex_lock(&s->lock);
    s->end = true;
    pthread_cond_broadcast(&s->wanted);
    pthread_cond_signal(&s->look);
    pthread_mutex_unlock(&s->lock);
    if (s->has_watcher)
        pthread_join(s->watcher, NULL);
    while (s->spares) {
        struct spare *spare = s->spares;
        s->spares = spare->next;
        pthread_join(spare->thread, NULL);
        free(spare);
    }
    while (s->watched) {
        struct watched *w = s->watched;
        s->watched = w->next;
        free(w);
    }
    pthread_cond_destroy(&s->wanted);
    pthread_cond_destroy(&s->look);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void standby_watch(struct standby *s, struct loop *loop)
{
    struct watched *w = xcalloc(1, sizeof(*w));
    w->loop = loop;
    pthread_mutex_lock(&s->lock);
    w->next = s->watched;
    s->watched = w;
    s->n_watched++;
    pthread_mutex_unlock(&s->lock);
}

bool standby_look(struct standby *s)
{
    if (atomic_load(&s->looking) && !atomic_load(&s->lacking))
        return true;
    pthread_mutex_lock(&s->lock);
    if (!s->has_watcher)
        s->has_watcher = thread_start(&s->watcher, "standby", watcher_main, s) == 0;
    bool looks = s->has_watcher && have_spares(s);
    atomic_store(&s->lacking, !looks);
    atomic_store(&s->looking, s->has_watcher);
    pthread_cond_signal(&s->look);
    pthread_mutex_unlock(&s->lock);
    return looks;
}
