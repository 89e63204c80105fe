/*
 * The input once as a path that a volume lists, once as a key. Rebuild reads keys off the
 * names that volumes tell, so whatever is taken must be the one path of its key.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/placement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    char *key = xmalloc(PLACEMENT_KEY_MAX), *path = xmalloc(PLACEMENT_PATH_MAX);

    ssize_t n = placement_key(input, key);
    if (n >= 0) {
        assure(n >= 1 && n <= PLACEMENT_KEY_MAX);
        size_t len = placement_path((struct str){key, (size_t)n}, path);
        assure(str_eq(input, (struct str){path, len}));
    }
    if (size >= 1 && size <= PLACEMENT_KEY_MAX) {
        size_t len = placement_path(input, path);
        assure(len < PLACEMENT_PATH_MAX);
        n = placement_key((struct str){path, len}, key);
        assure(n >= 0 && str_eq(input, (struct str){key, (size_t)n}));
    }
    free(path);
    free(key);
    return 0;
}
