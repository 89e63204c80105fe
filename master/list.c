/*
 * Lists of keys: GET /prefix?list and ?unlinked, with &limit= and &start= (the `next` of
 * the page before).
 *
 * The answer is {"next":"…","keys":[…]}, all from one snapshot and in bounded memory.
 * What fits in LIST_HELD bytes is gathered first and sent whole, in that order. What does
 * not is streamed: with a limit, `next` comes last, for it is known last; without one it
 * is "" and comes first, but the keys are counted before (over a million is 413), so that
 * pass is walked to its end and then the same snapshot once more.
 *
 * A turn of the loop takes a bounded number of steps and goes on in the next one, so that
 * a list of millions stalls no other request; a client that reads slowly holds the scan,
 * not memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/json.h"
#include "common/log.h"
#include "master/operations.h"
#include "master/query.h"

enum {
    LIST_MAX = 1000000,     /* keys of a list without a limit */
    LIST_HELD = 64 * 1024,  /* bytes gathered in the hope that it is all */
    LIST_PIECE = 16 * 1024, /* bytes written in a turn */
    LIST_STEPS = 1000,      /* records looked at in a turn */
};

enum phase {
    GATHERING, /* into out; nothing is sent yet */
    COUNTING,  /* without a limit: out is of no use any more, the keys are counted to the
                  end */
    SENDING,   /* the head and the list's opening are sent */
    REPLIED,   /* the whole answer is with the server */
};

struct list {
    struct request *request;
    struct scan *scan;
    enum record_state wanted;
    bool limited;
    uint64_t limit;
    enum phase phase;
    uint64_t n;       /* keys in this pass */
    struct task turn; /* deferred: the next turn's share of the work */
    char *out;        /* "…","…": keys not sent yet, each with its comma before it */
    size_t used, room;
};

static void list_free(struct list *list)
{
    scan_free(&list->scan);
    request_free(&list->request);
    free(list->out);
    free(list);
}

/* --- the query --------------------------------------------------------------------- */
/* The first value of a parameter, decoded as queries are ('+' is a space), into out (room
 * for HTTP_LINE_MAX). 1; 0 when it is not there; -1 when it is malformed. */
static int parameter(struct str query, struct str name, char *out, struct str *value)
{
    char plain[HTTP_LINE_MAX];
    struct str one;
    ssize_t n;

    while (query_next(&query, &one)) {
        if (one.n <= name.n || !str_starts(one, name) || one.p[name.n] != '=')
            continue;
        one.p += name.n + 1;
        one.n -= name.n + 1;
        if (one.n > sizeof(plain))
            return -1;
        for (size_t i = 0; i < one.n; i++)
            plain[i] = (char)(one.p[i] == '+' ? ' ' : one.p[i]);
        n = http_percent_decode((struct str){plain, one.n}, out);
        if (n < 0)
            return -1;
        *value = (struct str){out, (size_t)n};
        return 1;
    }
    return 0;
}

/* Reads the query into list and start (whose bytes go to out). NULL, or what is wrong. */
static const char *read_query(struct list *list, struct str *start, char *out)
{
    struct str query = list->request->query, value;
    int found;

    list->wanted = str_starts(query, STR("unlinked")) ? RECORD_UNLINKED : RECORD_LIVE;

    found = parameter(query, STR("limit"), out, &value);
    if (found < 0)
        return "the limit is not a number";
    if (found > 0 && value.n > 0) { /* "limit=" is none, as in the Go program */
        if (!http_parse_u64(value, &list->limit))
            return "the limit is not a number";
        list->limited = list->limit > 0; /* 0 is none as well */
    }
    *start = STR("");
    if (parameter(query, STR("start"), out, start) < 0)
        return "the start has a % without two hex digits";
    return NULL;
}

/* --- output ------------------------------------------------------------------------ */
static void put(struct list *list, struct str text)
{
    assure(list->room - list->used >= text.n);
    memcpy(list->out + list->used, text.p, text.n);
    list->used += text.n;
}

/* Makes room for a string of n bytes with its comma. Keys of any length may be in an
 * index that the Go program wrote, so it grows with them. */
static void reserve(struct list *list, size_t n)
{
    size_t need = list->used + JSON_STRING_MAX(n) + 1;

    if (need <= list->room)
        return;
    list->room = need < LIST_PIECE ? LIST_PIECE : need + need / 2;
    list->out = xrealloc(list->out, list->room);
}

static void put_key(struct list *list, struct str key)
{
    reserve(list, key.n);
    if (list->n > 0)
        put(list, STR(","));
    list->used += json_quote(key, list->out + list->used);
    list->n++;
}

static void begin(struct list *list, int64_t length)
{
    struct http_fields fields;

    http_fields_init(&fields);
    http_fields_add(&fields, "Content-Type", "application/json");
    exchange_begin(list->request->ex, 200, &fields, length);
}

static bool write_str(struct list *list, struct str text)
{
    return exchange_write(list->request->ex, text.p, text.n);
}

