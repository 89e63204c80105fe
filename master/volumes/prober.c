/* The prober, see prober.h: one timer, and at most one HEAD under way to each volume. */
#include "master/volumes/prober.h"

#include <stdlib.h>

#include "common/assure.h"
#include "master/volumes/volume_head.h"

enum { PROBE_MS = 1000 };

struct probe {
    struct prober *prober;
    struct call *call; /* under way, or NULL */
    int volume;
};

struct prober {
    struct volumes *volumes;
    struct loop *loop;
    struct http_client *client;
    struct timer timer;
    int answer_ms;
    struct probe probe[]; /* one for each volume */
};

/* Any status will do: whether a volume holds a value is asked elsewhere. */
static void on_answer(struct call *call, const struct http_head *head)
{
    (void)call;
    (void)head;
}

static void on_done(struct call *call, enum call_result result)
{
    struct probe *probe = call_arg(call);
    struct volumes *volumes = probe->prober->volumes;

    probe->call = NULL;
    volumes_saw(volumes, volumes_name(volumes, probe->volume), result);
}

static void ask(struct probe *probe)
{
    static const struct call_ops ops = {.answer = on_answer, .done = on_done};
    struct prober *prober = probe->prober;

    probe->call =
        volume_head(prober->client, volumes_name(prober->volumes, probe->volume),
                    STR("/"), prober->answer_ms, &ops, probe);
}

static void on_timer(struct timer *timer)
{
    struct prober *prober = container_of(timer, struct prober, timer);

    for (int i = 0; i < volumes_count(prober->volumes); i++)
        if (!prober->probe[i].call && !volumes_standing(prober->volumes, i).well)
            ask(&prober->probe[i]);
    timer_set(prober->loop, timer, PROBE_MS);
}

struct prober *prober_new(struct volumes *volumes, int answer_ms)
{
    int n = volumes_count(volumes);
    struct prober *prober =
        xcalloc(1, sizeof(*prober) + (size_t)n * sizeof(prober->probe[0]));

    prober->volumes = volumes;
    prober->answer_ms = answer_ms;
    prober->timer.fire = on_timer;
    for (int i = 0; i < n; i++)
        prober->probe[i] = (struct probe){.prober = prober, .volume = i};
    return prober;
}

void prober_start(struct prober *prober, struct loop *loop, struct http_client *client)
{
    prober->loop = loop;
    prober->client = client;
    timer_set(loop, &prober->timer, PROBE_MS);
}

void prober_stop(struct prober *prober)
{
    timer_clear(prober->loop, &prober->timer);
    for (int i = 0; i < volumes_count(prober->volumes); i++)
        if (prober->probe[i].call)
            call_cancel(&prober->probe[i].call);
}

void prober_free(struct prober **prober)
{
    free(*prober);
    *prober = NULL;
}
