/* The cache in front of LevelDB: it may forget, but what it says is what the database
 * says, whoever reads and writes meanwhile. */
#include "tests/unit/index_rig.h"

#include <stdatomic.h>

#include "master/index/cache.h"

/* --- the cache alone ---------------------------------------------------------------- */

static bool knows(struct cache *cache, struct str key, struct cached *found, char *text,
                  size_t room)
{
    struct cache_ticket ticket;
    char *copy;
    if (!cache_get(cache, key, found, &copy, &ticket))
        return false;
    snprintf(text, room, "%.*s", (int)found->text.n, found->text.p);
    cache_copy_free(copy);
    return true;
}

static bool is_known(struct cache *cache, struct str key)
{
    struct cached found;
    char text[512];
    return knows(cache, key, &found, text, sizeof(text));
}

/* What a reader does that found this in the database. */
static void learn(struct cache *cache, struct str key, struct str text)
{
    struct cached value = {.text = text, .has_size = true, .size = 7, .time = 8}, found;
    struct cache_ticket ticket;
    char *copy = NULL;
    if (cache_get(cache, key, &found, &copy, &ticket))
        cache_copy_free(copy);
    else
        cache_put(cache, &ticket, key, &value);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    struct cache *cache = cache_new();
    struct cached found;
    char text[512];
    assert_false(is_known(cache, STR("/k")));
    learn(cache, STR("/k"), STR("a:1,b:2"));
    assert_true(knows(cache, STR("/k"), &found, text, sizeof(text)));
    assert_string_equal(text, "a:1,b:2");
    assert_true(found.has_size);
    assert_int_equal(found.size, 7);
    assert_int_equal(found.time, 8);
    assert_false(is_known(cache, STR("/k2")));

    /* Of a key that is not there, that. */
    learn(cache, STR("/absent"), STR(""));
    assert_true(knows(cache, STR("/absent"), &found, text, sizeof(text)));
    assert_int_equal(found.text.n, 0);

    /* Nothing while it is held, whoever holds it how often, and nothing after. */
    cache_hold(cache, STR("/k"));
    cache_hold(cache, STR("/k"));
    cache_release(cache, STR("/k"));
    learn(cache, STR("/k"), STR("c:3"));
    assert_false(is_known(cache, STR("/k")));
    cache_release(cache, STR("/k"));
    assert_false(is_known(cache, STR("/k")));
    learn(cache, STR("/k"), STR("c:3"));
    assert_true(knows(cache, STR("/k"), &found, text, sizeof(text)));
    assert_string_equal(text, "c:3");

    cache_empty(cache);
    assert_false(is_known(cache, STR("/k")));
    assert_false(is_known(cache, STR("/absent")));
    cache_free(&cache);
}

/* Bounded: what is too long is not kept, of very many keys only some are; and what is
 * asked for all the time is among them. */
static void test_bounds(void **state)
{
    (void)state;
    struct cache *cache = cache_new();
    char longest[PLACEMENT_KEY_MAX], text[8192];
    int kept = 0;
    memset(longest, 'k', sizeof(longest));
    memset(text, 't', sizeof(text));
    for (size_t n = 1; n <= sizeof(longest); n++) {
        struct str key = {longest, n}, value = {text, 8 * n};
        longest[0] = '/';
        learn(cache, key, value);
        kept += is_known(cache, key);
        learn(cache, STR("/hot"), STR("a:1"));
    }
    assert_true(kept > 20 && kept < 100);

    const int many = 100 * 1000;
    for (int i = 0; i < many; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/%d", i);
        learn(cache, str_of(key), STR("a:1"));
        assert_true(is_known(cache, str_of(key)));
        assert_true(is_known(cache, STR("/hot")));
    }
    kept = 0;
    for (int i = 0; i < many; i++) {
        char key[32];
        snprintf(key, sizeof(key), "/%d", i);
        kept += is_known(cache, str_of(key));
    }
    assert_true(kept > 10 * 1000 && kept < 20 * 1000);
    cache_free(&cache);
}

/* --- against a model ---------------------------------------------------------------- */

enum { MODEL_KEYS = 400, READERS = 6, BATCHES = 3, STEPS = 200 * 1000, TEXT_MAX = 600 };

/* The database of the model: each key's number, of which its value is made; 0: absent. */
struct model {
    unsigned number[MODEL_KEYS];
    unsigned held[MODEL_KEYS];
};

static struct str model_key(unsigned k, char out[TEXT_MAX])
{
    int n = snprintf(out, TEXT_MAX, "/key%u", k);
    /* Some with little or no room left for their text. */
    while (k % 10 == 0 && n < 300)
        out[n++] = 'x';
    return (struct str){out, (size_t)n};
}

