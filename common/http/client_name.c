/*
 * Names and their addresses. One look-up per name is under way at a time, whoever asks
 * meanwhile waits for it. A look-up that nobody waits for still fills the cache; one
 * whose name is gone frees itself on the loop.
 */
#include "common/http/client_name.h"

#include <errno.h>
#include <stdlib.h>

#include "common/assure.h"

enum { DEFAULT_PORT = 80 };

struct lookup {
    struct job job;
    struct http_name *name; /* NULL: freed meanwhile */
    struct http_addrs *addrs;
    int port, error;
    char host[NET_HOST_MAX + 1];
};

struct http_name {
    struct loop *loop;
    struct workers *lookups;
    struct http_addrs *addrs; /* NULL: not known */
    bool invalid, numeric;
    bool telling, freed; /* freed while its askers are told: at the end of that */
    struct lookup *lookup;
    TAILQ_HEAD(, http_asker) askers;
    int port;
    char host[NET_HOST_MAX + 1];
};

void http_addrs_unref(struct http_addrs **addrs)
{
    if (*addrs && --(*addrs)->refs == 0)
        free(*addrs);
    *addrs = NULL;
}

static struct http_addrs *addrs_ref(struct http_addrs *addrs)
{
    assure(addrs->refs > 0);
    addrs->refs++;
    return addrs;
}

static struct http_addrs *addrs_new(void)
{
    struct http_addrs *addrs = xcalloc(1, sizeof(*addrs));
    addrs->refs = 1;
    return addrs;
}

struct http_name *http_name_new(struct str authority, struct loop *loop,
                                struct workers *lookups)
{
    struct http_name *name = xcalloc(1, sizeof(*name));
    name->loop = loop;
    name->lookups = lookups;
    TAILQ_INIT(&name->askers);
    name->invalid = net_split(authority, DEFAULT_PORT, name->host, &name->port) < 0;
    if (!name->invalid) {
        name->addrs = addrs_new();
        name->numeric = net_numeric(name->host, name->port, &name->addrs->list);
        if (!name->numeric)
            http_addrs_unref(&name->addrs);
    }
    return name;
}

void http_name_free(struct http_name **namep)
{
    struct http_name *name = *namep;
    if (!name)
        return;
    *namep = NULL;
    assure(TAILQ_EMPTY(&name->askers));
    if (name->telling) {
        name->freed = true;
        return;
    }
    if (name->lookup)
        name->lookup->name = NULL;
    http_addrs_unref(&name->addrs);
    free(name);
}

static void lookup_work(struct job *job)
{
    struct lookup *lookup = container_of(job, struct lookup, job);
    lookup->error = net_resolve(lookup->host, lookup->port, &lookup->addrs->list);
}

static void lookup_done(struct job *job)
{
    struct lookup *lookup = container_of(job, struct lookup, job);
    struct http_name *name = lookup->name;
    struct http_asker *asker;
    if (name) {
        name->lookup = NULL;
        lookup->addrs->found_at = loop_now(name->loop);
        if (lookup->error == 0) {
            http_addrs_unref(&name->addrs);
            name->addrs = addrs_ref(lookup->addrs);
        }
        name->telling = true;
        while ((asker = TAILQ_FIRST(&name->askers)) != NULL) {
            TAILQ_REMOVE(&name->askers, asker, link);
            asker->waits = NULL;
            /* The look-up's, for the name's may be in doubt by now. */
            if (lookup->error == 0)
                asker->told(asker, addrs_ref(lookup->addrs), 0);
            else
                asker->told(asker, NULL, lookup->error);
        }
        name->telling = false;
        if (name->freed)
            http_name_free(&name);
    }
    http_addrs_unref(&lookup->addrs);
    free(lookup);
}

void http_name_ask(struct http_name *name, struct http_asker *asker)
{
    if (name->invalid) {
        asker->told(asker, NULL, -EINVAL);
    } else if (name->addrs) {
        asker->told(asker, addrs_ref(name->addrs), 0);
    } else if (!name->lookups) {
        asker->told(asker, NULL, -EHOSTUNREACH);
    } else {
        TAILQ_INSERT_TAIL(&name->askers, asker, link);
        asker->waits = name;
        if (name->lookup)
            return;
        struct lookup *lookup = xcalloc(1, sizeof(*lookup));
        lookup->job.work = lookup_work;
        lookup->job.done = lookup_done;
        lookup->name = name;
        lookup->addrs = addrs_new();
        lookup->port = name->port;
        memcpy(lookup->host, name->host, sizeof(lookup->host));
        name->lookup = lookup;
        workers_submit(name->lookups, name->loop, &lookup->job);
    }
}

void http_name_unask(struct http_asker *asker)
{
    if (!asker->waits)
        return;
    TAILQ_REMOVE(&asker->waits->askers, asker, link);
    asker->waits = NULL;
}

bool http_name_aged(const struct http_name *name, const struct http_addrs *addrs,
                    uint64_t moment)
{
    return !name->numeric && addrs->found_at < moment;
}

void http_name_doubt(struct http_name *name, const struct http_addrs *addrs)
{
    if (!name->numeric && name->addrs == addrs)
        http_addrs_unref(&name->addrs);
}
