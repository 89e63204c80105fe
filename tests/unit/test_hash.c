/*
 * MD5 and base64: the published vectors, every way of feeding a sum, and that base64
 * takes nothing but what it would write itself. Texts and results lie in blocks of
 * exactly their size, so that the sanitizers see a byte too far.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/base64.h"
#include "common/md5.h"

static const struct {
    const char *text, *hex;
} sums[] = {
    /* RFC 1321, A.5 */
    {"", "d41d8cd98f00b204e9800998ecf8427e"},
    {"a", "0cc175b9c0f1b6a831c399e269772661"},
    {"abc", "900150983cd24fb0d6963f7d28e17f72"},
    {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
    {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
     "d174ab98d277d9f5a5611c2c9f419d9f"},
    {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
     "57edf4a22be3c955ac49da2e2107b67a"},
};
enum { SUMS = sizeof(sums) / sizeof(sums[0]) };

static void md5_vectors(void **state)
{
    (void)state;
    for (int i = 0; i < SUMS; i++) {
        const char *text = sums[i].text;
        size_t len = strlen(text);
        uint8_t sum[MD5_BYTES];
        char hex[MD5_HEX + 1];

        for (size_t cut = 0; cut <= len; cut++) {
            md5_of(text, cut, text + cut, len - cut, sum);
            md5_hex(sum, hex);
            assert_string_equal(hex, sums[i].hex);

            struct md5 *m = md5_new();
            md5_add(m, text, cut);
            md5_add(m, text + cut, len - cut);
            md5_end(&m, sum);
            assert_null(m);
            md5_hex(sum, hex);
            assert_string_equal(hex, sums[i].hex);
        }
    }
    uint8_t none[MD5_BYTES];
    md5_of(NULL, 0, NULL, 0, none);
    assert_int_equal(none[0], 0xd4);
}

/* More sums under way than the stock holds, ended and given up in mixed order. */
static void md5_many_at_once(void **state)
{
    enum { MANY = 100 };
    struct md5 *m[MANY];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            m[i] = md5_new();
        for (int i = 0; i < MANY; i++)
            md5_add(m[i], sums[i % SUMS].text, strlen(sums[i % SUMS].text));
        for (int i = MANY; i-- > 0;) {
            uint8_t sum[MD5_BYTES];
            char hex[MD5_HEX + 1];
            if (i % 3 == 0) {
                md5_free(&m[i]);
                assert_null(m[i]);
                continue;
            }
            md5_end(&m[i], sum);
            md5_hex(sum, hex);
            assert_string_equal(hex, sums[i % SUMS].hex);
        }
    }
    struct md5 *none = NULL;
    md5_free(&none);
}

/* A thread ends sums that another one began, and takes its stock along when it ends. */
static void *end_sums(void *arg)
{
    struct md5 **m = arg;
    uint8_t sum[MD5_BYTES];
    long wrong = 0;

    for (int i = 0; i < SUMS; i++) {
        char hex[MD5_HEX + 1];
        md5_end(&m[i], sum);
        md5_hex(sum, hex);
        wrong += strcmp(hex, sums[i].hex) != 0;
        md5_of(sums[i].text, strlen(sums[i].text), NULL, 0, sum);
        md5_hex(sum, hex);
        wrong += strcmp(hex, sums[i].hex) != 0;
    }
    return (void *)wrong;
}

