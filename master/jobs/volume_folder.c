/* Folders yet to be read: see volume_folder.h. */
#include "master/jobs/volume_folder.h"

#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/hex.h"

static size_t bytes_of(size_t name_n)
{
    return sizeof(struct volume_folder) + name_n + 16; /* malloc's own */
}

struct volume_folder *volume_folder_new(struct volume_folder *parent, struct str name,
                                        size_t *kept)
{
    struct volume_folder *f = xmalloc(sizeof(*f) + name.n);

    f->parent = parent;
    if (parent)
        parent->refs++;
    f->next = NULL;
    f->share = 0;
    f->refs = 1;
    f->subvolume = f->is_folder = false;
    f->name_n = (uint16_t)name.n;
    f->path_n = parent ? (uint16_t)(parent->path_n + 1 + name.n) : 0;
    memcpy(f->name, name.p, name.n);
    *kept += bytes_of(name.n);
    return f;
}

void volume_folder_unref(struct volume_folder *f, size_t *kept)
{
    while (f && --f->refs == 0) {
        struct volume_folder *parent = f->parent;
        *kept -= bytes_of(f->name_n);
        free(f);
        f = parent;
    }
}

void volume_folder_unref_all(struct volume_folder **list, size_t *kept)
{
    while (*list) {
        struct volume_folder *f = *list;
        *list = f->next;
        volume_folder_unref(f, kept);
    }
}

size_t volume_folder_path(const struct volume_folder *f, char *out)
{
    size_t n = f->path_n, at = n;

    for (; f->parent; f = f->parent) {
        at -= f->name_n;
        memcpy(out + at, f->name, f->name_n);
        out[--at] = '/';
    }
    return n;
}

int volume_folder_depth(const struct volume_folder *f)
{
    int n = 0;

    for (; f->parent && n < 3; f = f->parent)
        n++;
    return n;
}

/* "00" to "ff". */
static bool is_hex(struct str s)
{
    return s.n == 2 && hex_value(s.p[0]) >= 0 && hex_value(s.p[1]) >= 0 &&
           (s.p[0] < 'A' || s.p[0] > 'F') && (s.p[1] < 'A' || s.p[1] > 'F');
}

/* Letters of base64, and '-' where a piece of it was cut: a folder on the way to a key's
 * file is called nothing else, and so stands for itself in a request line. */
static bool is_piece(struct str s)
{
    size_t n = s.n;

    if (n == 255 && s.p[n - 1] == '-')
        n--;
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c >= '0' && c <= '9') || c == '+'))
            return false;
    }
    return true;
}

bool volume_folder_is_ours(struct str name, int depth)
{
    return depth < 2 ? is_hex(name) : is_piece(name);
}
