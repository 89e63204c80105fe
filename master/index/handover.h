/*
 * Changes on their way to the writer: what one turn of a loop commits goes there together,
 * at the end of the turn, with one lock taken and the thread woken once. So the writer
 * finds a batch, where it would otherwise be woken for the first change and find the
 * others one by one.
 */
#ifndef MASTER_INDEX_HANDOVER_H
#define MASTER_INDEX_HANDOVER_H

#include "master/index/writer.h"

struct handover;

/* For one loop; used on its thread, or while it does not run. */
struct handover *handover_new(struct loop *loop, struct writer *writer);
struct loop *handover_loop(const struct handover *handover);
void handover_add(struct handover *handover, struct change *change);
/* Hands over what there is; from now on nothing waits for the end of a turn. */
void handover_close(struct handover *handover);
void handover_free(struct handover **handover);

#endif
