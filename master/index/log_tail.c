/*
 * The log's format, from LevelDB's doc/log_format.md: blocks of 32 KiB; in them records
 * of crc32c of type and data, masked (4 bytes) | length (2) | type (1) | data all
 * little-endian, none across blocks, up to 6 bytes of zeros where no header fits. A batch
 * is one FULL record, or FIRST, MIDDLE…, LAST.
 */
#include "master/index/log_tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/log.h"

enum { BLOCK = 32 * 1024, HEADER = 7 };
enum { FULL = 1, FIRST = 2, MIDDLE = 3, LAST = 4 };

static void crc_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ (c & 1 ? 0x82f63b78u : 0);
        table[i] = c;
    }
}

static uint32_t masked_crc(const uint32_t table[256], const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++)
        c = (c >> 8) ^ table[(c ^ p[i]) & 0xff];
    c = ~c;
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

struct judge {
    uint32_t table[256];
    bool within; /* a FIRST has been seen, its LAST not yet */
    bool torn;   /* damage has been seen */
    bool whole;  /* and a whole batch behind it */
    off_t good;  /* end of the last whole batch in front of it */
};

static void note_damage(struct judge *j)
{
    j->torn = true;
    j->within = false;
}

static void note_record(struct judge *j, int type, off_t end)
{
    bool expected = j->within == (type == MIDDLE || type == LAST);
    if (!expected)
        note_damage(j);
    if (type == FIRST)
        j->within = true;
    if (type != FULL && !(type == LAST && expected))
        return;
    j->within = false;
    if (j->torn)
        j->whole = true;
    else
        j->good = end;
}

/* The length of the record at h, of which n bytes are there, header included; or 0. */
static size_t record_at(const struct judge *j, const uint8_t *h, size_t n)
{
    uint32_t crc = (uint32_t)h[0] | (uint32_t)h[1] << 8 | (uint32_t)h[2] << 16 |
                   (uint32_t)h[3] << 24;
    size_t len = (size_t)h[4] | (size_t)h[5] << 8;
    bool sound = h[6] >= FULL && h[6] <= LAST && HEADER + len <= n &&
                 masked_crc(j->table, h + 6, len + 1) == crc;
    return sound ? HEADER + len : 0;
}

/*
 * The records of one block, of which n bytes are there; `at` is where it begins in the
 * file. A record that the end of the file cuts short is none. Where there is no record,
 * its length cannot be believed either: every byte from there on is tried as the
 * beginning of one, so that no whole batch is overlooked behind the damage.
 */
static void judge_block(struct judge *j, const uint8_t *block, size_t n, off_t at)
{
    bool lost = false;
    size_t pos = 0;
    while (n - pos >= HEADER) {
        const uint8_t *h = block + pos;
        size_t len = record_at(j, h, n - pos);
        if (len > 0) {
            lost = false;
            pos += len;
            note_record(j, h[6], at + (off_t)pos);
            continue;
        }
        size_t end = pos + HEADER + ((size_t)h[4] | (size_t)h[5] << 8);
        if (!lost && n < end && end <= BLOCK)
            return;
        if (!lost)
            note_damage(j);
        lost = true;
        pos++;
    }
}

int log_tail_judge(int fd, off_t *cut)
{
    struct judge j = {.good = 0};
    crc_table(j.table);
    uint8_t *block = xmalloc(BLOCK);
    int err = 0;
    for (off_t at = 0;; at += BLOCK) {
        size_t n = 0;
        ssize_t r = 1;
        while (n < BLOCK && (r = pread(fd, block + n, BLOCK - n, at + (off_t)n)) > 0)
            n += (size_t)r;
        if (r < 0) {
            err = -errno;
            break;
        }
        judge_block(&j, block, n, at);
        if (n < BLOCK)
            break;
    }
    free(block);
    if (err != 0)
        return err;
    if (j.whole)
        return -EBADMSG;
    *cut = j.good;
    return j.torn;
}

/* The name of the newest log: the one with the highest number. */
static int newest_log(const char *folder, char name[NAME_MAX + 1])
{
    DIR *dir = opendir(folder);
    if (!dir)
        return -errno;
    unsigned long long highest = 0;
    name[0] = '\0';
    const struct dirent *item;
    while ((item = readdir(dir)) != NULL) {
        char *end;
        unsigned long long number = strtoull(item->d_name, &end, 10);
        if (end != item->d_name && strcmp(end, ".log") == 0 && number >= highest) {
            highest = number;
            snprintf(name, NAME_MAX + 1, "%s", item->d_name);
        }
    }
    closedir(dir);
    return name[0] != '\0' ? 0 : -ENOENT;
}

static int keep_copy(int fd, off_t size, const char *path)
{
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0)
        return -errno;
    int err = 0;
    off_t at = 0;
    while (at < size && err == 0) {
        ssize_t n = sendfile(out, fd, &at, (size_t)(size - at));
        if (n <= 0)
            err = n < 0 ? -errno : -EIO;
    }
    if (err == 0 && fsync(out) != 0)
        err = -errno;
    close(out);
    return err;
}

int log_tail_cut(const char *folder)
{
    char name[NAME_MAX + 1], path[PATH_MAX], kept[PATH_MAX];
    int err = newest_log(folder, name);
    if (err != 0)
        return err == -ENOENT ? 0 : err;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
        snprintf(kept, sizeof(kept), "%s/%s.torn", folder, name) >= (int)sizeof(kept))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    off_t cut = 0;
    err = log_tail_judge(fd, &cut);
    if (err != 1)
        goto out;
    if (fstat(fd, &st) != 0) {
        err = -errno;
        goto out;
    }
    err = keep_copy(fd, st.st_size, kept);
    if (err != 0)
        goto out;
    if (ftruncate(fd, cut) != 0 || fsync(fd) != 0) {
        err = -errno;
        goto out;
    }
    log_warn(
        "index: a crash left the last %lld bytes of %s unfinished: cut off (all of it is "
        "kept as %s.torn)",
        (long long)(st.st_size - cut), path, name);
    err = 1;
out:
    close(fd);
    return err;
}
