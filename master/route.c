/*
 * Routing, see route.h. The key is the path, percent-decoded, whatever its bytes. Which
 * queries mean something is decided here: a list's on GET, the master's own on GET /,
 * S3's (501 until S3 is there), none else.
 */
#include "master/route.h"

#include "common/http/request_log.h"
#include "common/json.h"
#include "master/master.h"
#include "master/operations.h"
#include "master/query.h"

#define ALLOW "GET, HEAD, LIST, PUT, DELETE, UNLINK, RELINK, REBALANCE"

enum {
    /* A path this long is over the limit however much of it is escapes. */
    RAW_PATH_MAX = 3 * PLACEMENT_KEY_MAX,
};

typedef void operation(struct request *request);

static const struct {
    struct str method;
    operation *run;
} operations[] = {
    {STR_INIT("GET"), operation_get},
    {STR_INIT("HEAD"), operation_get},
    {STR_INIT("PUT"), operation_put},
    {STR_INIT("DELETE"), operation_delete},
    {STR_INIT("UNLINK"), operation_unlink},
    {STR_INIT("RELINK"), operation_relink},
    {STR_INIT("REBALANCE"), operation_rebalance},
};

static operation *operation_of(struct str method)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (str_eq(method, operations[i].method))
            return operations[i].run;
    return NULL;
}

static bool is_read(struct str method)
{
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
           str_eq(method, STR("LIST"));
}

/* --- refusals ---------------------------------------------------------------------- */
/* A body that comes along is dropped by the server. */
static const struct exchange_ops refused_ops = {0};

static void refuse(struct exchange *ex, int status, const char *text)
{
    exchange_own(ex, &refused_ops, NULL);
    exchange_error(ex, status, text);
}

static void refuse_method(struct exchange *ex)
{
    struct http_fields fields;

    http_fields_init(&fields);
    http_fields_add(&fields, "Allow", "%s", ALLOW);
    http_fields_add(&fields, "Content-Type", HTTP_TEXT_TYPE);
    exchange_own(ex, &refused_ops, NULL);
    exchange_reply(ex, 405, &fields, STR("no such method here\n"));
}

/* --- queries ----------------------------------------------------------------------- */
/* Does any parameter belong to S3's own requests? */
static bool is_s3(struct str query)
{
    static const struct str names[] = {
        STR_INIT("uploads"), STR_INIT("uploadId"),  STR_INIT("partNumber"),
        STR_INIT("delete"),  STR_INIT("list-type"),
    };
    struct str parameter;

    while (query_next(&query, &parameter)) {
        const char *equals = memchr(parameter.p, '=', parameter.n);

        if (equals)
            parameter.n = (size_t)(equals - parameter.p);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (str_eq(parameter, names[i]))
                return true;
    }
    return false;
}

/* What a query that only reads asks for, or NULL. The operation is the first parameter,
 * as the Go program has it: "list&limit=10". */
static operation *reading_of(struct str path, struct str query)
{
    struct str first;

    if (!query_next(&query, &first))
        return NULL;
    if (str_eq(first, STR("list")) || str_eq(first, STR("unlinked")))
        return operation_list;
    if (str_eq(first, STR("volumes")) && str_eq(path, STR("/")))
        return operation_volumes;
    if (str_eq(first, STR("jobs")) && str_eq(path, STR("/")))
        return operation_jobs;
    return NULL;
}

/* What a query that does something about jobs asks for, or NULL. */
static operation *job_of(struct str method, struct str path, struct str query)
{
    struct str first;

    if (!str_eq(path, STR("/")) || !query_next(&query, &first))
        return NULL;
    if (str_eq(method, STR("POST")) && str_eq(first, STR("rebalance")))
        return operation_start_rebalance;
    if (str_eq(method, STR("POST")) && str_eq(first, STR("verify")))
        return operation_start_verify;
    if (str_eq(method, STR("DELETE")) && str_eq(first, STR("jobs")))
        return operation_stop_jobs;
    return NULL;
}

/* --- dispatch ---------------------------------------------------------------------- */
/* Decodes the path into the key. 0, or the HTTP status of what is wrong. */
static int decode_key(struct request *request)
{
    struct str path = request->path;
    char raw[RAW_PATH_MAX];
    ssize_t n;

    if (path.n > RAW_PATH_MAX)
        return 414;
    if (path.n <= sizeof(request->keybuf)) {
        n = http_percent_decode(path, request->keybuf);
    } else {
        n = http_percent_decode(path, raw);
        if (n > PLACEMENT_KEY_MAX)
            return 414;
        if (n > 0)
            memcpy(request->keybuf, raw, (size_t)n);
    }
    if (n < 0)
        return 400;
    request->key.n = (size_t)n;
    return 0;
}

void master_on_request(void *ctx, struct exchange *ex)
{
    const struct http_head *head = exchange_head(ex);
    operation *run = operation_of(head->method);
    struct request *request;
    struct str path, query;
    int status;

    query_split(head->target, &path, &query);
    if (path.n == 0)
        path = STR("/"); /* "GET http://host HTTP/1.1" */

    if (query.n > 0) {
        bool read = is_read(head->method);

        run = read ? reading_of(path, query) : job_of(head->method, path, query);
        if (!run) {
            if (is_s3(query))
                return refuse(ex, 501, "S3's requests are not served here");
            if (!read)
                return refuse(ex, 403,
                              "no such query; there are POST /?rebalance and /?verify");
            return refuse(ex, 403,
                          "no such query; there are ?list, ?unlinked, /?volumes and "
                          "/?jobs");
        }
    } else if (!run) {
        if (str_eq(head->method, STR("LIST")))
            return refuse(ex, 403, "LIST needs a query, ?list or ?unlinked");
        return refuse_method(ex);
    }
    if (path.p[0] != '/')
        return refuse(ex, 400, "the path must begin with /");

    request = request_new(ctx, ex);
    request->path = path;
    request->query = query;
    status = decode_key(request);
    if (status != 0) {
        request_free(&request);
        return refuse(ex, status,
                      status == 414 ? "the key is longer than 1024 bytes"
                                    : "the path has a % without two hex digits");
    }
    run(request);
}

/* --- logging ----------------------------------------------------------------------- */
/* Keys are written as JSON strings: any byte may be in one, and no line can be forged. */
void master_on_finished(void *ctx, const struct exchange *ex)
{
    const struct http_head *head = exchange_head(ex);
    struct str path, query;
    char raw[HTTP_LINE_MAX], key[JSON_STRING_MAX(PLACEMENT_KEY_MAX)];
    ssize_t n = -1;

    (void)ctx;
    query_split(head->target, &path, &query);
    if (path.n < head->target.n)
        query = (struct str){query.p - 1, query.n + 1}; /* with its '?' */
    if (path.n <= sizeof(raw))
        n = http_percent_decode(path, raw);
    if (n >= 0)
        path = (struct str){raw, (size_t)n};
    if (path.n > PLACEMENT_KEY_MAX)
        path.n = PLACEMENT_KEY_MAX;
    request_log(ex, (struct str){key, json_quote(path, key)}, query);
}
