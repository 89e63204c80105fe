/* The ends of changes, loop by loop. */
#include "master/index/report.h"

void report_begin(struct report *report, struct claims *claims)
{
    report->claims = claims;
    report->n = 0;
}

static void run_done(struct task *task)
{
    struct change *change = container_of(task, struct change, task);
    index_done *done = change->done;
    void *arg = change->arg;
    int err = change->err;
    change_free(&change);
    done(arg, err);
}

/* Its claim's holder may be gone as soon as it hears: note the marks before. */
static void note_marks(struct claims *claims, const struct change *change)
{
    int marks = -1;
    for (int i = 0; i < change->n_edits; i++) {
        if (change->edit[i].kind == EDIT_MARK)
            marks = 1;
        else if (change->edit[i].kind == EDIT_END_MARKS)
            marks = 0;
    }
    if (marks >= 0)
        claims_set_marked(claims, change_key(change), marks == 1);
}

static struct report_lane *lane_of(struct report *report, struct loop *loop)
{
    for (int i = 0; i < report->n; i++)
        if (report->lane[i].loop == loop)
            return &report->lane[i];
    if (report->n == REPORT_LOOPS)
        report_send(report);
    struct report_lane *lane = &report->lane[report->n++];
    *lane = (struct report_lane){.loop = loop};
    return lane;
}

void report_add(struct report *report, struct change *change, int err)
{
    if (err == 0)
        note_marks(report->claims, change);
    claims_unpin(report->claims, change->claim);
    if (change->own || !change->done) {
        change_free(&change);
        return;
    }
    struct report_lane *lane = lane_of(report, change->loop);
    change->err = err;
    change->task.run = run_done;
    change->task.next = lane->last;
    lane->last = &change->task;
    if (!lane->first)
        lane->first = lane->last;
}

void report_send(struct report *report)
{
    for (int i = 0; i < report->n; i++)
        loop_post_all(report->lane[i].loop, report->lane[i].last, report->lane[i].first);
    report->n = 0;
}
