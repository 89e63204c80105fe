/*
 * Clients as users run them: each a thread that asks, follows the redirect, and holds
 * every byte it gets against what it should be.
 *
 *   clients [-c clients] [-n requests] [-seconds n] [-keys n] [-first n] [-size bytes]
 *           [-places] [-direct] cycle|read HOST PORT PREFIX
 *
 *   cycle   PUT of a key of its own, GET of it through the redirect, DELETE
 *   read    GET through the redirect, of `keys` keys in turn
 *
 * After -seconds none is begun any more. -direct: the server answers GET itself, it is no
 * master; -places: keys lie where a volume would have them, as in load.c, whose keys and
 * values these are. Prints one line of JSON. How long a request takes is for load.c to
 * say: threads that share processors with servers wait for their turns.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/keys.h"

enum {
    CLIENTS_MAX = 1024,
    PEERS = 16, /* servers that a client keeps a connection to */
    HEAD_MAX = 8 * 1024,
    PATH_ROOM = 1024,
    SILENCE_S = 60,
};

enum mode { CYCLE, READ };

static struct job {
    enum mode mode;
    struct sockaddr_in master;
    const char *prefix;
    uint64_t n, keys, first, seconds;
    int clients;
    size_t size;
    bool places, direct;
    char *value;
    struct timespec began;
} job = {.n = 1000, .keys = 1, .clients = 16, .seconds = UINT32_MAX};

static atomic_uint_least64_t next_request, wrong;

struct peer {
    int fd; /* -1: closed */
    struct sockaddr_in address;
};

struct client {
    pthread_t thread;
    struct peer peer[PEERS];
    int n_peers;
    char *body;
};

struct answer {
    int status;
    size_t length;
    char location[PATH_ROOM];
    bool closes;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "clients: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void wrong_usage(const char *what)
{
    fprintf(stderr, "clients: %s\n", what);
    exit(2);
}

static uint64_t micros_since(const struct timespec *began)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - began->tv_sec) * 1000000 +
                      (now.tv_nsec - began->tv_nsec) / 1000);
}

static void path_of(uint64_t key, char path[PATH_ROOM])
{
    char folder[32] = "";

    if (job.places) {
        uint64_t bits = scattered(key);
        snprintf(folder, sizeof(folder), "/sv%02X/%02x/%02x", (unsigned)(bits >> 32) % 10,
                 (unsigned)(bits & 0xff), (unsigned)(bits >> 8 & 0xff));
    }
    snprintf(path, PATH_ROOM, "%s%s" KEY_DIGITS, folder, job.prefix,
             (unsigned long long)scattered(key));
}

/* --- connections ------------------------------------------------------------------- */
static struct peer *peer_of(struct client *client, const struct sockaddr_in *address)
{
    struct peer *peer = client->peer;

    for (; peer < client->peer + client->n_peers; peer++)
        if (peer->address.sin_addr.s_addr == address->sin_addr.s_addr &&
            peer->address.sin_port == address->sin_port)
            return peer;
    if (client->n_peers == PEERS)
        wrong_usage("too many servers");
    client->n_peers++;
    *peer = (struct peer){.fd = -1, .address = *address};
    return peer;
}

static void hang_up(struct peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
}

static bool connected(struct peer *peer)
{
    const struct timeval limit = {.tv_sec = SILENCE_S};
    int one = 1;

    if (peer->fd >= 0)
        return true;
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->fd < 0)
        fail("socket");
    if (setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
        fail("socket options");
    if (connect(peer->fd, (const struct sockaddr *)&peer->address,
                sizeof(peer->address)) == 0)
        return true;
    hang_up(peer);
    return false;
}

/* --- one request ------------------------------------------------------------------- */
static const char *field(const char *head, const char *name)
{
    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, strlen(name)) == 0)
            return at + strlen(name) + strspn(at + strlen(name), " ");
    }
    return NULL;
}

static void read_head(const char *head, struct answer *answer)
{
    const char *text = field(head, "Content-Length:");

    answer->status = (int)strtol(head + 9, NULL, 10);
    answer->length = text ? strtoull(text, NULL, 10) : 0;
    text = field(head, "Connection:");
    answer->closes = text && strncasecmp(text, "close", 5) == 0;
    text = field(head, "Location:");
    snprintf(answer->location, sizeof(answer->location), "%.*s",
             text ? (int)strcspn(text, "\r") : 0, text ? text : "");
}

/* Reads an answer; its body, of at most the value's size, goes to `body`. */
static bool receive(struct peer *peer, struct answer *answer, char *body)
{
    char head[HEAD_MAX + 1];
    size_t got = 0, len = 0;
    char *end = NULL;

    while (!end) {
        ssize_t n = recv(peer->fd, head + got, HEAD_MAX - got, 0);
        if (n <= 0)
            return false;
        got += (size_t)n;
        head[got] = '\0';
        end = memmem(head, got, "\r\n\r\n", 4);
    }
    end[2] = '\0';
    if (strncmp(head, "HTTP/1.1 ", 9) != 0)
        return false;
    read_head(head, answer);
    len = got - (size_t)(end + 4 - head);
    if (len > answer->length || answer->length > job.size)
        return answer->length == len; /* an error's text */
    memcpy(body, end + 4, len);
    while (len < answer->length) {
        ssize_t n = recv(peer->fd, body + len, answer->length - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
    }
    return true;
}

static bool send_all(int fd, struct iovec *iov, size_t n)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};

    while (message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
    return true;
}

