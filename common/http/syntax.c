/*
 * The small syntax of HTTP: percent-encoding, numbers, dates, reasons. Dates are read as
 * leniently as nginx reads them, since If-Modified-Since and the Date of a PUT (which
 * becomes the file's time) must mean the same to volumed.
 */
#include "common/http/parse.h"

#include <string.h>
#include <time.h>

#include "common/hex.h"

ssize_t http_percent_decode(struct str in, char *out)
{
    const char *p = in.p, *end = in.p + in.n;
    char *o = out;

    while (p < end) {
        if (*p != '%') {
            *o++ = *p++;
            continue;
        }
        if (end - p < 3)
            return -1;
        int hi = hex_value(p[1]), lo = hex_value(p[2]);
        if (hi < 0 || lo < 0)
            return -1;
        *o++ = (char)(hi << 4 | lo);
        p += 3;
    }
    return o - out;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~/", c));
}

size_t http_percent_encode(struct str in, char *out)
{
    char *o = out;

    for (size_t i = 0; i < in.n; i++) {
        if (is_plain(in.p[i])) {
            *o++ = in.p[i];
            continue;
        }
        *o++ = '%';
        *o++ = hex_digit_upper((unsigned char)in.p[i] >> 4);
        *o++ = hex_digit_upper((unsigned char)in.p[i]);
    }
    return (size_t)(o - out);
}

bool http_parse_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(uint8_t)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

/* --- dates -------------------------------------------------------------------------- */

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekdays[] = "SunMonTueWedThuFriSat";

/* Days from 1970-01-01 to the day given, in the Gregorian calendar; month 0–11. */
static int64_t days_from_civil(int64_t year, int month, int day)
{
    /* Years from March on, so that the leap day is the last of its year. */
    month -= 2;
    if (month < 0) {
        month += 12;
        year--;
    }
    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day -
           1 - 719468;
}

struct reader {
    const char *p, *end;
    bool bad;
};

static int digits(struct reader *r, int n)
{
    int v = 0;

    for (; n > 0; n--, r->p++) {
        if (r->p >= r->end || *r->p < '0' || *r->p > '9') {
            r->bad = true;
            return 0;
        }
        v = v * 10 + (*r->p - '0');
    }
    return v;
}

static void expect(struct reader *r, char c)
{
    if (r->p >= r->end || *r->p != c)
        r->bad = true;
    else
        r->p++;
}

/* A month's three letters, told apart by as few of them as nginx looks at. */
static int month_name(struct reader *r)
{
    if (r->end - r->p < 3) {
        r->bad = true;
        return 0;
    }
    const char *m = r->p;
    r->p += 3;
    switch (m[0]) {
    case 'J':
        return m[1] == 'a' ? 0 : m[2] == 'n' ? 5 : 6;
    case 'F':
        return 1;
    case 'M':
        return m[2] == 'r' ? 2 : 4;
    case 'A':
        return m[1] == 'p' ? 3 : 7;
    case 'S':
        return 8;
    case 'O':
        return 9;
    case 'N':
        return 10;
    case 'D':
        return 11;
    default:
        r->bad = true;
        return 0;
    }
}

