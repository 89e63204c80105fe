/*
 * The event loop. One turn: wait in epoll, handle what is ready, run the tasks other
 * threads posted, fire the timers that are due, run what this turn deferred.
 *
 * Timers stand in a 4-ary heap ordered by the deadline the heap knows (`held`). Most
 * deadlines are pushed out by every byte that comes and never fire, so pushing out only
 * writes `due`; the heap finds the difference when the old deadline comes to the top.
 *
 * Tasks from other threads are pushed on a lock-free stack and reversed when taken, which
 * keeps the order of each poster; only a push that finds the loop asleep pays for the
 * eventfd.
 */
#include "common/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/str.h"

enum { BATCH = 256, HEAP_ARITY = 4 };

struct loop {
    int epoll;
    struct watch wake; /* the eventfd */
    _Atomic(struct task *) posted;
    atomic_bool asleep; /* in epoll, or about to be: whoever posts must wake it */
    atomic_bool stop;
    uint64_t now;

    /* Deferred tasks; the list ends in END, so that next != NULL says "is deferred". */
    struct task *deferred, **deferred_tail;
    struct task *running; /* what is left of the list being run */

    struct timer **heap; /* 1-based */
    uint32_t heap_n, heap_room;

    struct epoll_event batch[BATCH];
    int batch_at, batch_n;
};

static struct task END;

static void woken(struct watch *watch, uint32_t events)
{
    uint64_t count;
    (void)events;
    /* Only to make it unreadable again; the count says nothing. */
    if (read(watch->fd, &count, sizeof count) < 0)
        assure(errno == EAGAIN || errno == EINTR);
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->wake.ready = woken;
    loop->deferred = &END;
    loop->deferred_tail = &loop->deferred;
    loop->running = &END;
    loop->now = clock_ms();
    if (loop->epoll < 0 || loop->wake.fd < 0 ||
        watch_add(loop, &loop->wake, EPOLLIN) < 0) {
        int err = errno;
        if (loop->epoll >= 0)
            close(loop->epoll);
        if (loop->wake.fd >= 0)
            close(loop->wake.fd);
        free(loop);
        errno = err;
        return NULL;
    }
    return loop;
}

static void run_posted(struct loop *loop)
{
    struct task *taken =
        atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct task *in_order = NULL;
    while (taken) {
        struct task *next = taken->next;
        taken->next = in_order;
        in_order = taken;
        taken = next;
    }
    while (in_order) {
        struct task *task = in_order;
        in_order = task->next;
        task->next = NULL;
        task->run(task);
    }
}

static void run_deferred(struct loop *loop)
{
    /* What is deferred from here on belongs to the next turn: a task that defers itself
     * again must not keep the loop from its descriptors. */
    loop->running = loop->deferred;
    loop->deferred = &END;
    loop->deferred_tail = &loop->deferred;
    while (loop->running != &END) {
        struct task *task = loop->running;
        loop->running = task->next;
        task->next = NULL;
        task->run(task);
    }
}

void loop_free(struct loop **loopp)
{
    struct loop *loop = *loopp;
    if (!loop)
        return;
    *loopp = NULL;
    /* Workers may have posted results since the loop stopped; their owners free
     * themselves in these tasks. */
    while (atomic_load(&loop->posted) || loop->deferred != &END) {
        run_posted(loop);
        run_deferred(loop);
    }
    close(loop->wake.fd);
    close(loop->epoll);
    free(loop->heap);
    free(loop);
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    /* EAGAIN: the counter is full, so it is readable, so the loop wakes anyway. */
    if (write(loop->wake.fd, &one, sizeof one) < 0)
        assure(errno == EAGAIN || errno == EINTR);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    wake(loop);
}

uint64_t loop_now(const struct loop *loop)
{
    return loop->now;
}

void loop_post(struct loop *loop, struct task *task)
{
    struct task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak(&loop->posted, &head, task));
    /* Either this sees the loop asleep, or the loop sees the task before it sleeps: both
     * write first and look then, in one order for all. */
    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false))
        wake(loop);
}

void loop_defer(struct loop *loop, struct task *task)
{
    if (task->next)
        return;
    task->next = &END;
    *loop->deferred_tail = task;
    loop->deferred_tail = &task->next;
}

void loop_undefer(struct loop *loop, struct task *task)
{
    if (!task->next)
        return;
    for (struct task **at = &loop->running; *at != &END; at = &(*at)->next)
        if (*at == task) {
            *at = task->next;
            task->next = NULL;
            return;
        }
    for (struct task **at = &loop->deferred; *at != &END; at = &(*at)->next)
        if (*at == task) {
            *at = task->next;
            if (task->next == &END)
                loop->deferred_tail = at;
            task->next = NULL;
            return;
        }
    assure(task->next == NULL); /* a deferred task is in one of the lists */
}

