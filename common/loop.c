/*
 * The event loop. One turn: wait in epoll, handle what is ready, run the tasks other
 * threads posted, fire the timers that are due, run what this turn deferred, go on the
 * errands.
 *
 * Tasks from other threads are pushed on a lock-free stack and reversed when taken, which
 * keeps the order of each poster; only a push that finds the loop asleep pays for the
 * eventfd.
 *
 * While a thread is out on an errand the loop's mark is odd. Who makes it even has the
 * loop: the thread itself when it comes back, or the one that takes the loop away. All
 * errands of a turn are run before any is told that it is back, and what is deferred to
 * the last is run before them, so that what a thread keeps for its turn is always put away
 * when it goes out.
 */
#include "common/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/str.h"
#include "common/timers.h"

enum { BATCH = 256 };
enum { ERRANDS_MS = 2 }; /* in a turn; what is left then is for the next */

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
    struct task *last;    /* deferred until after that; ends in END, too */

    struct errand_list {
        struct errand *first, **tail;
    } errands, returned;
    struct errand *out; /* run now */
    _Atomic uint64_t errand_mark;
    pthread_mutex_t taking; /* held by who takes the loop until stuck() has returned */
    atomic_int thread;
    sem_t stopped;

    struct timers timers;

    struct epoll_event batch[BATCH];
    int batch_at, batch_n;
};

static struct task END;

/* The one whose loop_run() is on this thread's stack. */
static _Thread_local struct loop *here;

/* Edge-triggered: each write tells once, and nobody has to read. */
static void woken(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->wake.ready = woken;
    loop->deferred = &END;
    loop->deferred_tail = &loop->deferred;
    loop->running = &END;
    loop->last = &END;
    loop->errands.tail = &loop->errands.first;
    loop->returned.tail = &loop->returned.first;
    loop->now = clock_ms();
    if (loop->epoll < 0 || loop->wake.fd < 0 ||
        watch_add(loop, &loop->wake, EPOLLIN | EPOLLET) < 0) {
        int err = errno;
        if (loop->epoll >= 0)
            close(loop->epoll);
        if (loop->wake.fd >= 0)
            close(loop->wake.fd);
        free(loop);
        errno = err;
        return NULL;
    }
    pthread_mutex_init(&loop->taking, NULL);
    sem_init(&loop->stopped, 0, 0);
    return loop;
}

static void run_list(struct task **list)
{
    while (*list != &END) {
        struct task *task = *list;
        *list = task->next;
        task->next = NULL;
        task->run(task);
    }
}

static void run_posted(struct loop *loop)
{
    struct task *taken =
        atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct task *in_order = &END;
    while (taken) {
        struct task *next = taken->next;
        taken->next = in_order;
        in_order = taken;
        taken = next;
    }
    run_list(&in_order);
}

