/*
 * Sockets: listening, accepting, connecting, addresses. All descriptors are non-blocking
 * and close-on-exec. Names are looked up by net_resolve, which blocks: workers only.
 */
#ifndef COMMON_NET_H
#define COMMON_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "common/str.h"

enum { NET_MAX_ADDRS = 16, NET_HOST_MAX = 255, NET_IP_TEXT = INET6_ADDRSTRLEN };

struct net_addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;
};

struct net_addrs {
    int n;
    struct net_addr addr[NET_MAX_ADDRS];
};

/* "host", "host:port", "1.2.3.4:80", "[::1]:3001" → host (without brackets) and port.
 * 0 or -EINVAL. */
int net_split(struct str authority, int default_port, char host[NET_HOST_MAX + 1],
              int *port);

/* An address that needs no look-up; false for a name. Any thread, never blocks. */
bool net_numeric(const char *host, int port, struct net_addrs *out);
/* Looks a name up. Blocks: workers only. 0 or -EHOSTUNREACH. */
int net_resolve(const char *host, int port, struct net_addrs *out);

/* A listening socket on `bind` (NULL: every address, IPv6 included where the host has
 * it); port 0 lets the kernel choose. Returns the descriptor or -errno. */
int net_listen(const char *bind, int port, int backlog);
/* The port a listening socket got. */
int net_port(int fd);

/* The address without its port, as text; an IPv6 address that stands for an IPv4 one is
 * written as that. Returns the family of what is written, or 0. */
int net_ip_text(const struct net_addr *addr, char text[NET_IP_TEXT]);
/* The same of the peer that a socket is connected to. */
int net_peer_text(int fd, char text[NET_IP_TEXT]);

/* Begins a connection: the descriptor (EPOLLOUT tells when it is decided; then
 * net_connect_result), or -errno. */
int net_connect(const struct net_addr *addr);
int net_connect_result(int fd); /* 0 or -errno */

void net_nodelay(int fd);

/* Has the peer's kernel acknowledged all that was written? False means that the peer has
 * not read it; true is also said where it cannot be told. */
bool net_delivered(int fd);

#endif