static struct cached model_value(unsigned number, char out[TEXT_MAX])
{
    if (number == 0)
        return (struct cached){0};
    int n = snprintf(out, TEXT_MAX, "v%u:", number);
    for (unsigned i = 0; i < number % 97; i++)
        out[n++] = (char)('a' + number % 26);
    return (struct cached){.text = {out, (size_t)n},
                           .has_size = number % 3 != 0,
                           .size = number,
                           .time = (int64_t)number + 1};
}

struct batch {
    bool writing;
    unsigned k;
};

/* A reader between its look-up and the end of its reading. */
struct reader {
    bool reading;
    unsigned k, number;
    struct cache_ticket ticket;
};

static void model_read(struct cache *cache, const struct model *model, struct reader *r,
                       unsigned k, uint64_t *hits)
{
    char text[TEXT_MAX], keybuf[TEXT_MAX], *copy;
    struct cached found, want = model_value(model->number[k], text);
    r->k = k;
    if (!cache_get(cache, model_key(k, keybuf), &found, &copy, &r->ticket)) {
        r->reading = true;
        return;
    }
    assert_int_equal(model->held[k], 0);
    assert_true(str_eq(found.text, want.text));
    assert_int_equal(found.has_size, want.has_size);
    assert_int_equal(found.size, want.size);
    assert_int_equal(found.time, want.time);
    (*hits)++;
    cache_copy_free(copy);
}

/* A reader's turn: looks up, reads the database, or offers what it read before. */
static void model_turn(struct cache *cache, const struct model *model, struct reader *r,
                       unsigned k, unsigned dice, uint64_t *hits)
{
    char text[TEXT_MAX], keybuf[TEXT_MAX];
    if (!r->reading) {
        model_read(cache, model, r, k, hits);
        r->number = model->number[r->k];
    } else if (dice % 4 == 0) { /* reads (again): from here on writes make it old */
        r->number = model->number[r->k];
    } else {
        struct cached value = model_value(r->number, text);
        cache_put(cache, &r->ticket, model_key(r->k, keybuf), &value);
        r->reading = false;
    }
}

/* A step of a batch that writes key k, of which the database shows at some moment between
 * hold and release. */
static void model_write(struct cache *cache, struct model *model, struct batch *batch,
                        unsigned k, unsigned number, unsigned dice)
{
    char keybuf[TEXT_MAX];
    if (!batch->writing) {
        *batch = (struct batch){true, k};
        model->held[k]++;
        cache_hold(cache, model_key(k, keybuf));
    } else if (dice % 3 == 0) {
        model->number[batch->k] = number % 5 == 0 ? 0 : number;
    } else {
        batch->writing = false;
        model->held[batch->k]--;
        cache_release(cache, model_key(batch->k, keybuf));
    }
}

static void test_model(void **state)
{
    (void)state;
    struct cache *cache = cache_new();
    struct model *model = xcalloc(1, sizeof(*model));
    struct reader reader[READERS] = {0};
    struct batch batch[BATCHES] = {0};
    unsigned seed = 1;
    uint64_t hits = 0;
    for (unsigned step = 1; step <= STEPS; step++) {
        /* Few keys have most of it, so that they meet. */
        unsigned k = (unsigned)rand_r(&seed) % MODEL_KEYS, dice = (unsigned)rand_r(&seed);
        if (dice % 2 == 0)
            k %= 8;
        if (step % 10000 == 0)
            cache_empty(cache);
        else if (dice % 16 == 1)
            model_write(cache, model, &batch[dice / 16 % BATCHES], k, step,
                        (unsigned)rand_r(&seed));
        else
            model_turn(cache, model, &reader[dice % READERS], k, (unsigned)rand_r(&seed),
                       &hits);
    }
    assert_true(hits > STEPS / 20);
    free(model);
    cache_free(&cache);
}

/* --- threads ------------------------------------------------------------------------ */

enum { HOT_KEYS = 24, READING_THREADS = 3, WRITES = 20 * 1000 };

/* A database of numbers. Readers note what was acknowledged before they look, and what
 * had been begun once they have seen. */
struct shared {
    struct cache *cache;
    _Atomic unsigned begun[HOT_KEYS], stored[HOT_KEYS], acknowledged[HOT_KEYS];
    _Atomic bool over;
    _Atomic uint64_t hits;
};

static void read_shared(struct shared *s, unsigned k)
{
    char keybuf[TEXT_MAX], text[TEXT_MAX], *copy;
    struct cached found;
    struct cache_ticket ticket;
    struct str key = model_key(k, keybuf);
    unsigned least = atomic_load(&s->acknowledged[k]);
    if (cache_get(s->cache, key, &found, &copy, &ticket)) {
        assure(found.size >= least && found.size <= atomic_load(&s->begun[k]));
        cache_copy_free(copy);
        atomic_fetch_add(&s->hits, 1);
        return;
    }
    unsigned number = atomic_load(&s->stored[k]);
    struct cached value = model_value(number, text);
    value.size = number; /* also where it is absent */
    cache_put(s->cache, &ticket, key, &value);
}