static void run_deferred(struct loop *loop)
{
    /* What is deferred from here on belongs to the next turn: a task that defers itself
     * again must not keep the loop from its descriptors. */
    loop->running = loop->deferred;
    loop->deferred = &END;
    loop->deferred_tail = &loop->deferred;
    run_list(&loop->running);
    run_list(&loop->last);
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
    assure(!loop->errands.first && !loop->returned.first);
    close(loop->wake.fd);
    close(loop->epoll);
    pthread_mutex_destroy(&loop->taking);
    sem_destroy(&loop->stopped);
    timers_free(&loop->timers);
    free(loop);
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    /* Never refused: the counter takes 2^64 of them. */
    ssize_t n = write(loop->wake.fd, &one, sizeof(one));
    assure(n == sizeof(one));
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

struct loop *loop_here(void)
{
    return here;
}

void loop_post(struct loop *loop, struct task *task)
{
    loop_post_all(loop, task, task);
}

void loop_post_all(struct loop *loop, struct task *last, struct task *first)
{
    struct task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        first->next = head;
    } while (!atomic_compare_exchange_weak(&loop->posted, &head, last));
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

void loop_defer_last(struct loop *loop, struct task *task)
{
    assure(!task->next);
    task->next = loop->last;
    loop->last = task;
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
    assure(!task->next); /* a deferred task is in one of the lists */
}

/* --- errands -------------------------------------------------------------------- */
static void add_errand(struct errand_list *list, struct errand *errand)
{
    errand->next = NULL;
    *list->tail = errand;
    list->tail = &errand->next;
}

static struct errand *next_errand(struct errand_list *list)
{
    struct errand *errand = list->first;
    if (!errand)
        return NULL;
    list->first = errand->next;
    if (!list->first)
        list->tail = &list->first;
    return errand;
}

void loop_errand(struct loop *loop, struct errand *errand)
{
    add_errand(&loop->errands, errand);
}

uint64_t loop_errand_mark(struct loop *loop)
{
    return atomic_load(&loop->errand_mark);
}

int loop_thread(struct loop *loop)
{
    return atomic_load_explicit(&loop->thread, memory_order_relaxed);
}

bool loop_take(struct loop *loop, uint64_t mark)
{
    assure(mark & 1);
    pthread_mutex_lock(&loop->taking);
    bool taken = atomic_compare_exchange_strong(&loop->errand_mark, &mark, mark + 1);
    if (taken)
        loop->out->ops->stuck(loop->out);
    pthread_mutex_unlock(&loop->taking);
    return taken;
}

/* False: the loop was taken away. */
static bool run_errands(struct loop *loop)
{
    uint64_t until = clock_ms() + ERRANDS_MS;
    struct errand *errand;
    while (clock_ms() < until && (errand = next_errand(&loop->errands))) {
        uint64_t mark =
            atomic_load_explicit(&loop->errand_mark, memory_order_relaxed) + 1;
        loop->out = errand;
        atomic_store(&loop->errand_mark, mark);
        errand->ops->run(errand);
        if (!atomic_compare_exchange_strong(&loop->errand_mark, &mark, mark + 1)) {
            here = NULL;
            pthread_mutex_lock(&loop->taking); /* stuck() comes first */
            pthread_mutex_unlock(&loop->taking);
            errand->ops->late(errand);
            return false;
        }
        add_errand(&loop->returned, errand);
    }
    while ((errand = next_errand(&loop->returned)))
        errand->ops->back(errand);
    return true;
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
void timer_set(struct loop *loop, struct timer *timer, uint64_t ms)
{
    timers_set(&loop->timers, timer, loop->now + ms);
}

void timer_clear(struct loop *loop, struct timer *timer)
{
    timers_clear(&loop->timers, timer);
}

static void run_timers(struct loop *loop)
{
    struct timer *timer;
    /* No more of them than there are now: one that is set again for no time at all must
     * not keep the loop from its descriptors. */
    for (uint32_t n = loop->timers.n;
         n > 0 && (timer = timers_take_due(&loop->timers, loop->now)); n--)
        timer->fire(timer);
}

/* How long epoll may wait: until a timer is due, and not at all where tasks are. */
static int next_wait(const struct loop *loop)
{
    if (loop->deferred != &END || loop->errands.first)
        return 0;
    uint64_t next = timers_next(&loop->timers);
    if (next == UINT64_MAX)
        return -1;
    if (next <= loop->now)
        return 0;
    uint64_t wait = next - loop->now;
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

void loop_join(struct loop *loop)
{
    while (sem_wait(&loop->stopped) != 0)
        assure(errno == EINTR);
}

static void wait_and_handle(struct loop *loop)
{
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
}

bool loop_run(struct loop *loop)
{
    here = loop;
    atomic_store_explicit(&loop->thread, gettid(), memory_order_relaxed);
    loop->now = clock_ms();
    while (!atomic_load_explicit(&loop->stop, memory_order_relaxed)) {
        run_timers(loop);
        run_deferred(loop);
        if (loop->errands.first || loop->returned.first) {
            if (!run_errands(loop))
                return false;
            run_deferred(loop);
        }
        wait_and_handle(loop);
        if (atomic_load_explicit(&loop->posted, memory_order_relaxed))
            run_posted(loop);
    }
    /* Of the last turn: nothing of this thread's stays in the loop. */
    do {
        run_deferred(loop);
        if (!run_errands(loop))
            return false;
    } while (loop->errands.first);
    run_deferred(loop);
    here = NULL;
    sem_post(&loop->stopped);
    return true;
}
