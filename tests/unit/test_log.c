/*
 * What leaves the process as text: log lines, last words, header lines. In each, the
 * question is whether bytes from outside can break out of their line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/http/fields.h"
#include "common/log.h"

/* --- standard error, caught ----------------------------------------------------- */
static int real_stderr;
static FILE *caught;

static void catch_stderr(void)
{
    caught = tmpfile();
    assert_non_null(caught);
    real_stderr = dup(STDERR_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
}

/* Ends the catching; gives what was written, NUL-terminated. */
static size_t caught_text(char *text, size_t room)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    ssize_t n = pread(fileno(caught), text, room - 1, 0);
    fclose(caught);
    assert_true(n >= 0);
    text[n] = '\0';
    return (size_t)n;
}

static void matches(const char *text, const char *pattern)
{
    regex_t regex;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("%s does not match %s", text, pattern);
    regfree(&regex);
}

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

/* --- log lines ------------------------------------------------------------------ */
static void lines_have_a_time_and_a_level(void **state)
{
    char text[1024];

    (void)state;
    catch_stderr();
    log_error("one %d", 1);
    log_warn("two");
    log_info("%s", "");
    log_debug("not seen");
    caught_text(text, sizeof(text));
    matches(text, "^" STAMP "error one 1\n" STAMP "warn two\n" STAMP "info \n$");
}

static void the_level_decides(void **state)
{
    char text[1024];

    (void)state;
    catch_stderr();
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("seen");
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("not seen");
    log_error("still seen");
    bool info = log_on(LOG_LEVEL_INFO), error = log_on(LOG_LEVEL_ERROR);
    log_set_level(LOG_LEVEL_INFO);
    caught_text(text, sizeof(text));
    matches(text, "^" STAMP "debug seen\n" STAMP "error still seen\n$");
    assert_false(info);
    assert_true(error);
}

