/*
 * Putting a new index in the place of the old one. The new one grows in a folder beside
 * it, "<index>.rebuild", and the two then change names in one step, the old one kept as
 * "<index>.old-<time>". A crash at any moment leaves one of the two in place, whole.
 *
 * Errors are -errno.
 */
#ifndef MASTER_INDEX_EXCHANGE_H
#define MASTER_INDEX_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

struct exchange_place;

/* For the index at `path`, which need not be there; links are followed. Ends an exchange
 * that was cut off half-way. NULL: err holds one line. */
struct exchange_place *exchange_place_new(const char *path, char *err, size_t errlen);
/* Removes the folder beside the index, where one was made. (Not where there is no index
 * now: the new one in there becomes it when the next exchange begins.) */
void exchange_place_free(struct exchange_place **place);

/* The index itself, free of links. */
const char *exchange_place_index(const struct exchange_place *place);

/* Makes the folder to work in. What an earlier run left there is removed, which *left
 * tells. The index is held by this process. */
int exchange_place_make(struct exchange_place *place, bool *left);
/* In there: for the new index, and for what is thrown away in the end. */
const char *exchange_place_fresh(const struct exchange_place *place);
const char *exchange_place_scratch(const struct exchange_place *place);

/* The new index takes its place. Neither is open, both are held by this process, and the
 * new one is on disk. *kept is where the old one is now, and lasts as long as `place`.
 * After an error that is NULL, and the old one is where it was; or else neither the
 * exchange could be synced nor the names be changed back. */
int exchange_place_swap(struct exchange_place *place, const char **kept);
/* Removes what was kept: there was no index before. */
void exchange_place_forget(struct exchange_place *place);

#endif
