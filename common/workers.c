/*
 * Crews and their queues.
 *
 * Waking a thread and being woken costs more than most jobs do: a small file is made,
 * written and named in some 20 microseconds, and as long again goes into two context
 * switches. So a crew keeps few threads *active* (half the processors, at least one), and
 * jobs wait for the next of them to be free. That is right as long as jobs do not wait.
 * One that is going to says so, and does not count as active from then on; and where one
 * waits that did not mean to (a drive that hangs in open()), the *foreman* finds within a
 * millisecond or two that nothing was taken up, writes off whoever is at work, and calls
 * another thread.
 */
#include "common/workers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/str.h"
#include "common/thread.h"

enum {
    FOREMAN_LOOKS_NS = 1000 * 1000,
    FOREMAN_RESTS_AFTER = 100, /* looks that found nothing queued */
    TOLD_TOGETHER = 8,         /* jobs done, at most */
};

struct hand {
    struct crew *crew;
    struct hand *next;
    pthread_t thread;
    bool busy;                     /* has a job */
    bool waiting;                  /* its job waits: it does not count as active */
    struct job *done, **done_tail; /* not told yet */
    int n_done;
};

struct workers {
    struct crew *crew;
    bool owns_crew;
    enum workers_pace pace;
    struct job *first, **tail;
    int at_once, running;
    bool listed;    /* in the crew's list */
    bool hang;      /* see workers_hang() */
    uint64_t moved; /* ms: when a job was last taken */
    struct workers *next;
    pthread_cond_t idle; /* nothing queued, nothing running */
};

struct crew {
    pthread_mutex_t lock; /* of all that follows, and of its workers and hands */
    pthread_cond_t called;
    struct workers *first, **tail; /* those with a job that may run now */
    struct hand *hands;
    int started, resting;
    int active; /* at work or called, without those that wait */
    int most_active;
    int calls;      /* for threads that have not come yet */
    uint64_t taken; /* jobs, so far */
    bool end;

    pthread_cond_t armed_or_end;
    pthread_t foreman;
    bool has_foreman, armed;
    char name[16];
};

static _Thread_local struct hand *self;

/* Jobs of one turn of this thread's loop. It empties before the thread may lose the loop,
 * and before loop_run() returns. */
static _Thread_local struct outbox {
    struct task task; /* deferred as long as there are any */
    struct job *first, **tail;
} outbox;

static void run_done(struct task *task)
{
    struct job *job = container_of(task, struct job, task);
    job->done(job);
}

/* --- under the lock ---------------------------------------------------------------- */
/* Puts a queue on the list if one of its jobs may run now. */
static void list_if_ready(struct workers *w)
{
    struct crew *crew = w->crew;
    if (w->listed || !w->first || w->running >= w->at_once)
        return;
    w->listed = true;
    w->next = NULL;
    *crew->tail = w;
    crew->tail = &w->next;
}

/* The next job; queues take turns. NULL: there is none. */
static struct job *take_job(struct crew *crew, struct workers **from)
{
    struct workers *w = crew->first;
    if (!w)
        return NULL;
    crew->first = w->next;
    if (!crew->first)
        crew->tail = &crew->first;
    w->listed = false;
    struct job *job = w->first;
    w->first = job->next;
    if (!w->first)
        w->tail = &w->first;
    w->running++;
    w->moved = clock_coarse_ms();
    crew->taken++;
    list_if_ready(w);
    *from = w;
    return job;
}

static void *hand_main(void *arg);
static void *foreman_main(void *arg);

/* Calls one more thread to work. */
static void call(struct crew *crew)
{
    if (crew->calls >= crew->resting) {
        struct hand *hand = xcalloc(1, sizeof(*hand));
        hand->crew = crew;
        hand->done_tail = &hand->done;
        if (thread_start(&hand->thread, crew->name, hand_main, hand) != 0) {
            free(hand);
            assure(crew->started > 0); /* no thread at all: nothing would ever finish */
            return;
        }
        hand->next = crew->hands;
        crew->hands = hand;
        crew->started++;
        crew->resting++; /* it comes as if it had rested */
    }
    crew->active++;
    crew->calls++;
    pthread_cond_signal(&crew->called);
}

static void arm_foreman(struct crew *crew)
{
    if (crew->armed)
        return;
    if (!crew->has_foreman)
        crew->has_foreman =
            thread_start(&crew->foreman, "foreman", foreman_main, crew) == 0;
    crew->armed = crew->has_foreman;
    if (crew->armed)
        pthread_cond_signal(&crew->armed_or_end);
    else
        call(crew); /* nobody to watch over them: better one too many */
}

