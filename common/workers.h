/*
 * Threads for what may block. A pool is bounded: more jobs than threads wait in order.
 * Threads are started when jobs need them and stay.
 */
#ifndef COMMON_WORKERS_H
#define COMMON_WORKERS_H

#include "common/loop.h"

struct workers;

/* Embedded in its owner; must live until done() has run. */
struct job {
    void (*work)(struct job *job); /* on a worker */
    void (*done)(struct job *job); /* then, on the loop it was submitted from */
    struct loop *loop;             /* where done() runs; set by workers_submit */
    struct task task;              /* the pool's */
    struct job *next;              /* the pool's */
};

/* `name` shows in ps and debuggers (at most 15 bytes). Never NULL. */
struct workers *workers_new(const char *name, int max_threads);
/* Waits for the jobs under way and those waiting, then joins the threads. */
void workers_free(struct workers **workers);
/* Any thread; done() runs on `loop`. */
void workers_submit(struct workers *workers, struct loop *loop, struct job *job);

#endif
