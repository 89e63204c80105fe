/*
 * A handler writes to an eventfd: unlike a signalfd, that does not depend on every thread
 * of every library having the signals blocked.
 */
#include "common/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/str.h"

/* What the signal handler reaches. */
static atomic_bool got_stop, got_reopen;
static int signal_fd = -1;

static void wake(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* full means readable */
}

static void on_signal(int number)
{
    int err = errno;
    atomic_store(number == SIGUSR1 ? &got_reopen : &got_stop, true);
    wake(signal_fd);
    errno = err;
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct signals *signals = container_of(watch, struct signals, watch);
    uint64_t count;
    (void)events;
    if (read(watch->fd, &count, sizeof(count)) < 0)
        return;
    if (atomic_exchange(&got_reopen, false))
        signals->on_reopen(signals);
    if (atomic_exchange(&got_stop, false))
        signals->on_stop(signals);
}

int signals_catch(struct signals *signals)
{
    struct sigaction catch = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal_fd < 0)
        return -errno;
    atomic_store(&got_stop, false);
    atomic_store(&got_reopen, false);
    signals->watch.fd = signal_fd;
    signals->watch.ready = on_ready;
    sigemptyset(&catch.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL); /* sendfile has no MSG_NOSIGNAL */
    sigaction(SIGTERM, &catch, NULL);
    sigaction(SIGINT, &catch, NULL);
    sigaction(SIGUSR1, &catch, NULL); /* where nothing reopens, too: it must not kill */
    return 0;
}

int signals_watch(struct signals *signals, struct loop *loop)
{
    return watch_add(loop, &signals->watch, EPOLLIN);
}

void signals_stop(struct signals *signals)
{
    atomic_store(&got_stop, true);
    wake(signals->watch.fd);
}

void signals_release(struct signals *signals)
{
    if (signals->watch.fd <= 0) /* none were caught */
        return;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    close(signals->watch.fd);
    signals->watch.fd = -1;
}