/* There may be jobs: is somebody there to take them? */
static void see_to_jobs(struct crew *crew)
{
    if (!crew->first)
        return;
    if (crew->active == 0 || (crew->active < crew->most_active && crew->calls == 0))
        call(crew);
    else
        arm_foreman(crew);
}

static void hand_waits(struct hand *hand)
{
    if (hand->waiting)
        return;
    hand->waiting = true;
    hand->crew->active--;
}

/* --- threads ----------------------------------------------------------------------- */
/* Takes from *list the jobs that came from the loop of its first one, and tells that loop
 * of all of them at once. They may be gone when this returns. */
static void tell_loop(struct job **list)
{
    struct loop *loop = (*list)->loop;
    struct task *first = &(*list)->task, *last = NULL;
    for (struct job **at = list; *at;) {
        struct job *job = *at;
        if (job->loop != loop) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job->task.run = run_done;
        job->task.next = last;
        last = &job->task;
    }
    loop_post_all(loop, last, first);
}

/* Takes the lock away for a moment. */
static void tell_done(struct crew *crew, struct hand *hand)
{
    struct job *jobs = hand->done;
    if (!jobs)
        return;
    hand->done = NULL;
    hand->done_tail = &hand->done;
    hand->n_done = 0;
    pthread_mutex_unlock(&crew->lock);
    while (jobs)
        tell_loop(&jobs);
    pthread_mutex_lock(&crew->lock);
}

static void do_job(struct hand *hand, struct workers *w, struct job *job)
{
    struct crew *crew = hand->crew;
    hand->busy = true;
    hand->waiting = false;
    if (w->pace == WORKERS_SLOW) {
        hand_waits(hand);
        see_to_jobs(crew);
    }
    pthread_mutex_unlock(&crew->lock);
    job->work(job);
    pthread_mutex_lock(&crew->lock);
    hand->busy = false;
    job->next = NULL;
    *hand->done_tail = job;
    hand->done_tail = &job->next;
    hand->n_done++;
    /* The next job may hang; the foreman tells of this one then. */
    if (hand->waiting || !crew->first || hand->n_done == TOLD_TOGETHER || !crew->armed)
        tell_done(crew, hand);
    if (hand->waiting)
        crew->active++;
    w->running--;
    w->hang = false;
    list_if_ready(w);
    if (!w->first && w->running == 0)
        pthread_cond_broadcast(&w->idle);
}

