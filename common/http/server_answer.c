/*
 * The answer side of an exchange: its head, and its body into the queue that server_out.c
 * sends.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/assure.h"
#include "common/decimal.h"
#include "common/http/server_conn.h"

/* --- heads ---------------------------------------------------------------------- */
/* Server and Date are the same for every answer of a second. */
static void refresh_common(struct http_server *server)
{
    char date[30];
    uint64_t now = loop_now(server->loop);
    if (now < server->common_until)
        return;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    http_format_date(ts.tv_sec, date);
    int n = snprintf(server->common, sizeof(server->common), "Server: %s\r\nDate: %s\r\n",
                     server->config.name, date);
    assure(n > 0 && (size_t)n < sizeof(server->common));
    server->common_len = (size_t)n;
    server->common_until = now + (uint64_t)(1000 - ts.tv_nsec / 1000000);
}

static size_t put_str(char *at, const char *s, size_t n)
{
    memcpy(at, s, n);
    return n;
}

#define PUT_LIT(at, lit) put_str(at, lit, sizeof(lit) - 1)

void exchange_begin(struct exchange *ex, int status, const struct http_fields *fields,
                    int64_t length)
{
    struct conn *conn = ex->conn;
    struct http_server *server = conn->server;
    char head[HTTP_FIELDS_MAX + 512];
    size_t n = 0;
    assure(ex->answer == ANSWER_NONE);
    assure(status >= 200 && status <= 999);
    assure(length >= EXCHANGE_CHUNKED);
    bool bodiless = status == 204 || status == 304;
    /* (In HTTP/0.9 there is no HEAD: it is refused, and told so.) */
    ex->no_body = bodiless || (str_eq(ex->head.method, STR("HEAD")) && !ex->head.http_09);
    ex->body_left = length;
    ex->chunked = length == EXCHANGE_CHUNKED && ex->head.minor > 0;
    if (length == EXCHANGE_CHUNKED && !ex->chunked && !ex->no_body)
        conn->keep = false; /* a 1.0 client knows the end by the end of the connection */

    ex->stats.status = status;
    ex->answer = ANSWER_BODY;
    conn_schedule(conn);
    bool keeps = conn_keeps(conn);
    if (ex->head.http_09) /* its answer is the body alone */
        return;

    const char *reason = http_reason(status);
    n += PUT_LIT(head + n, "HTTP/1.1 ");
    n += decimal_put((uint64_t)status, head + n);
    head[n++] = ' ';
    n += put_str(head + n, reason, strlen(reason));
    n += PUT_LIT(head + n, "\r\n");
    refresh_common(server);
    n += put_str(head + n, server->common, server->common_len);
    if (fields)
        n += put_str(head + n, fields->text, fields->len);
    if (!bodiless) {
        if (length >= 0) {
            n += PUT_LIT(head + n, "Content-Length: ");
            n += decimal_put((uint64_t)length, head + n);
            n += PUT_LIT(head + n, "\r\n");
        } else if (ex->chunked && !ex->no_body) {
            n += PUT_LIT(head + n, "Transfer-Encoding: chunked\r\n");
        }
    }
    if (keeps)
        n += PUT_LIT(head + n, "Connection: keep-alive\r\n\r\n");
    else
        n += PUT_LIT(head + n, "Connection: close\r\n\r\n");
    assure(n <= sizeof(head));
    out_bytes(conn, head, n);
}

bool exchange_write(struct exchange *ex, const char *data, size_t len)
{
    struct conn *conn = ex->conn;
    assure(ex->answer == ANSWER_BODY);
    if (len > 0 && !ex->no_body) {
        if (ex->body_left >= 0) {
            assure((uint64_t)ex->body_left >= len);
            ex->body_left -= (int64_t)len;
        }
        if (ex->chunked) {
            char size[24];
            int n = snprintf(size, sizeof(size), "%zx\r\n", len);
            out_bytes(conn, size, (size_t)n);
            ex->stats.framing_out += (uint64_t)n + 2;
        }
        out_bytes(conn, data, len);
        if (ex->chunked)
            out_bytes(conn, "\r\n", 2);
        ex->stats.body_out += len;
    }
    conn_schedule(conn);
    ex->wants_room = conn->out_bytes >= OUT_HIGH;
    return !ex->wants_room;
}

void exchange_write_file(struct exchange *ex, int fd, int64_t off, int64_t len)
{
    assure(ex->answer == ANSWER_BODY && !ex->chunked && len >= 0);
    if (len == 0 || ex->no_body) {
        close(fd);
        return;
    }
    if (ex->body_left >= 0) {
        assure(ex->body_left >= len);
        ex->body_left -= len;
    }
    out_file(ex->conn, fd, off, len, ex->readers);
    conn_schedule(ex->conn);
}

void exchange_readers(struct exchange *ex, struct workers *readers)
{
    ex->readers = readers;
}

void exchange_end(struct exchange *ex)
{
    assure(ex->answer == ANSWER_BODY);
    ex->answer = ANSWER_ENDED;
    if (ex->chunked && !ex->no_body) {
        out_bytes(ex->conn, "0\r\n\r\n", 5);
        ex->stats.framing_out += 5;
    }
    if (!ex->no_body && ex->body_left > 0)
        ex->abort = true; /* the client must see a cut, not an end */
    conn_schedule(ex->conn);
}

void exchange_reply(struct exchange *ex, int status, const struct http_fields *fields,
                    struct str body)
{
    exchange_begin(ex, status, fields, (int64_t)body.n);
    exchange_write(ex, body.p, body.n);
    exchange_end(ex);
}

void exchange_error(struct exchange *ex, int status, const char *text)
{
    struct http_fields fields;
    char line[512];
    int n = snprintf(line, sizeof(line) - 1, "%s\n", text);
    http_fields_init(&fields);
    http_fields_add(&fields, "Content-Type", HTTP_TEXT_TYPE);
    if (n < 0)
        n = 0;
    if ((size_t)n > sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    exchange_reply(ex, status, &fields, (struct str){line, (size_t)n});
}
