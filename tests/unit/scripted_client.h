/* A raw client for the scripted server. */
#ifndef TESTS_UNIT_SCRIPTED_CLIENT_H
#define TESTS_UNIT_SCRIPTED_CLIENT_H

#include "tests/unit/scripted_server.h"

struct client {
    int fd;
    size_t at, used;
    char buf[1 << 16];
};

/* `window`: bytes the client's kernel takes for it before it reads; 0: as usual. */
static void client_open_with(struct client *c, int window)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)service_port(server.service))};
    struct timeval limit = {.tv_sec = 20};
    int one = 1;
    c->at = c->used = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (window)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    assert_int_equal(connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
}

static UNUSED void client_open(struct client *c)
{
    client_open_with(c, 0);
}

static void client_close(struct client *c)
{
    close(c->fd);
    c->fd = -1;
}

static UNUSED void client_reset(struct client *c)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    client_close(c);
}

static bool client_send(struct client *c, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static UNUSED bool client_say(struct client *c, const char *text)
{
    return client_send(c, text, strlen(text));
}

/* n bytes of the pattern from `from` on, as far as they are taken; that many. */
static UNUSED size_t client_send_pattern(struct client *c, size_t from, size_t n)
{
    static _Thread_local char piece[23 * 1000];
    size_t done = 0;
    while (done < n) {
        size_t len = n - done < sizeof(piece) ? n - done : sizeof(piece);
        for (size_t i = 0; i < len; i++)
            piece[i] = pattern(from + done + i);
        if (!client_send(c, piece, len))
            break;
        done += len;
    }
    return done;
}

/* The next byte; -1 at the end, -2 when it was reset, -3 when nothing came. */
static int client_byte(struct client *c)
{
    if (c->at == c->used) {
        ssize_t n = recv(c->fd, c->buf, sizeof(c->buf), 0);
        if (n <= 0)
            return n == 0 ? -1 : errno == EAGAIN ? -3 : -2;
        c->at = 0;
        c->used = (size_t)n;
    }
    return (unsigned char)c->buf[c->at++];
}

static bool client_line(struct client *c, char *line, size_t room)
{
    size_t n = 0;
    for (;;) {
        int byte = client_byte(c);
        if (byte < 0 || n + 1 >= room)
            return false;
        if (byte == '\n')
            break;
        line[n++] = (char)byte;
    }
    if (n == 0 || line[n - 1] != '\r')
        return false;
    line[n - 1] = '\0';
    return true;
}

struct answer {
    int status;
    bool keep, chunked, has_length, whole;
    char id[16];
    size_t length, body; /* told, and come */
    bool wrong;          /* the body is not the pattern */
    char text[64];       /* its beginning */
    int end;             /* what client_byte() said where it was not whole */
};

static bool body_bytes(struct client *c, struct answer *a, size_t n)
{
    while (n--) {
        int byte = client_byte(c);
        if (byte < 0) {
            a->end = byte;
            return false;
        }
        if (byte != pattern(a->body))
            a->wrong = true;
        if (a->body < sizeof(a->text) - 1)
            a->text[a->body] = (char)byte;
        a->body++;
    }
    return true;
}

/* Reads one answer. */
static UNUSED struct answer client_answer(struct client *c, bool to_head)
{
    struct answer a = {0};
    char line[512];
    if (!client_line(c, line, sizeof(line)) ||
        sscanf(line, "HTTP/1.1 %d", &a.status) != 1) {
        a.end = c->at < c->used ? 0 : client_byte(c);
        return a;
    }
    while (client_line(c, line, sizeof(line)) && line[0]) {
        if (sscanf(line, "Content-Length: %zu", &a.length) == 1)
            a.has_length = true;
        else if (strcmp(line, "Transfer-Encoding: chunked") == 0)
            a.chunked = true;
        else if (strcmp(line, "Connection: keep-alive") == 0)
            a.keep = true;
        else
            sscanf(line, "Id: %15s", a.id);
    }
    if (a.status == 100 || to_head || a.status == 204 || a.status == 304) {
        a.whole = true;
    } else if (a.chunked) {
        size_t n;
        while (client_line(c, line, sizeof(line)) && sscanf(line, "%zx", &n) == 1) {
            if (n && !body_bytes(c, &a, n))
                return a;
            if (!client_line(c, line, sizeof(line)) || line[0])
                return a;
            if (n == 0) {
                a.whole = true;
                return a;
            }
        }
        a.end = client_byte(c);
    } else if (a.has_length) {
        a.whole = body_bytes(c, &a, a.length);
    } else {
        body_bytes(c, &a, SIZE_MAX);
        a.whole = a.end == -1;
    }
    return a;
}

/* One request on its own connection or the next of one. */
static UNUSED struct answer client_ask(struct client *c, const char *method,
                                       const char *target)
{
    char text[300];
    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, target);
    client_say(c, text);
    return client_answer(c, strcmp(method, "HEAD") == 0);
}

#endif
