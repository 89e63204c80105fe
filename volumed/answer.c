/*
 * The pages are nginx's but for the name below the line. Clients show them to people and
 * read only the status; that they are alike to the byte lets a comparison of the two
 * servers be one of bytes as well.
 */
#include "volumed/answer.h"

#include <ctype.h>
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

void answer_page(struct exchange *ex, int status, struct http_fields *fields)
{
    struct http_fields own;
    const char *reason = http_reason(status);
    char page[512];

    if (!fields) {
        fields = &own;
        http_fields_init(fields);
    }
    http_fields_add(fields, "Content-Type", "text/html");
    int n = snprintf(page, sizeof page,
                     "<html>\r\n"
                     "<head><title>%d %s</title></head>\r\n"
                     "<body>\r\n"
                     "<center><h1>%d %s</h1></center>\r\n"
                     "<hr><center>" SERVER_NAME "</center>\r\n"
                     "</body>\r\n"
                     "</html>\r\n",
                     status, reason, status, reason);
    assure(n > 0 && (size_t)n < sizeof page);
    if (ends_connection(status))
        exchange_no_keep_alive(ex);
    exchange_reply(ex, status, fields, (struct str){page, (size_t)n});
}

/* The Host header without its port and a last dot, in lower case; our own address where
 * there is none. Returns its length. */
static size_t host_of(struct exchange *ex, char out[256])
{
    struct str host = exchange_head(ex)->host;
    if (host.n == 0)
        host = str_of(exchange_local(ex));
    size_t n = 0;
    bool bracket = false;
    for (; n < host.n && n < 255; n++) {
        char c = host.p[n];
        if (c == ':' && !bracket)
            break;
        bracket = c == '[' || (bracket && c != ']');
        out[n] = (char)tolower((unsigned char)c);
    }
    if (n > 1 && out[n - 1] == '.')
        n--;
    return n;
}

void answer_location(struct http_fields *fields, const struct shard *shard,
                     struct exchange *ex, struct str path, bool slash, struct str query)
{
    char host[256], port[16] = "";
    char text[3 * PATH_ROOM];
    size_t host_n = host_of(ex, host);
    size_t n = path_encode(path, text);
    if (shard->volumed->port != 80)
        snprintf(port, sizeof port, ":%d", shard->volumed->port);
    /* A path so long that its header does not fit is created all the same; the header is
     * then left out. */
    if (host_n + n + query.n + 64 > HTTP_FIELDS_MAX - fields->len)
        return;
    http_fields_add(fields, "Location", "http://%.*s%s%.*s%s%s%.*s", (int)host_n, host,
                    port, (int)n, text, slash ? "/" : "", query.n ? "?" : "",
                    (int)query.n, query.p ? query.p : "");
}
