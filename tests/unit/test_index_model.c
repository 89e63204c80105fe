/* Random changes of the index against a model that says the rules once more, in its own
 * words. */
#include "tests/unit/index_rig.h"

enum { MODEL_KEYS = 12, MODEL_PLACES = 8 };
struct model {
    bool record; /* names place[i] where named */
    bool named[MODEL_PLACES], mark[MODEL_PLACES], removal[MODEL_PLACES];
};

static void model_change(struct model *m, struct change *c, unsigned *seed)
{
    bool held = false; /* against the record: where that or a removal is written */
    for (int n = 1 + rand_r(seed) % 3; n > 0; n--) {
        int p = rand_r(seed) % MODEL_PLACES, q = rand_r(seed) % MODEL_PLACES;
        char place[16], both[32];
        snprintf(place, sizeof(place), "p%d:1", p);
        snprintf(both, sizeof(both), "p%d:1,p%d:1", p, q);
        switch (rand_r(seed) % 7) {
        case 0:
        case 1: {
            struct record r = record_of(RECORD_LIVE, "", both);
            change_record(c, &r, false, 0, 0);
            m->record = held = true;
            for (int i = 0; i < MODEL_PLACES; i++)
                m->named[i] = i == p || i == q;
            break;
        }
        case 2:
            change_drop_record(c);
            m->record = false;
            held = true;
            memset(m->named, 0, sizeof(m->named));
            break;
        case 3:
            change_mark(c, str_of(place));
            m->mark[p] = true;
            break;
        case 4:
            change_end_marks(c);
            memset(m->mark, 0, sizeof(m->mark));
            break;
        case 5:
            change_removal(c, str_of(place), 0, 0);
            m->removal[p] = held = true;
            m->mark[p] = false;
            break;
        default:
            change_cleared(c, str_of(place));
            m->removal[p] = false;
        }
    }
    for (int i = 0; i < MODEL_PLACES; i++)
        if (held && m->named[i]) {
            m->removal[i] = false;
            m->mark[i] = false;
        }
}

static void model_check(struct rig *rig, struct model *model, bool marks)
{
    uint64_t listed = 0;
    for (int k = 0; k < MODEL_KEYS; k++) {
        char key[16];
        snprintf(key, sizeof(key), "/k%d", k);
        struct entry e;
        assert_int_equal(rig_claim(rig, str_of(key), &e), 0);
        assert_int_equal(e.record.state, model[k].record ? RECORD_LIVE : RECORD_ABSENT);
        int n_marks = 0, n_removals = 0;
        for (int i = 0; i < MODEL_PLACES; i++) {
            n_marks += marks && model[k].mark[i] && !model[k].named[i];
            n_removals += model[k].removal[i];
            for (int r = 0; r < e.n_removals; r++)
                if (e.removal[r].place.p[1] == '0' + i)
                    assert_true(model[k].removal[i]);
        }
        if (marks)
            assert_int_equal(e.n_marks, n_marks);
        assert_int_equal(e.n_removals, n_removals);
        listed += (uint64_t)n_removals;
        entry_clear(&e);
        index_release(rig->index, str_of(key));
        assert_int_equal(rig_get(rig, str_of(key), &e), 0); /* into the cache */
        entry_clear(&e);
    }
    assert_int_equal(index_removals(rig->index), listed);
}

static void test_model(void **state)
{
    struct rig *rig = *state;
    struct model model[MODEL_KEYS] = {0};
    unsigned seed = 20261121;
    for (int round = 0; round < 60; round++) {
        enum { TOGETHER = 100 };
        struct waiter w;
        waiter_init(&w, TOGETHER);
        for (int i = 0; i < TOGETHER; i++) {
            char key[16];
            int k = rand_r(&seed) % MODEL_KEYS;
            snprintf(key, sizeof(key), "/k%d", k);
            struct change *c = change_new(str_of(key));
            model_change(&model[k], c, &seed);
            index_commit(rig->index, rig->loop, &c, i % 10 == 0, waiter_done, &w);
        }
        assert_int_equal(waiter_wait(&w), 0);
        model_check(rig, model, true);
        if (round % 20 != 19)
            continue;
        rig_reopen(rig); /* as after a crash, for the marks */
        for (int k = 0; k < MODEL_KEYS; k++)
            for (int i = 0; i < MODEL_PLACES; i++) {
                model[k].removal[i] |= model[k].mark[i] && !model[k].named[i];
                model[k].mark[i] = false;
            }
        model_check(rig, model, true);
    }
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        IN_RIG(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
