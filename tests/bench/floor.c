/*
 * What this machine allows: a server that does nothing but the system calls a request
 * cannot do without. No server for files can be faster here, so how far one is from it
 * is what its own work costs.
 *
 *   floor -answer HOST PORT LOOPS        any request: a fixed 200 with 100 bytes
 *   floor -files HOST PORT LOOPS FOLDER  GET, PUT and DELETE of files below FOLDER, inline
 *   floor -calls N SIZE FOLDER           no server: N times open, write, close; then N unlinks
 *
 * It trusts what it reads: requests come whole, with nothing behind them but their body,
 * which has a Content-Length and fits into the buffer. A drive that hangs hangs it. The
 * calls are told on stdout, in microseconds, as one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 8 * 1024, FILE_MAX = 4 * 1024, LOOPS_MAX = 64 };

static int folder = -1; /* -1: the answer is fixed */

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void wrong_usage(void)
{
    fputs("floor: see the source for its usage\n", stderr);
    exit(2);
}

static int number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > 100 * 1000 * 1000)
        wrong_usage();
    return (int)n;
}

/* Makes the folders that the path leads through; the lowest first, since the others are
 * mostly there. */
static void make_folders(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    *slash = '\0';
    if (mkdirat(folder, path, 0775) && errno == ENOENT) {
        make_folders(path);
        mkdirat(folder, path, 0775);
    }
    *slash = '/';
}

static bool write_file(char *path, const char *data, size_t n)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = openat(folder, path, flags, 0664);
    if (fd < 0 && errno == ENOENT) {
        make_folders(path);
        fd = openat(folder, path, flags, 0664);
    }
    bool good = fd >= 0 && write(fd, data, n) == (ssize_t)n;
    if (fd >= 0)
        close(fd);
    return good;
}

/* Bytes of the file, or -1. */
static ssize_t read_file(const char *path, char *to, size_t room)
{
    struct stat st;
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = fstat(fd, &st) ? -1 : read(fd, to, room);
    close(fd);
    return n;
}

/* The length of the answer, written to `out`. */
static size_t answer(char *request, size_t n, char out[FILE_MAX + 256])
{
    static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    static const char made[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    static const char gone[] = "HTTP/1.1 204 No Content\r\n\r\n";
    char body[FILE_MAX] = "";
    ssize_t length = 100;
    char *path = strchr(request, '/');
    char *end = path ? strchr(path, ' ') : NULL;
    const char *behind = strstr(request, "\r\n\r\n");

    if (!end || !behind)
        return (size_t)(stpcpy(out, none) - out);
    if (folder >= 0) {
        *end = '\0';
        path++;
        behind += 4;
        if (request[0] == 'P')
            return (size_t)(stpcpy(out, write_file(path, behind,
                                                   (size_t)(request + n - behind))
                                            ? made
                                            : none) -
                            out);
        if (request[0] == 'D')
            return (size_t)(stpcpy(out, unlinkat(folder, path, 0) ? none : gone) - out);
        length = read_file(path, body, sizeof(body));
        if (length < 0)
            return (size_t)(stpcpy(out, none) - out);
    }
    int head =
        snprintf(out, 256, "HTTP/1.1 200 OK\r\nContent-Length: %zd\r\n\r\n", length);
    memcpy(out + head, body, (size_t)length);
    return (size_t)head + (size_t)length;
}

static void serve(int fd)
{
    char request[REQUEST_MAX + 1], out[FILE_MAX + 256];
    ssize_t n = recv(fd, request, REQUEST_MAX, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(fd);
        return;
    }
    request[n] = '\0';
    size_t len = answer(request, (size_t)n, out);
    if (send(fd, out, len, MSG_NOSIGNAL) < 0)
        close(fd);
}

static void *loop(void *arg)
{
    int epoll = *(int *)arg;
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++)
            serve(events[i].data.fd);
    }
    return NULL;
}

static _Noreturn void run_server(const char *host, int port, int loops)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(address);
    int one = 1, epolls[LOOPS_MAX];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        wrong_usage();
    if (listener < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        bind(listener, (struct sockaddr *)&address, len) || listen(listener, 4096))
        fail("listen");
    for (int i = 0; i < loops; i++) {
        pthread_t thread;
        epolls[i] = epoll_create1(EPOLL_CLOEXEC);
        if (epolls[i] < 0 || pthread_create(&thread, NULL, loop, &epolls[i]))
            fail("start");
    }
    for (int next = 0;; next = (next + 1) % loops) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
            epoll_ctl(epolls[next], EPOLL_CTL_ADD, fd, &event))
            fail("accept");
    }
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_calls(int n, size_t size)
{
    char name[32], *data = calloc(1, size + 1);
    if (!data)
        fail("memory");
    double begun = seconds_now();
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "floor%010d", i);
        if (!write_file(name, data, size))
            fail(name);
    }
    double written = seconds_now();
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "floor%010d", i);
        if (unlinkat(folder, name, 0))
            fail(name);
    }
    double end = seconds_now();
    printf("{\"write\": %.3f, \"unlink\": %.3f}\n", (written - begun) * 1e6 / n,
           (end - written) * 1e6 / n);
    free(data);
}

int main(int argc, char **argv)
{
    bool fixed = argc == 5 && strcmp(argv[1], "-answer") == 0;
    bool files = argc == 6 && strcmp(argv[1], "-files") == 0;
    bool calls = argc == 5 && strcmp(argv[1], "-calls") == 0;
    if (!fixed && !files && !calls)
        wrong_usage();
    if (!fixed) {
        folder = open(argv[argc - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            fail(argv[argc - 1]);
    }
    if (calls) {
        run_calls(number(argv[2]), (size_t)number(argv[3]));
        return 0;
    }
    int loops = number(argv[4]);
    if (loops < 1 || loops > LOOPS_MAX)
        wrong_usage();
    umask(0);
    run_server(argv[2], number(argv[3]), loops);
}
