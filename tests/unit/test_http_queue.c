/*
 * The request queue against a model: random pieces, random partial writes, a rewind at
 * any point; the bytes that leave must be the bytes a plain concatenation gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/http/client.h"
#include "common/http/client_queue.h"
#include "common/stock.h"

struct model {
    char *bytes;
    size_t len;
};

static void model_add(struct model *m, const char *data, size_t len)
{
    m->bytes = realloc(m->bytes, m->len + len + 1);
    memcpy(m->bytes + m->len, data, len);
    m->len += len;
}

/* Moves up to `most` bytes of what the queue would write to out. */
static size_t drain(struct http_queue *q, char *out, size_t most, unsigned *seed)
{
    size_t total = 0;
    while (total < most && q->queued) {
        struct iovec iov[HTTP_QUEUE_VECTORS];
        char scratch[HTTP_QUEUE_SCRATCH];
        size_t len = 0, want = (size_t)rand_r(seed) % 40000 + 1;
        int n = http_queue_gather(q, iov, HTTP_QUEUE_VECTORS, scratch);
        assert_in_range(n, 1, HTTP_QUEUE_VECTORS);
        if (want > most - total)
            want = most - total;
        for (int i = 0; i < n && len < want; i++) {
            size_t part = iov[i].iov_len < want - len ? iov[i].iov_len : want - len;
            assert_true(iov[i].iov_len > 0);
            memcpy(out + total + len, iov[i].iov_base, part);
            len += part;
        }
        http_queue_sent(q, len);
        total += len;
    }
    return total;
}

/* One request of random pieces. Chunks may be joined while they wait, so a chunked body
 * is compared after its framing was taken off again. */
static void round_of(unsigned seed, bool chunk, bool hold)
{
    struct http_queue q = {0};
    struct model data = {0};
    char *out = malloc(4 << 20);
    size_t len = 0;
    bool rewound = false;
    q.hold = hold;
    int pieces = rand_r(&seed) % 60 + 1;
    for (int i = 0; i < pieces; i++) {
        struct block *b = block_get(BLOCK_LARGE);
        for (size_t j = 0; j < b->size; j++)
            b->data[j] = (char)rand_r(&seed);
        size_t at = 0;
        for (int k = rand_r(&seed) % 4; k >= 0; k--) {
            static const size_t sizes[] = {1, 16, 300, 5000, 16000};
            size_t n = (size_t)rand_r(&seed) % sizes[rand_r(&seed) % 5] + 1;
            at += rand_r(&seed) % 2 ? (size_t)rand_r(&seed) % 7 : 0;
            http_queue_add(&q, b, b->data + at, n, chunk);
            model_add(&data, b->data + at, n);
            at += n;
        }
        block_unref(&b);
        if (rand_r(&seed) % 3 == 0)
            len += drain(&q, out + len, (size_t)rand_r(&seed) % 20000, &seed);
        if (q.hold && !rewound && rand_r(&seed) % 20 == 0) {
            http_queue_rewind(&q);
            len = 0;
            rewound = true;
        }
        assert_true(!q.hold || q.sent <= CALL_RESEND);
    }
    if (chunk)
        http_queue_add_last_chunk(&q);
    len += drain(&q, out + len, SIZE_MAX, &seed);
    assert_int_equal(q.queued, 0);
    if (!q.hold)
        assert_int_equal(q.n, 0);
    if (chunk) {
        size_t to = 0, from = 0;
        for (;;) {
            char *end;
            unsigned long n = strtoul(out + from, &end, 16);
            assert_memory_equal(end, "\r\n", 2);
            from = (size_t)(end + 2 - out);
            memmove(out + to, out + from, n);
            assert_memory_equal(out + from + n, "\r\n", 2);
            to += n;
            from += n + 2;
            if (n == 0)
                break;
        }
        assert_int_equal(from, len);
        len = to;
    }
    assert_int_equal(len, data.len);
    assert_memory_equal(out, data.bytes, len);
    http_queue_free(&q);
    free(out);
    free(data.bytes);
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++)
        round_of(seed, seed & 1, seed & 2);
}

static void test_small_pieces_are_few(void **state)
{
    (void)state;
    struct http_queue q = {0};
    struct block *b = block_get(BLOCK_LARGE);
    memset(b->data, 'x', b->size);
    /* Every second byte: they cannot be joined where they lie. */
    for (int i = 0; i < 100000; i++)
        http_queue_add(&q, b, b->data + (i % 30000) * 2, 1, true);
    assert_true(q.n < 20);
    assert_int_equal(b->refs, 1);
    http_queue_free(&q);
    block_unref(&b);
}

static void test_head_and_small_body_are_one_vector(void **state)
{
    (void)state;
    struct http_queue q = {0};
    struct iovec iov[HTTP_QUEUE_VECTORS];
    char scratch[HTTP_QUEUE_SCRATCH];
    struct block *b = block_get(BLOCK_SMALL);
    memcpy(http_queue_reserve(&q, 4), "head", 4);
    memcpy(b->data, "body", 4);
    http_queue_add(&q, b, b->data, 4, false);
    assert_int_equal(http_queue_gather(&q, iov, HTTP_QUEUE_VECTORS, scratch), 1);
    assert_int_equal(iov[0].iov_len, 8);
    assert_memory_equal(iov[0].iov_base, "headbody", 8);
    http_queue_free(&q);
    block_unref(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_small_pieces_are_few),
        cmocka_unit_test(test_head_and_small_body_are_one_vector),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stock_free_all();
    return failed;
}