static void *hand_main(void *arg)
{
    struct hand *hand = arg;
    struct crew *crew = hand->crew;
    struct workers *w;
    struct job *job;
    self = hand;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (!crew->calls && !crew->end)
            pthread_cond_wait(&crew->called, &crew->lock);
        if (!crew->calls)
            break;
        crew->calls--;
        crew->resting--;
        /* One that comes back from waiting to find enough at work leaves it to them. */
        while (crew->active <= crew->most_active && (job = take_job(crew, &w)))
            do_job(hand, w, job);
        tell_done(crew, hand);
        crew->active--;
        crew->resting++;
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* Has a hand that is at work something to tell? */
static bool untold(const struct crew *crew)
{
    const struct hand *hand = crew->hands;
    while (hand && !(hand->busy && hand->done))
        hand = hand->next;
    return hand != NULL;
}

static void *foreman_main(void *arg)
{
    struct crew *crew = arg;
    const struct timespec pause = {.tv_nsec = FOREMAN_LOOKS_NS};
    int quiet = 0;
    pthread_mutex_lock(&crew->lock);
    while (!crew->end) {
        if (!crew->armed) {
            pthread_cond_wait(&crew->armed_or_end, &crew->lock);
            continue;
        }
        uint64_t taken = crew->taken;
        pthread_mutex_unlock(&crew->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&crew->lock);
        if (!crew->first && !untold(crew)) {
            crew->armed = ++quiet < FOREMAN_RESTS_AFTER;
            continue;
        }
        quiet = 0;
        bool none_taken = crew->taken == taken;
        for (struct hand *hand = crew->hands; hand; hand = hand->next)
            if (hand->busy) {
                if (none_taken)
                    hand_waits(hand);
                tell_done(crew, hand);
            }
        if (crew->first && crew->active == 0)
            call(crew);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* --- crews and queues -------------------------------------------------------------- */
struct crew *crew_new(const char *name)
{
    struct crew *crew = xcalloc(1, sizeof(*crew));
    int n = cores();
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->called, NULL);
    pthread_cond_init(&crew->armed_or_end, NULL);
    crew->tail = &crew->first;
    crew->most_active = n > 3 ? n / 2 : 1;
    snprintf(crew->name, sizeof(crew->name), "%s", name);
    return crew;
}

void crew_free(struct crew **crewp)
{
    struct crew *crew = *crewp;
    if (!crew)
        return;
    *crewp = NULL;
    pthread_mutex_lock(&crew->lock);
    assure(!crew->first);
    crew->end = true;
    pthread_cond_broadcast(&crew->called);
    pthread_cond_signal(&crew->armed_or_end);
    pthread_mutex_unlock(&crew->lock);
    if (crew->has_foreman)
        pthread_join(crew->foreman, NULL);
    while (crew->hands) {
        struct hand *hand = crew->hands;
        crew->hands = hand->next;
        pthread_join(hand->thread, NULL);
        free(hand);
    }
    pthread_cond_destroy(&crew->called);
    pthread_cond_destroy(&crew->armed_or_end);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

struct workers *workers_of(struct crew *crew, enum workers_pace pace, int at_once)
{
    struct workers *w = xcalloc(1, sizeof(*w));
    assure(at_once > 0);
    w->crew = crew;
    w->pace = pace;
    w->at_once = at_once;
    w->tail = &w->first;
    pthread_cond_init(&w->idle, NULL);
    return w;
}

struct workers *workers_new(const char *name, int at_once)
{
    struct workers *w = workers_of(crew_new(name), WORKERS_SLOW, at_once);
    w->owns_crew = true;
    return w;
}

void workers_free(struct workers **wp)
{
    struct workers *w = *wp;
    if (!w)
        return;
    *wp = NULL;
    pthread_mutex_lock(&w->crew->lock);
    while (w->first || w->running > 0)
        pthread_cond_wait(&w->idle, &w->crew->lock);
    pthread_mutex_unlock(&w->crew->lock);
    if (w->owns_crew)
        crew_free(&w->crew);
    pthread_cond_destroy(&w->idle);
    free(w);
}

void workers_tell_done(struct job *job)
{
    job->task.run = run_done;
    loop_post(job->loop, &job->task);
}

static void lapse(struct job *job)
{
    job->lapsed = true;
    workers_tell_done(job);
}

/* Under the lock. */
static void queue(struct workers *w, struct job *job)
{
    job->next = NULL;
    if (w->hang && job->may_lapse) {
        lapse(job);
        return;
    }
    *w->tail = job;
    w->tail = &job->next;
    list_if_ready(w);
}

/* Hands jobs over, which may be of several crews. */
static void hand_over(struct job *job)
{
    while (job) {
        struct crew *crew = job->workers->crew;
        pthread_mutex_lock(&crew->lock);
        while (job && job->workers->crew == crew) {
            struct job *next = job->next;
            queue(job->workers, job);
            job = next;
        }
        see_to_jobs(crew);
        pthread_mutex_unlock(&crew->lock);
    }
}

static void run_outbox(struct task *task)
{
    struct outbox *box = container_of(task, struct outbox, task);
    struct job *first = box->first;
    box->first = NULL;
    hand_over(first);
}

void workers_submit(struct workers *w, struct loop *loop, struct job *job)
{
    job->loop = loop;
    job->workers = w;
    job->next = NULL;
    job->lapsed = false;
    if (loop_here() != loop) {
        hand_over(job);
        return;
    }
    if (!outbox.first) {
        outbox.task.run = run_outbox;
        outbox.tail = &outbox.first;
        loop_defer_last(loop, &outbox.task);
    }
    *outbox.tail = job;
    outbox.tail = &job->next;
}

bool workers_hang(struct workers *w, uint64_t ms)
{
    pthread_mutex_lock(&w->crew->lock);
    if (w->running == w->at_once && w->first && clock_coarse_ms() - w->moved >= ms) {
        w->hang = true;
        struct job *job = w->first;
        w->first = NULL;
        w->tail = &w->first;
        while (job) {
            struct job *next = job->next;
            queue(w, job);
            job = next;
        }
    }
    bool hang = w->hang;
    pthread_mutex_unlock(&w->crew->lock);
    return hang;
}

void workers_waiting(void)
{
    if (!self)
        return;
    pthread_mutex_lock(&self->crew->lock);
    hand_waits(self);
    tell_done(self->crew, self);
    see_to_jobs(self->crew);
    pthread_mutex_unlock(&self->crew->lock);
}
