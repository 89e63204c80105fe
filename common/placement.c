/*
 * Key to path and key to volumes. Both are fixed for good: every cluster that exists has
 * its files where these functions say, so nothing here may change a byte of what the
 * vectors hold.
 *
 * Base64 text contains '/', which makes folders where the file system gets it, "//"
 * included: paths are given out as they are, and a file system or a server that merges
 * "//" stores such a key in the folder of the merged path, where it finds it again by the
 * same merging. Telling from a path on disk which keys it may stand for is rebuild's
 * work, not the inverse's here.
 *
 * Nothing allocates: a request asks for one path and one rank per volume.
 */
#include "common/placement.h"

#include <stdio.h>
#include <string.h>

#include "common/assure.h"
#include "common/base64.h"
#include "common/md5.h"

enum {
    PREFIX = sizeof("/xx/yy/") - 1,
    NAME_MAX_BYTES = 255,     /* the longest file name that file systems take */
    CUT = NAME_MAX_BYTES - 1, /* what is left of it beside the mark */
    TEXT_MAX = BASE64_LEN(PLACEMENT_KEY_MAX),
};
/* Every 254 characters may bring "-/", and the end a '-' and the NUL. */
_Static_assert(PREFIX + TEXT_MAX + 2 * (TEXT_MAX / CUT) + 2 <= PLACEMENT_PATH_MAX,
               "the path of the longest key fits");

static const char mark = '-'; /* not a letter of base64 */

static void put_prefix(struct str key, char *out)
{
    uint8_t sum[MD5_BYTES];
    char hex[MD5_HEX + 1];

    md5_of(key.p, key.n, NULL, 0, sum);
    md5_hex(sum, hex);
    out[0] = out[3] = out[6] = '/';
    memcpy(out + 1, hex, 2);
    memcpy(out + 4, hex + 2, 2);
}

/* One piece of the text, cut where it is too long for a name. */
static char *put_piece(char *o, const char *piece, size_t n)
{
    if (n > NAME_MAX_BYTES) {
        for (; n > CUT; n -= CUT, piece += CUT) {
            memcpy(o, piece, CUT);
            o += CUT;
            *o++ = mark;
            *o++ = '/';
        }
    }
    memcpy(o, piece, n);
    return o + n;
}

size_t placement_path(struct str key, char out[PLACEMENT_PATH_MAX])
{
    char text[TEXT_MAX];
    char *o = out + PREFIX;

    assure(key.n >= 1 && key.n <= PLACEMENT_KEY_MAX);
    put_prefix(key, out);

    const char *end = text + base64_encode(key.p, key.n, text);
    const char *piece = text;
    for (const char *slash; (slash = memchr(piece, '/', (size_t)(end - piece)));) {
        o = put_piece(o, piece, (size_t)(slash - piece));
        *o++ = '/';
        piece = slash + 1;
    }
    o = put_piece(o, piece, (size_t)(end - piece));
    if (piece == end)
        *o++ = mark; /* no file is named "" */
    *o = '\0';
    return (size_t)(o - out);
}

/*
 * Undoes the two marked forms: gives B for the part of a path behind its prefix. What is
 * not canonical may come out as anything that fits, since the caller holds the result's
 * path against what it was given. Returns the length, or -1 when it cannot be a key's.
 */
static ssize_t unmark(struct str in, char out[TEXT_MAX])
{
    const char *end = in.p + in.n;
    size_t n = 0;

    for (const char *name = in.p;;) {
        const char *slash = memchr(name, '/', (size_t)(end - name));
        size_t len = (size_t)((slash ? slash : end) - name);
        bool cut = slash && len == NAME_MAX_BYTES && name[CUT] == mark;
        bool empty_end = !slash && len == 1 && *name == mark;

        if (cut || empty_end)
            len--;
        if (n + len + 1 > TEXT_MAX + 1)
            return -1;
        memcpy(out + n, name, len);
        n += len;
        if (!slash)
            return (ssize_t)n;
        if (!cut) {
            if (n == TEXT_MAX)
                return -1;
            out[n++] = '/';
        }
        name = slash + 1;
    }
}

ssize_t placement_key(struct str path, char *out)
{
    char text[TEXT_MAX], again[PLACEMENT_PATH_MAX];
    char
        key[TEXT_MAX / 4 * 3]; /* decoding may need up to two bytes more than a key has */

    if (path.n <= PREFIX || path.n >= PLACEMENT_PATH_MAX)
        return -1;
    ssize_t text_len = unmark((struct str){path.p + PREFIX, path.n - PREFIX}, text);
    if (text_len < 0)
        return -1;
    ssize_t key_len = base64_decode((struct str){text, (size_t)text_len}, key);
    if (key_len < 1 || key_len > PLACEMENT_KEY_MAX)
        return -1;

    size_t again_len = placement_path((struct str){key, (size_t)key_len}, again);
    if (!str_eq(path, (struct str){again, again_len}))
        return -1;
    memcpy(out, key, (size_t)key_len);
    return key_len;
}

static uint32_t big_endian(const uint8_t b[4])
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void placement_rank(struct str key, const struct str *volumes, int n,
                    struct placement_rank *out)
{
    /* Insertion sort: it is stable, needs no memory (qsort may), and beside an MD5 per
     * volume its moves do not show, up to the 256 volumes there can be. */
    for (int i = 0; i < n; i++) {
        struct placement_rank rank = {.volume = i};
        int at = i;

        md5_of(key.p, key.n, volumes[i].p, volumes[i].n, rank.score);
        rank.word = big_endian(rank.score + 12);
        for (; at > 0 && memcmp(rank.score, out[at - 1].score, MD5_BYTES) > 0; at--)
            out[at] = out[at - 1];
        out[at] = rank;
    }
}

size_t placement_subvolume(uint32_t number, int subvolumes, char out[12])
{
    out[0] = '\0';
    if (subvolumes <= 1)
        return 0;
    return (size_t)snprintf(out, 12, "/sv%02X", number % (uint32_t)subvolumes);
}
