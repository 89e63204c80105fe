/*
 * The table of claimed keys: one operation at a time on a key. In memory only; a claim
 * ends with the process that held it. Any thread; no call waits for anything but
 * another's few instructions.
 */
#ifndef MASTER_CLAIMS_H
#define MASTER_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/str.h"

struct claims;

struct claims *claims_new(void);
void claims_free(struct claims **claims);
/* false: somebody has it. */
bool claims_take(struct claims *claims, struct str key);
/* The key must be claimed. */
void claims_drop(struct claims *claims, struct str key);
/* Notes on a claimed key whether marks of it stand in the index; nothing where it is not
 * claimed. */
void claims_set_marked(struct claims *claims, struct str key, bool marked);
bool claims_marked(struct claims *claims, struct str key);
size_t claims_count(struct claims *claims);

#endif
