/*
 * Private to the HTTP client: the addresses of one authority. A numeric one has them at
 * once; a name is looked up by a worker when somebody asks, and what was found is kept
 * until connecting to it fails.
 */
#ifndef COMMON_HTTP_CLIENT_NAME_H
#define COMMON_HTTP_CLIENT_NAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/loop.h"
#include "common/net.h"
#include "common/str.h"
#include "common/workers.h"

struct http_name;

/* Shared by reference: a dial goes on with those it began with, whatever becomes of the
 * name. */
struct http_addrs {
    uint32_t refs;
    int good;          /* the one that connected last, to be tried first */
    uint64_t found_at; /* by the loop's clock; not of numeric ones */
    struct net_addrs list;
};

void http_addrs_unref(struct http_addrs **addrs);

/* Embedded in its owner. */
struct http_asker {
    /* A reference to the addresses, or NULL and -EINVAL (it makes no sense),
     * -EHOSTUNREACH (not found). */
    void (*told)(struct http_asker *asker, struct http_addrs *addrs, int error);
    struct http_name *waits; /* while a look-up is under way */
    TAILQ_ENTRY(http_asker) link;
};

/* lookups may be NULL: then no name is found. */
struct http_name *http_name_new(struct str authority, struct loop *loop,
                                struct workers *lookups);
/* Nobody is waiting any more. */
void http_name_free(struct http_name **name);

/* told() comes once, unless taken back; at once where the addresses are known. */
void http_name_ask(struct http_name *name, struct http_asker *asker);
void http_name_unask(struct http_asker *asker);
/* Were these known before that moment, so that a look-up may give others? */
bool http_name_aged(const struct http_name *name, const struct http_addrs *addrs,
                    uint64_t moment);
/* None of these could be connected to: look again when next asked. */
void http_name_doubt(struct http_name *name, const struct http_addrs *addrs);

#endif
