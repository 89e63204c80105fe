/*
 * What HTTP reads from and writes to. Plain sockets today; TLS later implements the same
 * calls, so that neither parser nor server nor client knows the difference.
 *
 * All calls are non-blocking and return bytes moved, 0 for end of stream (read only), or
 * -errno; -EAGAIN means: wait until the descriptor is ready for it, and call again.
 */
#ifndef COMMON_TRANSPORT_H
#define COMMON_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct transport;

struct transport_ops {
    ssize_t (*read)(struct transport *t, void *buf, size_t len);
    /* more: further bytes follow at once, the segment may wait for them (MSG_MORE). */
    ssize_t (*writev)(struct transport *t, const struct iovec *iov, int n, int more);
    ssize_t (*sendfile)(struct transport *t, int fd, off_t *off, size_t len);
    /* As long as it is corked only full segments leave; the rest goes when it is not. */
    void (*cork)(struct transport *t, int on);
    /* Ends our side; the peer reads end of stream after what was written. */
    int (*shutdown)(struct transport *t);
    /* From now on close() makes the peer see a reset, not an end of stream. */
    void (*reset)(struct transport *t);
    void (*close)(struct transport *t); /* closes the descriptor */
};

/* Embedded in its connection. */
struct transport {
    const struct transport_ops *ops;
    int fd;
};

/* Takes the descriptor: transport's close closes it. */
void transport_plain(struct transport *t, int fd);

#endif
