/*
 * MD5 names things here (folders, ranks, Content-Md5); nothing rests on its strength.
 *
 * OpenSSL's cost for a short input is not the sum but finding the algorithm and making a
 * context, so the algorithm is fetched once per process and contexts are kept per thread:
 * one for sums at once (placement asks for one per volume and request), and a small stock
 * for sums under way (one per PUT). A pthread key frees both when a thread ends.
 */
#include "common/md5.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/hex.h"
#include "common/stock.h"

enum { STOCK_MAX = 32 }; /* contexts kept per thread, of some 250 bytes each */

struct md5 {
    EVP_MD_CTX *ctx;
    struct md5 *next; /* in the stock */
};

/* What a thread keeps. */
struct kept {
    EVP_MD_CTX *at_once; /* md5_of's */
    struct md5 *stock;
    int stocked;
};

static EVP_MD *algorithm;
static pthread_key_t kept_key; /* only for its destructor; reads go through `mine` */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct kept *mine;

static void destroy(struct md5 *m)
{
    EVP_MD_CTX_free(m->ctx);
    free(m);
}

static void kept_free(void *arg)
{
    struct kept *kept = arg;

    /* Another key's destructor may still ask for a sum: it then gets a new one. */
    mine = NULL;
    while (kept->stock) {
        struct md5 *m = kept->stock;
        kept->stock = m->next;
        destroy(m);
    }
    EVP_MD_CTX_free(kept->at_once);
    free(kept);
}

static void prepare(void)
{
    algorithm = EVP_MD_fetch(NULL, "MD5", NULL);
    assure(algorithm != NULL); /* an OpenSSL built or set up without MD5 */
    int err = pthread_key_create(&kept_key, kept_free);
    assure(err == 0);
}

static EVP_MD_CTX *context_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assure(ctx != NULL);
    return ctx;
}

static struct kept *kept(void)
{
    if (__builtin_expect(!mine, 0)) {
        pthread_once(&once, prepare);
        mine = xcalloc(1, sizeof(*mine));
        mine->at_once = context_new();
        pthread_setspecific(kept_key, mine);
    }
    return mine;
}

static void begin(EVP_MD_CTX *ctx)
{
    int ok = EVP_DigestInit_ex2(ctx, algorithm, NULL);
    assure(ok == 1);
}

static void add(EVP_MD_CTX *ctx, const void *data, size_t len)
{
    if (len == 0)
        return;
    int ok = EVP_DigestUpdate(ctx, data, len);
    assure(ok == 1);
}

static void end(EVP_MD_CTX *ctx, uint8_t out[MD5_BYTES])
{
    unsigned int n = 0;
    int ok = EVP_DigestFinal_ex(ctx, out, &n);
    assure(ok == 1 && n == MD5_BYTES);
}

struct md5 *md5_new(void)
{
    struct kept *k = kept();
    struct md5 *m = k->stock;

    if (m) {
        k->stock = m->next;
        k->stocked--;
    } else {
        m = xmalloc(sizeof(*m));
        m->ctx = context_new();
    }
    m->next = NULL;
    begin(m->ctx);
    return m;
}

void md5_add(struct md5 *m, const void *data, size_t len)
{
    add(m->ctx, data, len);
}

void md5_end(struct md5 **m, uint8_t out[MD5_BYTES])
{
    end((*m)->ctx, out);
    md5_free(m);
}

/* It may end on another thread than it began on; it goes to that one's stock. */
void md5_free(struct md5 **pm)
{
    struct md5 *m = *pm;
    struct kept *k;

    if (!m)
        return;
    *pm = NULL;
    k = kept();
    if (STOCKS_KEEP && k->stocked < STOCK_MAX) {
        m->next = k->stock;
        k->stock = m;
        k->stocked++;
    } else {
        destroy(m);
    }
}

void md5_of(const void *a, size_t alen, const void *b, size_t blen,
            uint8_t out[MD5_BYTES])
{
    EVP_MD_CTX *ctx = kept()->at_once;

    begin(ctx);
    add(ctx, a, alen);
    add(ctx, b, blen);
    end(ctx, out);
}

void md5_hex(const uint8_t sum[MD5_BYTES], char out[MD5_HEX + 1])
{
    for (int i = 0; i < MD5_BYTES; i++) {
        out[2 * i] = hex_digit(sum[i] >> 4);
        out[2 * i + 1] = hex_digit(sum[i]);
    }
    out[MD5_HEX] = '\0';
}
