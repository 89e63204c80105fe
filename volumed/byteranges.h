/* Several ranges of a file as one multipart/byteranges body. */
#ifndef VOLUMED_BYTERANGES_H
#define VOLUMED_BYTERANGES_H

#include "common/http/server.h"
#include "volumed/ranges.h"

struct byteranges;

/* Takes the descriptor and the ranges (malloc'ed). `type` is a constant. */
struct byteranges *byteranges_new(int fd, int64_t size, const char *type,
                                  struct range *ranges, int n, struct workers *readers);
/* The body's length, and the Content-Type of the whole (at most 80 bytes with NUL). */
int64_t byteranges_length(const struct byteranges *parts, char type[80]);
/* Sends the body to an answer that has begun; goes on by itself, and when told that there
 * is room. */
void byteranges_start(struct byteranges *parts, struct exchange *ex);
void byteranges_writable(struct byteranges *parts);
/* The exchange is over: frees the parts, now or when a read under way is done. */
void byteranges_leave(struct byteranges **parts);

#endif
