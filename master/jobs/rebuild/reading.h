/*
 * The first half of rebuild: every file of every volume is noted in the scratch store
 * under the key that its path stands for. All places are walked, several at a time, and
 * one that cannot be read whole ends it.
 */
#ifndef MASTER_JOBS_REBUILD_READING_H
#define MASTER_JOBS_REBUILD_READING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"
#include "common/loop.h"
#include "master/index/scratch.h"
#include "master/jobs/progress.h"
#include "master/jobs/rebuild/sources.h"

struct reading;

struct reading_spec {
    struct loop *loop;
    struct http_client *client;
    struct scratch *scratch;
    struct sources *sources; /* told where something was found */
    struct progress *progress;
    int at_once;   /* requests under way, of all walks together */
    int answer_ms; /* for a listing to begin, and between two stretches of it */
    bool merged;   /* keys are noted for merged paths: look there first */
};

struct reading_counts {
    uint64_t files;   /* noted; one that was listed again counts again */
    uint64_t places;  /* walked */
    uint64_t skipped; /* names where values lie that are no key's: reported */
    uint64_t foreign; /* other things beside them: said, and left alone */
};

/* `done` comes once, from the loop, unless it is freed before. `failure`: NULL when
 * everything was read, else a line. */
struct reading *reading_start(const struct reading_spec *spec,
                              void (*done)(void *arg, const char *failure), void *arg);
void reading_counts(const struct reading *reading, struct reading_counts *out);
/* Not from within done(). */
void reading_free(struct reading **reading);

#endif
