/*
 * Choosing the places of a new value, by the rule "never onto something older": a value
 * goes only to a place that no record, mark or removal of its key names.
 *
 * One volume gives at most one place to one PUT. Volumes come in the order of their rank,
 * each with its home where that is free, else with its next free subvolume. What only
 * orders, never excludes: a volume whose place lately failed a write comes after those
 * that are well (with another subvolume first), and one thought down comes last.
 */
#ifndef MASTER_VOLUMES_CHOOSE_H
#define MASTER_VOLUMES_CHOOSE_H

#include "master/index.h"
#include "master/volumes/volumes.h"

struct choice;

/* `entry` must outlive the choice. */
struct choice *choice_new(const struct volumes *volumes, struct str key,
                          const struct entry *entry);
/* The next place: its length, and the volume's rank (0 is the best); 0 when no volume is
 * left. What is thought of volumes now decides, so a choice may be asked again as they
 * fail. */
size_t choice_next(struct choice *choice, char place[PLACE_MAX], int *rank);
void choice_free(struct choice **choice);

#endif
