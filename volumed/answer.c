/*
 * The pages are nginx's but for the name below the line. Clients show them to people and
 * read only the status; that they are alike to the byte lets a comparison of the two
 * servers be one of bytes as well.
 */
#include "volumed/answer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/assure.h"

static const struct exchange_ops at_once = {0};

void answer_own(struct exchange *ex)
{
    exchange_own(ex, &at_once, NULL);
}

static bool ends_connection(int status)
{
    return status == 400 || status == 412 || status == 413 || status == 414 ||
           status == 500 || status == 501;
}

#define TOO_LARGE "Request Header Or Cookie Too Large"

static void page(struct exchange *ex, int status, struct http_fields *fields)
{
    struct http_fields own;
    const char *reason = http_reason(status);
    bool too_large = exchange_head(ex)->too_large;
    char text[512];

    if (!fields) {
        fields = &own;
        http_fields_init(fields);
    }
    http_fields_add(fields, "Content-Type", "text/html");
    int n = snprintf(text, sizeof(text),
                     "<html>\r\n"
                     "<head><title>%d %s</title></head>\r\n"
                     "<body>\r\n"
                     "<center><h1>%d %s</h1></center>\r\n"
                     "%s"
                     "<hr><center>" SERVER_NAME "</center>\r\n"
                     "</body>\r\n"
                     "</html>\r\n",
                     status, too_large ? TOO_LARGE : reason, status, reason,
                     too_large ? "<center>" TOO_LARGE "</center>\r\n" : "");
    assure(n > 0 && (size_t)n < sizeof(text));
    exchange_reply(ex, status, fields, (struct str){text, (size_t)n});
}

void answer_page(struct exchange *ex, int status, struct http_fields *fields)
{
    if (ends_connection(status))
        exchange_no_keep_alive(ex);
    page(ex, status, fields);
}

void answer_failure(struct exchange *ex, enum deed deed, int err, struct str path)
{
    bool of_path = err == ENAMETOOLONG || err == ENOTDIR || err == ELOOP ||
                   err == EMLINK || err == ENOENT;
    int status = status_of(deed, err, path);
    if (of_path)
        answer_page(ex, status, NULL);
    else
        page(ex, status, NULL);
}

/* The Host header without its port and a last dot, in lower case; our own address where
 * there is none. Returns its length. */
static size_t host_of(struct exchange *ex, char out[HTTP_LINE_MAX])
{
    struct str host = exchange_head(ex)->host;
    if (host.n == 0)
        host = str_of(exchange_local(ex));
    bool literal = host.p[0] == '['; /* up to its ']', and nothing behind it */
    size_t n = 0;
    while (n < host.n && n < HTTP_LINE_MAX) {
        char c = host.p[n];
        if (c == ':' && !literal)
            break;
        out[n++] = (char)tolower((unsigned char)c);
        if (c == ']' && literal)
            break;
    }
    if (n > 1 && out[n - 1] == '.')
        n--;
    return n;
}

void answer_location(struct http_fields *fields, const struct shard *shard,
                     struct exchange *ex, struct str path, bool slash, struct str query)
{
    char host[HTTP_LINE_MAX], port[16] = "";
    char text[3 * PATH_ROOM];
    size_t host_n = host_of(ex, host);
    size_t n = path_encode(path, text);
    if (shard->volumed->port != 80)
        snprintf(port, sizeof(port), ":%d", shard->volumed->port);
    /* A path so long that its header does not fit is created all the same; the header is
     * then left out. */
    if (host_n + n + query.n + 64 > HTTP_FIELDS_MAX - fields->len)
        return;
    http_fields_add(fields, "Location", "http://%.*s%s%.*s%s%s%.*s", (int)host_n, host,
                    port, (int)n, text, slash ? "/" : "", query.n ? "?" : "",
                    (int)query.n, query.p ? query.p : "");
}
