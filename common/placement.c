/*
 * Key to path and key to volumes. Both are fixed for good: every cluster that exists has
 * its files where these functions say, so nothing here may change a byte of what the
 * vectors hold.
 *
 * Base64 text contains '/', which makes folders where the file system gets it, "//"
 * included: paths are given out as they are, and a file system or a server that merges
 * "//" stores such a key in the folder of the merged path, where it finds it again by the
 * same merging. A path found on a disk is therefore read twice: as it stands, and with
 * slashes put back where they may have been.
 *
 * Nothing allocates: a request asks for one path and one rank per volume.
 */
#include "common/placement.h"

#include <string.h>

#include "common/assure.h"
#include "common/base64.h"
#include "common/hex.h"
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

/* --- paths found on a disk --------------------------------------------------------- */

/* Readings tried for one path. There are 65,536 pairs of folders, so that among very many
 * a wrong one would fit as well. A fuzzer, for which each is slow, tries more inputs
 * instead: enough still for one slash to stand for as many as the longest text has. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { READINGS_MOST = 512 };
_Static_assert(READINGS_MOST > TEXT_MAX / 4, "the longest text is among them");
#else
enum { READINGS_MOST = 4 * 1024 };
#endif

size_t placement_merge(char *path, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (path[i] != '/' || kept == 0 || path[kept - 1] != '/')
            path[kept++] = path[i];
    return kept;
}

struct reading {
    struct str path;     /* on the disk */
    char text[TEXT_MAX]; /* B, every run of slashes as one */
    size_t text_len;
    size_t slash[TEXT_MAX / 2 + 1]; /* where those are */
    size_t extra[TEXT_MAX / 2 + 1]; /* how many more each stands for in this reading */
    size_t slashes;
};

/* Can it be the base64 of a key, but for slashes that it lacks? */
static bool may_be_base64(const char *text, size_t n)
{
    for (int i = 0; i < 2 && n > 0 && text[n - 1] == '='; i++)
        n--;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return false;
    }
    return n > 0 && text[0] == 'L'; /* keys begin with '/' */
}

/* Is this reading's key one whose file would lie here? Its length, or -1. */
static ssize_t read_key(const struct reading *r, size_t extra, char *key)
{
    char text[TEXT_MAX], bytes[TEXT_MAX / 4 * 3], again[PLACEMENT_PATH_MAX];
    size_t from = 0;
    char *o = text;

    for (size_t i = 0; extra > 0 && i < r->slashes; i++) {
        if (r->extra[i] == 0)
            continue;
        memcpy(o, r->text + from, r->slash[i] - from);
        o += r->slash[i] - from;
        memset(o, '/', r->extra[i]);
        o += r->extra[i];
        from = r->slash[i];
    }
    memcpy(o, r->text + from, r->text_len - from);
    ssize_t n = base64_decode((struct str){text, r->text_len + extra}, bytes);
    if (n < 1 || n > PLACEMENT_KEY_MAX || bytes[0] != '/')
        return -1;
    put_prefix((struct str){bytes, (size_t)n}, again);
    if (memcmp(again, r->path.p, PREFIX) != 0)
        return -1;
    size_t again_len = placement_path((struct str){bytes, (size_t)n}, again);
    again_len = placement_merge(again, again_len);
    if (!str_eq(r->path, (struct str){again, again_len}))
        return -1;
    memcpy(key, bytes, (size_t)n);
    return n;
}

/* The next way to share the same number of slashes out; false after the last. */
static bool next_sharing(struct reading *r)
{
    size_t i = 0;

    while (i < r->slashes && r->extra[i] == 0)
        i++;
    if (i + 1 >= r->slashes)
        return false;
    size_t n = r->extra[i];
    r->extra[i] = 0;
    r->extra[0] = n - 1;
    r->extra[i + 1]++;
    return true;
}

int placement_disk_key(struct str path, char *key, size_t *key_len)
{
    struct reading r = {.path = path};
    int found = 0, tried = 0;

    if (path.n <= PREFIX || path.n >= PLACEMENT_PATH_MAX)
        return 0;
    ssize_t text_len = unmark((struct str){path.p + PREFIX, path.n - PREFIX}, r.text);
    if (text_len < 1 || !may_be_base64(r.text, (size_t)text_len))
        return 0;
    r.text_len = (size_t)text_len;
    for (size_t i = 0; i < r.text_len; i++)
        if (r.text[i] == '/')
            r.slash[r.slashes++] = i;

    /* Base64 comes in fours, which leaves every fourth number of slashes. */
    for (size_t extra = (4 - r.text_len % 4) % 4; r.text_len + extra <= TEXT_MAX;
         extra += 4) {
        if (extra > 0 && r.slashes == 0)
            break;
        memset(r.extra, 0, r.slashes * sizeof(r.extra[0]));
        r.extra[0] = extra;
        do {
            char other[PLACEMENT_KEY_MAX];
            ssize_t n = read_key(&r, extra, found > 0 ? other : key);
            if (n > 0 && found++ == 0)
                *key_len = (size_t)n;
            if (++tried == READINGS_MOST)
                return found == 1 ? 1 : 2;
        } while (next_sharing(&r));
        if (found > 0)
            return found > 1 ? 2 : 1;
    }
    return 0;
}

/* --- volumes ----------------------------------------------------------------------- */

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
    char *o = out;

    if (subvolumes > 1) {
        int shift = 4; /* two digits at least */

        number %= (uint32_t)subvolumes;
        while (shift < 28 && number >> shift > 15)
            shift += 4;
        memcpy(o, "/sv", 3);
        for (o += 3; shift >= 0; shift -= 4)
            *o++ = hex_digit_upper(number >> shift);
    }
    *o = '\0';
    return (size_t)(o - out);
}

bool placement_names_subvolume(struct str name)
{
    uint32_t number = 0;

    if (name.n < 4 || name.n > 10 || !str_starts(name, STR("sv")))
        return false;
    for (size_t i = 2; i < name.n; i++) {
        char c = name.p[i];
        if (hex_value(c) < 0 || hex_digit_upper((unsigned)hex_value(c)) != c)
            return false;
        number = number << 4 | (uint32_t)hex_value(c);
    }
    /* As many digits as it takes, but two at least. */
    return (name.n == 4 || name.p[2] != '0') && number < INT32_MAX;
}
