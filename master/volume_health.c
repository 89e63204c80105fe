/*
 * Health of volumes, see volume_health.h. All of it is relaxed atomics: a lost update
 * costs one attempt on the wrong volume, never an answer. A volume thought down becomes
 * "well" again for a single caller every
 * VOLUME_HEALTH_RETRY_MS; that caller's call decides for all.
 *
 * Shunned places stand in a small direct-mapped table by the hash of their name: bounded
 * whatever the number of subvolumes, and a collision costs at most a place passed over,
 * or one more write tried on a full drive.
 */
#include "master/volume_health.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"

enum {
    DOWN_AFTER = 3, /* calls in a row that ended without an answer */
    SHUN_SLOTS = 1024,
    SHUN_SECONDS = 30,
};

struct standing {
    _Atomic int64_t
        retry_at;            /* 0: well; else down, and when the next trial is due (ms) */
    _Atomic unsigned silent; /* calls in a row without an answer */
};

struct volume_health {
    /* Second until which any place may be shunned. */
    _Atomic uint32_t shunning;
    /* Tag in the high half, second of expiry in the low. */
    _Atomic uint64_t shunned[SHUN_SLOTS];
    struct standing volume[];
};

struct volume_health *volume_health_new(int n)
{
    struct volume_health *health;

    return xcalloc(1, sizeof(*health) + (size_t)n * sizeof(health->volume[0]));
}

void volume_health_free(struct volume_health **health)
{
    free(*health);
    *health = NULL;
}

/* --- volumes ----------------------------------------------------------------------- */
bool volume_health_well(struct volume_health *health, int volume)
{
    struct standing *v = &health->volume[volume];
    int64_t retry_at = atomic_load_explicit(&v->retry_at, memory_order_relaxed);
    int64_t now;

    if (retry_at == 0)
        return true;
    now = (int64_t)clock_coarse_ms();
    if (now < retry_at)
        return false;
    return atomic_compare_exchange_strong(&v->retry_at, &retry_at,
                                          now + VOLUME_HEALTH_RETRY_MS);
}

static void mark_down(struct standing *v, struct str name, const char *why)
{
    if (atomic_exchange(&v->retry_at,
                        (int64_t)clock_coarse_ms() + VOLUME_HEALTH_RETRY_MS) == 0)
        log_warn("volume %.*s is thought down: %s", (int)name.n, name.p, why);
}

void volume_health_saw(struct volume_health *health, int volume, struct str name,
                       enum call_result result)
{
    struct standing *v = &health->volume[volume];

    switch (result) {
    case CALL_OK:
        /* Looked at before it is written, so that the line stays shared between loops. */
        if (atomic_load_explicit(&v->silent, memory_order_relaxed) != 0)
            atomic_store_explicit(&v->silent, 0, memory_order_relaxed);
        if (atomic_load_explicit(&v->retry_at, memory_order_relaxed) != 0 &&
            atomic_exchange(&v->retry_at, 0) != 0)
            log_info("volume %.*s answers again", (int)name.n, name.p);
        break;
    case CALL_REFUSED:
        mark_down(v, name, "it takes no connection");
        break;
    case CALL_TIMEOUT:
    case CALL_BROKEN:
    case CALL_GARBAGE:
        if (atomic_fetch_add_explicit(&v->silent, 1, memory_order_relaxed) + 1 >=
            DOWN_AFTER)
            mark_down(v, name, "it does not answer");
        break;
    case CALL_LOCAL:
        break;
    }
}

/* --- places that just failed a write ----------------------------------------------- */
void volume_health_write_failed(struct volume_health *health, struct str place)
{
    uint64_t h = hash_bytes(0, place);
    uint32_t until = (uint32_t)(clock_coarse_ms() / 1000) + SHUN_SECONDS;

    atomic_store_explicit(&health->shunned[h % SHUN_SLOTS],
                          (h & 0xffffffff00000000U) | until, memory_order_relaxed);
    atomic_store_explicit(&health->shunning, until, memory_order_relaxed);
}

bool volume_health_write_shunned(const struct volume_health *health, struct str place)
{
    uint32_t until = atomic_load_explicit(&health->shunning, memory_order_relaxed), now;
    uint64_t h, slot;

    if (until == 0)
        return false;
    now = (uint32_t)(clock_coarse_ms() / 1000);
    if (now >= until)
        return false;
    h = hash_bytes(0, place);
    slot = atomic_load_explicit(&health->shunned[h % SHUN_SLOTS], memory_order_relaxed);
    return slot >> 32 == h >> 32 && now < (uint32_t)slot;
}
