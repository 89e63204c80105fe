/* Choosing places: see choose.h. */
#include "master/volumes/choose.h"

#include <stdlib.h>

#include "common/assure.h"

/* How willingly a volume is used; less is better. */
enum {
    WILLING,    /* well, and its first free place is not shunned */
    OTHER_PATH, /* well, its first free place shunned, another one not */
    SHUNNED,    /* well, but every free place is shunned */
    DOWN,       /* thought down */
    UNUSABLE,   /* no free place at all */
};

struct choice {
    const struct volumes *volumes;
    const struct entry *entry;
    int n;
    struct {
        struct placement_rank rank;
        bool used;
    } volume[];
};

struct choice *choice_new(const struct volumes *volumes, struct str key,
                          const struct entry *entry)
{
    int n = volumes_count(volumes);
    struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
    struct choice *choice;

    assure(n > 0 && n <= PLACEMENT_VOLUMES_MAX);
    choice = xmalloc(sizeof(*choice) + (size_t)n * sizeof(choice->volume[0]));
    choice->volumes = volumes;
    choice->entry = entry;
    choice->n = n;
    volumes_rank(volumes, key, rank);
    for (int i = 0; i < n; i++) {
        choice->volume[i].rank = rank[i];
        choice->volume[i].used = false;
    }
    return choice;
}

/* The best free place of one volume, and how willingly it is used. */
static int best_place(const struct choice *choice, int i, char place[PLACE_MAX],
                      size_t *len)
{
    const struct placement_rank *rank = &choice->volume[i].rank;
    char text[PLACE_MAX];
    size_t first = 0;
    size_t n;
    bool well = true;

    for (int attempt = 0; (n = volumes_place(choice->volumes, rank, attempt, text)) > 0;
         attempt++) {
        struct str s = {text, n};

        if (attempt == 0)
            well = volumes_well(choice->volumes, s);
        if (entry_names(choice->entry, s))
            continue;
        if (!volumes_write_shunned(choice->volumes, s)) {
            memcpy(place, text, n + 1);
            *len = n;
            return !well ? DOWN : first > 0 ? OTHER_PATH : WILLING;
        }
        if (first == 0) {
            memcpy(place, text, n + 1);
            first = n;
        }
    }
    *len = first;
    return first == 0 ? UNUSABLE : well ? SHUNNED : DOWN;
}

size_t choice_next(struct choice *choice, char place[PLACE_MAX], int *rank)
{
    char text[PLACE_MAX];
    int best = UNUSABLE;
    int found = -1;
    size_t found_len = 0;
    size_t len;

    for (int i = 0; i < choice->n && best != WILLING; i++) {
        int willing;

        if (choice->volume[i].used)
            continue;
        willing = best_place(choice, i, text, &len);
        if (willing < best) {
            best = willing;
            found = i;
            found_len = len;
            memcpy(place, text, len + 1);
        }
    }
    if (found < 0)
        return 0;
    choice->volume[found].used = true;
    *rank = found;
    return found_len;
}

void choice_free(struct choice **choice)
{
    free(*choice);
    *choice = NULL;
}
