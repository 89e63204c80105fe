/*
 * How changes end: their claims are told what became of marks and let go, and whoever
 * waits hears of it on the loop named. What ends together is gathered, so that a loop is
 * woken once for all that a batch has for it.
 */
#ifndef MASTER_INDEX_REPORT_H
#define MASTER_INDEX_REPORT_H

#include "master/index/change.h"
#include "master/index/claims.h"

enum { REPORT_LOOPS = 16 }; /* past it, some loops are woken more often */

struct report {
    struct claims *claims;
    int n;
    struct report_lane {
        struct loop *loop;
        struct task *last, *first; /* linked from the last to the first */
    } lane[REPORT_LOOPS];
};

void report_begin(struct report *report, struct claims *claims);
/* Takes the change; err: 0 or why it is not applied. */
void report_add(struct report *report, struct change *change, int err);
/* Wakes the loops; the report is empty then. */
void report_send(struct report *report);

#endif
