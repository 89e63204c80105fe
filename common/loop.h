/*
 * The event loop: epoll, timers, tasks from other threads. One per core, one thread each.
 *
 * A loop never waits for anything but epoll. What would block (a disk, a name server)
 * goes to workers.h and comes back as a task. Everything here but loop_post and loop_stop
 * is to be called on the loop's own thread (or before loop_run).
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

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
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

/* Own thread. Runs the task once, at the end of this turn, just before the loop waits
 * again: the place where writes of one turn are gathered into one system call. Deferring
 * a task that is deferred already does nothing. */
void loop_defer(struct loop *loop, struct task *task);
/* Own thread: takes back what was deferred, if it was. */
void loop_undefer(struct loop *loop, struct task *task);

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
