/* Flags: Go's forms, the mistakes people make, and that a mistake changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/flags.h"

enum { WORDS_MAX = 3, ARGS_MAX = 12 };

static bool verbose, md5sum;
static int port, timeout, any, wait;
static const char *db, *none;

static const struct flag flags[] = {
    {"v", FLAG_BOOL, &verbose, 0, 0, NULL, "Log each request."},
    {"md5sum", FLAG_BOOL, &md5sum, 0, 0, NULL, "Compute sums."},
    {"port", FLAG_INT, &port, 0, 65535, "port", "Where to listen."},
    {"any", FLAG_INT, &any, INT_MIN, INT_MAX, "n", "Any number."},
    {"voltimeout", FLAG_DURATION, &timeout, 1, 3600000, "time", "How long to wait."},
    {"wait", FLAG_DURATION, &wait, INT_MIN, INT_MAX, "time", "Any time."},
    {"db", FLAG_STRING, &db, 0, 0, "dir", "Where the index lies."},
    {"fallback", FLAG_STRING, &none, 0, 0, "host", "Whom to ask else."},
    {NULL, FLAG_BOOL, NULL, 0, 0, NULL, NULL},
};

static const char *words[WORDS_MAX];
static int n_words;
static char err[200];

static int defaults(void **state)
{
    (void)state;
    verbose = false;
    md5sum = true;
    port = 3000;
    any = 0;
    timeout = 1000;
    wait = 0;
    db = "/tmp/index";
    none = "";
    err[0] = '\0';
    return 0;
}

/* A command line in one text, its words between single spaces. */
static int parse(const char *line)
{
    static char text[256];
    char *argv[ARGS_MAX] = {"mkv"}, *rest = text;
    int argc = 1;

    snprintf(text, sizeof(text), "%s", line);
    while (*line && rest) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = strsep(&rest, " ");
    }
    err[0] = '\0';
    return flags_parse(flags, argc, argv, words, WORDS_MAX, &n_words, err, sizeof(err));
}

static void takes(const char *line)
{
    int rc = parse(line);

    if (rc != 0)
        fail_msg("\"%s\": %d %s", line, rc, err);
}

/* Refused in one line that holds `about`. */
static void refuses(const char *line, const char *about)
{
    int rc = parse(line);

    if (rc != -1 || !strstr(err, about) || strchr(err, '\n'))
        fail_msg("\"%s\": %d %s", line, rc, err);
}

static void forms(void **state)
{
    (void)state;
    takes("");
    assert_int_equal(n_words, 0);
    takes("-port 3001 server");
    assert_int_equal(port, 3001);
    assert_int_equal(n_words, 1);
    assert_string_equal(words[0], "server");
    takes("server --port 3002 -db=/x -v");
    assert_int_equal(port, 3002);
    assert_string_equal(db, "/x");
    assert_true(verbose);
    assert_string_equal(words[0], "server");
    takes("--port=3003 --db /y=z");
    assert_int_equal(port, 3003);
    assert_string_equal(db, "/y=z");
    takes("-db=");
    assert_string_equal(db, "");
    takes("-db a=b=c -db=a=b=c");
    assert_string_equal(db, "a=b=c");
    takes("-port 1 -port 2"); /* the last one holds */
    assert_int_equal(port, 2);
    takes("-db -v -port 3"); /* a value may look like a flag */
    assert_string_equal(db, "-v");
}

static void words_and_their_end(void **state)
{
    (void)state;
    takes("a -v - b");
    assert_int_equal(n_words, 3);
    assert_string_equal(words[0], "a");
    assert_string_equal(words[1], "-");
    assert_string_equal(words[2], "b");
    takes("a -- -v --");
    assert_int_equal(n_words, 3);
    assert_string_equal(words[1], "-v");
    assert_string_equal(words[2], "--");
    refuses("a b c d", "d");
}

static void booleans(void **state)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True", "tRuE"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    static const char *const neither[] = {"", "yes", "2", "tru", "truee", "00"};
    char line[64];

    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        verbose = false;
        snprintf(line, sizeof(line), "-v=%s", yes[i]);
        takes(line);
        assert_true(verbose);
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        verbose = true;
        snprintf(line, sizeof(line), "--v=%s", no[i]);
        takes(line);
        assert_false(verbose);
    }
    for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
        snprintf(line, sizeof(line), "-v=%s", neither[i]);
        refuses(line, "-v");
    }
    /* A boolean takes no word of its own. */
    takes("-md5sum false");
    assert_true(md5sum);
    assert_int_equal(n_words, 1);
}

