/*
 * Flags in Go's manner, so that the command lines people have for minikeyvalue go on
 * working. One thing is looser than in Go: flags are also taken after positional words,
 * as "mkv server -port 3000" is written as often as "mkv -port 3000 server".
 *
 * The words are walked twice, first without storing anything: so a command line with a
 * mistake changes nothing, and a help text shows the defaults whatever stood before
 * "-help".
 */
#include "common/flags.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/hex.h"

/* One pass over the command line. */
struct walk {
    const struct flag *flags;
    bool store; /* the second pass */
    char *err;
    size_t errlen;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct walk *w,
                                                      const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(w->err, w->errlen, fmt, ap);
    va_end(ap);
    /* One line, whatever was typed. */
    for (char *c = w->err; w->errlen > 0 && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return -1;
}

static const struct flag *find(const struct flag *flags, const char *name, size_t n)
{
    for (; flags->name; flags++)
        if (strlen(flags->name) == n && memcmp(flags->name, name, n) == 0)
            return flags;
    return NULL;
}

static bool parse_bool(const char *s, bool *out)
{
    static const char *const yes[] = {"1", "t", "true"}, *const no[] = {"0", "f",
                                                                        "false"};

    for (int i = 0; i < 3; i++) {
        *out = strcasecmp(s, yes[i]) == 0;
        if (*out || strcasecmp(s, no[i]) == 0)
            return true;
    }
    return false;
}

/* An optional sign; true when it was '-'. */
static bool take_sign(const char **s)
{
    bool negative = **s == '-';

    if (negative || **s == '+')
        (*s)++;
    return negative;
}

/* 0x, 0o and 0b, or a mere leading 0 for octal; leaves *s on the first digit. */
static int take_base(const char **s)
{
    if ((*s)[0] != '0' || (*s)[1] == '\0')
        return 10;
    switch ((*s)[1] | 0x20) {
    case 'x':
        *s += 2;
        return 16;
    case 'o':
        *s += 2;
        return 8;
    case 'b':
        *s += 2;
        return 2;
    default:
        *s += 1;
        return 8;
    }
}

/* An integer as Go's strconv.ParseInt(s, 0, 64) takes it, '_' between digits excepted.
 * What does not fit is cut to the ends of int64_t, which are outside every flag's
 * range. */
static bool parse_int(const char *s, int64_t *out)
{
    bool negative = take_sign(&s);
    int base = take_base(&s);
    int64_t v = 0;

    if (*s == '\0')
        return false;
    for (; *s; s++) {
        int digit = hex_value(*s);
        if (digit < 0 || digit >= base)
            return false;
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
            v = INT64_MAX;
    }
    *out = negative ? -v : v;
    return true;
}

/* Nanoseconds of a unit at *s, which is then behind it; 0 when there is none. */
static int64_t take_unit(const char **s)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"µs", 1000}, /* micro sign, U+00B5 */
        {"μs", 1000}, /* Greek mu, U+03BC */
        {"ms", 1000000},
        {"s", 1000000000},
        {"m", 60 * INT64_C(1000000000)},
        {"h", 3600 * INT64_C(1000000000)},
    };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].name);
        if (strncmp(*s, units[i].name, n) == 0) {
            *s += n;
            return units[i].ns;
        }
    }
    return 0;
}

/*
 * Go's time.ParseDuration: a sign, then numbers with an optional fraction and a unit
 * each; "0" alone needs none. Gives milliseconds, rounded up, so that no time limit
 * becomes 0 by it; a fraction counts to nine digits.
 */
static bool parse_duration(const char *s, int64_t *out)
{
    bool negative = take_sign(&s);
    int64_t total = 0;
    bool overflow = false;

    if (strcmp(s, "0") == 0) {
        *out = 0;
        return true;
    }
    if (*s == '\0')
        return false;
    while (*s) {
        int64_t whole = 0, part = 0, scale = 1, unit;
        const char *start = s;
        int digits = 0;

        for (; *s >= '0' && *s <= '9'; s++, digits++)
            overflow |= __builtin_mul_overflow(whole, 10, &whole) ||
                        __builtin_add_overflow(whole, *s - '0', &whole);
        if (*s == '.') {
            for (s++; *s >= '0' && *s <= '9'; s++, digits++) {
                if (scale < 1000000000) {
                    part = part * 10 + (*s - '0');
                    scale *= 10;
                }
            }
        }
        if (digits == 0 || s == start || (unit = take_unit(&s)) == 0)
            return false;
        int64_t fraction = (int64_t)((__int128)part * unit / scale);
        overflow |= __builtin_mul_overflow(whole, unit, &whole) ||
                    __builtin_add_overflow(total, whole, &total) ||
                    __builtin_add_overflow(total, fraction, &total);
    }
    if (overflow)
        total = INT64_MAX;
    total = total / 1000000 + (total % 1000000 != 0);
    *out = negative ? -total : total;
    return true;
}

