/*
 * Nothing outside a folder can be opened through it: each case with openat2 and with the
 * walk that stands in for it, which must give the same results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "volumed/beneath.h"

static char base[64];
static int top; /* base/in; base/secret lies beside it */

static void put_file(const char *path, const char *text)
{
    int fd = openat(top, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int setup(void **state)
{
    char in[80];
    (void)state;
    strcpy(base, "/tmp/test_beneath.XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(in, sizeof(in), "%s/in", base);
    assert_int_equal(mkdir(in, 0755), 0);
    top = open(in, O_RDONLY | O_DIRECTORY);
    assert_true(top >= 0);
    assert_int_equal(mkdirat(top, "a", 0755), 0);
    assert_int_equal(mkdirat(top, "a/b", 0755), 0);
    put_file("f", "f");
    put_file("a/b/g", "g");
    put_file("../secret", "s");
    assert_int_equal(symlinkat("f", top, "to_f"), 0);
    assert_int_equal(symlinkat("a/b", top, "to_b"), 0);
    assert_int_equal(symlinkat("../f", top, "a/back_to_f"), 0);
    assert_int_equal(symlinkat("../../to_b/g", top, "a/b/round_to_g"), 0);
    assert_int_equal(symlinkat("../secret", top, "out"), 0);
    assert_int_equal(symlinkat("../../../in/f", top, "a/b/out_and_in"), 0);
    assert_int_equal(symlinkat("/dev/null", top, "absolute"), 0);
    assert_int_equal(symlinkat("/proc/self/root/dev", top, "magic"), 0);
    assert_int_equal(symlinkat("loop", top, "loop"), 0);
    assert_int_equal(symlinkat("nowhere", top, "dangling"), 0);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    close(top);
    snprintf(command, sizeof(command), "rm -r %s", base);
    return system(command);
}

static int first_byte_of(int fd)
{
    char c;
    if (fd < 0)
        return fd;
    int n = (int)read(fd, &c, 1);
    close(fd);
    return n == 1 ? c : 0;
}

/* The file's first byte, or its errno. What is answered from memory must be the same. */
static int first_byte(const char *path, int flags)
{
    int got = first_byte_of(beneath_open(top, path, flags));
    int cached = first_byte_of(beneath_open_cached(top, path, flags));
    if (cached != got && cached != -EAGAIN)
        fail_msg("%s: %d, and %d from memory", path, got, cached);
    return got;
}

static void cases(void)
{
    static const struct {
        const char *path;
        int flags, want;
    } table[] = {
        {"f", 0, 'f'},
        {"./f", 0, 'f'},
        {"a/b/g", 0, 'g'},
        {"a/../f", 0, 'f'},
        {"a/b/../../f", 0, 'f'},
        {"to_f", 0, 'f'},
        {"to_b/g", 0, 'g'},
        {"a/back_to_f", 0, 'f'},
        {"to_b/round_to_g", 0, 'g'},
        {"a/b/round_to_g", 0, 'g'},
        {"to_b/../../f", 0, 'f'},
        {"nowhere", 0, -ENOENT},
        {"a/nowhere/g", 0, -ENOENT},
        {"dangling", 0, -ENOENT},
        {"f/x", 0, -ENOTDIR},
        {"f/", 0, -ENOTDIR},
        {"f", O_DIRECTORY, -ENOTDIR},
        {"out", 0, -EXDEV},
        {"a/b/out_and_in", 0, -EXDEV},
        {"..", O_DIRECTORY, -EXDEV},
        {"../secret", 0, -EXDEV},
        {"a/../../secret", 0, -EXDEV},
        {"absolute", 0, -EXDEV},
        {"/dev/null", 0, -EXDEV},
        {"magic/passwd", 0, -EXDEV},
        {"loop", 0, -ELOOP},
        {"loop/x", 0, -ELOOP},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        int got = first_byte(table[i].path, O_RDONLY | table[i].flags);
        if (got != table[i].want)
            fail_msg("%s: %d, not %d", table[i].path, got, table[i].want);
    }
    char longest[300];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(first_byte(longest, O_RDONLY), -ENAMETOOLONG);
    assert_int_equal(first_byte("", O_RDONLY | O_DIRECTORY), 0);
    assert_int_equal(first_byte("a/", O_RDONLY | O_DIRECTORY), 0);
}

static void made(void *arg, int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    ++*(int *)arg;
}

static void parents(void)
{
    const char *name;
    int n = 0;
    struct stat st;

    int fd = beneath_parent(top, "f2", true, &name, made, &n);
    assert_true(fd >= 0);
    assert_string_equal(name, "f2");
    assert_int_equal(n, 0);
    close(fd);

    assert_int_equal(beneath_parent(top, "m/n/o/f", false, &name, NULL, NULL), -ENOENT);
    umask(0);
    fd = beneath_parent(top, "m/n/o/f", true, &name, made, &n);
    assert_true(fd >= 0);
    assert_string_equal(name, "f");
    assert_int_equal(n, 3);
    close(fd);
    assert_int_equal(fstatat(top, "m/n/o", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0775);

    fd = beneath_parent(top, "m/n/p/f", true, &name, made, &n);
    assert_true(fd >= 0);
    assert_int_equal(n, 4);
    close(fd);
    fd = beneath_parent(top, "to_b/new/f", true, &name, made, &n);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fstatat(top, "a/b/new", &st, AT_SYMLINK_NOFOLLOW), 0);

    assert_int_equal(beneath_parent(top, "f/x", true, &name, NULL, NULL), -ENOTDIR);
    assert_int_equal(beneath_parent(top, "f/x/y", true, &name, NULL, NULL), -ENOTDIR);
    assert_int_equal(beneath_parent(top, "out/x/y", true, &name, NULL, NULL), -EXDEV);
    assert_int_equal(beneath_parent(top, "magic/x", true, &name, NULL, NULL), -EXDEV);

    fd = beneath_deepest(top, "a/b/c/d/e");
    assert_true(fd >= 0);
    assert_int_equal(faccessat(fd, "g", F_OK, 0), 0);
    close(fd);
    fd = beneath_deepest(top, "nothing/at/all");
    assert_true(fd >= 0);
    assert_int_equal(faccessat(fd, "to_b", F_OK, 0), 0);
    close(fd);
}

static void by_openat2(void **state)
{
    (void)state;
    beneath_without_openat2(false);
    bool known = beneath_open_cached(top, "/", O_PATH) == -EXDEV; /* to the kernel */
    if (known) /* the folders were made just now, so it has them in memory */
        assert_int_equal(first_byte_of(beneath_open_cached(top, "a/b/g", O_RDONLY)), 'g');
    cases();
    parents();
}

static void by_walk(void **state)
{
    (void)state;
    beneath_without_openat2(true);
    assert_int_equal(beneath_open_cached(top, "f", O_RDONLY), -EAGAIN);
    cases();
    parents();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_openat2, setup, teardown),
        cmocka_unit_test_setup_teardown(by_walk, setup, teardown),
    };
    return cmocka_run_group_tests_name("beneath", tests, NULL, NULL);
}
