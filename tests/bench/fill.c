/*
 * Makes an index of very many keys, as a master has it that stored them.
 *
 *   fill FOLDER KEYS PREFIX SIZE VOLUME...
 *
 * The keys are keys.h's, from number 0 on, with values of SIZE bytes, on the first three of
 * the VOLUMEs by rank, with ten subvolumes. Each has an MD5 of its own (the key's, not the
 * value's: equal ones would compress better than an index of real values). No master may
 * have the index open.
 *
 * It is written in the order of its keys, with the options that a master opens it with.
 * Each write buffer then becomes a table that overlaps no other, so nothing is written
 * twice, and no compaction is left for the master to do. In any other order LevelDB writes
 * each entry some ten times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/md5.h"
#include "common/placement.h"
#include "master/index/apply.h"
#include "master/record.h"
#include "tests/bench/keys.h"

enum {
    REPLICAS = 3,
    SUBVOLUMES = 10,
    VOLUMES_MAX = 16,
    BATCH_BYTES = 256 << 10,
    TIME = 1700000000, /* of the first PUT; then one a second */
};

static struct filler {
    struct db *db;
    struct db_batch *batch;
    const char *prefix;
    uint64_t keys, size;
    struct str volume[VOLUMES_MAX];
    int n_volumes;
} filler;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "fill: %s\n", what);
    exit(1);
}

static void write_batch(void)
{
    if (db_write(filler.db, filler.batch, false) != 0)
        fail("writing failed");
    db_batch_clear(filler.batch);
}

static void put(struct str key, struct str value)
{
    db_batch_put(filler.batch, key, value);
    if (db_batch_bytes(filler.batch) >= BATCH_BYTES)
        write_batch();
}

static void md5_of_key(struct str key, char hex[MD5_HEX + 1])
{
    uint8_t sum[MD5_BYTES];

    md5_of(key.p, key.n, NULL, 0, sum);
    md5_hex(sum, hex);
}

static void put_record(struct str key, uint64_t at)
{
    struct placement_rank rank[VOLUMES_MAX];
    char place[REPLICAS][PLACE_MAX], text[RECORD_TEXT_MAX];
    struct record record = {.state = RECORD_LIVE, .n = REPLICAS};

    (void)at;
    md5_of_key(key, record.md5);
    placement_rank(key, filler.volume, filler.n_volumes, rank);
    for (int i = 0; i < REPLICAS; i++) {
        struct str volume = filler.volume[rank[i].volume];
        char subvolume[12];

        placement_subvolume(rank[i].word, SUBVOLUMES, subvolume);
        record.place[i] =
            (struct str){place[i], (size_t)snprintf(place[i], PLACE_MAX, "%.*s%s",
                                                    (int)volume.n, volume.p, subvolume)};
    }
    long len = record_format(&record, text, sizeof(text));
    assure(len > 0);
    put(key, (struct str){text, (size_t)len});
}

static void put_meta(struct str key, uint64_t at)
{
    struct index_key room;
    char md5[MD5_HEX + 1], text[META_TEXT_MAX + 1];

    md5_of_key(key, md5);
    size_t len = meta_format(md5, filler.size, TIME + (int64_t)at, text);
    put(index_key(&room, INDEX_META, key), (struct str){text, len});
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The numbers in the keys' names, in the order of the keys. */
static uint64_t *sorted_names(void)
{
    uint64_t *name = malloc(filler.keys * sizeof(*name));

    if (!name)
        fail("no memory");
    for (uint64_t n = 0; n < filler.keys; n++)
        name[n] = scattered(n);
    qsort(name, filler.keys, sizeof(*name), by_number);
    return name;
}

static void put_all(const uint64_t *name, void (*put_one)(struct str key, uint64_t at))
{
    char text[PLACEMENT_KEY_MAX];

    for (uint64_t at = 0; at < filler.keys; at++) {
        int len = snprintf(text, sizeof(text), "%s" KEY_DIGITS, filler.prefix,
                           (unsigned long long)name[at]);
        put_one((struct str){text, (size_t)len}, at);
    }
    write_batch();
}

int main(int argc, char **argv)
{
    const int fixed = 5;
    char err[512];

    if (argc < fixed + REPLICAS || argc > fixed + VOLUMES_MAX ||
        strlen(argv[3]) > PLACEMENT_KEY_MAX / 2) {
        fprintf(stderr, "usage: fill FOLDER KEYS PREFIX SIZE VOLUME VOLUME VOLUME...\n");
        return 2;
    }
    filler.keys = strtoull(argv[2], NULL, 10);
    filler.prefix = argv[3];
    filler.size = strtoull(argv[4], NULL, 10);
    for (int i = fixed; i < argc; i++)
        filler.volume[filler.n_volumes++] = str_of(argv[i]);
    filler.db = db_open(argv[1], err, sizeof(err));
    if (!filler.db)
        fail(err);
    filler.batch = db_batch_new();
    uint64_t *name = sorted_names();
    /* Records begin with '/', what is kept beside them with a letter: those come after. */
    put_all(name, put_record);
    put_all(name, put_meta);
    free(name);
    db_batch_free(&filler.batch);
    return db_close(&filler.db) == 0 ? 0 : 1;
}
