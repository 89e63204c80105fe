/* The places that matter where a key's value is to come to lie: see spots.h. */
#include "master/spots.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/assure.h"

static void add(struct spots *spots, const struct entry *entry, struct str place,
                bool wanted)
{
    struct spot *spot = &spots->spot[spots->n++];
    const struct removal *removal = entry_removal(entry, place);

    *spot = (struct spot){.place = place, .wanted = wanted};
    spot->named = record_names(&entry->record, place);
    if (spot->named) {
        spot->state = SPOT_UNKNOWN;
    } else if (removal) {
        spot->state = SPOT_TAKEN;
        spot->late = removal->late > time(NULL);
    } else {
        spot->state = SPOT_FREE;
    }
}

void spots_find_homes(struct spots *spots, const struct volumes *volumes, struct str key,
                      const struct entry *entry)
{
    const struct record *record = &entry->record;
    struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
    int n = volumes_replicas(volumes);

    if (!spots->spot) {
        spots->spot = xcalloc((size_t)n + (size_t)record->n, sizeof(*spots->spot));
        spots->homes = xmalloc((size_t)n * PLACE_MAX);
    }
    spots->n = 0;
    volumes_rank(volumes, key, rank);
    for (int i = 0; i < n; i++) {
        char *text = spots->homes + (size_t)i * PLACE_MAX;

        add(spots, entry, (struct str){text, volumes_place(volumes, &rank[i], 0, text)},
            true);
    }
    for (int i = 0; i < record->n; i++) {
        bool home = false;

        for (int j = 0; j < n; j++)
            home = home || str_eq(spots->spot[j].place, record->place[i]);
        if (!home)
            add(spots, entry, record->place[i], false);
    }
}

void spots_find_named(struct spots *spots, const struct entry *entry)
{
    const struct record *record = &entry->record;

    spots->spot = xcalloc((size_t)record->n, sizeof(*spots->spot));
    spots->n = 0;
    for (int i = 0; i < record->n; i++)
        add(spots, entry, record->place[i], true);
}

void spots_free(struct spots *spots)
{
    free(spots->spot);
    free(spots->homes);
}

bool spots_complete(const struct spots *spots)
{
    for (int i = 0; i < spots->n; i++)
        if (spots->spot[i].wanted && !spot_holds(&spots->spot[i]))
            return false;
    return true;
}

bool spot_is_target(const struct spot *spot)
{
    return spot->wanted && !spot->given_up &&
           (spot->state == SPOT_FREE || spot->state == SPOT_LACKS);
}

struct spot *spots_target(const struct spots *spots)
{
    for (int i = 0; i < spots->n; i++)
        if (spot_is_target(&spots->spot[i]))
            return &spots->spot[i];
    return NULL;
}

bool spots_soon_free(const struct spots *spots)
{
    bool soon = false;

    for (int i = 0; i < spots->n; i++) {
        const struct spot *spot = &spots->spot[i];

        if (!spot->wanted || spot_holds(spot) || spot_is_target(spot))
            continue;
        if (spot->state != SPOT_TAKEN || spot->late || spot->given_up)
            return false;
        soon = true;
    }
    return soon;
}

int spots_sizes_differ(const struct spots *spots, uint64_t *size)
{
    int differ = -1;

    for (int i = 0; i < spots->n; i++) {
        const struct spot *spot = &spots->spot[i];

        if (spot->state != SPOT_HOLDS || !spot->has_length)
            continue;
        if (differ < 0) {
            *size = spot->length;
            differ = 0;
        }
        if (spot->length != *size)
            differ = 1;
    }
    return differ;
}

void spots_learn_size(struct spots *spots, uint64_t size)
{
    for (int i = 0; i < spots->n; i++) {
        struct spot *spot = &spots->spot[i];

        if (spot->state == SPOT_HOLDS && spot->has_length && spot->length != size) {
            spot->state = SPOT_LACKS;
            spot->given_up = true; /* it is named, and was not marked */
        }
    }
}

void spots_record_meanwhile(const struct spots *spots, struct record *record)
{
    record->n = 0;
    for (int i = 0; i < spots->n; i++)
        if (spots->spot[i].named && !spot_is_target(&spots->spot[i]))
            record->place[record->n++] = spots->spot[i].place;
}

void spots_record(const struct spots *spots, struct record *record)
{
    bool complete = spots_complete(spots);

    record->n = 0;
    for (int i = 0; i < spots->n; i++) {
        const struct spot *spot = &spots->spot[i];
        bool counts = spot->named || spot->state == SPOT_COPIED;

        if (!counts || spot->state == SPOT_SPOILT || (complete && !spot->wanted))
            continue;
        /* Those wanted come first, so what does not fit is a copy beside them. */
        if (record->n < RECORD_PLACES_MAX)
            record->place[record->n++] = spot->place;
    }
}
