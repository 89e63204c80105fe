/*
 * The access log: one line a request, in the format that nginx calls "combined". Logging
 * never blocks: lines are gathered in memory, and a thread of the log's own writes them.
 */
#ifndef COMMON_HTTP_ACCESS_LOG_H
#define COMMON_HTTP_ACCESS_LOG_H

#include <stddef.h>

#include "common/http/server.h"

struct access_log;

/* Appends to the file, made when it is not there; "-" is standard output. May block. NULL:
 * err holds one line. */
struct access_log *access_log_open(const char *path, char *err, size_t errlen);
/* Writes what has gathered, for as long as that takes but some seconds at most. */
void access_log_close(struct access_log **log);

/* An exchange that is over. Any thread; never blocks, takes no memory. */
void access_log_add(struct access_log *log, const struct exchange *ex);
/* The file was renamed: what was added so far goes to where it is now, the rest to a new
 * one of the old name. Any thread, never blocks. */
void access_log_reopen(struct access_log *log);

#endif
