/*
 * How far long work has come, on standard error: a bar with rate and time left on a
 * terminal, a line every few seconds elsewhere. And the lines such work reports, which
 * must not run into the bar.
 */
#ifndef MASTER_JOBS_PROGRESS_H
#define MASTER_JOBS_PROGRESS_H

#include <stdint.h>

struct progress;

/* "what: 45 % …", of so many "units". Both outlive it. Never NULL. */
struct progress *progress_new(const char *what, const char *units);
/* Shows it when it is time to; cheap to call for every step. `part`: how much of the work
 * is done, 0 to 1. */
void progress_at(struct progress *progress, uint64_t done, double part);
/* Takes the bar away. */
void progress_free(struct progress **progress);

/* A line about the work (a log line of level warn), above the bar if there is one. */
__attribute__((format(printf, 2, 3))) void progress_report(struct progress *progress,
                                                           const char *fmt, ...);

/* "1,234,567". `out` has 32 bytes; returned. */
const char *progress_number(uint64_t n, char out[32]);
/* Per second, of a time in milliseconds. */
uint64_t progress_rate(uint64_t n, uint64_t ms);

#endif
