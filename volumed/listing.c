/*
 * The whole folder must be read before the first byte is sent, for it is sorted: folders
 * first, then by bytes. What is kept of an entry is its name and 32 bytes; the text is
 * made a stretch at a time as the client takes it, so that a folder of a hundred thousand
 * files costs its names and not its JSON as well.
 */
#include "volumed/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/decimal.h"
#include "common/hex.h"
#include "common/http/parse.h"
#include "common/placement.h"
#include "volumed/beneath.h"
#include "volumed/path.h"

enum {
    ENTRIES_MOST =
        4 * 1000 * 1000, /* beyond, -EFBIG: no store of ours makes such a folder */
    STRETCH = 32 * 1024,
    ENTRY_ROOM = 6 * NAME_MAX + 128,
    NAMES_BLOCK = 64 * 1024,
};

enum kind { KIND_FOLDER, KIND_FILE, KIND_OTHER };

struct entry {
    const char *name;
    int64_t mtime, size;
    enum kind kind;
};

/* Names, packed. */
struct names {
    struct names *next;
    size_t used;
    char text[NAMES_BLOCK];
};

struct listing {
    struct names *names;
    struct entry *entries;
    size_t n, room;
    size_t at; /* the next to be written */
};

static const char *keep_name(struct listing *l, const char *name)
{
    size_t n = strlen(name) + 1;
    if (!l->names || l->names->used + n > NAMES_BLOCK) {
        struct names *block = xmalloc(sizeof(*block));
        block->next = l->names;
        block->used = 0;
        l->names = block;
    }
    char *at = l->names->text + l->names->used;
    memcpy(at, name, n);
    l->names->used += n;
    return at;
}

/* What a link leads to, as far as that stays below the footing. The path is walked from
 * there: from its own folder no link could lead upwards. */
static void look_through(const struct listed *of, const char *name, struct stat *st)
{
    char path[PATH_ROOM + NAME_MAX];
    struct stat to;
    int n = snprintf(path, sizeof(path), "%s%s", of->path, name);
    assure(n > 0 && (size_t)n < sizeof(path));
    int target = beneath_open(of->top, path, O_PATH);
    if (target < 0)
        return;
    if (fstat(target, &to) == 0)
        *st = to;
    close(target);
}

/* What an entry is, links followed as far as they stay inside; one that leads nowhere or
 * outside is listed as what it is itself. */
static int look(const struct listed *of, int fd, const char *name, struct stat *st)
{
    if (fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW))
        return -errno;
    if (!S_ISLNK(st->st_mode))
        return 0;
    struct stat to;
    if (of->served && placement_names_subvolume(str_of(name))) {
        if (fstatat(fd, name, &to, 0) == 0)
            *st = to;
        return 0;
    }
    look_through(of, name, st);
    return 0;
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if ((x->kind == KIND_FOLDER) != (y->kind == KIND_FOLDER))
        return x->kind == KIND_FOLDER ? -1 : 1;
    return strcmp(x->name, y->name);
}

int listing_read(int fd, const struct listed *of, struct listing **out)
{
    DIR *folder = fdopendir(fd);
    if (!folder) {
        int err = -errno;
        close(fd);
        return err;
    }
    struct listing *l = xcalloc(1, sizeof(*l));
    const struct dirent *d;
    int err = 0;
    while (errno = 0, (d = readdir(folder))) {
        struct stat st;
        if (d->d_name[0] == '.')
            continue;
        err = look(of, fd, d->d_name, &st);
        if (err == -ENOENT || err == -EACCES) {
            err = 0; /* deleted meanwhile, or not for us to see */
            continue;
        }
        if (!err && l->n == ENTRIES_MOST)
            err = -EFBIG;
        if (err)
            break;
        if (l->n == l->room) {
            l->room = l->room ? 2 * l->room : 64;
            l->entries = xrealloc(l->entries, l->room * sizeof(*l->entries));
        }
        l->entries[l->n++] = (struct entry){
            .name = keep_name(l, d->d_name),
            .mtime = st.st_mtime,
            .size = st.st_size,
            .kind = S_ISDIR(st.st_mode)   ? KIND_FOLDER
                    : S_ISREG(st.st_mode) ? KIND_FILE
                                          : KIND_OTHER,
        };
    }
    if (!d && errno)
        err = -errno;
    closedir(folder);
    if (err) {
        listing_free(&l);
        return err;
    }
    if (l->n > 1)
        qsort(l->entries, l->n, sizeof(*l->entries), by_kind_and_name);
    *out = l;
    return 0;
}

void listing_free(struct listing **lp)
{
    struct listing *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    while (l->names) {
        struct names *block = l->names;
        l->names = block->next;
        free(block);
    }
    free(l->entries);
    free(l);
}

static char *put(char *at, const char *text)
{
    size_t n = strlen(text);
    memcpy(at, text, n);
    return at + n;
}

/* nginx's escaping: bytes above 0x1f stand as they are, valid UTF-8 or not. */
static char *put_name(char *at, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        if (c > 0x1f) {
            if (c == '"' || c == '\\')
                *at++ = '\\';
            *at++ = (char)c;
            continue;
        }
        *at++ = '\\';
        switch (c) {
        case '\n':
            *at++ = 'n';
            break;
        case '\r':
            *at++ = 'r';
            break;
        case '\t':
            *at++ = 't';
            break;
        case '\b':
            *at++ = 'b';
            break;
        case '\f':
            *at++ = 'f';
            break;
        default:
            at = put(at, "u00");
            *at++ = hex_digit_upper(c >> 4);
            *at++ = hex_digit_upper(c);
        }
    }
    return at;
}

static char *put_entry(char *at, const struct entry *e)
{
    static const char *const kinds[] = {"directory", "file", "other"};
    char date[30];
    http_format_date(e->mtime, date);
    at = put(at, "\r\n{ \"name\":\"");
    at = put_name(at, e->name);
    at = put(at, "\", \"type\":\"");
    at = put(at, kinds[e->kind]);
    at = put(at, "\", \"mtime\":\"");
    at = put(at, date);
    if (e->kind == KIND_FILE) {
        at = put(at, "\", \"size\":");
        at += decimal_put((uint64_t)e->size, at);
    } else {
        *at++ = '"';
    }
    return put(at, " }");
}

bool listing_write(struct listing *l, struct exchange *ex)
{
    char text[STRETCH];
    for (;;) {
        char *at = text;
        if (l->at == 0)
            *at++ = '[';
        while (l->at < l->n && (size_t)(text + sizeof(text) - at) > ENTRY_ROOM) {
            at = put_entry(at, &l->entries[l->at++]);
            if (l->at < l->n)
                *at++ = ',';
        }
        bool last = l->at == l->n;
        if (last)
            at = put(at, "\r\n]");
        bool room = exchange_write(ex, text, (size_t)(at - text));
        if (last) {
            exchange_end(ex);
            return true;
        }
        if (!room)
            return false;
    }
}
