/*
 * Copying a value from place to place: see copy.h.
 *
 * Neither side is trusted: the source's length is held against the size before anything
 * goes out, and its bytes against the MD5 before the last of them do.
 */
#include "master/value/copy.h"

#include <string.h>

#include "common/assure.h"
#include "common/log.h"
#include "common/stock.h"
#include "master/value/body_sum.h"
#include "master/value/drip.h"
#include "master/value/held.h"
#include "master/value/upload.h"
#include "master/volumes/target.h"

enum copy_state {
    COPY_ASKING,  /* the source has not answered yet; nothing goes to the target */
    COPY_FLOWING, /* the source's bytes go to the target but for the last piece */
    COPY_SUMMING, /* the last of them have come, and are being summed */
    COPY_ENDING,  /* all is checked and sent; the target's answer decides */
    COPY_OVER,    /* decided; the end of this turn cuts what is left and calls done() */
};

struct copy {
    enum copy_state state;
    void (*done)(void *arg, const struct copy_end *end);
    void *arg;
    struct http_client *client;
    struct volumes *volumes;
    struct workers *summers;
    struct loop *loop;
    int answer_ms;
    bool has_size;
    bool waiting; /* the source holds bytes back until target and sum have room */
    uint64_t size, come;
    char wanted[MD5_HEX + 1];
    struct body_sum *sum; /* from FLOWING to SUMMING */
    struct call *source;
    struct upload *target;
    uint64_t next; /* the number of the next piece to send */
    struct held held;
    struct drip drip; /* of the source */
    struct copy_end end;
    struct task over;
    size_t from_n, to_n, path_n;
    char from[PLACE_MAX];
    char to[PLACE_MAX];
    char path[PLACEMENT_PATH_MAX];
};

static _Thread_local struct stock copies = {.size = sizeof(struct copy)};

static void set_state(struct copy *c, enum copy_state to)
{
    static const unsigned may[] = {
        [COPY_ASKING] = 1U << COPY_FLOWING | 1U << COPY_OVER,
        [COPY_FLOWING] = 1U << COPY_SUMMING | 1U << COPY_OVER,
        [COPY_SUMMING] = 1U << COPY_ENDING | 1U << COPY_OVER,
        [COPY_ENDING] = 1U << COPY_OVER,
        [COPY_OVER] = 0,
    };

    assure(may[c->state] & 1U << to);
    c->state = to;
}

static struct str from_of(const struct copy *c)
{
    return (struct str){c->from, c->from_n};
}

static void copy_free(struct copy *c)
{
    drip_stop(&c->drip);
    if (c->source)
        call_cancel(&c->source);
    if (c->target)
        c->end.reached = upload_cancel(&c->target);
    held_clear(&c->held);
    body_sum_free(&c->sum);
    stock_put(&copies, c);
}

static void on_over(struct task *task)
{
    struct copy *c = container_of(task, struct copy, over);
    struct copy_end end = c->end;
    void (*done)(void *, const struct copy_end *) = c->done;
    void *arg = c->arg;

    copy_free(c);
    done(arg, &end);
}

/* The verdict. What it means for the calls is left to the end of the turn: a call is not
 * cut from within one of its own callbacks. */
static void finish(struct copy *c, enum copy_result result)
{
    set_state(c, COPY_OVER);
    c->end.result = result;
    c->end.size = c->come;
    loop_defer(c->loop, &c->over);
}

/* --- the target -------------------------------------------------------------------- */
static void send_pieces(struct copy *c, uint64_t before)
{
    for (; c->next < before; c->next++) {
        const struct held_piece *p = held_piece(&c->held, c->next);

        upload_send(c->target, p->block, p->data, p->len);
    }
    held_forget(&c->held, c->next);
}

static void on_room(void *arg)
{
    struct copy *c = arg;

    if (!c->waiting)
        return;
    c->waiting = false;
    if (c->state == COPY_FLOWING)
        call_resume(c->source);
}

static void on_uploaded(void *arg, const struct upload_end *end)
{
    struct copy *c = arg;

    c->target = NULL;
    c->end.reached = end->reached;
    c->end.answered = end->answered;
    if (c->state != COPY_OVER)
        finish(c, end->good ? COPY_DONE : end->local ? COPY_LOCAL : COPY_TARGET);
}

static void start_target(struct copy *c, uint64_t length)
{
    static const struct upload_ops ops = {.room = on_room, .done = on_uploaded};

    c->target = upload_start(&(struct upload_spec){.client = c->client,
                                                   .volumes = c->volumes,
                                                   .place = {c->to, c->to_n},
                                                   .path = {c->path, c->path_n},
                                                   .has_length = true,
                                                   .length = length,
                                                   .answer_ms = c->answer_ms},
                             &ops, c);
}

/* --- the source -------------------------------------------------------------------- */
static void refuse_source(struct copy *c)
{
    log_warn("%.*s cannot be copied from (status %d, %llu bytes)", (int)c->from_n,
             c->from, c->end.source_status, (unsigned long long)c->come);
    finish(c, COPY_SOURCE);
}