/* "1h", "2m", "1s" or "1500ms": the largest unit that tells it whole. */
static void format_duration(int ms, char *out, size_t room)
{
    if (ms == 0)
        snprintf(out, room, "0");
    else if (ms % 3600000 == 0)
        snprintf(out, room, "%dh", ms / 3600000);
    else if (ms % 60000 == 0)
        snprintf(out, room, "%dm", ms / 60000);
    else if (ms % 1000 == 0)
        snprintf(out, room, "%ds", ms / 1000);
    else
        snprintf(out, room, "%dms", ms);
}

static int set_int(const struct walk *w, const struct flag *f, const char *text,
                   int64_t v)
{
    if (v < f->min || v > f->max) {
        char low[32], high[32];
        if (f->kind == FLAG_DURATION) {
            format_duration(f->min, low, sizeof(low));
            format_duration(f->max, high, sizeof(high));
        } else {
            snprintf(low, sizeof(low), "%d", f->min);
            snprintf(high, sizeof(high), "%d", f->max);
        }
        return fail(w, "invalid value \"%s\" for flag -%s: not within %s to %s", text,
                    f->name, low, high);
    }
    if (w->store)
        *(int *)f->value = (int)v;
    return 0;
}

static int set(const struct walk *w, const struct flag *f, const char *text)
{
    bool truth;
    int64_t v;

    switch (f->kind) {
    case FLAG_BOOL:
        if (!parse_bool(text, &truth))
            return fail(w, "invalid value \"%s\" for flag -%s: not true or false", text,
                        f->name);
        if (w->store)
            *(bool *)f->value = truth;
        return 0;
    case FLAG_INT:
        if (!parse_int(text, &v))
            return fail(w, "invalid value \"%s\" for flag -%s: not a number", text,
                        f->name);
        return set_int(w, f, text, v);
    case FLAG_DURATION:
        if (!parse_duration(text, &v))
            return fail(
                w, "invalid value \"%s\" for flag -%s: not a time such as 300ms or 1.5s",
                text, f->name);
        return set_int(w, f, text, v);
    case FLAG_STRING:
        break;
    }
    if (w->store)
        *(const char **)f->value = text;
    return 0;
}

/*
 * One flag: argv[*i] begins with '-' and is longer than that. Moves *i on when the value
 * is a word of its own. 0, 1 for help, or -1.
 */
static int take_flag(const struct walk *w, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    const char *name = word + (word[1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct flag *f;

    if (n == 0 || *name == '-')
        return fail(w, "bad flag syntax: %s", word);
    f = find(w->flags, name, n);
    if (!f) {
        if ((n == 1 && *name == 'h') || (n == 4 && memcmp(name, "help", 4) == 0))
            return 1;
        return fail(w, "flag provided but not defined: -%.*s", (int)n, name);
    }
    if (equals)
        return set(w, f, equals + 1);
    if (f->kind == FLAG_BOOL)
        return set(w, f, "true");
    if (*i + 1 >= argc)
        return fail(w, "flag needs a value: -%s", f->name);
    return set(w, f, argv[++*i]);
}

static int walk(const struct walk *w, int argc, char **argv, const char **words,
                int max_words, int *n_words)
{
    bool flags_over = false;

    *n_words = 0;
    for (int i = 1; i < argc; i++) {
        if (!flags_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (strcmp(argv[i], "--") == 0) {
                flags_over = true;
                continue;
            }
            int rc = take_flag(w, argc, argv, &i);
            if (rc != 0)
                return rc;
        } else if (*n_words == max_words) {
            return fail(w, "one word too many: %s", argv[i]);
        } else {
            words[(*n_words)++] = argv[i];
        }
    }
    return 0;
}

int flags_parse(const struct flag *flags, int argc, char **argv, const char **words,
                int max_words, int *n_words, char *err, size_t errlen)
{
    struct walk w = {.flags = flags, .store = false, .err = err, .errlen = errlen};

    int rc = walk(&w, argc, argv, words, max_words, n_words);
    if (rc != 0)
        return rc;
    w.store = true;
    return walk(&w, argc, argv, words, max_words, n_words);
}

static void print_default(const struct flag *f, FILE *out)
{
    char text[32];

    switch (f->kind) {
    case FLAG_BOOL:
        fprintf(out, " (default %s)", *(const bool *)f->value ? "true" : "false");
        break;
    case FLAG_INT:
        fprintf(out, " (default %d)", *(const int *)f->value);
        break;
    case FLAG_DURATION:
        format_duration(*(const int *)f->value, text, sizeof(text));
        fprintf(out, " (default %s)", text);
        break;
    case FLAG_STRING: {
        const char *s = *(const char *const *)f->value;
        if (s && *s)
            fprintf(out, " (default %s)", s);
        break;
    }
    }
}

void flags_help(const struct flag *flags, FILE *out)
{
    for (const struct flag *f = flags; f->name; f++) {
        fprintf(out, "  -%s%s%s\n        %s", f->name, f->arg ? " " : "",
                f->arg ? f->arg : "", f->help);
        print_default(f, out);
        fputc('\n', out);
    }
}
