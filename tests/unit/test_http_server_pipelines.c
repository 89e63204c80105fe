/* Random pipelines of requests to the HTTP server, against a model of their answers. */
#include "tests/unit/scripted_client.h"

struct expected {
    int status;
    bool to_head;
    size_t body;
    char text[16]; /* of a sum */
};

struct pipeline {
    struct client client;
    char *bytes;
    size_t n;
    unsigned seed;
};

static size_t put_request(char *at, unsigned *seed, int id, struct expected *e)
{
    static const char *const verbs[] = {"now", "later", "worker", "stream", "file",
                                        "sum", "slow",  "early",  "status", "begin"};
    const char *verb = verbs[(size_t)rand_r(seed) % 10], *method = "GET";
    size_t number = (size_t)(rand_r(seed) % 100), n = 0, body = 0;
    if (rand_r(seed) % 8 == 0)
        number *= 1500;
    memset(e, 0, sizeof(*e));
    e->status = 200;
    e->body = number;
    e->to_head = rand_r(seed) % 6 == 0;
    if (e->to_head)
        method = "HEAD";
    if (strcmp(verb, "early") == 0) {
        e->status = 403;
        e->body = 3;
    } else if (strcmp(verb, "status") == 0) {
        number = (const size_t[]){200, 204, 304, 404}[rand_r(seed) % 4];
        e->status = (int)number;
        e->body = 0;
    }
    int framing = rand_r(seed) % 3;
    if (framing)
        body = (size_t)(rand_r(seed) % (rand_r(seed) % 5 ? 50 : 150000));
    if (framing == 2 && (strcmp(verb, "early") == 0 || strcmp(verb, "begin") == 0))
        framing = 1; /* else it would rightly end the connection */
    if (framing == 0)
        body = 0;
    if (strcmp(verb, "sum") == 0 || strcmp(verb, "slow") == 0) {
        snprintf(e->text, sizeof(e->text), "%zu", body);
        e->body = strlen(e->text);
    }
    n += (size_t)sprintf(at + n, "%s%s /%s?%zu&%d HTTP/1.1\r\nHost: x\r\n",
                         rand_r(seed) % 9 ? "" : "\r\n", method, verb, number, id);
    if (framing == 1)
        n += (size_t)sprintf(at + n, "Content-Length: %zu\r\n", body);
    if (framing == 2)
        n += (size_t)sprintf(at + n, "Transfer-Encoding: chunked\r\n");
    n += (size_t)sprintf(at + n, "\r\n");
    for (size_t i = 0; i < body;) {
        size_t len = body - i;
        if (framing == 2) {
            size_t most = (size_t)rand_r(seed) % (body / 8 + 2) + 1;
            len = len < most ? len : most;
            n += (size_t)sprintf(at + n, "%zx\r\n", len);
        }
        for (size_t to = i + len; i < to; i++)
            at[n++] = pattern(i);
        if (framing == 2)
            n += (size_t)sprintf(at + n, "\r\n");
    }
    if (framing == 2)
        n += (size_t)sprintf(at + n, "0\r\n\r\n");
    return n;
}

static void *send_pipeline(void *arg)
{
    struct pipeline *p = arg;
    for (size_t at = 0; at < p->n;) {
        size_t n = (size_t)rand_r(&p->seed) % (rand_r(&p->seed) % 4 ? 40000 : 60) + 1;
        n = n < p->n - at ? n : p->n - at;
        if (!client_send(&p->client, p->bytes + at, n))
            return NULL;
        at += n;
        if (rand_r(&p->seed) % 16 == 0)
            usleep(300);
    }
    if (p->seed % 2)
        shutdown(p->client.fd, SHUT_WR); /* the answers must come all the same */
    return NULL;
}

static void random_pipelines(void **state)
{
    enum { ROUNDS = 60, REQUESTS = 40 };
    static struct pipeline p;
    struct expected expected[REQUESTS];
    (void)state;
    p.bytes = malloc((size_t)REQUESTS * 1200000);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t sender;
        p.seed = round + 1;
        p.n = 0;
        for (int i = 0; i < REQUESTS; i++)
            p.n += put_request(p.bytes + p.n, &p.seed, i, &expected[i]);
        client_open(&p.client);
        assert_int_equal(pthread_create(&sender, NULL, send_pipeline, &p), 0);
        for (int i = 0; i < REQUESTS; i++) {
            const struct expected *e = &expected[i];
            struct answer a = client_answer(&p.client, e->to_head);
            if (a.status != e->status || !a.whole || (!e->to_head && a.body != e->body) ||
                (a.id[0] && atoi(a.id) != i))
                fail_msg("round %u, request %d: %d (%zu bytes, id %s, end %d), not %d "
                         "(%zu bytes)",
                         round, i, a.status, a.body, a.id, a.end, e->status, e->body);
            if (e->text[0] && !e->to_head)
                assert_string_equal(a.text, e->text);
        }
        pthread_join(sender, NULL);
        client_close(&p.client);
    }
    free(p.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(random_pipelines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
