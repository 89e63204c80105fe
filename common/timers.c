/*
 * Timers stand in a 4-ary heap ordered by the deadline the heap knows (`held`). Most
 * deadlines are pushed out by every byte that comes and never fire, so pushing out only
 * writes `due`; the heap finds the difference when the old deadline comes to the top.
 */
#include "common/timers.h"

#include <stdlib.h>

#include "common/assure.h"

enum { ARITY = 4 };

static void place(struct timers *t, uint32_t slot, struct timer *timer)
{
    t->heap[slot] = timer;
    timer->slot = slot;
}

static uint32_t parent(uint32_t slot)
{
    return (slot - 2) / ARITY + 1;
}

static void up(struct timers *t, uint32_t slot, struct timer *timer)
{
    while (slot > 1 && t->heap[parent(slot)]->held > timer->held) {
        place(t, slot, t->heap[parent(slot)]);
        slot = parent(slot);
    }
    place(t, slot, timer);
}

static void down(struct timers *t, uint32_t slot, struct timer *timer)
{
    for (;;) {
        uint32_t first = (slot - 1) * ARITY + 2, least = 0;
        for (uint32_t c = first; c < first + ARITY && c <= t->n; c++)
            if (!least || t->heap[c]->held < t->heap[least]->held)
                least = c;
        if (!least || t->heap[least]->held >= timer->held)
            break;
        place(t, slot, t->heap[least]);
        slot = least;
    }
    place(t, slot, timer);
}

void timers_free(struct timers *t)
{
    free(t->heap);
    *t = (struct timers){0};
}

void timers_set(struct timers *t, struct timer *timer, uint64_t due)
{
    timer->due = due;
    if (timer->slot) {
        if (due < timer->held) {
            timer->held = due;
            up(t, timer->slot, timer);
        }
        return;
    }
    if (t->n + 1 >= t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->heap = xrealloc(t->heap, t->room * sizeof(struct timer *));
    }
    timer->held = due;
    up(t, ++t->n, timer);
}

void timers_clear(struct timers *t, struct timer *timer)
{
    if (!timer->slot)
        return;
    uint32_t slot = timer->slot;
    struct timer *last = t->heap[t->n--];
    timer->slot = 0;
    if (last == timer)
        return;
    if (slot > 1 && t->heap[parent(slot)]->held > last->held)
        up(t, slot, last);
    else
        down(t, slot, last);
}

struct timer *timers_take_due(struct timers *t, uint64_t now)
{
    while (t->n && t->heap[1]->held <= now) {
        struct timer *timer = t->heap[1];
        if (timer->due <= timer->held) {
            timers_clear(t, timer);
            return timer;
        }
        timer->held = timer->due;
        down(t, 1, timer);
    }
    return NULL;
}

uint64_t timers_next(const struct timers *t)
{
    return t->n ? t->heap[1]->held : UINT64_MAX;
}
