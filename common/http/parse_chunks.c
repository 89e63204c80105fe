/*
 * The framing of chunked bodies (RFC 9112 §7.1), by nginx's rules: what it takes volumed
 * must take, and what it refuses must be refused, or a body could end at different bytes
 * for the two. It never sees data, only eats what stands between it, so data is not
 * copied and can go from the socket's buffer straight to where it belongs.
 *
 * Size lines with their extensions and the trailer section are skipped, but bounded,
 * which they are not in nginx: a peer must not keep a connection busy without sending a
 * body.
 */
#include "common/http/parse.h"

#include "common/assure.h"
#include "common/hex.h"

enum state {
    SIZE_FIRST, /* the first digit of a size must come */
    SIZE,
    EXTENSION,
    SIZE_LF, /* the LF of a size line must come */
    DATA,    /* left > 0 */
    DATA_CR, /* the line end behind the data must come */
    DATA_LF,
    LAST_EXTENSION, /* the same three for the chunk of size 0 */
    LAST_LF,
    TRAILER, /* a trailer line begins, or the empty line */
    TRAILER_LINE,
    TRAILER_LF,
    END_LF, /* the LF of the empty line must come */
    END,
};

void http_chunks_init(struct http_chunks *c)
{
    *c = (struct http_chunks){.state = SIZE_FIRST};
}

bool http_chunks_end(const struct http_chunks *c)
{
    return c->state == END;
}

void http_chunks_took(struct http_chunks *c, uint64_t n)
{
    assure(c->state == DATA && n <= c->left);
    c->left -= n;
    if (c->left == 0) {
        c->state = DATA_CR;
        c->line = 0;
    }
}

ssize_t http_chunks_eat(struct http_chunks *c, const char *buf, size_t len)
{
    /* Sizes stay below 2^59, as in nginx: another digit, or the line's end, is
     * refused. */
    const uint64_t size_max = INT64_MAX / 16;
    const char *p = buf, *end = buf + len;
    uint8_t state = c->state;

    for (; p < end && state != DATA && state != END; p++) {
        char ch = *p;
        int digit;

        /* The limit is on a size line, and on all trailers together. */
        if (++c->line >
            (state < TRAILER ? (uint32_t)HTTP_LINE_MAX : (uint32_t)HTTP_HEAD_MAX))
            return -1;
        switch ((enum state)state) {
        case SIZE_FIRST:
            if ((digit = hex_value(ch)) < 0)
                return -1;
            c->size = (uint64_t)digit;
            state = SIZE;
            break;
        case SIZE:
            if (c->size > size_max)
                return -1;
            if ((digit = hex_value(ch)) >= 0)
                c->size = c->size * 16 + (uint64_t)digit;
            else if (ch == '\r')
                state = c->size ? SIZE_LF : LAST_LF;
            else if (ch == '\n')
                state = c->size ? DATA : TRAILER;
            else if (ch == ';' || ch == ' ' || ch == '\t')
                state = c->size ? EXTENSION : LAST_EXTENSION;
            else
                return -1;
            break;
        case EXTENSION:
            if (ch == '\r')
                state = SIZE_LF;
            else if (ch == '\n')
                state = DATA;
            break;
        case SIZE_LF:
            if (ch != '\n')
                return -1;
            state = DATA;
            break;
        case DATA_CR:
            if (ch == '\r')
                state = DATA_LF;
            else if (ch == '\n')
                state = SIZE_FIRST;
            else
                return -1;
            break;
        case DATA_LF:
            if (ch != '\n')
                return -1;
            state = SIZE_FIRST;
            break;
        case LAST_EXTENSION:
            if (ch == '\r')
                state = LAST_LF;
            else if (ch == '\n')
                state = TRAILER;
            break;
        case LAST_LF:
            if (ch != '\n')
                return -1;
            state = TRAILER;
            break;
        case TRAILER:
            if (ch == '\r')
                state = END_LF;
            else if (ch == '\n')
                state = END;
            else
                state = TRAILER_LINE;
            break;
        case TRAILER_LINE:
            if (ch == '\r')
                state = TRAILER_LF;
            else if (ch == '\n')
                state = TRAILER;
            break;
        case TRAILER_LF:
            if (ch != '\n')
                return -1;
            state = TRAILER;
            break;
        case END_LF:
            if (ch != '\n')
                return -1;
            state = END;
            break;
        case DATA:
        case END:
            assure(state != DATA && state != END);
        }
    }
    if (state == DATA && c->state != DATA)
        c->left = c->size; /* only now: a size half read is no data yet */
    c->state = state;
    return p - buf;
}
