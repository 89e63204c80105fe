/*
 * Health of volumes, see volume_health.h. All of it is relaxed atomics: a lost update
 * costs one attempt on the wrong volume, never an answer.
 *
 * Shunned places stand in a small direct-mapped table by the hash of their name: bounded
 * whatever the number of subvolumes, and a collision costs at most a place passed over,
 * or one more write tried on a full drive.
 */
#include "master/volumes/volume_health.h"

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
    _Atomic uint64_t
        down_at;             /* 0: well; else when it was found down, by the clock (ms) */
    _Atomic unsigned silent; /* calls in a row without an answer */
    _Atomic uint64_t failures;
    _Atomic int last_end; /* of the last failure: an enum call_result */
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
bool volume_health_well(const struct volume_health *health, int volume)
{
    return atomic_load_explicit(&health->volume[volume].down_at, memory_order_relaxed) ==
           0;
}

static void mark_down(struct standing *v, struct str name, enum call_result result)
{
    uint64_t well = 0;

    if (atomic_compare_exchange_strong(&v->down_at, &well, clock_coarse_ms()))
        log_warn("volume %.*s is thought down: it %s", (int)name.n, name.p,
                 call_result_text(result));
}

static void note_failure(struct standing *v, enum call_result result)
{
    atomic_fetch_add_explicit(&v->failures, 1, memory_order_relaxed);
    atomic_store_explicit(&v->last_end, (int)result, memory_order_relaxed);
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
        if (atomic_load_explicit(&v->down_at, memory_order_relaxed) != 0 &&
            atomic_exchange(&v->down_at, 0) != 0)
            log_info("volume %.*s answers again", (int)name.n, name.p);
        break;
    case CALL_REFUSED:
        note_failure(v, result);
        mark_down(v, name, result);
        break;
    case CALL_TIMEOUT:
    case CALL_BROKEN:
    case CALL_GARBAGE:
        note_failure(v, result);
        if (atomic_fetch_add_explicit(&v->silent, 1, memory_order_relaxed) + 1 >=
            DOWN_AFTER)
            mark_down(v, name, result);
        break;
    case CALL_LOCAL:
        break;
    }
}

struct volume_standing volume_health_standing(const struct volume_health *health,
                                              int volume)
{
    const struct standing *v = &health->volume[volume];
    uint64_t down_at = atomic_load_explicit(&v->down_at, memory_order_relaxed);

    return (struct volume_standing){
        .well = down_at == 0,
        .since_ms = down_at == 0 ? 0 : clock_coarse_ms() - down_at,
        .failures = atomic_load_explicit(&v->failures, memory_order_relaxed),
        .last_end =
            (enum call_result)atomic_load_explicit(&v->last_end, memory_order_relaxed),
    };
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
