/*
 * The signals of a server process, as calls on a loop: SIGTERM and SIGINT to stop, SIGUSR1
 * to reopen its log. SIGPIPE is ignored. One in a process catches them at a time.
 */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

#include "common/loop.h"

/* Embedded in its owner, who sets the two calls. */
struct signals {
    void (*on_stop)(struct signals *signals);
    void (*on_reopen)(struct signals *signals);
    struct watch watch; /* its own */
};

/* From here on signals are caught and kept for signals_watch(). 0 or -errno. */
int signals_catch(struct signals *signals);
/* Has the calls run on the loop, until that is freed. 0 or -errno. */
int signals_watch(struct signals *signals, struct loop *loop);
/* Any thread: as if SIGTERM had come. */
void signals_stop(struct signals *signals);
/* SIGTERM and SIGINT end the process again, SIGUSR1 does nothing. The loop is freed.
 * Harmless where none were caught. */
void signals_release(struct signals *signals);

#endif