static void *read_all(void *arg)
{
    struct shared *s = arg;
    for (unsigned k = 0; !atomic_load(&s->over); k++)
        read_shared(s, k % HOT_KEYS);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct shared *s = xcalloc(1, sizeof(*s));
    pthread_t thread[READING_THREADS];
    unsigned seed = 2;
    s->cache = cache_new();
    for (int i = 0; i < READING_THREADS; i++)
        assure(pthread_create(&thread[i], NULL, read_all, s) == 0);
    for (unsigned n = 1; n <= WRITES || atomic_load(&s->hits) == 0; n++) {
        unsigned k = (unsigned)rand_r(&seed) % (HOT_KEYS * 2);
        char keybuf[TEXT_MAX];
        if (k >= HOT_KEYS) { /* also goes on without */
            if (n % 1000 == 0)
                cache_empty(s->cache);
            continue;
        }
        struct str key = model_key(k, keybuf);
        atomic_store(&s->begun[k], n);
        cache_hold(s->cache, key);
        atomic_store(&s->stored[k], n);
        cache_release(s->cache, key);
        atomic_store(&s->acknowledged[k], n);
    }
    atomic_store(&s->over, true);
    for (int i = 0; i < READING_THREADS; i++)
        pthread_join(thread[i], NULL);
    cache_free(&s->cache);
    free(s);
}

/* --- in the index ------------------------------------------------------------------- */

static void expect_got(struct rig *rig, const char *key, enum record_state want,
                       uint64_t size)
{
    for (int again = 0; again < 3; again++) { /* read, then from the cache */
        struct entry e;
        assert_int_equal(rig_get(rig, str_of(key), &e), 0);
        assert_int_equal(e.record.state, want);
        assert_int_equal(e.has_size ? e.size : 0, size);
        assert_int_equal(e.n_marks + e.n_removals, 0);
        entry_clear(&e);
    }
}

static struct change *put_of_size(const char *key, uint64_t size)
{
    struct change *c = change_new(str_of(key));
    struct record r = record_of(RECORD_LIVE, MD5_A, "a:1,b:1,c:1");
    change_record(c, &r, true, size, 50);
    return c;
}

static void test_gets_follow_commits(void **state)
{
    struct rig *rig = *state;
    expect_got(rig, "/k", RECORD_ABSENT, 0);
    assert_int_equal(rig_commit(rig, put_of_size("/k", 5), true), 0);
    expect_got(rig, "/k", RECORD_LIVE, 5);
    assert_int_equal(rig_commit(rig, put_of_size("/k", 6), false), 0);
    expect_got(rig, "/k", RECORD_LIVE, 6);

    /* Marks and removals are no part of what is kept, and are seen at once. */
    struct change *c = change_new(STR("/k"));
    change_mark(c, STR("m:1"));
    change_removal(c, STR("r:1"), 0, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect_got(rig, "/k", RECORD_LIVE, 6);
    expect(rig, "/k", "live 0123 a:1,b:1,c:1 | 6 50 | mark m:1 | removal r:1 0");

    /* Several changes of the key in one batch. */
    for (uint64_t n = 0; n < 40; n++) {
        struct change *one = put_of_size("/k", n);
        index_commit(rig->index, rig->loop, &one, false, NULL, NULL);
    }
    c = change_new(STR("/k"));
    change_drop_record(c);
    assert_int_equal(rig_commit(rig, c, true), 0);
    expect_got(rig, "/k", RECORD_ABSENT, 0);
    expect_got(rig, "/other", RECORD_ABSENT, 0);
}

struct chase {
    struct rig *rig;
    _Atomic uint64_t begun, acknowledged;
    _Atomic bool over;
};

static void *chase(void *arg)
{
    struct chase *c = arg;
    uint64_t last = 0;
    while (!atomic_load(&c->over)) {
        struct entry e;
        uint64_t least = atomic_load(&c->acknowledged);
        assure(rig_get(c->rig, STR("/hot"), &e) == 0);
        uint64_t size = e.has_size ? e.size : 0;
        assure(size >= least && size >= last && size <= atomic_load(&c->begun));
        last = size;
        entry_clear(&e);
    }
    return NULL;
}

static void test_gets_beside_commits(void **state)
{
    struct chase c = {.rig = *state};
    pthread_t thread[READING_THREADS];
    c.rig->sync = false;
    rig_reopen(c.rig);
    for (int i = 0; i < READING_THREADS; i++)
        assure(pthread_create(&thread[i], NULL, chase, &c) == 0);
    for (uint64_t n = 1; n <= 3000; n++) {
        atomic_store(&c.begun, n);
        assert_int_equal(rig_commit(c.rig, put_of_size("/hot", n), false), 0);
        atomic_store(&c.acknowledged, n);
    }
    atomic_store(&c.over, true);
    for (int i = 0; i < READING_THREADS; i++)
        pthread_join(thread[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_model),        cmocka_unit_test(test_threads),
        IN_RIG(test_gets_follow_commits),    IN_RIG(test_gets_beside_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
