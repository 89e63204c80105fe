/*
 * Threads for what may block.
 *
 * A *crew* is a set of threads; *workers* are a queue of jobs that a crew works off, at
 * most so many at a time: what hangs in one queue leaves the others their threads.
 * Threads are started when jobs need them and stay.
 */
#ifndef COMMON_WORKERS_H
#define COMMON_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"

struct crew;
struct workers;

/* Embedded in its owner; must live until done() has run. */
struct job {
    void (*work)(struct job *job); /* on a worker */
    void (*done)(struct job *job); /* then, on the loop it was submitted from */
    struct loop *loop;             /* where done() runs; set when it is submitted */
    bool may_lapse;   /* it need not be worked if it would have to wait too long */
    bool lapsed;      /* in done(): it was not */
    struct task task; /* the pool's, as what follows */
    struct job *next;
    struct workers *workers;
};

/* How long the jobs of a queue are expected to take. */
enum workers_pace {
    WORKERS_QUICK, /* microseconds: gathered on few threads, which saves waking others; a
                      job that is going to wait says so by workers_waiting() */
    WORKERS_SLOW,  /* each waits for a disk or a server: a thread for each at once */
};

/* `name` shows in ps and debuggers (at most 15 bytes). Never NULL. */
struct crew *crew_new(const char *name);
/* Once all its workers are freed: joins the threads. */
void crew_free(struct crew **crew);

/* A queue of the crew's, of which at most `at_once` jobs run at a time. Never NULL. */
struct workers *workers_of(struct crew *crew, enum workers_pace pace, int at_once);
/* The same with a crew of its own, slow. */
struct workers *workers_new(const char *name, int at_once);
/* Waits for the jobs under way and those queued. */
void workers_free(struct workers **workers);
/* Any thread; done() runs on `loop`. From within that loop the job is handed over at the
 * end of the turn, together with the turn's others. */
void workers_submit(struct workers *workers, struct loop *loop, struct job *job);

/* Any thread, for a job that was worked elsewhere: runs job->done() on job->loop. The job
 * may be gone when this returns. */
void workers_tell_done(struct job *job);

/* Has none of its threads come back for `ms`, with more to do? Then, until one does, the
 * jobs that may lapse do: those that wait, and those to come at once. To be asked every
 * now and then; any thread. */
bool workers_hang(struct workers *workers, uint64_t ms);

/* From within a job: from here on it waits (a sync, say), and jobs behind it should have
 * another thread at once. Elsewhere it does nothing. */
void workers_waiting(void);

#endif
