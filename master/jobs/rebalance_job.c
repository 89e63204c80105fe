/* The job `rebalance`: every key is brought home (homecoming.h), unlinked ones too; then
 * removals on volumes that are gone for good are dropped (gone.h). */
#include "master/homecoming.h"
#include "master/jobs/gone.h"
#include "master/jobs/kinds.h"

static void on_done(void *arg, const struct homecoming_end *end)
{
    static const enum job_outcome outcome[] = {
        [HOMECOMING_HOME] = JOB_RIGHT,   [HOMECOMING_MOVED] = JOB_CHANGED,
        [HOMECOMING_STAYS] = JOB_FAILED, [HOMECOMING_ABSENT] = JOB_ABSENT,
        [HOMECOMING_BUSY] = JOB_BUSY,    [HOMECOMING_INDEX] = JOB_NO_INDEX,
    };

    job_key_over(arg,
                 end->result == HOMECOMING_STAYS && end->soon ? JOB_BUSY
                                                              : outcome[end->result],
                 end->size * end->copies, end->why[0] != '\0' ? end->why : NULL);
}

static void rebalance_key(struct job_key *key)
{
    homecoming_start(&(struct homecoming_spec){.shard = job_key_shard(key),
                                               .key = job_key_name(key),
                                               .unlinked = true,
                                               .hasty = true},
                     on_done, key);
}

static void on_gone_dropped(void *arg)
{
    job_after_over(arg);
}

static void drop_gone(struct keys_job *job, struct shard *shard)
{
    gone_drop(shard, job, on_gone_dropped, job);
}

const struct job_kind job_rebalance = {
    .name = "rebalance",
    .changed = "moved",
    .key = rebalance_key,
    .after = drop_gone,
};