static void md5_across_threads(void **state)
{
    enum { THREADS = 8 };
    struct md5 *m[THREADS][SUMS];
    pthread_t thread[THREADS];

    (void)state;
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < SUMS; i++) {
            m[t][i] = md5_new();
            md5_add(m[t][i], sums[i].text, strlen(sums[i].text));
        }
        assert_int_equal(pthread_create(&thread[t], NULL, end_sums, m[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        void *wrong;
        assert_int_equal(pthread_join(thread[t], &wrong), 0);
        assert_null(wrong);
    }
}

/* Decodes into a block of exactly the room the header asks for; *out is the caller's. */
static ssize_t decode(const char *text, size_t n, char **out)
{
    char *copy = xmemdupz(text, n);

    copy = xrealloc(copy, n); /* without the NUL */
    *out = xmalloc(n / 4 * 3);
    ssize_t len = base64_decode((struct str){copy, n}, *out);
    free(copy);
    return len;
}

static void base64_vectors(void **state)
{
    /* RFC 4648 §10, and all letters. */
    static const struct {
        const char *plain, *text;
    } pairs[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xff\xff\xfb\xef\xbe", "////++++"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        size_t n = strlen(pairs[i].plain), want = strlen(pairs[i].text);
        char *text = xmalloc(BASE64_LEN(n)), *plain;

        assert_int_equal(BASE64_LEN(n), want);
        assert_int_equal(base64_encode(pairs[i].plain, n, text), want);
        assert_memory_equal(text, pairs[i].text, want);
        assert_int_equal(decode(text, want, &plain), n);
        assert_memory_equal(plain, pairs[i].plain, n);
        free(plain);
        free(text);
    }
}

static void base64_round_trip(void **state)
{
    unsigned short seed[3] = {1, 2, 3};

    (void)state;
    for (size_t n = 0; n <= 1100; n++) {
        char *data = xmalloc(n), *text = xmalloc(BASE64_LEN(n)), *back;
        for (size_t i = 0; i < n; i++)
            data[i] = (char)nrand48(seed);
        assert_int_equal(base64_encode(data, n, text), BASE64_LEN(n));
        assert_int_equal(decode(text, BASE64_LEN(n), &back), n);
        assert_memory_equal(back, data, n);
        free(back);
        free(text);
        free(data);
    }
}

static void is_canonical_or_refused(const char *text, size_t n)
{
    char *plain, again[16];

    assert_true(n <= sizeof(again));
    ssize_t len = decode(text, n, &plain);
    if (len >= 0) {
        assert_int_equal(base64_encode(plain, (size_t)len, again), n);
        assert_memory_equal(again, text, n);
    }
    free(plain);
}

/* All texts of up to five bytes, and two groups of four, over bytes that are near a
 * mistake. */
static void base64_is_strict(void **state)
{
    static const char near[] = {'A', 'B', 'P',  'Q',  'Z',    'a',    'g',   'w',
                                'z', '0', '8',  '9',  '+',    '/',    '=',   '-',
                                '_', '.', ',',  '@',  '[',    '`',    '{',   ':',
                                '*', ' ', '\n', '\0', '\x7f', '\x80', '\xff'};
    static const char *const refused[] = {
        "A",    "AA",   "AAA",    "AAAAA",  "=",    "==",       "====",     "A===",
        "AB==", "AAB=", "AA=A",   "A=AA",   "=AAA", "AA==AAAA", "AAA=AAAA", "AAAA=",
        "AA-_", "AA A", "\nAAAA", "AAAA\n", "Zg",   "Zm8",      "AAAA====", "AAAAA===",
    };
    enum { NEAR = sizeof(near) };
    char text[8];

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *plain;
        assert_int_equal(decode(refused[i], strlen(refused[i]), &plain), -1);
        free(plain);
    }
    for (int a = 0; a < NEAR; a++) {
        for (int b = 0; b < NEAR; b++) {
            for (int c = 0; c < NEAR; c++) {
                text[0] = 'A';
                text[1] = near[a];
                text[2] = near[b];
                text[3] = near[c];
                for (size_t n = 1; n <= 4; n++)
                    is_canonical_or_refused(text, n);
                memmove(text + 4, text, 4);
                memcpy(text, "AAAA", 4);
                is_canonical_or_refused(text, 8);
                memmove(text, text + 4, 4);
                memcpy(text + 4, "AA==", 4);
                is_canonical_or_refused(text, 8);
            }
        }
    }
    unsigned short seed[3] = {4, 5, 6};
    for (int i = 0; i < 200000; i++) {
        size_t n = 4 * (1 + (size_t)nrand48(seed) % 2);
        for (size_t k = 0; k < n; k++)
            text[k] = near[nrand48(seed) % (k + 2 < n ? 14 : NEAR)];
        is_canonical_or_refused(text, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md5_vectors),        cmocka_unit_test(md5_many_at_once),
        cmocka_unit_test(md5_across_threads), cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_round_trip),  cmocka_unit_test(base64_is_strict),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