/* All of the source's bytes are here, and summed: are they the value? */
static bool is_value(struct copy *c)
{
    uint8_t sum[MD5_BYTES];

    body_sum_result(c->sum, sum);
    body_sum_free(&c->sum);
    md5_hex(sum, c->end.md5);
    if (c->has_size && c->come != c->size)
        return false;
    return c->wanted[0] == '\0' || strcmp(c->wanted, c->end.md5) == 0;
}

/* All has come. What is not summed yet is soon. */
static void end_source(struct copy *c)
{
    if (!body_sum_end(c->sum))
        return;
    if (!is_value(c)) {
        refuse_source(c);
        return;
    }
    send_pieces(c, held_end(&c->held));
    set_state(c, COPY_ENDING);
    upload_finish(c->target);
}

static void on_summed(void *arg)
{
    struct copy *c = arg;

    if (c->state == COPY_SUMMING)
        end_source(c);
    else
        on_room(c);
}

static void on_slow(struct drip *drip)
{
    struct copy *c = container_of(drip, struct copy, drip);

    if (c->state == COPY_FLOWING && c->waiting) /* for us, or the target and its limit */
        drip_start(drip, c->loop, on_slow);
    else if (c->state == COPY_FLOWING)
        refuse_source(c);
}

static void on_answer(struct call *call, const struct http_head *head)
{
    struct copy *c = call_arg(call);
    bool has_length = head->body == HTTP_BODY_LENGTH;

    c->end.source_status = head->status;
    /* Files have a length; what has none may be without end. */
    if (head->status != 200 || !has_length || (c->has_size && head->length != c->size)) {
        refuse_source(c);
        return;
    }
    set_state(c, COPY_FLOWING);
    c->sum = body_sum_new(&(struct body_sum_spec){.workers = c->summers,
                                                  .loop = c->loop,
                                                  .has_length = true,
                                                  .length = head->length,
                                                  .progress = on_summed,
                                                  .arg = c});
    start_target(c, head->length);
    drip_start(&c->drip, c->loop, on_slow);
}

static size_t on_body(struct call *call, struct block *block, const char *data,
                      size_t len)
{
    struct copy *c = call_arg(call);

    if (c->state != COPY_FLOWING)
        return 0;
    if (upload_full(c->target) || !body_sum_room(c->sum, block)) {
        c->waiting = true;
        return 0;
    }
    drip_add(&c->drip, len);
    c->come += len;
    if (c->has_size && c->come > c->size) {
        refuse_source(c);
        return 0;
    }
    body_sum_add(c->sum, block, data, len);
    held_add(&c->held, block, data, len);
    send_pieces(c, held_end(&c->held) - 1);
    return len;
}

static void on_source_done(struct call *call, enum call_result result)
{
    struct copy *c = call_arg(call);

    drip_stop(&c->drip);
    c->source = NULL;
    c->waiting = false;
    volumes_saw(c->volumes, from_of(c), result);
    if (c->state == COPY_OVER)
        return;
    if (result == CALL_OK && c->state == COPY_FLOWING) {
        set_state(c, COPY_SUMMING);
        end_source(c);
    } else if (result == CALL_LOCAL) {
        finish(c, COPY_LOCAL);
    } else {
        refuse_source(c);
    }
}

/* --- the door -------------------------------------------------------------------- */
struct copy *copy_start(const struct copy_spec *spec,
                        void (*done)(void *arg, const struct copy_end *end), void *arg)
{
    static const struct call_ops ops = {
        .answer = on_answer, .body = on_body, .done = on_source_done};
    struct copy *c = stock_get(&copies);
    struct target target;
    struct call_spec call_spec;

    assure(spec->from.n < PLACE_MAX && spec->to.n < PLACE_MAX);
    memset(c, 0, sizeof(*c));
    c->state = COPY_ASKING;
    c->done = done;
    c->arg = arg;
    c->client = spec->client;
    c->volumes = spec->volumes;
    c->summers = spec->summers;
    c->answer_ms = spec->answer_ms;
    c->has_size = spec->has_size;
    c->size = spec->size;
    memcpy(c->wanted, spec->md5, strlen(spec->md5) + 1);
    held_init(&c->held);
    c->over.run = on_over;
    c->from_n = spec->from.n;
    memcpy(c->from, spec->from.p, spec->from.n);
    c->to_n = spec->to.n;
    memcpy(c->to, spec->to.p, spec->to.n);
    c->path_n = spec->path.n;
    memcpy(c->path, spec->path.p, spec->path.n);

    target_of(&target, from_of(c), spec->path);
    call_spec = (struct call_spec){
        .authority = target.authority,
        .method = STR("GET"),
        .target = target.path,
        .body = HTTP_BODY_NONE,
    };
    c->source = call_start(spec->client, &call_spec, &ops, c);
    c->loop = call_loop(c->source);
    return c;
}

bool copy_cancel(struct copy **copy)
{
    struct copy *c = *copy;
    bool reached = c->end.reached;

    *copy = NULL;
    if (c->target)
        reached = upload_cancel(&c->target);
    if (c->state == COPY_OVER)
        loop_undefer(c->loop, &c->over);
    copy_free(c);
    return reached;
}
