/*
 * The table of claimed keys: one operation at a time on a key. In memory only; a claim
 * ends with the process that held it. Any thread; no call waits for anything but
 * another's few instructions.
 */
#ifndef MASTER_INDEX_CLAIMS_H
#define MASTER_INDEX_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/loop.h"
#include "common/str.h"

struct claims;
struct claim;

struct claims *claims_new(void);
void claims_free(struct claims **claims);
enum claims_answer {
    CLAIMS_BUSY, /* somebody has it */
    CLAIMS_TAKEN,
    CLAIMS_PINNED, /* taken; changes of who had it last are still on their way */
};
enum claims_answer claims_take(struct claims *claims, struct str key);
/* The key must be claimed. */
void claims_drop(struct claims *claims, struct str key);

/* A change of a claimed key is on its way into the index; NULL where it is not claimed,
 * and nothing to unpin. Pins outlast the claim, so that the next who takes it can wait
 * for what the last one left behind. */
struct claim *claims_pin(struct claims *claims, struct str key);
void claims_unpin(struct claims *claims, struct claim *claim);
/* CLAIMS_PINNED, and is it still? Then the task is posted when it is not any more. */
bool claims_await(struct claims *claims, struct str key, struct loop *loop,
                  struct task *task);

/* Notes on a claimed key whether marks of it stand in the index; nothing where it is not
 * claimed. */
void claims_set_marked(struct claims *claims, struct str key, bool marked);
bool claims_marked(struct claims *claims, struct str key);
size_t claims_count(struct claims *claims);

#endif
