/*
 * One PUT of a value to a place: see upload.h.
 *
 * What a failed upload leaves behind is decided by one question: was its last byte handed
 * to the kernel? Without it no volume carries a PUT out, be it framed by a length or in
 * chunks; with it the volume may, even long after we gave up.
 */
#include "master/value/upload.h"

#include "common/assure.h"
#include "common/log.h"
#include "common/stock.h"
#include "master/volumes/target.h"

enum {
    /* What a volume needs to sync or copy the whole value after its last byte. */
    SETTLE_BYTES_PER_MS = 8 * 1024,
    FOREVER_MS = INT32_MAX, /* the limit is our own timer */
};

struct upload {
    const struct upload_ops *ops;
    void *arg;
    struct volumes *volumes;
    struct str place;
    struct call *call;
    struct timer limit; /* for the answer to what was sent in chunks */
    uint64_t sent;
    int answer_ms;
    int status;
    bool has_length;
    bool connected;
    bool finished;
};

static _Thread_local struct stock uploads = {.size = sizeof(struct upload)};

static void on_room(struct call *call)
{
    struct upload *u = call_arg(call);

    u->connected = true;
    if (u->ops->room)
        u->ops->room(u->arg);
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct upload *u = call_arg(call);

    u->status = head->status;
}

static void note_failure(const struct upload *u, enum call_result result)
{
    /* A volume that is full, read-only or hangs at its drive: writes go elsewhere for
     * now. */
    if (result == CALL_TIMEOUT ||
        (result == CALL_OK && (u->status >= 500 || u->status == 403)))
        volumes_write_failed(u->volumes, u->place);
    if (result == CALL_REFUSED) /* told once, when the volume is thought down */
        return;
    if (result == CALL_OK)
        log_warn("PUT to %.*s failed: it answered %d", (int)u->place.n, u->place.p,
                 u->status);
    else
        log_warn("PUT to %.*s failed: it %s", (int)u->place.n, u->place.p,
                 call_result_text(result));
}

static void conclude(struct upload *u, enum call_result result, bool sent_all)
{
    bool success = result == CALL_OK && (u->status == 201 || u->status == 204);
    struct upload_end end = {
        .good = success && u->finished,
        /* A success before the end is nonsense, but a file may be there all the same. */
        .reached = sent_all || success,
        .answered = result == CALL_OK,
        .local = result == CALL_LOCAL,
    };
    const struct upload_ops *ops = u->ops;
    void *arg = u->arg;

    volumes_saw(u->volumes, u->place, result);
    if (!end.good)
        note_failure(u, result);
    stock_put(&uploads, u);
    ops->done(arg, &end);
}

static void on_done(struct call *call, enum call_result result)
{
    struct upload *u = call_arg(call);

    timer_clear(call_loop(call), &u->limit);
    conclude(u, result, call_sent_all(call));
}

static void on_limit(struct timer *timer)
{
    struct upload *u = container_of(timer, struct upload, limit);
    bool sent_all = call_sent_all(u->call);

    call_cancel(&u->call);
    conclude(u, CALL_TIMEOUT, sent_all);
}

static int answer_limit(int answer_ms, uint64_t length)
{
    uint64_t settle = length / SETTLE_BYTES_PER_MS;

    if (settle > (uint64_t)(INT32_MAX - answer_ms))
        return INT32_MAX;
    return answer_ms + (int)settle;
}

struct upload *upload_start(const struct upload_spec *spec, const struct upload_ops *ops,
                            void *arg)
{
    static const struct call_ops call_ops = {
        .room = on_room, .answer = on_answer, .done = on_done};
    struct upload *u = stock_get(&uploads);
    struct target target;
    struct call_spec call_spec;

    target_of(&target, spec->place, spec->path);
    *u = (struct upload){.ops = ops,
                         .arg = arg,
                         .volumes = spec->volumes,
                         .place = spec->place,
                         .limit.fire = on_limit,
                         .answer_ms = spec->answer_ms,
                         .has_length = spec->has_length};
    call_spec = (struct call_spec){
        .authority = target.authority,
        .method = STR("PUT"),
        .target = target.path,
        .body = spec->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_CHUNKED,
        .length = spec->has_length ? spec->length : 0,
        .answer_ms =
            spec->has_length ? answer_limit(spec->answer_ms, spec->length) : FOREVER_MS,
    };
    u->call = call_start(spec->client, &call_spec, &call_ops, u);
    return u;
}

void upload_send(struct upload *u, struct block *block, const char *data, size_t len)
{
    assure(!u->finished);
    u->sent += len;
    call_send(u->call, block, data, len);
}

void upload_finish(struct upload *u)
{
    assure(!u->finished);
    u->finished = true;
    call_send_end(u->call);
    if (!u->has_length)
        timer_set(call_loop(u->call), &u->limit,
                  (uint64_t)answer_limit(u->answer_ms, u->sent));
}

bool upload_connected(const struct upload *u)
{
    return u->connected;
}

bool upload_full(const struct upload *u)
{
    return call_full(u->call);
}

bool upload_cancel(struct upload **upload)
{
    struct upload *u = *upload;
    bool sent_all = call_sent_all(u->call);

    *upload = NULL;
    timer_clear(call_loop(u->call), &u->limit);
    call_cancel(&u->call);
    stock_put(&uploads, u);
    return sent_all;
}
