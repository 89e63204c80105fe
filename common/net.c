/* Sockets and addresses, IPv4 and IPv6 alike. */
#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int net_split(struct str authority, int default_port, char host[NET_HOST_MAX + 1],
              int *port)
{
    if (authority.n == 0)
        return -EINVAL;
    const char *p = authority.p, *end = p + authority.n, *host_end, *rest;
    if (*p == '[') {
        host_end = memchr(p, ']', authority.n);
        if (!host_end)
            return -EINVAL;
        p++;
        rest = host_end + 1;
    } else {
        host_end = memchr(p, ':', authority.n);
        if (!host_end)
            host_end = end;
        rest = host_end;
    }
    size_t n = (size_t)(host_end - p);
    if (n == 0 || n > NET_HOST_MAX || memchr(p, '\0', n))
        return -EINVAL;
    *port = default_port;
    if (rest < end) {
        long value = 0;
        if (*rest++ != ':' || rest == end)
            return -EINVAL;
        for (; rest < end; rest++) {
            if (*rest < '0' || *rest > '9')
                return -EINVAL;
            value = value * 10 + (*rest - '0');
            if (value > 65535)
                return -EINVAL;
        }
        if (value == 0)
            return -EINVAL;
        *port = (int)value;
    }
    memcpy(host, p, n);
    host[n] = '\0';
    return 0;
}

bool net_numeric(const char *host, int port, struct net_addrs *out)
{
    struct net_addr *a = &out->addr[0];
    memset(a, 0, sizeof(*a));
    if (inet_pton(AF_INET, host, &a->u.in.sin_addr) == 1) {
        a->u.in.sin_family = AF_INET;
        a->u.in.sin_port = htons((uint16_t)port);
        a->len = sizeof(a->u.in);
    } else if (inet_pton(AF_INET6, host, &a->u.in6.sin6_addr) == 1) {
        a->u.in6.sin6_family = AF_INET6;
        a->u.in6.sin6_port = htons((uint16_t)port);
        a->len = sizeof(a->u.in6);
    } else {
        return false;
    }
    out->n = 1;
    return true;
}

int net_resolve(const char *host, int port, struct net_addrs *out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char service[12];
    snprintf(service, sizeof(service), "%d", port);
    hints.ai_flags = AI_NUMERICSERV;
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return -EHOSTUNREACH;
    out->n = 0;
    for (struct addrinfo *ai = list; ai && out->n < NET_MAX_ADDRS; ai = ai->ai_next) {
        struct net_addr *a = &out->addr[out->n];
        if (ai->ai_addrlen > sizeof(a->u))
            continue;
        memcpy(&a->u, ai->ai_addr, ai->ai_addrlen);
        a->len = ai->ai_addrlen;
        out->n++;
    }
    freeaddrinfo(list);
    return out->n ? 0 : -EHOSTUNREACH;
}

static int listen_on(const struct net_addr *addr, int backlog)
{
    int one = 1, zero = 0;
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (addr->u.sa.sa_family == AF_INET6) /* [::] serves IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, &addr->u.sa, addr->len) < 0 || listen(fd, backlog) < 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

int net_listen(const char *bind_to, int port, int backlog)
{
    struct net_addrs addrs;
    if (bind_to) {
        if (!net_numeric(bind_to, port, &addrs)) {
            int err = net_resolve(bind_to, port, &addrs);
            if (err < 0)
                return err;
        }
        return listen_on(&addrs.addr[0], backlog);
    }
    net_numeric("::", port, &addrs);
    int fd = listen_on(&addrs.addr[0], backlog);
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) { /* a host without IPv6 */
        net_numeric("0.0.0.0", port, &addrs);
        fd = listen_on(&addrs.addr[0], backlog);
    }
    return fd;
}

int net_port(int fd)
{
    struct net_addr a = {.len = sizeof(a.u)};
    if (getsockname(fd, &a.u.sa, &a.len) < 0)
        return -errno;
    return ntohs(a.u.sa.sa_family == AF_INET6 ? a.u.in6.sin6_port : a.u.in.sin_port);
}

int net_ip_text(const struct net_addr *a, char text[NET_IP_TEXT])
{
    const void *ip = &a->u.in.sin_addr;
    int family = a->u.sa.sa_family;
    if (family == AF_INET6) {
        ip = &a->u.in6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr)) {
            ip = a->u.in6.sin6_addr.s6_addr + 12;
            family = AF_INET;
        }
    }
    return inet_ntop(family, ip, text, NET_IP_TEXT) ? family : 0;
}

int net_peer_text(int fd, char text[NET_IP_TEXT])
{
    struct net_addr a = {.len = sizeof(a.u)};
    return getpeername(fd, &a.u.sa, &a.len) < 0 ? 0 : net_ip_text(&a, text);
}

int net_connect(const struct net_addr *addr)
{
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, &addr->u.sa, addr->len) < 0 && errno != EINPROGRESS) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

int net_connect_result(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return -err;
}

void net_nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

bool net_delivered(int fd)
{
    int unacknowledged = 0;
    return ioctl(fd, SIOCOUTQ, &unacknowledged) < 0 || unacknowledged == 0;
}
