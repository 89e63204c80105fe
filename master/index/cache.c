/*
 * Stripes, each with its lock, so that loops do not meet; in a stripe sets, in a set
 * eight slots, of which the one that was not asked for longest gives way. The tags of a
 * set share a cache line with the turns at which its slots were last used, so a look-up
 * that finds nothing costs a lock and a line. No pointers. The copy a reader is given lies
 * in a buffer of its thread's stock, taken before the lock.
 *
 * 16,384 slots of 384 bytes, 6 MiB: most users have fewer keys that are hot, and what is
 * not hot is not helped. A slot has room for a key of 100 bytes whose record names three
 * places of 70. Slots as long as keys and places may get would be 21 KiB.
 *
 * The generation of a stripe is raised when a key of it is held. A ticket carries the
 * one it was given under; 0, which no stripe ever has, while any is held. Keys of the
 * stripe that are not being written lose by that too, but only that one turn: a stripe
 * has a 64th of the keys.
 */
#include "master/index/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/hash.h"
#include "common/stock.h"

enum {
    STRIPES = 64,
    SETS = 32, /* in a stripe */
    SLOTS = 8, /* in a set */
    SLOT = 384,
    ROOM = 363, /* for key and text */
};

struct slot {
    uint64_t size;
    int64_t time;
    uint16_t key_len, text_len;
    bool has_size;
    char bytes[ROOM]; /* the key, then the text */
};
_Static_assert(sizeof(struct slot) == SLOT, "a slot fills cache lines");

struct set {
    uint32_t tag[SLOTS]; /* of the hash; 0: the slot is free */
    uint32_t used[SLOTS];
    struct slot slot[SLOTS];
};

struct stripe {
    pthread_mutex_t lock;
    uint32_t turns; /* counts what found a slot or took one */
    unsigned held;
    uint64_t generation;
    struct set set[SETS];
};

struct cache {
    uint64_t seed; /* clients choose the keys */
    struct stripe stripe[STRIPES];
};

struct cache *cache_new(void)
{
    struct cache *cache = xcalloc(1, sizeof(*cache));
    cache->seed = hash_seed();
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&cache->stripe[i].lock, NULL);
        cache->stripe[i].generation = 1;
    }
    return cache;
}

void cache_free(struct cache **cachep)
{
    struct cache *cache = *cachep;
    if (!cache)
        return;
    *cachep = NULL;
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&cache->stripe[i].lock);
    free(cache);
}

/* --- a set, under the stripe's lock ------------------------------------------------ */

static struct stripe *stripe_of(struct cache *cache, uint64_t hash)
{
    return &cache->stripe[hash % STRIPES];
}

static struct set *set_of(struct stripe *stripe, uint64_t hash)
{
    return &stripe->set[hash / STRIPES % SETS];
}

static uint32_t tag_of(uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    return tag != 0 ? tag : 1;
}

/* The slot of the key, or -1. */
static int find(const struct set *set, uint64_t hash, struct str key)
{
    uint32_t tag = tag_of(hash);
    for (int i = 0; i < SLOTS; i++) {
        const struct slot *slot = &set->slot[i];
        if (set->tag[i] == tag && str_eq((struct str){slot->bytes, slot->key_len}, key))
            return i;
    }
    return -1;
}

/* A free slot, or the one that was not used for the most turns. */
static int choose(const struct stripe *stripe, const struct set *set)
{
    int oldest = 0;
    for (int i = 0; i < SLOTS; i++) {
        if (set->tag[i] == 0)
            return i;
        if (stripe->turns - set->used[i] > stripe->turns - set->used[oldest])
            oldest = i;
    }
    return oldest;
}

/* --- readers ----------------------------------------------------------------------- */

static _Thread_local struct stock copies = {.size = ROOM};

void cache_copy_free(char *copy)
{
    stock_put(&copies, copy);
}

static void take(const struct slot *slot, struct cached *found, char *copy)
{
    *found = (struct cached){
        .has_size = slot->has_size, .size = slot->size, .time = slot->time};
    if (slot->text_len == 0)
        return;
    memcpy(copy, slot->bytes + slot->key_len, slot->text_len);
    found->text = (struct str){copy, slot->text_len};
}

bool cache_get(struct cache *cache, struct str key, struct cached *found, char **copy,
               struct cache_ticket *ticket)
{
    uint64_t hash = hash_bytes(cache->seed, key);
    struct stripe *stripe = stripe_of(cache, hash);
    struct set *set = set_of(stripe, hash);
    char *room = stock_get(&copies);
    pthread_mutex_lock(&stripe->lock);
    int at = find(set, hash, key);
    if (at >= 0) {
        set->used[at] = ++stripe->turns;
        take(&set->slot[at], found, room);
    } else {
        ticket->hash = hash;
        ticket->generation = stripe->held == 0 ? stripe->generation : 0;
    }
    pthread_mutex_unlock(&stripe->lock);
    *copy = at >= 0 && found->text.n > 0 ? room : NULL;
    if (!*copy)
        stock_put(&copies, room);
    return at >= 0;
}

void cache_put(struct cache *cache, const struct cache_ticket *ticket, struct str key,
               const struct cached *value)
{
    if (ticket->generation == 0 || key.n + value->text.n > ROOM)
        return;
    struct stripe *stripe = stripe_of(cache, ticket->hash);
    struct set *set = set_of(stripe, ticket->hash);
    pthread_mutex_lock(&stripe->lock);
    if (stripe->generation == ticket->generation) {
        /* Another reader may have been here with the same; one slot a key. */
        int at = find(set, ticket->hash, key);
        if (at < 0)
            at = choose(stripe, set);
        struct slot *slot = &set->slot[at];
        set->tag[at] = tag_of(ticket->hash);
        set->used[at] = ++stripe->turns;
        slot->size = value->size;
        slot->time = value->time;
        slot->has_size = value->has_size;
        slot->key_len = (uint16_t)key.n;
        slot->text_len = (uint16_t)value->text.n;
        memcpy(slot->bytes, key.p, key.n);
        if (value->text.n > 0)
            memcpy(slot->bytes + key.n, value->text.p, value->text.n);
    }
    pthread_mutex_unlock(&stripe->lock);
}

/* --- the writer -------------------------------------------------------------------- */

void cache_hold(struct cache *cache, struct str key)
{
    uint64_t hash = hash_bytes(cache->seed, key);
    struct stripe *stripe = stripe_of(cache, hash);
    struct set *set = set_of(stripe, hash);
    pthread_mutex_lock(&stripe->lock);
    int at = find(set, hash, key);
    if (at >= 0)
        set->tag[at] = 0;
    stripe->held++;
    stripe->generation++;
    pthread_mutex_unlock(&stripe->lock);
}

void cache_release(struct cache *cache, struct str key)
{
    struct stripe *stripe = stripe_of(cache, hash_bytes(cache->seed, key));
    pthread_mutex_lock(&stripe->lock);
    assure(stripe->held > 0);
    stripe->held--;
    pthread_mutex_unlock(&stripe->lock);
}

void cache_empty(struct cache *cache)
{
    for (int i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &cache->stripe[i];
        pthread_mutex_lock(&stripe->lock);
        for (int s = 0; s < SETS; s++)
            memset(stripe->set[s].tag, 0, sizeof(stripe->set[s].tag));
        stripe->generation++;
        pthread_mutex_unlock(&stripe->lock);
    }
}