/* false: no whole answer came. */
static bool ask(struct client *client, const struct sockaddr_in *address,
                const char *method, const char *path, struct answer *answer)
{
    struct peer *peer = peer_of(client, address);
    bool put = strcmp(method, "PUT") == 0;
    char head[HEAD_MAX], length[48] = "";
    struct iovec iov[2];

    if (put)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", job.size);
    int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                       method, path, length);
    iov[0] = (struct iovec){head, (size_t)len};
    iov[1] = (struct iovec){job.value, job.size};
    if (!connected(peer))
        return false;
    if (!send_all(peer->fd, iov, put ? 2 : 1) || !receive(peer, answer, client->body)) {
        hang_up(peer);
        return false;
    }
    if (answer->closes)
        hang_up(peer);
    return true;
}

/* --- what a client does ------------------------------------------------------------ */
static bool expects(struct client *client, const char *method, const char *path,
                    int status)
{
    struct answer answer;

    return ask(client, &job.master, method, path, &answer) && answer.status == status;
}

static bool is_value(const struct client *client, const struct answer *answer)
{
    return answer->status == 200 && answer->length == job.size &&
           memcmp(client->body, job.value, job.size) == 0;
}

static bool read_value(struct client *client, const char *path)
{
    struct sockaddr_in volume = {.sin_family = AF_INET};
    struct answer answer;
    char host[64], target[PATH_ROOM];
    unsigned port;

    if (!ask(client, &job.master, "GET", path, &answer))
        return false;
    if (job.direct)
        return is_value(client, &answer);
    if (answer.status != 302 ||
        sscanf(answer.location, "http://%63[^:]:%u%1023s", host, &port, target) != 3 ||
        inet_pton(AF_INET, host, &volume.sin_addr) != 1)
        return false;
    volume.sin_port = htons((uint16_t)port);
    return ask(client, &volume, "GET", target, &answer) && is_value(client, &answer);
}

static bool request(struct client *client, uint64_t number)
{
    char path[PATH_ROOM];

    path_of(job.first + (job.mode == CYCLE ? number : number % job.keys), path);
    switch (job.mode) {
    case CYCLE:
        return expects(client, "PUT", path, 201) && read_value(client, path) &&
               expects(client, "DELETE", path, 204);
    case READ:
        return read_value(client, path);
    }
    return false;
}

static void *client_main(void *arg)
{
    struct client *client = arg;
    uint64_t number;

    client->body = malloc(job.size);
    if (!client->body)
        fail("memory");
    while (micros_since(&job.began) < job.seconds * 1000000 &&
           (number = atomic_fetch_add(&next_request, 1)) < job.n) {
        if (!request(client, number))
            atomic_fetch_add(&wrong, 1);
    }
    for (int i = 0; i < client->n_peers; i++)
        if (client->peer[i].fd >= 0)
            hang_up(&client->peer[i]);
    free(client->body);
    return NULL;
}

static void run_job(void)
{
    struct client *client = calloc((size_t)job.clients, sizeof(*client));

    if (!client)
        fail("memory");
    clock_gettime(CLOCK_MONOTONIC, &job.began);
    for (int i = 0; i < job.clients; i++)
        if (pthread_create(&client[i].thread, NULL, client_main, &client[i]) != 0)
            fail("thread");
    for (int i = 0; i < job.clients; i++)
        pthread_join(client[i].thread, NULL);
    double seconds = (double)micros_since(&job.began) / 1e6;
    uint64_t n = next_request < job.n ? next_request : job.n;
    if (n == 0)
        wrong_usage("no time for a single request");
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"wrong\": %llu}\n",
           (unsigned long long)n, seconds, (unsigned long long)wrong);
    free(client);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || n < min || n > max)
        wrong_usage("not a number in range");
    return n;
}

static bool flag_without_value(const char *flag)
{
    bool *set = strcmp(flag, "-places") == 0   ? &job.places
                : strcmp(flag, "-direct") == 0 ? &job.direct
                                               : NULL;

    if (set)
        *set = true;
    return set != NULL;
}

static void flag_with_value(const char *flag, const char *value)
{
    if (strcmp(flag, "-c") == 0)
        job.clients = (int)number(value, 1, CLIENTS_MAX);
    else if (strcmp(flag, "-n") == 0)
        job.n = number(value, 1, 1U << 30);
    else if (strcmp(flag, "-keys") == 0)
        job.keys = number(value, 1, UINT32_MAX);
    else if (strcmp(flag, "-first") == 0)
        job.first = number(value, 0, UINT32_MAX);
    else if (strcmp(flag, "-size") == 0)
        job.size = number(value, 0, 1U << 30);
    else if (strcmp(flag, "-seconds") == 0)
        job.seconds = number(value, 1, UINT32_MAX);
    else
        wrong_usage("no such flag");
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"cycle", "read"};
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (flag_without_value(argv[i]))
            continue;
        if (i + 1 == argc)
            wrong_usage("a flag without its value");
        flag_with_value(argv[i], argv[i + 1]);
        i++;
    }
    if (argc - i != 4)
        wrong_usage("usage: clients [flags] MODE HOST PORT PREFIX; see the source");
    while (job.mode <= READ && strcmp(argv[i], modes[job.mode]) != 0)
        job.mode++;
    if (job.mode > READ || strlen(argv[i + 3]) > PATH_ROOM / 2)
        wrong_usage("no such mode, or the prefix is too long");
    job.prefix = argv[i + 3];
    job.master.sin_family = AF_INET;
    job.master.sin_port = htons((uint16_t)number(argv[i + 2], 1, UINT16_MAX));
    if (inet_pton(AF_INET, argv[i + 1], &job.master.sin_addr) != 1)
        wrong_usage("HOST is an IPv4 address");
    job.value = malloc(job.size + 1);
    if (!job.value)
        fail("memory");
    make_value(job.value, job.size);
    run_job();
    free(job.value);
    return 0;
}
