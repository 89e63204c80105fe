/*
 * The event loop: epoll, timers, tasks from other threads. One per core, one thread each.
 *
 * A loop never waits for anything but epoll. What would block (a disk, a name server)
 * goes to workers.h and comes back as a task; what hardly ever does may be an errand.
 * Everything here is to be called on the loop's own thread (or before loop_run), but for
 * what says otherwise.
 *
 * All nodes (watch, timer, task) are embedded in their owner; the loop allocates nothing
 * in the steady state.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void); /* NULL with errno set when the kernel refuses */
void loop_free(struct loop **loop);

/* Runs until loop_stop(): true. False: the loop was taken away from this thread while it
 * was out on an errand, and is another one's to run. */
bool loop_run(struct loop *loop);
/* Any thread that does not run it: waits until the loop has stopped, whoever runs it. Once
 * for each loop. */
void loop_join(struct loop *loop);
/* The loop that the caller is called from, NULL outside of one. */
struct loop *loop_here(void);
/* Any thread, also a signal handler's context through signalfd. */
void loop_stop(struct loop *loop);

/* Milliseconds of the monotonic clock as of this turn. */
uint64_t loop_now(const struct loop *loop);

/* --- tasks: a function to run later on the loop's thread ------------------------ */
struct task {
    void (*run)(struct task *task);
    struct task *next; /* the loop's */
};

/* Any thread. Runs task->run on the loop's thread, in the order posted by one thread.
 * The task must not be posted again before it has run. Tasks posted after the loop has
 * stopped are run by loop_free, on its caller's thread. */
void loop_post(struct loop *loop, struct task *task);
/* The same for several at once, linked by `next` from the last to the first. */
void loop_post_all(struct loop *loop, struct task *last, struct task *first);

/* Own thread. Runs the task once, at the end of this turn, just before the loop waits
 * again: the place where writes of one turn are gathered into one system call. Deferring
 * a task that is deferred already does nothing. */
void loop_defer(struct loop *loop, struct task *task);
/* Own thread. The same for what a thread gathers while it handles things: after the turn's
 * deferred tasks, also where one of these asks for it, and before the turn's errands. Not
 * for a task that is deferred already, nor from within one that runs last. */
void loop_defer_last(struct loop *loop, struct task *task);
/* Own thread: takes back what loop_defer() deferred, if it did. */
void loop_undefer(struct loop *loop, struct task *task);

/* --- errands: what hardly ever blocks, done by the loop's own thread ------------- */
/* The way to another thread and back costs more than most calls take that could block. So
 * the loop's thread may make them itself: at the end of a turn, when nothing of the loop's
 * is on its stack, and under the eyes of a standby (standby.h), who takes the loop away
 * from a thread that does not come back and has another one run it. */
struct errand;

struct errand_ops {
    /* Touches nothing of the loop's, nor anything that only its thread may. */
    void (*run)(struct errand *errand);
    /* Then, on the loop's thread. */
    void (*back)(struct errand *errand);
    /* Or, when the loop was taken away meanwhile: first stuck(), on the taker's thread,
     * while run() is still under way; late() in place of back(), on the thread that was
     * out, which has no loop any more. */
    void (*stuck)(struct errand *errand);
    void (*late)(struct errand *errand);
};

struct errand {
    const struct errand_ops *ops;
    struct errand *next; /* the loop's */
};

/* Own thread. For a loop that has a standby. Many errands are spread over turns: what else
 * the loop has to do does not wait for all of them. */
void loop_errand(struct loop *loop, struct errand *errand);
/* Any thread. Odd while the loop's thread is out; another number for each errand. */
uint64_t loop_errand_mark(struct loop *loop);
/* Any thread: the kernel's number of the thread that runs the loop, or ran it last; 0 before
 * that. */
int loop_thread(struct loop *loop);
/* Any thread. Takes the loop from a thread that is still out on the errand of that mark.
 * True: the caller sees to it that another thread calls loop_run(). */
bool loop_take(struct loop *loop, uint64_t mark);

/* --- watches: readiness of a descriptor (level-triggered) ----------------------- */
struct watch {
    void (*ready)(struct watch *watch, uint32_t events); /* EPOLLIN | EPOLLOUT | … */
    int fd;
    uint32_t events; /* what is asked for now; change it with watch_set */
    bool added;      /* the loop's */
};

int watch_add(struct loop *loop, struct watch *watch, uint32_t events); /* 0 or -errno */
/* No system call when nothing changes. */
void watch_set(struct loop *loop, struct watch *watch, uint32_t events);
/* Before close(fd). Readiness of this watch still in the current batch is dropped. */
void watch_del(struct loop *loop, struct watch *watch);

/* --- timers --------------------------------------------------------------------- */
struct timer {
    void (*fire)(struct timer *timer);
    uint64_t due;  /* ms, loop clock; the loop's */
    uint64_t held; /* the loop's: where the heap has it */
    uint32_t slot; /* 1-based heap place, 0 = not set; the loop's */
};

/* (Re)arms: fires once, `ms` from now. Cheap to call for every byte that comes: pushing a
 * deadline out does not move the timer in the heap. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t ms);
void timer_clear(struct loop *loop, struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->slot != 0;
}

#endif
