/* Plain sockets as a transport. */
#include "common/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_read(struct transport *t, void *buf, size_t len)
{
    ssize_t n;
    do {
        n = recv(t->fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t plain_writev(struct transport *t, const struct iovec *iov, int n, int more)
{
    /* sendmsg, not writev: a peer that is gone is EPIPE and no signal. */
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                         .msg_iovlen = (size_t)n};
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    ssize_t sent;
    do {
        /* Most answers are one piece, and that is the cheaper call. */
        sent = n == 1 ? send(t->fd, iov->iov_base, iov->iov_len, flags)
                      : sendmsg(t->fd, &msg, flags);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static ssize_t plain_sendfile(struct transport *t, int fd, off_t *off, size_t len)
{
    ssize_t n;
    do {
        n = sendfile(t->fd, fd, off, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void plain_cork(struct transport *t, int on)
{
    setsockopt(t->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static int plain_shutdown(struct transport *t)
{
    return shutdown(t->fd, SHUT_WR) < 0 ? -errno : 0;
}

static void plain_reset(struct transport *t)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void plain_close(struct transport *t)
{
    close(t->fd);
    t->fd = -1;
}

static const struct transport_ops plain_ops = {
    .read = plain_read,
    .writev = plain_writev,
    .sendfile = plain_sendfile,
    .cork = plain_cork,
    .shutdown = plain_shutdown,
    .reset = plain_reset,
    .close = plain_close,
};

void transport_plain(struct transport *t, int fd)
{
    t->ops = &plain_ops;
    t->fd = fd;
}
