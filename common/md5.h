/* MD5, through OpenSSL's EVP. */
#ifndef COMMON_MD5_H
#define COMMON_MD5_H

#include <stddef.h>
#include <stdint.h>

enum { MD5_BYTES = 16, MD5_HEX = 32 };

struct md5; /* a sum under way; it may be used on one thread after the other */

struct md5 *md5_new(void); /* from a per-thread stock; never NULL */
void md5_add(struct md5 *m, const void *data, size_t len);
/* The sum of all that was added; frees m and clears the pointer. */
void md5_end(struct md5 **m, uint8_t out[MD5_BYTES]);
void md5_free(struct md5 **m);

/* At once, without an allocation per call (a per-thread context): the sum of up to two
 * parts. */
void md5_of(const void *a, size_t alen, const void *b, size_t blen,
            uint8_t out[MD5_BYTES]);

void md5_hex(const uint8_t sum[MD5_BYTES], char out[MD5_HEX + 1]); /* lower case */

#endif
