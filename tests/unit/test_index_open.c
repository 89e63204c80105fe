/*
 * Opening the index: the Go program's database, one that it changed in between, what
 * another process holds, and damage.
 */
#include "tests/unit/index_rig.h"

#include "master/index/apply.h"

/* --- the Go program's database ----------------------------------------------------- */

static size_t unhex(const char *hex, char *out)
{
    size_t n = 0;
    unsigned byte;
    for (; hex[0] != '\0' && sscanf(hex, "%2x", &byte) == 1; hex += 2)
        out[n++] = (char)byte;
    return n;
}

static int check_vectors(struct rig *rig)
{
    FILE *f = fopen("tests/vectors/index.tsv", "r");
    assert_non_null(f);
    struct scan *scan = index_scan(rig->index, STR(""), STR(""));
    char line[8192], key[PLACEMENT_KEY_MAX], want[RECORD_TEXT_MAX], got[RECORD_TEXT_MAX];
    int lines = 0;
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            continue;
        char *rest = line;
        const char *hex = strsep(&rest, "\t"), *live = strsep(&rest, "\t");
        const char *md5 = strsep(&rest, "\t"), *places = strsep(&rest, "\n");
        struct str k = {key, unhex(hex, key)};
        int n = snprintf(want, sizeof(want), "%s%s%s%s",
                         strcmp(live, "unlinked") == 0 ? "DELETED" : "",
                         md5[0] == '-' ? "" : "HASH", md5[0] == '-' ? "" : md5, places);

        struct entry e;
        assert_int_equal(rig_get(rig, k, &e), 0);
        assert_int_equal(record_format(&e.record, got, sizeof(got)), n);
        assert_memory_equal(got, want, (size_t)n);
        assert_false(e.has_size);
        entry_clear(&e);

        struct str scanned;
        struct record record;
        assert_int_equal(scan_next(scan, &scanned, &record), 1);
        assert_true(str_eq(scanned, k));
        assert_int_equal(record_format(&record, got, sizeof(got)), n);
        assert_memory_equal(got, want, (size_t)n);
        lines++;
    }
    struct str key_after;
    struct record record;
    assert_int_equal(scan_next(scan, &key_after, &record), 0);
    scan_free(&scan);
    fclose(f);
    return lines;
}

static void test_vectors(void **state)
{
    (void)state;
    struct rig rig;
    rig_folder(&rig, NULL);
    char command[PATH_MAX + 64];
    snprintf(command, sizeof(command), "cp -r tests/vectors/index '%s'", rig.path);
    assert_int_equal(system(command), 0);
    rig_start_loop(&rig);
    rig_open(&rig);
    assert_int_equal(check_vectors(&rig), 2972);
    /* What stands beside the records is in no list, also after LevelDB rewrote it all. */
    struct change *c = change_new(STR("/other"));
    change_mark(c, STR("a:1"));
    assert_int_equal(rig_commit(&rig, c, true), 0);
    rig_reopen(&rig);
    assert_int_equal(check_vectors(&rig), 2972);
    rig_end(&rig);
}

/* --- the Go program was here in between -------------------------------------------- */

static void test_record_holds(void **state)
{
    struct rig *rig = *state;
    struct change *c = put("/k", MD5_A, "a:1");
    change_mark(c, STR("b:1"));
    change_mark(c, STR("b:2"));
    change_removal(c, STR("c:1"), 0, 0);
    change_removal(c, STR("c:2"), 5, 0);
    assert_int_equal(rig_commit(rig, c, true), 0);
    index_close(&rig->index);

    char err[512];
    struct db *db = db_open(rig->path, err, sizeof(err));
    assert_non_null(db);
    struct db_batch *batch = db_batch_new();
    db_batch_put(batch, STR("/k"), STR("HASH" MD5_B "b:1,c:1"));
    db_batch_put(batch, STR("/garbage"), STR("HASH"));
    db_batch_put(batch, STR("/z"), STR("DELETEDb:1"));
    assert_int_equal(db_write(db, batch, true), 0);
    db_batch_free(&batch);
    assert_int_equal(db_close(&db), 0);

    rig_open(rig);
    expect(rig, "/k", "live fedc b:1,c:1 | removal c:2 5 | removal b:2 0 late");
    assert_int_equal(index_removals(rig->index), 2);
    expect(rig, "/garbage", "error -5");
    struct scan *scan = index_scan(rig->index, STR(""), STR(""));
    struct str key;
    struct record record;
    assert_int_equal(scan_next(scan, &key, &record), 1);
    assert_true(str_eq(key, STR("/k")));
    assert_int_equal(scan_next(scan, &key, &record), 1);
    assert_true(str_eq(key, STR("/z")));
    assert_int_equal(scan_next(scan, &key, &record), 0);
    scan_free(&scan);
}

/* --- opening ----------------------------------------------------------------------- */

static const char *open_error(const char *path)
{
    static char err[512];
    struct index_options options = {.path = path, .sync = true};
    err[0] = '\0';
    assert_null(index_open(&options, err, sizeof(err)));
    assert_null(strchr(err, '\n'));
    return err;
}

static void expect_error(const char *path, const char *part)
{
    const char *err = open_error(path);
    if (!strstr(err, part))
        fail_msg("'%s' does not say '%s'", err, part);
}

static void sh(const char *format, const char *path)
{
    char command[PATH_MAX + 256];
    snprintf(command, sizeof(command), format, path);
    assert_int_equal(system(command), 0);
}

static void test_open_errors(void **state)
{
    struct rig *rig = *state;
    char path[PATH_MAX + 8];
    expect_error(rig->path, "another process");
    assert_int_equal(rig_commit(rig, put("/k", MD5_A, "a:1"), true), 0);
    rig_reopen(rig); /* puts it into a table */
    index_close(&rig->index);

    snprintf(path, sizeof(path), "%s/no/db", rig->dir);
    expect_error(path, "cannot make the folder");
    snprintf(path, sizeof(path), "%s/file", rig->dir);
    sh("touch '%s'", path);
    expect_error(path, "cannot");

    /* Each damage on a copy. */
    static const char *const damages[] = {
        "rm %s/*.ldb",
        "rm %s/CURRENT",
        ": > %s/CURRENT",
        "echo MANIFEST-999999 > %s/CURRENT",
        "dd if=/dev/zero bs=64 count=1 conv=notrunc status=none of=$(ls %s/MANIFEST-*)",
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        snprintf(path, sizeof(path), "%s-copy", rig->path);
        char copy[4 * PATH_MAX];
        snprintf(copy, sizeof(copy), "rm -rf '%s' && cp -r '%s' '%s'", path, rig->path,
                 path);
        assert_int_equal(system(copy), 0);
        sh(damages[i], path);
        expect_error(path, "mkv rebuild");
    }
    rig_open(rig);
    expect(rig, "/k", "live 0123 a:1 | 1000 50");
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        IN_RIG(test_record_holds),
        IN_RIG(test_open_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
