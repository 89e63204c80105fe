/* The Content-MD5 header: see content_md5.h. */
#include "master/content_md5.h"

#include <string.h>

#include "common/base64.h"
#include "common/hex.h"

bool content_md5_read(const struct http_head *head, bool *given, uint8_t sum[MD5_BYTES])
{
    uint8_t decoded[BASE64_LEN(MD5_BYTES) / 4 * 3];
    struct str text;

    *given = http_field(head, STR("Content-MD5"), &text);
    if (!*given)
        return true;
    if (text.n == BASE64_LEN(MD5_BYTES)) {
        if (base64_decode(text, decoded) != MD5_BYTES)
            return false;
        memcpy(sum, decoded, MD5_BYTES);
        return true;
    }
    if (text.n != MD5_HEX)
        return false;
    for (int i = 0; i < MD5_BYTES; i++) {
        int high = hex_value(text.p[2 * i]), low = hex_value(text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        sum[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
