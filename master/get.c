/*
 * GET and HEAD of a key: a redirect to a replica that has the value.
 *
 * Replicas are asked by HEAD, one after the other: those thought well first, otherwise in
 * random order, so that reads spread. One whose file has not the value's size is damaged
 * and passed over. The answer is 404 only when every replica says that it has no such
 * file; one that could not be asked, or has another file, makes it 503, for then the
 * value may well be there.
 *
 * The two hot paths: an absent key is answered within on_request, a live one after one
 * HEAD. Neither allocates once the thread's stocks are warm and the index's cache knows the
 * key; LevelDB allocates what is read from it.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "common/log.h"
#include "common/stock.h"
#include "master/operations.h"
#include "master/volumes/volume_head.h"

enum {
    /* Key-Volumes of any usual record; one that does not fit goes without. */
    KEY_VOLUMES_MAX = 3 * 1024,
};

struct get {
    struct request *request;
    struct entry entry; /* of a live key; else not filled in */
    bool has_entry;
    bool reading;       /* index_get has not completed yet */
    bool doubt;         /* a replica could not tell, or holds something else */
    struct call *call;  /* the HEAD under way */
    struct timer limit; /* of that HEAD, connecting included */
    int asked;          /* index of the place it went to */
    int status;         /* its answer's, 0 before it comes */
    bool has_length;
    uint64_t length;
    int left; /* places not asked yet: untried[0..left) */
    uint8_t untried[RECORD_PLACES_MAX];
    size_t path_n;
    char path[PLACEMENT_PATH_MAX];
};

static _Thread_local struct stock gets = {.size = sizeof(struct get)};

static void get_free(struct get *get)
{
    if (get->has_entry)
        entry_clear(&get->entry);
    request_free(&get->request);
    stock_put(&gets, get);
}

/* --- answers ----------------------------------------------------------------------- */
/* What the record says of the value: for a redirect, and when no replica serves it. */
static void add_record(struct http_fields *fields, const struct get *get)
{
    const struct record *record = &get->entry.record;
    const struct request *r = get->request;
    char places[KEY_VOLUMES_MAX];
    size_t n = 0;

    if (record->md5[0] != '\0')
        http_fields_put(fields, "Content-Md5", (struct str){record->md5, MD5_HEX});
    http_fields_put(fields, "Key-Balance",
                    volumes_balanced(r->shard->master->volumes, r->key, record)
                        ? STR("balanced")
                        : STR("unbalanced"));
    for (int i = 0; i < record->n; i++) {
        struct str place = record->place[i];

        if (n + place.n + 1 > sizeof(places))
            return;
        if (i > 0)
            places[n++] = ',';
        memcpy(places + n, place.p, place.n);
        n += place.n;
    }
    http_fields_put(fields, "Key-Volumes", (struct str){places, n});
}

static void reply_redirect(struct get *get)
{
    struct request *r = get->request;
    struct http_fields fields;
    struct str place = get->entry.record.place[get->asked];
    char public[PLACE_MAX];
    size_t n = volumes_public(r->shard->master->volumes, place, public);
    const struct str scheme = STR("http://");
    char location[sizeof("http://") + PLACE_MAX + PLACEMENT_PATH_MAX];

    if (n > 0) /* else its public name is too long: the place's own may do */
        place = (struct str){public, n};
    memcpy(location, scheme.p, scheme.n);
    memcpy(location + scheme.n, place.p, place.n);
    memcpy(location + scheme.n + place.n, get->path, get->path_n);
    http_fields_init(&fields);
    http_fields_put(&fields, "Location",
                    (struct str){location, scheme.n + place.n + get->path_n});
    add_record(&fields, get);
    exchange_reply(r->ex, 302, &fields, STR(""));
}

static void reply_unserved(struct get *get)
{
    struct http_fields fields;

    http_fields_init(&fields);
    add_record(&fields, get);
    if (!get->doubt) {
        exchange_reply(get->request->ex, 404, &fields, STR(""));
        return;
    }
    http_fields_put(&fields, "Content-Type", STR(HTTP_TEXT_TYPE));
    exchange_reply(get->request->ex, 503, &fields,
                   STR("no replica can serve the value now\n"));
}

static void reply_absent(struct get *get)
{
    struct exchange *ex = get->request->ex;
    const char *fallback = get->request->shard->master->fallback;
    struct str path = get->request->path;
    struct http_fields fields;

    if (fallback[0] == '\0') {
        exchange_reply(ex, 404, NULL, STR(""));
        return;
    }
    /* The path as the client sent it: it is percent-encoded already. */
    http_fields_init(&fields);
    http_fields_add(&fields, "Location", "http://%s%.*s", fallback, (int)path.n, path.p);
    exchange_reply(ex, 302, &fields, STR(""));
}