/* --- watches -------------------------------------------------------------------- */
int watch_add(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = watch};
    assure(!watch->added);
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &ev) < 0)
        return -errno;
    watch->events = events;
    watch->added = true;
    return 0;
}

void watch_set(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = watch};
    assure(watch->added);
    if (watch->events == events)
        return;
    int rc = epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &ev);
    assure(rc == 0); /* the descriptor is ours, open, and added */
    watch->events = events;
}

void watch_del(struct loop *loop, struct watch *watch)
{
    if (!watch->added)
        return;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->added = false;
    for (int i = loop->batch_at; i < loop->batch_n; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

/* --- timers --------------------------------------------------------------------- */
static void heap_place(struct loop *loop, uint32_t slot, struct timer *timer)
{
    loop->heap[slot] = timer;
    timer->slot = slot;
}

static uint32_t heap_parent(uint32_t slot)
{
    return (slot - 2) / HEAP_ARITY + 1;
}

static void heap_up(struct loop *loop, uint32_t slot, struct timer *timer)
{
    while (slot > 1 && loop->heap[heap_parent(slot)]->held > timer->held) {
        heap_place(loop, slot, loop->heap[heap_parent(slot)]);
        slot = heap_parent(slot);
    }
    heap_place(loop, slot, timer);
}

static void heap_down(struct loop *loop, uint32_t slot, struct timer *timer)
{
    for (;;) {
        uint32_t first = (slot - 1) * HEAP_ARITY + 2, least = 0;
        for (uint32_t c = first; c < first + HEAP_ARITY && c <= loop->heap_n; c++)
            if (!least || loop->heap[c]->held < loop->heap[least]->held)
                least = c;
        if (!least || loop->heap[least]->held >= timer->held)
            break;
        heap_place(loop, slot, loop->heap[least]);
        slot = least;
    }
    heap_place(loop, slot, timer);
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t ms)
{
    timer->due = loop->now + ms;
    if (timer->slot) {
        if (timer->due < timer->held) {
            timer->held = timer->due;
            heap_up(loop, timer->slot, timer);
        }
        return;
    }
    if (loop->heap_n + 1 >= loop->heap_room) {
        loop->heap_room = loop->heap_room ? loop->heap_room * 2 : 64;
        loop->heap = xrealloc(loop->heap, loop->heap_room * sizeof(struct timer *));
    }
    timer->held = timer->due;
    heap_up(loop, ++loop->heap_n, timer);
}

void timer_clear(struct loop *loop, struct timer *timer)
{
    if (!timer->slot)
        return;
    uint32_t slot = timer->slot;
    struct timer *last = loop->heap[loop->heap_n--];
    timer->slot = 0;
    if (last == timer)
        return;
    if (slot > 1 && loop->heap[heap_parent(slot)]->held > last->held)
        heap_up(loop, slot, last);
    else
        heap_down(loop, slot, last);
}

static void run_timers(struct loop *loop)
{
    /* No more of them than there are now: one that is set again for no time at all must
     * not keep the loop from its descriptors. */
    for (uint32_t n = loop->heap_n;
         n > 0 && loop->heap_n && loop->heap[1]->held <= loop->now; n--) {
        struct timer *timer = loop->heap[1];
        if (timer->due > timer->held) {
            timer->held = timer->due;
            heap_down(loop, 1, timer);
            continue;
        }
        timer_clear(loop, timer);
        timer->fire(timer);
    }
}

/* How long epoll may wait: until a timer is due, and not at all where tasks are. */
static int next_wait(const struct loop *loop)
{
    if (loop->deferred != &END)
        return 0;
    if (!loop->heap_n)
        return -1;
    if (loop->heap[1]->held <= loop->now)
        return 0;
    uint64_t wait = loop->heap[1]->held - loop->now;
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->stop, memory_order_relaxed)) {
        run_timers(loop);
        run_deferred(loop);
        int wait = next_wait(loop); /* only now: what was deferred may have set a timer */
        atomic_store(&loop->asleep, true);
        if (atomic_load(&loop->posted))
            wait = 0;
        int n = epoll_wait(loop->epoll, loop->batch, BATCH, wait);
        atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
        loop->now = clock_ms();
        assure(n >= 0 || errno == EINTR);
        loop->batch_n = n > 0 ? n : 0;
        for (loop->batch_at = 0; loop->batch_at < loop->batch_n;) {
            struct epoll_event *ev = &loop->batch[loop->batch_at++];
            struct watch *watch = ev->data.ptr;
            if (watch) /* NULL: deleted by an earlier event of this batch */
                watch->ready(watch, ev->events);
        }
        loop->batch_n = loop->batch_at = 0;
        if (atomic_load_explicit(&loop->posted, memory_order_relaxed))
            run_posted(loop);
    }
}
