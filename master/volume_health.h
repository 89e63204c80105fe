/*
 * What the last calls said about volumes and places, as a hint for the order of attempts.
 * It only orders, it never excludes: a volume thought down is tried last. Any thread.
 *
 * A volume is down at once when it takes no connection, and when several calls in a row
 * end without an answer; any answer brings it back. A place is shunned by writes for a
 * while after it failed one (a full drive).
 */
#ifndef MASTER_VOLUME_HEALTH_H
#define MASTER_VOLUME_HEALTH_H

#include <stdbool.h>

#include "common/http_client.h"
#include "common/str.h"

struct volume_health;

enum { VOLUME_HEALTH_RETRY_MS = 2000 };

/* Of volumes numbered from 0 to n - 1, all of them well. */
struct volume_health *volume_health_new(int n);
void volume_health_free(struct volume_health **health);

/* One thought down is well to one caller every VOLUME_HEALTH_RETRY_MS, whose call decides
 * for all: ask only about the volume to be called next. */
bool volume_health_well(struct volume_health *health, int volume);
/* How a call ended (CALL_OK: with any HTTP answer; CALL_LOCAL says nothing about the
 * volume). `name` is for the log. */
void volume_health_saw(struct volume_health *health, int volume, struct str name,
                       enum call_result result);

void volume_health_write_failed(struct volume_health *health, struct str place);
bool volume_health_write_shunned(const struct volume_health *health, struct str place);

#endif
