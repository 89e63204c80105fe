/*
 * A request's target in its parts: the path as it was sent, and the parameters of the
 * query. Nothing is decoded here, for what is decoded depends on the part.
 */
#ifndef MASTER_QUERY_H
#define MASTER_QUERY_H

#include <stdbool.h>

#include "common/str.h"

/* Splits at the first '?', which is in neither part. */
void query_split(struct str target, struct str *path, struct str *query);
/* Cuts the next parameter off a query; false at its end. */
bool query_next(struct str *query, struct str *parameter);

#endif