static void numbers(void **state)
{
    static const struct {
        const char *text;
        int value;
    } good[] = {
        {"0", 0},
        {"7", 7},
        {"+7", 7},
        {"-7", -7},
        {"0x1F", 31},
        {"-0x1f", -31},
        {"010", 8},
        {"0o17", 15},
        {"0b101", 5},
        {"00", 0},
        {"2147483647", INT_MAX},
        {"-2147483648", INT_MIN},
    };
    static const char *const bad[] = {"",    "+",   "-",   "x",    "1x",
                                      "0x",  "0xg", "08",  "0b2",  "1.5",
                                      "1e3", "--1", "+-1", "0x-1", "1 "};
    static const char *const out[] = {"2147483648",
                                      "-2147483649",
                                      "9223372036854775807",
                                      "9223372036854775808",
                                      "-99999999999999999999999999",
                                      "0xffffffffffffffffffff"};
    char line[64];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(line, sizeof(line), "-any=%s", good[i].text);
        takes(line);
        assert_int_equal(any, good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char word[32], *argv[] = {"mkv", word};
        snprintf(word, sizeof(word), "-any=%s", bad[i]);
        assert_int_equal(
            flags_parse(flags, 2, argv, words, WORDS_MAX, &n_words, err, sizeof(err)),
            -1);
        assert_non_null(strstr(err, "not a number"));
    }
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        snprintf(line, sizeof(line), "-any=%s", out[i]);
        refuses(line, "not within");
    }
    takes("-port 65535");
    takes("-port 0");
    refuses("-port 65536", "not within 0 to 65535");
    refuses("-port -1", "not within 0 to 65535");
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        int ms;
    } good[] = {
        {"0", 0},
        {"1s", 1000},
        {"300ms", 300},
        {"1.5s", 1500},
        {".5s", 500},
        {"1.s", 1000},
        {"2m", 120000},
        {"1h", 3600000},
        {"1h2m3s", 3723000},
        {"1.5h", 5400000},
        {"0.25m", 15000},
        {"+1s", 1000},
        {"-1s", -1000},
        {"1m1ms", 60001},
        {"1us", 1},
        {"1µs", 1},
        {"1μs", 1},
        {"1ns", 1},
        {"1000000ns", 1},
        {"1000001ns", 2},
        {"-0", 0},
        {"0s", 0},
        {"0.0001s", 1},
        {"1.000000000000s", 1000},
        {"596h", 2145600000},
        {"0.333333333333333s", 334},
    };
    static const char *const bad[] = {"",    "1",    "s",    ".s", "1d", "1 s",
                                      "1s2", "1S",   "--1s", "+",  "-",  "1.2.3s",
                                      "1ss", "0x1s", "1e3s", "."};
    static const char *const out[] = {"597h", "9999999999h", "99999999999999999999s",
                                      "9223372036854775807ns", "-597h"};
    char line[64];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(line, sizeof(line), "-wait=%s", good[i].text);
        takes(line);
        if (wait != good[i].ms)
            fail_msg("%s: %d", good[i].text, wait);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char word[32], *argv[] = {"mkv", word};
        snprintf(word, sizeof(word), "-wait=%s", bad[i]);
        assert_int_equal(
            flags_parse(flags, 2, argv, words, WORDS_MAX, &n_words, err, sizeof(err)),
            -1);
        assert_non_null(strstr(err, "not a time"));
    }
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        snprintf(line, sizeof(line), "-wait=%s", out[i]);
        refuses(line, "not within");
    }
    takes("-voltimeout 2s");
    assert_int_equal(timeout, 2000);
    refuses("-voltimeout 0", "not within 1ms to 1h");
    refuses("-voltimeout 61m", "not within 1ms to 1h");
}

static void mistakes_change_nothing(void **state)
{
    (void)state;
    refuses("-port 1 -v -db x -nope", "not defined: -nope");
    refuses("-port 1 -v -db", "needs a value: -db");
    refuses("-port 1 -voltimeout 3s -por 2", "not defined: -por");
    refuses("-port 1 -ports=2", "not defined: -ports");
    refuses("-v ---port 2", "bad flag syntax: ---port");
    refuses("-v -=2", "bad flag syntax");
    refuses("-v --=2", "bad flag syntax");
    refuses("-v -PORT 2", "not defined");
    refuses("-port a\nb", "a?b");
    assert_false(verbose);
    assert_int_equal(port, 3000);
    assert_int_equal(timeout, 1000);
    assert_string_equal(db, "/tmp/index");

    /* A message is cut to the room there is. */
    char tiny[8], *argv[] = {"mkv", "-undefined"};
    assert_int_equal(
        flags_parse(flags, 2, argv, words, WORDS_MAX, &n_words, tiny, sizeof(tiny)), -1);
    assert_string_equal(tiny, "flag pr");
}

static void help(void **state)
{
    static const char *const asking[] = {"-h", "--h", "-help", "--help",
                                         "server -v --help -nope"};
    char *text;
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof(asking) / sizeof(asking[0]); i++)
        assert_int_equal(parse(asking[i]), 1);
    takes("-- -help");

    /* The defaults, whatever stood before. */
    assert_int_equal(parse("-port 5 -md5sum=false -help"), 1);
    FILE *out = open_memstream(&text, &n);
    flags_help(flags, out);
    fclose(out);
    assert_non_null(strstr(text, "  -v\n        Log each request. (default false)\n"));
    assert_non_null(strstr(text, "  -md5sum\n        Compute sums. (default true)\n"));
    assert_non_null(
        strstr(text, "  -port port\n        Where to listen. (default 3000)\n"));
    assert_non_null(
        strstr(text, "  -voltimeout time\n        How long to wait. (default 1s)\n"));
    assert_non_null(strstr(text, "  -wait time\n        Any time. (default 0)\n"));
    assert_non_null(
        strstr(text, "  -db dir\n        Where the index lies. (default /tmp/index)\n"));
    assert_non_null(strstr(text, "  -fallback host\n        Whom to ask else.\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(forms, defaults),
        cmocka_unit_test_setup(words_and_their_end, defaults),
        cmocka_unit_test_setup(booleans, defaults),
        cmocka_unit_test_setup(numbers, defaults),
        cmocka_unit_test_setup(durations, defaults),
        cmocka_unit_test_setup(mistakes_change_nothing, defaults),
        cmocka_unit_test_setup(help, defaults),
    };
    return cmocka_run_group_tests_name("flags", tests, NULL, NULL);
}
