/*
 * HTTP/1.x syntax, and nothing else: bytes in, "need more" or a result or an error out.
 * No I/O, no allocation, no state beyond the structs given. Length, chunk and header
 * rules are nginx's, so that nothing can be smuggled between the two kinds of volume;
 * where a rule is RFC 9112's its section is named in the source.
 *
 * A parsed head holds pointers into the caller's bytes, which must stay where they are as
 * long as the head is used. Header fields are not stored: http_field() walks the bytes.
 */
#ifndef COMMON_HTTP_PARSE_H
#define COMMON_HTTP_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/str.h"

enum {
    HTTP_LINE_MAX = 8 * 1024,  /* request line, and any one header line (nginx: 8k) */
    HTTP_HEAD_MAX = 33 * 1024, /* the whole head (nginx: a buffer of 1k and four of 8k) */
};

enum http_body {
    HTTP_BODY_NONE,    /* no body: no framing given (request), or 204, 304, HEAD */
    HTTP_BODY_LENGTH,  /* exactly `length` bytes; 0 when Content-Length says 0 */
    HTTP_BODY_CHUNKED, /* chunks; see http_chunks */
    HTTP_BODY_CLOSE,   /* answers only: until the connection ends */
};

struct http_head {
    struct str method; /* requests */
    struct str target; /* requests: as sent, without an absolute form's scheme and host.
                          Begins with '/'; only for `http://host?query` with '?', where
                          the path is "/" all the same */
    struct str host;   /* requests: Host, or the authority of an absolute-form target */
    int status;        /* answers: 100–999 */
    int minor;         /* HTTP/1.minor; 0 also stands for HTTP/0.9 requests */
    bool too_large;    /* refused requests: it is the head as a whole, or a line of it */
    bool http_09;      /* requests: no version, no fields; the answer is its body alone */
    enum http_body body;
    uint64_t length; /* what Content-Length says, below 2^63; also where there is no body
                        (an answer to HEAD, 304) */
    bool has_length; /* there is a Content-Length */
    bool keep_alive; /* what the peer wants or allows, version default included */
    bool expect_continue; /* requests: Expect: 100-continue, HTTP/1.1 */
    struct str fields;    /* all header lines, as they came */
    uint64_t names;       /* a mark for each of their names: http_field()'s */
};

/*
 * Parses one head from buf[0..len). `*seen` is the caller's, 0 for a fresh head, and
 * keeps the work done over calls with more bytes of the same head (it is no offset, and
 * buf may move in between). Returns
 * - more than 0: the bytes of the head, with its empty line, and with the empty lines in
 *   front of it; *head is valid;
 * - 0: more bytes are needed;
 * - -1: refused. head->status is then the HTTP status to answer with (400, 405, 414, 501
 *   or 505), and method, target and http_09 are what could be read of them, or empty. The
 *   connection must be closed after the answer.
 * How the bytes are cut makes no difference to the result, and with HTTP_HEAD_MAX bytes
 * the result is never 0.
 */
ssize_t http_parse_request(const char *buf, size_t len, size_t *seen,
                           struct http_head *head);

/* The same for an answer; `to_head`: the request was a HEAD, so there is no body. -1: not
 * HTTP, or not clear where its body ends. 1xx answers are returned as any other (body
 * NONE), but 101 is refused. */
ssize_t http_parse_answer(const char *buf, size_t len, size_t *seen, bool to_head,
                          struct http_head *head);

/* Walks the header fields: *pos starts at 0. false at the end. Values are trimmed of
 * spaces; lines that nginx ignores (names not all of letters, digits and '-') are
 * skipped. */
bool http_field_next(const struct http_head *head, size_t *pos, struct str *name,
                     struct str *value);
/* One bit of http_head.names, by the name's length and first letter (any case). */
static inline uint64_t http_name_mark(struct str name)
{
    unsigned first = name.n ? (uint8_t)name.p[0] & 31 : 0;
    return UINT64_C(1) << ((name.n + 5 * first) & 63);
}
/* http_field() where the name's mark says that it may be there. */
bool http_field_walk(const struct http_head *head, struct str name, struct str *value);
/* The first field of that name (any case); false when there is none, which of most names
 * their mark tells without a walk. */
static inline bool http_field(const struct http_head *head, struct str name,
                              struct str *value)
{
    *value = (struct str){NULL, 0};
    return (head->names & http_name_mark(name)) && http_field_walk(head, name, value);
}

/* --- chunked bodies ----------------------------------------------------------------- */
struct http_chunks {
    uint64_t left; /* bytes of data left in this chunk; 0 while framing is read */
    uint64_t size; /* of the chunk whose size line is being read */
    uint32_t line; /* bytes seen of the size line or trailer (bounded) */
    uint8_t state;
};

void http_chunks_init(struct http_chunks *c);
/*
 * Takes framing and data from buf[0..len): eats framing, stops in front of data. Returns
 * the bytes of framing eaten, or -1 when it is malformed. Then
 * - c->left > 0: that many data bytes follow: take n of them, then http_chunks_took(c,
 * n);
 * - http_chunks_end(c): the body is over (trailers eaten);
 * - otherwise: more bytes are needed.
 */
ssize_t http_chunks_eat(struct http_chunks *c, const char *buf, size_t len);
void http_chunks_took(struct http_chunks *c, uint64_t n);
bool http_chunks_end(const struct http_chunks *c);

/* --- small syntax used by both sides ------------------------------------------------ */
/* %XX decoding of in[0..n) to out (at least n bytes). Returns the length, or -1 when a %
 * is not followed by two hex digits. '+' stands for itself. */
ssize_t http_percent_decode(struct str in, char *out);
/* The inverse, as a path of a request line wants it: all but letters, digits and -._~/
 * becomes %XX. `out` has room for 3 * in.n bytes; returns the length. */
size_t http_percent_encode(struct str in, char *out);
/* Decimal digits only, the whole of s, no overflow; false otherwise. */
bool http_parse_u64(struct str s, uint64_t *out);
/* The three HTTP dates (RFC 9110 §5.6.7) → seconds of the epoch; -1 when it is none. Read
 * as leniently as nginx does: neither weekday nor what follows the date is looked at. */
int64_t http_parse_date(struct str s);
/* "Sun, 06 Nov 1994 08:49:37 GMT"; writes 29 bytes and a NUL. */
void http_format_date(int64_t t, char out[30]);
/* "Not Found" for 404; "" for one that has no name. */
const char *http_reason(int status);

#endif
