/* A limit for what drips, see drip.h. */
#include "master/value/drip.h"

#include <stddef.h>

#include "common/str.h"

static void on_timer(struct timer *timer)
{
    struct drip *drip = container_of(timer, struct drip, timer);

    if (drip->come < DRIP_BYTES) {
        drip->too_slow(drip);
        return;
    }
    drip->come = 0;
    timer_set(drip->loop, timer, DRIP_MS);
}

void drip_start(struct drip *drip, struct loop *loop, void (*too_slow)(struct drip *drip))
{
    *drip = (struct drip){.loop = loop, .too_slow = too_slow};
    drip->timer.fire = on_timer;
    timer_set(loop, &drip->timer, DRIP_MS);
}

void drip_stop(struct drip *drip)
{
    if (drip->loop)
        timer_clear(drip->loop, &drip->timer);
}
