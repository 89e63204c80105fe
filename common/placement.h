/*
 * Where a key's value lies: its path below a volume, and the volumes it belongs on. Pure
 * arithmetic on bytes, the same as geohot/minikeyvalue's key2path and key2volume (held
 * against tests/vectors), plus the two path forms that program could not store.
 */
#ifndef COMMON_PLACEMENT_H
#define COMMON_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/str.h"

enum {
    PLACEMENT_KEY_MAX = 1024,  /* bytes of a key, leading '/' included */
    PLACEMENT_PATH_MAX = 1536, /* bytes of a path, NUL included */
    PLACEMENT_VOLUMES_MAX = 256,
};

/*
 * "/xx/yy/B": xx and yy the first bytes of MD5(key), B the base64 of the key. A piece of
 * B (between slashes) longer than 255 bytes is cut into pieces of 254 characters, each
 * but the last followed by '-' and then '/', i.e. "…-/…"; a B that ends in '/' has '-'
 * appended. Returns the length without the NUL that is written as well. key.n must
 * be 1..1024.
 */
size_t placement_path(struct str key, char out[PLACEMENT_PATH_MAX]);

/* The path as a file system, or a server that merges slashes, keeps it: neighbouring '/'
 * are one there. In place; returns the length. */
size_t placement_merge(char *path, size_t n);

/* The key of a path that was found on a disk, where "//" may have been merged: the reading
 * with the fewest '/' whose MD5 gives the path's two folders (a key that is text has no
 * "//" in its path). 1: *key_len bytes of the key, which begins with '/', are in `key`; 0:
 * no file of ours; 2: several readings are as good, or there are too many to tell. `key` has room for PLACEMENT_KEY_MAX
 * bytes. */
int placement_disk_key(struct str path, char *key, size_t *key_len);

/* One volume's standing for a key. */
struct placement_rank {
    int volume;    /* index into the list given */
    uint32_t word; /* big-endian 32-bit word of score bytes 12–15: modulo n picks sv##  */
    uint8_t score[16];
};

/* Ranks all volumes for the key, best first (MD5(key ++ volume) descending, equal ones in
 * list order). `out` has room for n. */
void placement_rank(struct str key, const struct str *volumes, int n,
                    struct placement_rank *out);

/* The subvolume a ranked volume gives the key: word modulo subvolumes. With subvolumes =
 * 1 there is none. Text: "/sv%02X" (or "" ), at most 12 bytes with NUL; returns its
 * length. */
size_t placement_subvolume(uint32_t number, int subvolumes, char out[12]);

/* Is this "sv" and a number as placement_subvolume() writes it? */
bool placement_names_subvolume(struct str name);

#endif
