/*
 * The input once as a path that a volume lists, once as a key. Rebuild reads keys off the
 * names that volumes tell, so whatever is taken must be the one path of its key.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/placement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A key that was taken off a path has that path, but for slashes that a disk merges. */
static void check(struct str path, struct str key)
{
    char *again = xmalloc(PLACEMENT_PATH_MAX);

    assure(key.n >= 1 && key.n <= PLACEMENT_KEY_MAX && key.p[0] == '/');
    size_t len = placement_merge(again, placement_path(key, again));
    assure(str_eq(path, (struct str){again, len}));
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    char *key = xmalloc(PLACEMENT_KEY_MAX), *path = xmalloc(PLACEMENT_PATH_MAX);
    size_t n;

    if (placement_disk_key(input, key, &n) == 1)
        check(input, (struct str){key, n});
    if (size >= 1 && size <= PLACEMENT_KEY_MAX) {
        size_t len = placement_path(input, path);
        assure(len < PLACEMENT_PATH_MAX);
        len = placement_merge(path, len);
        int r = placement_disk_key((struct str){path, len}, key, &n);
        assure(r != 0 || input.p[0] != '/');
        if (r == 1)
            check((struct str){path, len}, (struct str){key, n});
    }
    free(path);
    free(key);
    return 0;
}
