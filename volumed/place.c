/*
 * Which drive a path is for is decided by its first piece alone, without touching a disk:
 * by the table of names that were once seen in the folder served. A name that is not in
 * the table is looked up by a worker of the folder itself, and enters it when it is
 * there; so the table holds what operators made, not what clients ask for.
 */
#include "volumed/place.h"

#include <errno.h>

void place_init(struct place *place, struct drives *drives, const struct path *path)
{
    const char *rest;
    *place = (struct place){.drives = drives,
                            .drive = drives_root(drives),
                            .full = path->z + 1,
                            .path = path->z + 1,
                            .settled = true};
    if (!path_subvolume(path, &place->piece, &rest))
        return;
    struct drive *d = drives_find(drives, place->piece);
    place->settled = d != NULL;
    if (d) {
        place->drive = d;
        place->path = rest;
    }
}

void place_move(struct place *place, const char *full)
{
    place->path = full + (place->path - place->full);
    if (place->piece.n)
        place->piece.p = full;
    place->full = full;
}

bool place_is_drive(const struct place *place)
{
    return place->piece.n > 0 && place->full[place->piece.n] == '\0';
}

void place_plain(struct place *place)
{
    place->drive = drives_root(place->drives);
    place->path = place->full;
    place->piece.n = 0;
    place->settled = true;
}

bool place_at_hand(struct place *place)
{
    if (!place->settled)
        return false;
    if (!place->footing)
        place->footing = drive_at_hand(place->drive);
    return place->footing != NULL;
}

int place_settle(struct place *place, enum settle how)
{
    if (!place->settled) {
        struct drive *d;
        int err = drives_adopt(place->drives, place->piece, how, &d);
        if (err)
            return err;
        if (!d) {
            place_plain(place);
        } else {
            place->settled = true;
            place->drive = d;
            place->path = place->full + place->piece.n;
            place->path += *place->path == '/';
            return -EAGAIN;
        }
    }
    place_drop(place);
    return drive_footing(place->drive, how, &place->footing);
}

void place_drop(struct place *place)
{
    footing_unref(place->footing);
    place->footing = NULL;
}
