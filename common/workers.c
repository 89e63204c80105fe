/*
 * A bounded pool of threads with one queue. A thread is added when a job comes, none is
 * idle and the bound is not reached; threads stay, for a pool that was busy once will be
 * again.
 */
#include "common/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/str.h"

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t work_or_end;
    struct job *first, **tail;
    int waiting; /* jobs in the queue */
    int idle;    /* threads waiting for one */
    int started, most;
    bool end;
    char name[16];
    pthread_t threads[];
};

static void run_done(struct task *task)
{
    struct job *job = container_of(task, struct job, task);
    job->done(job);
}

static void *worker(void *arg)
{
    struct workers *w = arg;
    pthread_setname_np(pthread_self(), w->name);
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->first && !w->end) {
            w->idle++;
            pthread_cond_wait(&w->work_or_end, &w->lock);
            w->idle--;
        }
        struct job *job = w->first;
        if (!job)
            break;
        w->first = job->next;
        if (!w->first)
            w->tail = &w->first;
        w->waiting--;
        pthread_mutex_unlock(&w->lock);
        job->work(job);
        job->task.run = run_done;
        loop_post(job->loop, &job->task); /* the job may be gone from here on */
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct workers *workers_new(const char *name, int max_threads)
{
    assure(max_threads > 0);
    struct workers *w = xcalloc(1, sizeof *w + (size_t)max_threads * sizeof(pthread_t));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work_or_end, NULL);
    w->tail = &w->first;
    w->most = max_threads;
    snprintf(w->name, sizeof w->name, "%s", name);
    return w;
}

void workers_free(struct workers **wp)
{
    struct workers *w = *wp;
    if (!w)
        return;
    *wp = NULL;
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_broadcast(&w->work_or_end);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->started; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->work_or_end);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Signals are the service's business; a thread of a pool takes none. */
static int start_thread(struct workers *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&w->threads[w->started], NULL, worker, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

void workers_submit(struct workers *w, struct loop *loop, struct job *job)
{
    job->loop = loop;
    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    assure(!w->end);
    *w->tail = job;
    w->tail = &job->next;
    w->waiting++;
    if (w->waiting > w->idle && w->started < w->most) {
        if (start_thread(w) == 0)
            w->started++;
        else
            assure(w->started > 0); /* no thread at all: nothing would ever finish */
    }
    pthread_cond_signal(&w->work_or_end);
    pthread_mutex_unlock(&w->lock);
}
