/*
 * Reading a file back: see readback.h. A volume may say or send anything: what has no
 * length, or another than the value's, is not read, and what drips is given up.
 */
#include "master/value/readback.h"

#include <string.h>

#include "common/stock.h"
#include "master/value/body_sum.h"
#include "master/value/drip.h"
#include "master/volumes/target.h"

struct readback {
    void (*done)(void *arg, const struct readback_end *end);
    void *arg;
    struct volumes *volumes;
    struct loop *loop;
    struct workers *summers;
    struct call *call;    /* NULL: it is over, and its bytes are being summed */
    struct body_sum *sum; /* of a file that is read */
    bool waiting;         /* bytes are held back until the sum has room */
    struct drip drip;
    struct task over; /* deferred: a call is not cut from within its own callbacks */
    struct readback_end end;
    int status;
    bool has_size;
    uint64_t size;
    uint64_t come;
    size_t place_n;
    char place[PLACE_MAX];
};

static _Thread_local struct stock readbacks = {.size = sizeof(struct readback)};

static void finish(struct readback *r)
{
    void (*done)(void *, const struct readback_end *) = r->done;
    void *arg = r->arg;
    struct readback_end end = r->end;

    end.bytes = r->come;
    drip_stop(&r->drip);
    if (r->call)
        call_cancel(&r->call);
    body_sum_free(&r->sum);
    stock_put(&readbacks, r);
    done(arg, &end);
}

static void on_over(struct task *task)
{
    finish(container_of(task, struct readback, over));
}

/* All of the file is here. What is not summed yet is soon. */
static void end_file(struct readback *r)
{
    uint8_t sum[MD5_BYTES];

    if (!body_sum_end(r->sum))
        return;
    body_sum_result(r->sum, sum);
    md5_hex(sum, r->end.md5);
    r->end.result = READBACK_WHOLE;
    r->end.size = r->come;
    finish(r);
}

static void on_summed(void *arg)
{
    struct readback *r = arg;

    if (!r->call) {
        end_file(r);
    } else if (r->waiting) {
        r->waiting = false;
        call_resume(r->call);
    }
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct readback *r = call_arg(call);

    r->status = head->status;
    if (head->status != 200)
        return;
    if (head->body != HTTP_BODY_LENGTH) {
        loop_defer(r->loop, &r->over);
    } else if (r->has_size && head->length != r->size) {
        r->end.result = READBACK_WHOLE;
        r->end.size = head->length;
        loop_defer(r->loop, &r->over);
    } else {
        r->sum = body_sum_new(&(struct body_sum_spec){.workers = r->summers,
                                                      .loop = r->loop,
                                                      .has_length = true,
                                                      .length = head->length,
                                                      .progress = on_summed,
                                                      .arg = r});
    }
}

static size_t on_body(struct call *call, struct block *block, const char *data,
                      size_t len)
{
    struct readback *r = call_arg(call);

    if (!r->sum) /* what it says instead of the file */
        return len;
    r->waiting = !body_sum_room(r->sum, block);
    if (r->waiting)
        return 0;
    r->come += len;
    drip_add(&r->drip, len);
    body_sum_add(r->sum, block, data, len);
    return len;
}

static void on_slow(struct drip *drip)
{
    struct readback *r = container_of(drip, struct readback, drip);

    if (r->waiting)
        drip_start(drip, r->loop, on_slow);
    else
        finish(r);
}

static void on_done(struct call *call, enum call_result result)
{
    struct readback *r = call_arg(call);

    r->call = NULL;
    drip_stop(&r->drip);
    volumes_saw(r->volumes, (struct str){r->place, r->place_n}, result);
    loop_undefer(r->loop, &r->over);
    if (r->sum && result == CALL_OK) {
        end_file(r);
        return;
    }
    if (result == CALL_OK && r->status == 404)
        r->end.result = READBACK_MISSING;
    finish(r);
}

void readback_start(const struct readback_spec *spec,
                    void (*done)(void *arg, const struct readback_end *end), void *arg)
{
    static const struct call_ops ops = {
        .answer = on_answer, .body = on_body, .done = on_done};
    struct readback *r = stock_get(&readbacks);
    struct target target;

    memset(r, 0, sizeof(*r));
    r->done = done;
    r->arg = arg;
    r->volumes = spec->volumes;
    r->summers = spec->summers;
    r->over.run = on_over;
    r->end.result = READBACK_FAILED;
    r->has_size = spec->has_size;
    r->size = spec->size;
    r->place_n = spec->place.n;
    memcpy(r->place, spec->place.p, spec->place.n);
    target_of(&target, spec->place, spec->path);
    r->call = call_start(spec->client,
                         &(struct call_spec){.authority = target.authority,
                                             .method = STR("GET"),
                                             .target = target.path,
                                             .body = HTTP_BODY_NONE},
                         &ops, r);
    r->loop = call_loop(r->call);
    drip_start(&r->drip, r->loop, on_slow);
}