/* All of it fitted: one answer with its length, `next` first. */
static void reply_held(struct list *list, struct str next)
{
    static const char opening[] = "{\"next\":", middle[] = ",\"keys\":[",
                      closing[] = "]}";
    char *text = xmalloc(JSON_STRING_MAX(next.n));
    size_t n = json_quote(next, text);

    begin(list, (int64_t)(sizeof(opening) + sizeof(middle) + sizeof(closing) - 3 + n +
                          list->used));
    list->phase = REPLIED;
    write_str(list, str_of(opening));
    write_str(list, (struct str){text, n});
    write_str(list, str_of(middle));
    if (list->used > 0)
        exchange_write(list->request->ex, list->out, list->used);
    write_str(list, str_of(closing));
    free(text);
    exchange_end(list->request->ex);
}

/* The end of a list that was streamed. */
static void end_sent(struct list *list, struct str next)
{
    if (list->used > 0)
        exchange_write(list->request->ex, list->out, list->used);
    write_str(list, STR("]"));
    if (list->limited) {
        char *text = xmalloc(JSON_STRING_MAX(next.n));
        size_t n = json_quote(next, text);

        write_str(list, STR(",\"next\":"));
        write_str(list, (struct str){text, n});
        free(text);
    }
    write_str(list, STR("}"));
    list->phase = REPLIED;
    exchange_end(list->request->ex);
}

/* --- turns ------------------------------------------------------------------------- */
/* From within a turn, what is deferred runs in the next one, after other readiness. */
static void go_on_later(struct list *list)
{
    loop_defer(list->request->shard->loop, &list->turn);
}

/* The pass is over: by its end, or in front of the key `next`. Nothing is done with the
 * list after this but, while COUNTING, to go on with the second pass. */
static void pass_over(struct list *list, struct str next)
{
    switch (list->phase) {
    case GATHERING:
        reply_held(list, next);
        break;
    case COUNTING:
        scan_rewind(list->scan);
        list->n = 0;
        begin(list, EXCHANGE_CHUNKED);
        list->phase = SENDING;
        if (write_str(list, STR("{\"next\":\"\",\"keys\":[")))
            go_on_later(list);
        break;
    case SENDING:
        end_sent(list, next);
        break;
    case REPLIED:
        break;
    }
}

static void scan_failed(struct list *list)
{
    enum phase phase = list->phase;

    log_error("a list could not be read from the index");
    list->phase = REPLIED;
    if (phase == SENDING)
        exchange_abort(list->request->ex);
    else
        exchange_error(list->request->ex, 503, "the index cannot be read");
}

/* Does one more key matter, and what becomes of what is gathered? False: the turn is over
 * and the answer is given. */
static bool take_key(struct list *list, struct str key)
{
    if (!list->limited && list->phase != SENDING && list->n == LIST_MAX) {
        list->phase = REPLIED;
        exchange_error(list->request->ex, 413, "over a million keys: ask with a limit");
        return false;
    }
    if (list->phase == COUNTING) {
        list->n++;
        return true;
    }
    put_key(list, key);
    if (list->phase == GATHERING && list->used > LIST_HELD) {
        if (list->limited) {
            begin(list, EXCHANGE_CHUNKED);
            write_str(list, STR("{\"keys\":["));
            list->phase = SENDING;
        } else {
            list->used = 0;
            list->phase = COUNTING;
        }
    }
    return true;
}

static void take_turn(struct list *list)
{
    struct record record;
    struct str key;

    for (int steps = 0; steps < LIST_STEPS; steps++) {
        int more = scan_next(list->scan, &key, &record);

        if (more < 0) {
            scan_failed(list);
            return;
        }
        if (more == 0) {
            pass_over(list, STR(""));
            return;
        }
        if (record.state != list->wanted)
            continue;
        if (list->limited && list->n == list->limit) {
            pass_over(list, key);
            return;
        }
        if (!take_key(list, key))
            return;
        if (list->phase == SENDING && list->used >= LIST_PIECE)
            break;
    }
    if (list->phase == SENDING && list->used > 0) {
        size_t used = list->used;

        list->used = 0;
        if (!exchange_write(list->request->ex, list->out, used))
            return; /* list_writable() goes on */
    }
    go_on_later(list);
}

static void list_turn(struct task *task)
{
    take_turn(container_of(task, struct list, turn));
}

static void list_writable(struct exchange *ex)
{
    struct list *list = exchange_arg(ex);

    if (list->phase == SENDING)
        go_on_later(list);
}

static void list_over(struct exchange *ex, enum exchange_end how)
{
    struct list *list = exchange_arg(ex);

    (void)how;
    loop_undefer(list->request->shard->loop, &list->turn);
    list_free(list);
}

static const struct exchange_ops list_ops = {.writable = list_writable,
                                             .over = list_over};

void operation_list(struct request *request)
{
    struct list *list = xcalloc(1, sizeof(*list));
    struct exchange *ex = request->ex;
    char buffer[HTTP_LINE_MAX];
    const char *fault;
    struct str start;

    list->request = request;
    list->turn.run = list_turn;
    exchange_own(ex, &list_ops, list);
    fault = read_query(list, &start, buffer);
    if (fault) {
        list->phase = REPLIED;
        exchange_error(ex, 400, fault);
        return;
    }
    if (str_eq(exchange_head(ex)->method, STR("HEAD"))) {
        /* Nobody sees the keys, so none are looked for. */
        begin(list, EXCHANGE_CHUNKED);
        list->phase = REPLIED;
        exchange_end(ex);
        return;
    }
    list->scan = index_scan(request->shard->master->index, request->key, start);
    take_turn(list);
}