/* --- asking the replicas ----------------------------------------------------------- */
static void ask_next(struct get *get);

/* The HEAD is over, with `result`; decides what its replica said. */
static void asked(struct get *get, enum call_result result)
{
    struct request *r = get->request;
    struct str place = get->entry.record.place[get->asked];

    get->call = NULL;
    timer_clear(r->shard->loop, &get->limit);
    volumes_saw(r->shard->master->volumes, place, result);
    if (result == CALL_OK && get->status == 200) {
        if (!get->entry.has_size || (get->has_length && get->length == get->entry.size)) {
            reply_redirect(get);
            return;
        }
        log_warn("%.*s%.*s has not the size of the value", (int)place.n, place.p,
                 (int)get->path_n, get->path);
        get->doubt = true;
    } else if (result != CALL_OK || get->status != 404) {
        get->doubt = true;
    }
    ask_next(get);
}

static void head_answer(struct call *call, const struct http_head *head)
{
    struct get *get = call_arg(call);

    get->status = head->status;
    get->has_length = head->has_length;
    get->length = head->length;
}

static void head_done(struct call *call, enum call_result result)
{
    asked(call_arg(call), result);
}

static const struct call_ops head_ops = {.answer = head_answer, .done = head_done};

static void head_expired(struct timer *timer)
{
    struct get *get = container_of(timer, struct get, limit);
    enum call_result result = call_sent_any(get->call) ? CALL_TIMEOUT : CALL_REFUSED;

    call_cancel(&get->call);
    asked(get, result);
}

/* xorshift64*, one state per thread: which replica serves is no secret. */
static uint32_t random_below(uint32_t n)
{
    static _Thread_local uint64_t state;

    if (state == 0) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        state = ((uint64_t)t.tv_nsec << 32 ^ (uint64_t)t.tv_sec ^ (uintptr_t)&state) | 1;
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1dU >> 32) * n >> 32);
}

/* Takes a random place out of the untried ones, the first that is thought well, else
 * any. */
static void take_place(struct get *get)
{
    struct volumes *volumes = get->request->shard->master->volumes;
    int at = 0;

    for (int i = get->left - 1; i > 0; i--) {
        uint32_t j = random_below((uint32_t)i + 1);
        uint8_t swap = get->untried[i];

        get->untried[i] = get->untried[j];
        get->untried[j] = swap;
    }
    for (int i = 0; i < get->left; i++)
        if (volumes_well(volumes, get->entry.record.place[get->untried[i]])) {
            at = i;
            break;
        }
    get->asked = get->untried[at];
    get->untried[at] = get->untried[--get->left];
}

static void ask_next(struct get *get)
{
    struct shard *shard = get->request->shard;
    int limit_ms = shard->master->voltimeout_ms;

    if (get->left == 0) {
        reply_unserved(get);
        return;
    }
    take_place(get);
    get->status = 0;
    get->call =
        volume_head(shard->client, get->entry.record.place[get->asked],
                    (struct str){get->path, get->path_n}, limit_ms, &head_ops, get);
    timer_set(shard->loop, &get->limit, (uint64_t)limit_ms);
}

/* --- the exchange ------------------------------------------------------------------ */
static void got(void *arg, int err, struct entry *entry)
{
    struct get *get = arg;
    struct request *r = get->request;

    get->reading = false;
    if (!r->ex || err != 0 || entry->record.state != RECORD_LIVE) {
        entry_clear(entry);
        if (!r->ex) /* the client left meanwhile */
            get_free(get);
        else if (err != 0)
            exchange_error(r->ex, 503, "the index cannot be read");
        else
            reply_absent(get);
        return;
    }
    get->entry = *entry;
    get->has_entry = true;
    get->path_n = placement_path(r->key, get->path);
    get->left = get->entry.record.n;
    for (int i = 0; i < get->left; i++)
        get->untried[i] = (uint8_t)i;
    ask_next(get);
}

static void get_over(struct exchange *ex, enum exchange_end how)
{
    struct get *get = exchange_arg(ex);

    (void)how;
    get->request->ex = NULL;
    if (get->reading)
        return; /* got() frees */
    if (get->call) {
        call_cancel(&get->call);
        timer_clear(get->request->shard->loop, &get->limit);
    }
    get_free(get);
}

static const struct exchange_ops get_ops = {.over = get_over};

void operation_get(struct request *request)
{
    struct get *get = stock_get(&gets);

    get->request = request;
    get->has_entry = false;
    get->reading = true;
    get->doubt = false;
    get->call = NULL;
    get->limit = (struct timer){.fire = head_expired};
    exchange_own(request->ex, &get_ops, get);
    index_get(request->shard->master->index, request->shard->loop, request->key, got,
              get);
}
