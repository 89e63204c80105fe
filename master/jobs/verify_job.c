/* The job `verify`: every key has its checkup (checkup.h), unlinked ones too; then the
 * volumes are looked through for files that nothing names (orphans.h). */
#include "master/checkup.h"
#include "master/jobs/kinds.h"
#include "master/jobs/orphans.h"
#include "master/jobs/verify.h"

const struct verify_options *verify_options(bool repair, bool delete_orphans)
{
    static const struct verify_options all[2][2] = {
        {{false, false, "verify"}, {false, true, "verify&delete-orphans"}},
        {{true, false, "verify&repair"}, {true, true, "verify&repair&delete-orphans"}},
    };

    return &all[repair][delete_orphans];
}

static const struct verify_options *options_of(const struct keys_job *job)
{
    return job_context(job);
}

static void on_done(void *arg, const struct checkup_end *end)
{
    static const enum job_outcome outcome[] = {
        [CHECKUP_RIGHT] = JOB_RIGHT,  [CHECKUP_MENDED] = JOB_CHANGED,
        [CHECKUP_WRONG] = JOB_FAILED, [CHECKUP_ABSENT] = JOB_ABSENT,
        [CHECKUP_BUSY] = JOB_BUSY,    [CHECKUP_INDEX] = JOB_NO_INDEX,
    };

    /* What was found of a key that is in use says nothing. */
    job_key_over(arg, outcome[end->result], end->bytes,
                 end->result == CHECKUP_WRONG ? end->why : NULL);
}

static void verify_key(struct job_key *key)
{
    checkup_start(&(struct checkup_spec){.shard = job_key_shard(key),
                                         .key = job_key_name(key),
                                         .repair = options_of(job_key_job(key))->repair},
                  on_done, key);
}

static void on_looked(void *arg)
{
    job_after_over(arg);
}

static void look_for_orphans(struct keys_job *job, struct shard *shard)
{
    orphans_find(shard, job, options_of(job)->delete_orphans, on_looked, job);
}

const struct job_kind job_verify = {
    .name = "verify",
    .changed = "mended",
    .key = verify_key,
    .after = look_for_orphans,
};
