/*
 * What the last calls said about volumes and places, as a hint for the order of attempts.
 * It only orders, it never excludes: a volume thought down is tried last. Any thread.
 *
 * A volume is down at once when it takes no connection, and when several calls in a row
 * end without an answer; any answer brings it back, a request's or a probe's (prober.h).
 * A place is shunned by writes for a while after it failed one (a full drive).
 */
#ifndef MASTER_VOLUMES_VOLUME_HEALTH_H
#define MASTER_VOLUMES_VOLUME_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"
#include "common/str.h"

struct volume_health;

/* Of volumes numbered from 0 to n - 1, all of them well. */
struct volume_health *volume_health_new(int n);
void volume_health_free(struct volume_health **health);

bool volume_health_well(const struct volume_health *health, int volume);
/* How a call ended (CALL_OK: with any HTTP answer; CALL_LOCAL says nothing about the
 * volume). `name` is for the log. */
void volume_health_saw(struct volume_health *health, int volume, struct str name,
                       enum call_result result);

struct volume_standing {
    bool well;
    uint64_t since_ms;         /* not well: for how long */
    uint64_t failures;         /* calls that ended without an answer, since the start */
    enum call_result last_end; /* how the last of them ended; CALL_OK: there was none */
};
struct volume_standing volume_health_standing(const struct volume_health *health,
                                              int volume);

void volume_health_write_failed(struct volume_health *health, struct str place);
bool volume_health_write_shunned(const struct volume_health *health, struct str place);

#endif
