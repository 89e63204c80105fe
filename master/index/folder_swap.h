/*
 * Putting a new index in the place of the old one. The new one grows in a folder beside
 * it, "<index>.rebuild", and the two then change names in one step, the old one kept as
 * "<index>.old-<time>". A crash at any moment leaves one of the two in place, whole.
 *
 * Errors are -errno.
 */
#ifndef MASTER_INDEX_FOLDER_SWAP_H
#define MASTER_INDEX_FOLDER_SWAP_H

#include <stdbool.h>
#include <stddef.h>

struct folder_swap;

/* For the index at `path`, which need not be there; links are followed. Ends a swap
 * that was cut off half-way. NULL: err holds one line. */
struct folder_swap *folder_swap_new(const char *path, char *err, size_t errlen);
/* Removes the folder beside the index, where one was made. (Not where there is no index
 * now: the new one in there becomes it when the next swap begins.) */
void folder_swap_free(struct folder_swap **swap);

/* The index itself, free of links. */
const char *folder_swap_index(const struct folder_swap *swap);

/* Makes the folder to work in. What an earlier run left there is removed, which *left
 * tells. The index is held by this process. */
int folder_swap_make(struct folder_swap *swap, bool *left);
/* In there: for the new index, and for what is thrown away in the end. */
const char *folder_swap_fresh(const struct folder_swap *swap);
const char *folder_swap_scratch(const struct folder_swap *swap);

/* The new index takes its place. Neither is open, both are held by this process, and the
 * new one is on disk. *kept is where the old one is now, and lasts as long as `swap`.
 * After an error that is NULL, and the old one is where it was; or else neither the
 * swap could be synced nor the names be changed back. */
int folder_swap_names(struct folder_swap *swap, const char **kept);
/* Removes what was kept: there was no index before. */
void folder_swap_forget(struct folder_swap *swap);

#endif
