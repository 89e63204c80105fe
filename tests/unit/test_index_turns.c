/* The index and the turns of a loop: what one turn commits is one batch, and a claim sees
 * what the last holder of its key committed and did not wait for. */
#include "tests/unit/index_rig.h"

enum { COMMITS = 20 };

/* The test's own loop, joined, and run on its thread. */
struct turns {
    struct rig *rig;
    struct loop *loop;
    struct task first; /* runs in a turn */
    int done[COMMITS + 1], n_done;
    int n_claimed, claim_err;
    struct entry entry;
};

struct numbered {
    struct turns *turns;
    int number;
};

static void run_turns(struct turns *t, struct rig *rig, void (*first)(struct task *))
{
    *t = (struct turns){.rig = rig, .loop = loop_new(), .first.run = first};
    assert_non_null(t->loop);
    index_join(rig->index, t->loop);
    loop_post(t->loop, &t->first);
    loop_run(t->loop);
    index_part(rig->index, t->loop);
}

/* The writer posts to the loop until the index is closed. */
static void end_turns(struct turns *t)
{
    index_close(&t->rig->index);
    loop_free(&t->loop);
}

static struct change *removal_of(const char *key, const char *place)
{
    struct change *c = change_new(str_of(key));
    change_removal(c, str_of(place), 5, 0);
    return c;
}

static void committed(void *arg, int err)
{
    struct numbered *n = arg;
    struct turns *t = n->turns;
    assert_int_equal(err, 0);
    t->done[t->n_done++] = n->number;
    if (t->n_done == COMMITS)
        loop_stop(t->loop);
}

/* --- batches ----------------------------------------------------------------------- */
static struct numbered numbers[COMMITS];

static void commit_many(struct task *task)
{
    struct turns *t = container_of(task, struct turns, first);
    for (int i = 0; i < COMMITS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/many/%d", i);
        struct change *c = removal_of(key, "v:1");
        numbers[i] = (struct numbered){t, i};
        index_commit(t->rig->index, t->loop, &c, true, committed, &numbers[i]);
        usleep(1000); /* what was handed over at once would be taken by now */
    }
}

static void test_a_turn_is_a_batch(void **state)
{
    struct rig *rig = *state;
    struct turns t;
    struct writer_counts before, after;
    index_counts(rig->index, &before);
    run_turns(&t, rig, commit_many);
    index_counts(rig->index, &after);
    assert_int_equal(after.batches - before.batches, 1);
    assert_int_equal(after.changes - before.changes, COMMITS);
    assert_int_equal(t.n_done, COMMITS);
    for (int i = 0; i < COMMITS; i++)
        assert_int_equal(t.done[i], i);
    assert_int_equal(index_removals(rig->index), COMMITS);
    end_turns(&t);
}

/* --- the end of a loop ------------------------------------------------------------- */
static void commit_and_stop(struct task *task)
{
    struct turns *t = container_of(task, struct turns, first);
    struct change *c = removal_of("/last", "v:1");
    index_commit(t->rig->index, t->loop, &c, true, NULL, NULL);
    loop_stop(t->loop);
}

static void test_the_last_turn_is_not_lost(void **state)
{
    struct rig *rig = *state;
    struct turns t;
    run_turns(&t, rig, commit_and_stop);
    struct change *c = removal_of("/later", "v:1"); /* waits for no turn any more */
    index_commit(rig->index, t.loop, &c, true, NULL, NULL);
    rig_reopen(rig);
    loop_free(&t.loop);
    expect(rig, "/last", "absent | removal v:1 5");
    expect(rig, "/later", "absent | removal v:1 5");
}

/* --- claims ------------------------------------------------------------------------ */
static void claimed_again(void *arg, int err, struct entry *entry)
{
    struct turns *t = arg;
    t->n_claimed++;
    t->claim_err = err;
    t->entry = *entry;
    loop_stop(t->loop);
}

static void cleared(void *arg, int err)
{
    struct numbered *n = arg;
    assert_int_equal(err, 0);
    n->turns->n_done++;
}

/* As a DELETE does: claims, commits what came of the clearing, and releases at once. */
static void release_and_claim(struct task *task)
{
    struct turns *t = container_of(task, struct turns, first);
    struct index *index = t->rig->index;
    struct entry entry;
    struct change *c = change_new(STR("/k"));
    assert_int_equal(rig_claim(t->rig, STR("/k"), &entry), 0);
    entry_clear(&entry);
    change_cleared(c, STR("v:1"));
    numbers[0] = (struct numbered){t, 0};
    index_commit(index, t->loop, &c, false, cleared, &numbers[0]);
    index_release(index, STR("/k"));
    assert_int_equal(index_claims(index), 0);
    index_claim(index, t->loop, STR("/k"), claimed_again, t);
    assert_int_equal(t->n_claimed, 0); /* it waits, and has the key */
    assert_int_equal(index_claims(index), 1);
    assert_int_equal(rig_claim(t->rig, STR("/k"), &entry), -EBUSY);
}

static void test_a_claim_sees_what_was_left_behind(void **state)
{
    struct rig *rig = *state;
    struct turns t;
    assert_int_equal(rig_commit(rig, removal_of("/k", "v:1"), true), 0);
    run_turns(&t, rig, release_and_claim);
    assert_int_equal(t.n_claimed, 1);
    assert_int_equal(t.claim_err, 0);
    assert_int_equal(t.entry.n_removals, 0);
    entry_clear(&t.entry);
    index_release(rig->index, STR("/k"));
    expect(rig, "/k", "absent"); /* nothing pins it any more */
    assert_int_equal(index_claims(rig->index), 0);
    end_turns(&t);
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_RIG(test_a_turn_is_a_batch),
        IN_RIG(test_the_last_turn_is_not_lost),
        IN_RIG(test_a_claim_sees_what_was_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
