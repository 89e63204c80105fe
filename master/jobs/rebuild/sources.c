/* See sources.h. Records name few places, each of them many times: a table in memory. */
#include "master/jobs/rebuild/sources.h"

#include <stdlib.h>

#include "common/assure.h"
#include "common/hash.h"

enum { PLACES_MOST = 1 << 18 };

struct named {
    char *place; /* NULL: an empty slot */
    size_t n;
    uint64_t records;
    bool found;
};

struct sources {
    int n;
    struct str volume[SOURCES_MOST];
    char *text[SOURCES_MOST]; /* of those not in the set */
    uint64_t seed;
    size_t slots, used; /* a power of two; the table is at most half full */
    struct named *named;
};

struct sources *sources_new(const struct volumes *volumes)
{
    struct sources *s = xcalloc(1, sizeof(*s));

    s->seed = hash_seed();
    s->slots = 64;
    s->named = xcalloc(s->slots, sizeof(*s->named));
    s->n = volumes_count(volumes);
    for (int i = 0; i < s->n; i++)
        s->volume[i] = volumes_name(volumes, i);
    return s;
}

void sources_free(struct sources **sp)
{
    struct sources *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    for (int i = 0; i < s->n; i++)
        free(s->text[i]);
    for (size_t i = 0; i < s->slots; i++)
        free(s->named[i].place);
    free(s->named);
    free(s);
}

/* The slot of the place, or the empty one for it. */
static struct named *slot_of(const struct sources *s, struct str place)
{
    size_t i = (size_t)hash_bytes(s->seed, place);

    for (;; i++) {
        struct named *slot = &s->named[i & (s->slots - 1)];
        if (!slot->place || str_eq((struct str){slot->place, slot->n}, place))
            return slot;
    }
}

static void grow(struct sources *s)
{
    struct named *old = s->named;
    size_t n = s->slots;

    s->slots = 2 * n;
    s->named = xcalloc(s->slots, sizeof(*s->named));
    for (size_t i = 0; i < n; i++)
        if (old[i].place)
            *slot_of(s, (struct str){old[i].place, old[i].n}) = old[i];
    free(old);
}

static bool has_volume(const struct sources *s, struct str name)
{
    for (int i = 0; i < s->n; i++)
        if (str_eq(s->volume[i], name))
            return true;
    return false;
}

/* The volume that the place is a subvolume of, or is. */
static struct str volume_of(const struct sources *s, struct str place)
{
    const char *slash = memrchr(place.p, '/', place.n);
    struct str volume = place;

    if (!slash || has_volume(s, place))
        return place;
    volume.n = (size_t)(slash - place.p);
    struct str last = {slash + 1, place.n - volume.n - 1};
    return placement_names_subvolume(last) ? volume : place;
}

bool sources_name(struct sources *s, struct str place)
{
    struct named *slot = slot_of(s, place);

    if (slot->place) {
        slot->records++;
        return true;
    }
    struct str volume = volume_of(s, place);
    if (!has_volume(s, volume)) {
        if (s->n == SOURCES_MOST)
            return false;
        s->text[s->n] = xmemdupz(volume.p, volume.n);
        s->volume[s->n] = (struct str){s->text[s->n], volume.n};
        s->n++;
    }
    if (s->used == PLACES_MOST)
        return false;
    *slot =
        (struct named){.place = xmemdupz(place.p, place.n), .n = place.n, .records = 1};
    if (2 * ++s->used > s->slots)
        grow(s);
    return true;
}

int sources_count(const struct sources *s)
{
    return s->n;
}

struct str sources_volume(const struct sources *s, int i)
{
    assure(i >= 0 && i < s->n);
    return s->volume[i];
}

void sources_found(struct sources *s, struct str place)
{
    struct named *slot = slot_of(s, place);

    if (slot->place)
        slot->found = true;
}

bool sources_bare(const struct sources *s, char *place, uint64_t *records)
{
    for (size_t i = 0; i < s->slots; i++) {
        const struct named *slot = &s->named[i];
        if (!slot->place || slot->found)
            continue;
        memcpy(place, slot->place, slot->n);
        place[slot->n] = '\0';
        *records = slot->records;
        return true;
    }
    return false;
}
