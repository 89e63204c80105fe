/* A list per loop, and the task at the end of the turn. */
#include "master/index/handover.h"

#include <stdlib.h>

#include "common/assure.h"

struct handover {
    struct loop *loop;
    struct writer *writer;
    struct change *first, **end;
    struct task flush;
    bool closed;
};

static void flush(struct task *task)
{
    struct handover *h = container_of(task, struct handover, flush);
    struct change *first = h->first;
    if (!first)
        return;
    h->first = NULL;
    h->end = &h->first;
    writer_submit(h->writer, first);
}

struct handover *handover_new(struct loop *loop, struct writer *writer)
{
    struct handover *h = xcalloc(1, sizeof(*h));
    h->loop = loop;
    h->writer = writer;
    h->end = &h->first;
    h->flush.run = flush;
    return h;
}

struct loop *handover_loop(const struct handover *h)
{
    return h->loop;
}

void handover_add(struct handover *h, struct change *change)
{
    change->next = NULL;
    *h->end = change;
    h->end = &change->next;
    if (h->closed)
        flush(&h->flush);
    else
        loop_defer(h->loop, &h->flush);
}

void handover_close(struct handover *h)
{
    h->closed = true;
    loop_undefer(h->loop, &h->flush);
    flush(&h->flush);
}

void handover_free(struct handover **handover)
{
    assure(!*handover || !(*handover)->first);
    free(*handover);
    *handover = NULL;
}