static void no_line_is_forged(void **state)
{
    char text[1024];

    (void)state;
    catch_stderr();
    log_info("%s", "a\nb\r\x1b[31m\x7f\tc \xc3\xa9 \xc2\x9b \xff\\x0a");
    caught_text(text, sizeof(text));
    assert_non_null(strstr(
        text, " info a\\x0ab\\x0d\\x1b[31m\\x7f\\x09c \xc3\xa9 \\xc2\\x9b \xff\\x0a\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void a_long_line_is_cut_and_ended(void **state)
{
    static char text[64 * 1024], message[10000];

    (void)state;
    for (size_t n = 4094; n <= 4097; n++) {
        memset(message, '\n', n);
        message[n] = '\0';
        catch_stderr();
        log_info("%s", message);
        size_t len = caught_text(text, sizeof(text));
        assert_int_equal(strchr(text, '\n') - text, len - 1);
        char *start = strstr(text, "info ") + 5;
        size_t kept = n < 4096 ? n : 4095;
        assert_int_equal(text + len - 1 - start, 4 * kept + (n > kept ? 3 : 0));
    }
}

static void errno_is_the_callers(void **state)
{
    char text[1024];

    (void)state;
    catch_stderr();
    errno = ENOSPC;
    log_info("write: %m");
    int after = errno;
    caught_text(text, sizeof(text));
    assert_int_equal(after, ENOSPC);
    assert_non_null(strstr(text, "write: No space left on device\n"));

    /* A standard error that cannot be written to loses the line and nothing else. */
    int saved = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = ENOENT;
    log_info("lost");
    after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(after, ENOENT);
}

enum { THREADS = 8, LINES = 500 };

static void *write_lines(void *arg)
{
    int who = *(int *)arg;

    for (int i = 0; i < LINES; i++)
        log_info("%d%.*s", who, 100,
                 "--------------------------------------------------"
                 "--------------------------------------------------");
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    static char text[THREADS * LINES * 160];
    pthread_t thread[THREADS];
    int who[THREADS], lines = 0;

    (void)state;
    catch_stderr();
    /* As it is with a log file: without O_APPEND one write may lie on another. */
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_APPEND), 0);
    for (int t = 0; t < THREADS; t++) {
        who[t] = t;
        assert_int_equal(pthread_create(&thread[t], NULL, write_lines, &who[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    caught_text(text, sizeof(text));
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line; lines++) {
        char *message = strstr(line, " info ");
        assert_non_null(message);
        assert_int_equal(strlen(message), 6 + 1 + 100);
        assert_int_equal(strspn(message + 7, "-"), 100);
    }
    assert_int_equal(lines, THREADS * LINES);
}

/* --- last words ----------------------------------------------------------------- */
static void break_an_invariant(void)
{
    int one = 1;
    assure(one == 2);
}

static void run_out_of_memory(void)
{
    void *volatile p = xmalloc(~0UL / 4);
    free(p);
}

/* Runs it in a child, which must abort. */
static void dies(void (*what)(void), const char *words)
{
    char text[8192];
    int status;

    catch_stderr();
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    caught_text(text, sizeof(text));
    matches(text, words);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void last_words(void **state)
{
    (void)state;
    dies(break_an_invariant, "test_log\\.c:[0-9]+: assured, but not so: one == 2\n");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
    dies(run_out_of_memory, "^out of memory \\([0-9]+ bytes\\)\n$");
#else
    (void)run_out_of_memory; /* the sanitizers' malloc has last words of its own */
#endif
}

static void copies(void **state)
{
    (void)state;
    char *s = xstrdup("text"), *m = xmemdupz("a\0b", 3), *e = xmemdupz(NULL, 0);
    assert_string_equal(s, "text");
    assert_memory_equal(m, "a\0b", 4);
    assert_string_equal(e, "");
    s = xrealloc(s, 100);
    assert_string_equal(s, "text");
    char *zero = xcalloc(4, 4);
    assert_memory_equal(zero, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    void *nothing = xmalloc(0);
    assert_non_null(nothing);
    free(nothing);
    free(zero);
    free(e);
    free(m);
    free(s);
}

/* --- header lines --------------------------------------------------------------- */
static void header_lines(void **state)
{
    struct http_fields f;

    (void)state;
    http_fields_init(&f);
    assert_int_equal(f.len, 0);
    http_fields_add(&f, "Content-Length", "%d", 12);
    http_fields_add(&f, "Key-Volumes", "%.*s", 2, "a,b");
    http_fields_add(&f, "Empty", "%s", "");
    http_fields_add(&f, "Forged", "a\r\nSet-Cookie: b%c", 0);
    static const char want[] = "Content-Length: 12\r\nKey-Volumes: a,\r\nEmpty: \r\n"
                               "Forged: a  Set-Cookie: b \r\n";
    assert_int_equal(f.len, sizeof(want) - 1);
    assert_memory_equal(f.text, want, f.len);
}

static void header_lines_that_do_not_fit(void **state)
{
    struct http_fields *f = xmalloc(sizeof(*f));
    char text[2048];

    (void)state;
    catch_stderr();
    for (int value = HTTP_FIELDS_MAX - 12; value <= HTTP_FIELDS_MAX + 1; value++) {
        http_fields_init(f);
        http_fields_add(f, "A", "%d", 1);
        assert_int_equal(f->len, 6);
        http_fields_add(f, "B", "%*d", value, 2);
        /* "A: 1\r\nB: " and the last "\r\n" are eleven bytes. */
        assert_int_equal(f->len, value <= HTTP_FIELDS_MAX - 11 ? value + 11 : 6);
    }
    f->len = HTTP_FIELDS_MAX - 3;
    http_fields_add(f, "C", "%s", "");
    assert_int_equal(f->len, HTTP_FIELDS_MAX - 3);
    f->len = HTTP_FIELDS_MAX;
    http_fields_add(f, "D", "%s", "");
    assert_int_equal(f->len, HTTP_FIELDS_MAX);
    caught_text(text, sizeof(text));
    assert_non_null(strstr(text, "B header does not fit"));
    assert_non_null(strstr(text, "D header does not fit"));
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_a_time_and_a_level),
        cmocka_unit_test(the_level_decides),
        cmocka_unit_test(no_line_is_forged),
        cmocka_unit_test(a_long_line_is_cut_and_ended),
        cmocka_unit_test(errno_is_the_callers),
        cmocka_unit_test(threads_do_not_mix),
        cmocka_unit_test(last_words),
        cmocka_unit_test(copies),
        cmocka_unit_test(header_lines),
        cmocka_unit_test(header_lines_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
