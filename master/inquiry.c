/* Asking the places of a key: see inquiry.h. */
#include "master/inquiry.h"

#include <stdlib.h>

#include "common/assure.h"
#include "master/volumes/resting.h"
#include "master/volumes/volume_head.h"

/* A HEAD that asks a spot. */
struct question {
    struct inquiry *inquiry;
    struct spot *spot;
    int status;
};

struct inquiry {
    struct inquiry_spec spec;
    void (*done)(void *arg);
    void *arg;
    int left; /* HEADs under way */
    struct question question[];
};

bool inquiry_passes_over(const struct master *master, struct str place)
{
    if (volumes_lists(master->volumes, place))
        return !volumes_well(master->volumes, place);
    return !resting_admit(master->unlisted, place);
}

static void over(struct inquiry *inquiry)
{
    void (*done)(void *) = inquiry->done;
    void *arg = inquiry->arg;

    free(inquiry);
    done(arg);
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct question *question = call_arg(call);

    question->status = head->status;
    question->spot->has_length = head->has_length;
    question->spot->length = head->length;
}

static void on_done(struct call *call, enum call_result result)
{
    const struct question *question = call_arg(call);
    struct inquiry *inquiry = question->inquiry;
    const struct inquiry_spec *spec = &inquiry->spec;
    struct master *master = spec->shard->master;
    struct spot *spot = question->spot;

    volumes_saw(master->volumes, spot->place, result);
    if (result != CALL_LOCAL && !volumes_lists(master->volumes, spot->place))
        resting_note(master->unlisted, spot->place, result == CALL_OK);
    if (result == CALL_OK && question->status == 200)
        spot->state = spec->has_size && spot->has_length && spot->length != spec->size
                          ? SPOT_LACKS
                          : SPOT_HOLDS;
    else if (result == CALL_OK && question->status == 404)
        spot->state = SPOT_LACKS;
    if (--inquiry->left == 0)
        over(inquiry);
}

static void ask(struct inquiry *inquiry, struct spot *spot)
{
    static const struct call_ops ops = {.answer = on_answer, .done = on_done};
    struct question *question = &inquiry->question[inquiry->left++];
    const struct shard *shard = inquiry->spec.shard;

    *question = (struct question){.inquiry = inquiry, .spot = spot};
    volume_head(shard->client, spot->place, inquiry->spec.path,
                shard->master->voltimeout_ms, &ops, question);
}

void inquiry_start(const struct inquiry_spec *spec, void (*done)(void *arg), void *arg)
{
    size_t n = (size_t)spec->spots->n;
    struct inquiry *inquiry = xmalloc(sizeof(*inquiry) + n * sizeof(struct question));

    inquiry->spec = *spec;
    inquiry->done = done;
    inquiry->arg = arg;
    inquiry->left = 0;
    for (size_t i = 0; i < n; i++) {
        struct spot *spot = &spec->spots->spot[i];

        if (!spot->named)
            continue;
        if (!spec->hasty || !inquiry_passes_over(spec->shard->master, spot->place))
            ask(inquiry, spot);
    }
    if (inquiry->left == 0)
        over(inquiry);
}
