/*
 * A hash table in shards, each with its lock, so that loops do not meet. There are about
 * as many claims as operations under way, so the number of buckets is fixed. The hash
 * starts from a random seed: clients choose the keys.
 */
#include "master/index/claims.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/hash.h"

enum { SHARDS = 64, BUCKETS = 128 }; /* powers of two */

struct claim {
    struct claim *next;
    uint64_t hash;
    bool held; /* else only pinned */
    bool marked;
    unsigned pins;
    struct task *awaits; /* posted to loop with the last pin's end */
    struct loop *loop;
    size_t n;
    char key[];
};

struct shard_of_claims {
    pthread_mutex_t lock;
    size_t count;
    struct claim *bucket[BUCKETS];
};

struct claims {
    uint64_t seed;
    struct shard_of_claims shard[SHARDS];
};

struct claims *claims_new(void)
{
    struct claims *claims = xcalloc(1, sizeof(*claims));
    claims->seed = hash_seed();
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&claims->shard[i].lock, NULL);
    return claims;
}

void claims_free(struct claims **claimsp)
{
    struct claims *claims = *claimsp;
    if (!claims)
        return;
    *claimsp = NULL;
    for (int i = 0; i < SHARDS; i++) {
        struct shard_of_claims *s = &claims->shard[i];
        for (int b = 0; b < BUCKETS; b++)
            while (s->bucket[b]) {
                struct claim *next = s->bucket[b]->next;
                free(s->bucket[b]);
                s->bucket[b] = next;
            }
        pthread_mutex_destroy(&s->lock);
    }
    free(claims);
}

static struct shard_of_claims *lock_shard(struct claims *claims, uint64_t hash)
{
    struct shard_of_claims *s = &claims->shard[hash % SHARDS];
    pthread_mutex_lock(&s->lock);
    return s;
}

/* Where the pointer to the key's claim stands, or would be added. */
static struct claim **find(struct shard_of_claims *s, uint64_t hash, struct str key)
{
    struct claim **at = &s->bucket[hash / SHARDS % BUCKETS];
    while (*at &&
           !((*at)->hash == hash && str_eq((struct str){(*at)->key, (*at)->n}, key)))
        at = &(*at)->next;
    return at;
}

/* Nobody has it and nothing pins it. Under the lock. */
static void forget(struct shard_of_claims *s, struct claim *claim)
{
    struct claim **at = &s->bucket[claim->hash / SHARDS % BUCKETS];
    while (*at != claim)
        at = &(*at)->next;
    *at = claim->next;
    free(claim);
}

enum claims_answer claims_take(struct claims *claims, struct str key)
{
    uint64_t hash = hash_bytes(claims->seed, key);
    struct shard_of_claims *s = lock_shard(claims, hash);
    struct claim **at = find(s, hash, key);
    struct claim *claim = *at;
    enum claims_answer answer = CLAIMS_TAKEN;
    if (!claim) {
        claim = xmalloc(sizeof(*claim) + key.n);
        *claim = (struct claim){.hash = hash, .n = key.n};
        memcpy(claim->key, key.p, key.n);
        *at = claim;
    } else {
        answer = claim->held ? CLAIMS_BUSY : CLAIMS_PINNED;
    }
    if (answer != CLAIMS_BUSY) {
        claim->held = true;
        s->count++;
    }
    pthread_mutex_unlock(&s->lock);
    return answer;
}

void claims_drop(struct claims *claims, struct str key)
{
    uint64_t hash = hash_bytes(claims->seed, key);
    struct shard_of_claims *s = lock_shard(claims, hash);
    struct claim *claim = *find(s, hash, key);
    assure(claim && claim->held && !claim->awaits);
    claim->held = claim->marked = false;
    s->count--;
    if (claim->pins == 0)
        forget(s, claim);
    pthread_mutex_unlock(&s->lock);
}

struct claim *claims_pin(struct claims *claims, struct str key)
{
    uint64_t hash = hash_bytes(claims->seed, key);
    struct shard_of_claims *s = lock_shard(claims, hash);
    struct claim *claim = *find(s, hash, key);
    if (claim)
        claim->pins++;
    pthread_mutex_unlock(&s->lock);
    return claim;
}

void claims_unpin(struct claims *claims, struct claim *claim)
{
    if (!claim)
        return;
    struct shard_of_claims *s = lock_shard(claims, claim->hash);
    assure(claim->pins > 0);
    if (--claim->pins == 0) {
        if (claim->awaits)
            loop_post(claim->loop, claim->awaits);
        claim->awaits = NULL;
        if (!claim->held)
            forget(s, claim);
    }
    pthread_mutex_unlock(&s->lock);
}

bool claims_await(struct claims *claims, struct str key, struct loop *loop,
                  struct task *task)
{
    uint64_t hash = hash_bytes(claims->seed, key);
    struct shard_of_claims *s = lock_shard(claims, hash);
    struct claim *claim = *find(s, hash, key);
    assure(claim && claim->held && !claim->awaits);
    bool pinned = claim->pins > 0;
    if (pinned) {
        claim->awaits = task;
        claim->loop = loop;
    }
    pthread_mutex_unlock(&s->lock);
    return pinned;
}

void claims_set_marked(struct claims *claims, struct str key, bool marked)
{
    uint64_t hash = hash_bytes(claims->seed, key);
    struct shard_of_claims *s = lock_shard(claims, hash);
    struct claim *claim = *find(s, hash, key);
    if (claim)
        claim->marked = marked;
    pthread_mutex_unlock(&s->lock);
}

bool claims_marked(struct claims *claims, struct str key)
{
    uint64_t hash = hash_bytes(claims->seed, key);
    struct shard_of_claims *s = lock_shard(claims, hash);
    const struct claim *claim = *find(s, hash, key);
    bool marked = claim && claim->marked;
    pthread_mutex_unlock(&s->lock);
    return marked;
}

size_t claims_count(struct claims *claims)
{
    size_t n = 0;
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&claims->shard[i].lock);
        n += claims->shard[i].count;
        pthread_mutex_unlock(&claims->shard[i].lock);
    }
    return n;
}
