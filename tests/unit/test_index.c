/*
 * The index through its door, on a real LevelDB: what changes do and how they compose,
 * claims, scans, removals, group commit.
 */
#include "tests/unit/index_rig.h"

#include "master/index/apply.h"

/* --- changes ----------------------------------------------------------------------- */

static void test_record(void **state)
{
    struct rig *rig = *state;
    expect(rig, "/k", "absent");
    assert_int_equal(rig_commit(rig, put("/k", MD5_A, "a:1/sv00,b:1/sv01"), true), 0);
    expect(rig, "/k", "live 0123 a:1/sv00,b:1/sv01 | 1000 50");
    expect(rig, "/k/", "absent");
    expect(rig, "/", "absent");

    struct entry e;
    assert_int_equal(rig_get(rig, STR("/k"), &e), 0);
    assert_true(e.has_size && e.size == 1000 && e.time == 50);
    entry_clear(&e);

    struct change *c = change_new(STR("/k"));
    struct record r = record_of(RECORD_UNLINKED, MD5_A, "a:1/sv00,b:1/sv01");
    change_record(c, &r, true, 1000, 50);
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect(rig, "/k", "unlinked 0123 a:1/sv00,b:1/sv01 | 1000 50");

    /* Without an MD5 there is nothing to tie size and time to. */
    assert_int_equal(rig_commit(rig, put("/k", "", "c:1"), true), 0);
    expect(rig, "/k", "live c:1");
    assert_int_equal(rig_commit(rig, put("/k", MD5_A, "c:1"), true), 0);
    expect(rig, "/k", "live 0123 c:1 | 1000 50");
    c = change_new(STR("/k"));
    r = record_of(RECORD_LIVE, MD5_A, "d:1");
    change_record(c, &r, false, 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect(rig, "/k", "live 0123 d:1");

    c = change_new(STR("/k"));
    change_drop_record(c);
    change_removal(c, STR("d:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect(rig, "/k", "absent | removal d:1 0");
    rig_reopen(rig);
    expect(rig, "/k", "absent | removal d:1 0");
    assert_int_equal(index_removals(rig->index), 1);
}

static void test_keys(void **state)
{
    struct rig *rig = *state;
    char key[PLACEMENT_KEY_MAX + 1];
    memset(key, 0, sizeof(key));
    key[0] = '/';
    struct entry e;
    for (size_t n = 1; n <= PLACEMENT_KEY_MAX; n = n < 4 ? n + 1 : n + 255) {
        struct change *c = change_new((struct str){key, n});
        struct record r = record_of(RECORD_LIVE, MD5_A, "a:1");
        change_record(c, &r, true, n, 1);
        change_removal(c, STR("b:1"), 0, 0);
        assert_int_equal(rig_commit(rig, c, true), 0);
        assert_int_equal(rig_claim(rig, (struct str){key, n}, &e), 0);
        assert_true(e.size == n && e.n_removals == 1);
        entry_clear(&e);
        index_release(rig->index, (struct str){key, n});
    }
    assert_int_equal(rig_get(rig, (struct str){key, sizeof(key)}, &e), -EINVAL);
    assert_int_equal(rig_get(rig, STR(""), &e), -EINVAL);
    assert_int_equal(rig_get(rig, STR("batch"), &e), -EINVAL);
    assert_int_equal(rig_claim(rig, STR("meta/k"), &e), -EINVAL);
    assert_int_equal(index_claims(rig->index), 0);
}

static void test_put_lifecycle(void **state)
{
    struct rig *rig = *state;
    struct change *c = change_new(STR("/k"));
    change_mark(c, STR("a:1"));
    change_mark(c, STR("b:1"));
    change_mark(c, STR("c:1"));
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect(rig, "/other", "absent");
    c = change_new(STR("/k")); /* c fails on the way, d takes over */
    change_removal(c, STR("c:1"), 0, 77);
    change_mark(c, STR("d:1"));
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect(rig, "/k", "absent | mark a:1 | mark b:1 | mark d:1 | removal c:1 0 late");
    c = put("/k", MD5_A, "a:1,b:1,d:1");
    change_end_marks(c);
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect(rig, "/k", "live 0123 a:1,b:1,d:1 | 1000 50 | removal c:1 0 late");
    c = change_new(STR("/k"));
    change_cleared(c, STR("c:1"));
    change_cleared(c, STR("never:1"));
    assert_int_equal(rig_commit(rig, c, false), 0);
    expect(rig, "/k", "live 0123 a:1,b:1,d:1 | 1000 50");
    assert_int_equal(index_removals(rig->index), 0);
    /* A removal of what the record names does not come to the list. */
    c = change_new(STR("/k"));
    change_removal(c, STR("a:1"), 0, 0);
    change_removal(c, STR("x:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    assert_int_equal(index_removals(rig->index), 1);
    expect(rig, "/k", "live 0123 a:1,b:1,d:1 | 1000 50 | removal x:1 0");
    /* And a record takes what it names off the list. */
    assert_int_equal(rig_commit(rig, put("/k", MD5_B, "x:1"), true), 0);
    assert_int_equal(index_removals(rig->index), 0);
    expect(rig, "/k", "live fedc x:1 | 1000 50");
}

/* Many changes of few keys submitted at once: they fall into few batches, and each sees
 * what those before it did. */
static void test_composed(void **state)
{
    struct rig *rig = *state;
    enum { ROUNDS = 200 };
    struct waiter w;
    waiter_init(&w, ROUNDS * 5);
    for (int i = 0; i < ROUNDS; i++) {
        char place[32];
        snprintf(place, sizeof(place), "p%d:1", i);
        struct change *c[5];
        c[0] = change_new(STR("/a"));
        change_mark(c[0], str_of(place));
        c[1] = change_new(STR("/b"));
        change_removal(c[1], str_of(place), i, 0);
        c[2] = change_new(STR("/a"));
        change_removal(c[2], str_of(place), 0, 0);
        c[3] = put("/a", MD5_A, place);
        c[4] = change_new(STR("/b"));
        if (i != ROUNDS - 1)
            change_cleared(c[4], str_of(place));
        for (int k = 0; k < 5; k++)
            index_commit(rig->index, rig->loop, &c[k], k == 3, waiter_done, &w);
    }
    assert_int_equal(waiter_wait(&w), 0);
    struct entry e;
    assert_int_equal(rig_claim(rig, STR("/a"), &e), 0);
    assert_int_equal(e.n_marks, 0);
    assert_int_equal(e.n_removals, 0); /* each left with its record */
    entry_clear(&e);
    index_release(rig->index, STR("/a"));
    expect(rig, "/b", "absent | removal p199:1 199");
    assert_int_equal(index_removals(rig->index), 1);
    rig_reopen(rig);
    assert_int_equal(index_removals(rig->index), 1);
}

static void test_nothing_left(void **state)
{
    struct rig *rig = *state;
    struct change *c = put("/k", MD5_A, "a:1");
    change_mark(c, STR("b:1"));
    change_removal(c, STR("c:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    c = change_new(STR("/k"));
    change_drop_record(c);
    change_end_marks(c);
    change_cleared(c, STR("c:1"));
    assert_int_equal(rig_commit(rig, c, true), 0);
    index_close(&rig->index);
    char err[512];
    struct db *db = db_open(rig->path, err, sizeof(err));
    assert_non_null(db);
    struct db_cursor *cursor = db_cursor_new(db, DB_WRITER);
    struct str key, value;
    assert_int_equal(db_cursor_seek(cursor, STR(""), &key, &value), 1);
    assert_true(str_eq(key, INDEX_BATCH));
    assert_int_equal(db_cursor_next(cursor, &key, &value), 0);
    db_cursor_free(&cursor);
    assert_int_equal(db_close(&db), 0);
}

/* --- claims ------------------------------------------------------------------------ */

static void test_claims(void **state)
{
    struct rig *rig = *state;
    struct entry e;
    char key[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "/%d", i);
        assert_int_equal(rig_claim(rig, str_of(key), &e), 0);
        entry_clear(&e);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "/%d", i);
        assert_int_equal(rig_claim(rig, str_of(key), &e), -EBUSY);
        entry_clear(&e);
        if (i % 2 == 0)
            index_release(rig->index, str_of(key));
    }
    assert_int_equal(index_claims(rig->index), 10000);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "/%d", i);
        if (i % 2 == 0)
            assert_int_equal(rig_claim(rig, str_of(key), &e), 0);
        entry_clear(&e);
        index_release(rig->index, str_of(key));
    }
    assert_int_equal(index_claims(rig->index), 0);
}

struct racer {
    struct rig *rig;
    int *in;
    int won;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct entry e;
    for (int i = 0; i < 20000; i++) {
        if (rig_claim(racer->rig, STR("/k"), &e) != 0)
            continue;
        entry_clear(&e);
        assure(__atomic_add_fetch(racer->in, 1, __ATOMIC_RELAXED) == 1);
        __atomic_sub_fetch(racer->in, 1, __ATOMIC_RELAXED);
        index_release(racer->rig->index, STR("/k"));
        racer->won++;
    }
    return NULL;
}

static void test_claims_race(void **state)
{
    int in = 0, won = 0;
    struct racer racer[4];
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) {
        racer[i] = (struct racer){.rig = *state, .in = &in};
        pthread_create(&thread[i], NULL, race, &racer[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        won += racer[i].won;
    }
    assert_true(won > 0);
}

/* A claim that ends with marks standing (its last commit failed, or nobody made one). */
static void test_released_with_marks(void **state)
{
    struct rig *rig = *state;
    rig_claim_marked(rig, "/k", "a:1");
    index_release(rig->index, STR("/k"));
    /* Whoever claims it next has his own marks behind that in the queue. */
    rig_claim_marked(rig, "/k", "b:1");
    struct change *c = put("/k", MD5_A, "b:1");
    change_end_marks(c);
    assert_int_equal(rig_commit(rig, c, true), 0);
    index_release(rig->index, STR("/k"));
    expect(rig, "/k", "live 0123 b:1 | 1000 50 | removal a:1 0 late");
    assert_int_equal(index_removals(rig->index), 1);
}

/* --- scans ------------------------------------------------------------------------- */

static int scan_count(struct rig *rig, const char *prefix, const char *start, char *first)
{
    struct scan *scan = index_scan(rig->index, str_of(prefix), str_of(start));
    struct str key;
    struct record record;
    int counts[2] = {0, 0};
    for (int round = 0; round < 2; round++) {
        int r;
        while ((r = scan_next(scan, &key, &record)) == 1) {
            if (counts[round]++ == 0)
                snprintf(first, 32, "%.*s", (int)key.n, key.p);
            assert_int_equal(record.n, 1);
        }
        assert_int_equal(r, 0);
        scan_rewind(scan);
        if (round == 0) /* the second round must not see this */
            assert_int_equal(rig_commit(rig, put("/b/05x", "", "a:1"), true), 0);
    }
    assert_int_equal(counts[0], counts[1]);
    scan_free(&scan);
    struct change *c = change_new(STR("/b/05x"));
    change_drop_record(c);
    assert_int_equal(rig_commit(rig, c, true), 0);
    return counts[0];
}

static void test_scan(void **state)
{
    struct rig *rig = *state;
    char key[16], first[32] = "";
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "/%c/%02d", "abc"[i / 10], i % 10);
        assert_int_equal(rig_commit(rig, put(key, MD5_A, "a:1"), false), 0);
    }
    assert_int_equal(scan_count(rig, "", "", first), 30);
    assert_int_equal(scan_count(rig, "/", "", first), 30);
    assert_int_equal(scan_count(rig, "/b/", "", first), 10);
    assert_string_equal(first, "/b/00");
    assert_int_equal(scan_count(rig, "/b/", "/b/05", first), 5);
    assert_string_equal(first, "/b/05");
    assert_int_equal(scan_count(rig, "/b/", "/b/045", first), 5);
    assert_int_equal(scan_count(rig, "/b/", "/a", first), 10);
    assert_int_equal(scan_count(rig, "/b/", "/b", first), 10);
    assert_int_equal(scan_count(rig, "/b/", "/c", first), 0);
    assert_int_equal(scan_count(rig, "/", "/b/09", first), 11);
    assert_int_equal(scan_count(rig, "/b/03", "", first), 1);
    assert_int_equal(scan_count(rig, "/x", "", first), 0);
    assert_int_equal(scan_count(rig, "meta", "", first), 0);
    assert_int_equal(scan_count(rig, "", "meta", first), 0);
    assert_int_equal(scan_count(rig, "batch", "", first), 0);
}

/* --- removals ---------------------------------------------------------------------- */

static void test_removals_next(void **state)
{
    struct rig *rig = *state;
    char keybuf[PLACEMENT_KEY_MAX];
    struct str key;
    struct entry e;
    assert_int_equal(index_removals_next(rig->index, STR(""), keybuf, &key, &e), 0);
    struct change *c = change_new(STR("/b"));
    change_removal(c, STR("x:1"), 0, 0);
    change_removal(c, STR("y:1"), 3, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    c = change_new(STR("/a"));
    change_mark(c, STR("x:1"));
    assert_int_equal(rig_commit(rig, c, true), 0);
    c = put("/d", MD5_A, "q:1");
    change_removal(c, STR("x:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);

    assert_int_equal(index_removals_next(rig->index, STR(""), keybuf, &key, &e), 1);
    assert_true(str_eq(key, STR("/b")));
    assert_int_equal(e.n_removals, 2);
    entry_clear(&e);
    assert_int_equal(index_removals_next(rig->index, STR("/b"), keybuf, &key, &e), 1);
    assert_true(str_eq(key, STR("/b")));
    entry_clear(&e);
    assert_int_equal(index_removals_next(rig->index, STR("/b\0"), keybuf, &key, &e), 1);
    assert_true(str_eq(key, STR("/d")));
    assert_int_equal(e.record.state, RECORD_LIVE);
    assert_int_equal(e.n_removals, 1);
    entry_clear(&e);
    assert_int_equal(index_removals_next(rig->index, STR("/d\0"), keybuf, &key, &e), 0);
    entry_clear(&e);
}

/* --- group commit ------------------------------------------------------------------ */

struct committer {
    struct rig *rig;
    int number;
};

static void *commit_many(void *arg)
{
    struct committer *committer = arg;
    for (int i = 0; i < 50; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/%d/%d", committer->number, i);
        assure(rig_commit(committer->rig, put(key, MD5_A, "a:1"), true) == 0);
    }
    return NULL;
}

static void test_group_commit(void **state)
{
    struct rig *rig = *state;
    enum { THREADS = 16 };
    struct committer committer[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        committer[i] = (struct committer){rig, i};
        pthread_create(&thread[i], NULL, commit_many, &committer[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    struct writer_counts counts;
    index_counts(rig->index, &counts);
    assert_int_equal(counts.changes, THREADS * 50);
    assert_int_equal(counts.syncs, counts.batches);
    assert_true(counts.syncs < counts.changes / 2);
    print_message("%llu commits in %llu syncs\n", (unsigned long long)counts.changes,
                  (unsigned long long)counts.syncs);
}

static void test_unsynced(void **state)
{
    struct rig *rig = *state;
    struct writer_counts counts;
    for (int i = 0; i < 10; i++)
        assert_int_equal(rig_commit(rig, put("/k", MD5_A, "a:1"), false), 0);
    index_counts(rig->index, &counts);
    assert_int_equal(counts.syncs, 0);
    /* A durable change rests on what was not synced, though it changes nothing. */
    struct change *c = change_new(STR("/k"));
    change_end_marks(c);
    assert_int_equal(rig_commit(rig, c, true), 0);
    index_counts(rig->index, &counts);
    assert_int_equal(counts.syncs, 1);
    c = put("/n", MD5_A, "a:1");
    index_commit(rig->index, NULL, &c, true, NULL, NULL);
    assert_null(c);
    index_close(&rig->index);
    rig->sync = false;
    rig_open(rig);
    expect(rig, "/n", "live 0123 a:1 | 1000 50");
    assert_int_equal(rig_commit(rig, put("/k", MD5_A, "b:1"), true), 0);
    index_counts(rig->index, &counts);
    assert_int_equal(counts.syncs, 0);
    expect(rig, "/k", "live 0123 b:1 | 1000 50");
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        IN_RIG(test_record),        IN_RIG(test_keys),
        IN_RIG(test_put_lifecycle), IN_RIG(test_composed),
        IN_RIG(test_nothing_left),  IN_RIG(test_claims),
        IN_RIG(test_claims_race),   IN_RIG(test_released_with_marks),
        IN_RIG(test_scan),          IN_RIG(test_removals_next),
        IN_RIG(test_group_commit),  IN_RIG(test_unsynced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