static bool leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t http_parse_date(struct str s)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct reader r = {s.p, s.p + s.n, false};
    bool asctime = false;
    int day, month, year = 0;

    /* The weekday, which nobody checks, ends with a comma, or with a space in asctime's
     * form */
    while (r.p < r.end && *r.p != ',' && *r.p != ' ')
        r.p++;
    if (r.p < r.end)
        asctime = *r.p++ == ' ';
    while (r.p < r.end && *r.p == ' ')
        r.p++;
    if (r.end - r.p < 18)
        return -1;

    if (asctime) { /* Sun Nov  6 08:49:37 1994 */
        month = month_name(&r);
        r.p++; /* whatever it is; 18 bytes are there */
        if (*r.p == ' ')
            r.p++;
        day = digits(&r, 1);
        if (r.p < r.end && *r.p != ' ')
            day = day * 10 + digits(&r, 1);
    } else { /* Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT */
        day = digits(&r, 2);
        bool rfc850 = r.p < r.end && *r.p == '-';
        char sep = rfc850 ? '-' : ' ';
        if (!rfc850 && r.end - r.p < 18)
            return -1;
        expect(&r, sep);
        month = month_name(&r);
        expect(&r, sep);
        year = digits(&r, rfc850 ? 2 : 4);
        if (rfc850)
            year += year < 70 ? 2000 : 1900;
    }
    expect(&r, ' ');
    int hour = digits(&r, 2);
    expect(&r, ':');
    int minute = digits(&r, 2);
    expect(&r, ':');
    int second = digits(&r, 2);
    if (asctime) {
        expect(&r, ' ');
        year = digits(&r, 4);
    }
    if (r.bad || hour > 23 || minute > 59 || second > 59)
        return -1;
    if (day > month_days[month] && !(month == 1 && day == 29 && leap(year)))
        return -1;
    return days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

static char *put_digits(char *o, int v, int n)
{
    for (int i = n - 1; i >= 0; i--, v /= 10)
        o[i] = (char)('0' + v % 10);
    return o + n;
}

static char *put_text(char *o, const char *text, size_t n)
{
    memcpy(o, text, n);
    return o + n;
}

struct civil {
    int64_t year;
    int month, day; /* 0–11, 1–31 */
};

/* The other way round, from 1970 on. */
static struct civil civil_from_days(int64_t days)
{
    enum { DAYS_400 = 146097, DAYS_100 = 36524, DAYS_4 = 1461 };
    /* In years from March on, counted from the first of a cycle of 400. */
    days += 719468;
    int64_t cycle = days / DAYS_400;
    int day = (int)(days - cycle * DAYS_400);
    int year = (day - day / (DAYS_4 - 1) + day / DAYS_100 - day / (DAYS_400 - 1)) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int month = (5 * day + 2) / 153;
    bool next = month >= 10; /* January or February */
    return (struct civil){.year = cycle * 400 + year + next,
                          .month = next ? month - 10 : month + 2,
                          .day = day - (153 * month + 2) / 5 + 1};
}

/* Not strftime, which is slow and speaks the locale's language; nor gmtime_r, where all
 * threads meet at the lock of the time zone. */
void http_format_date(int64_t t, char out[30])
{
    /* Nothing is older than 1970 (as in nginx), and a year of more than four digits does
     * not fit the form. */
    if (t < 0)
        t = 0;
    else if (t > INT64_C(253402300799))
        t = INT64_C(253402300799);
    int second = (int)(t % 86400);
    int64_t days = t / 86400;
    struct civil date = civil_from_days(days);
    int weekday = (int)((days + 4) % 7); /* the epoch was a Thursday */
    char *o = put_text(out, weekdays + weekday * 3, 3);
    o = put_text(o, ", ", 2);
    o = put_digits(o, date.day, 2);
    *o++ = ' ';
    o = put_text(o, months + date.month * 3, 3);
    *o++ = ' ';
    o = put_digits(o, (int)date.year, 4);
    *o++ = ' ';
    o = put_digits(o, second / 3600, 2);
    *o++ = ':';
    o = put_digits(o, second / 60 % 60, 2);
    *o++ = ':';
    o = put_digits(o, second % 60, 2);
    put_text(o, " GMT", 5);
}

/* --- reasons ------------------------------------------------------------------------ */

/* In nginx's words where it has one, which are not always RFC 9110's. */
const char *http_reason(int status)
{
    switch (status) {
    case 100:
        return "Continue";
    case 101:
        return "Switching Protocols";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Moved Temporarily";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Not Allowed";
    case 408:
        return "Request Time-out";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Request Entity Too Large";
    case 414:
        return "Request-URI Too Large";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Requested Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Temporarily Unavailable";
    case 504:
        return "Gateway Time-out";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "";
    }
}
