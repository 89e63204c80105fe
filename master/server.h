/* `mkv server`: builds the master's parts, runs them, and closes them in order. */
#ifndef MASTER_SERVER_H
#define MASTER_SERVER_H

#include "master/config.h"

/* Returns the exit status: 0 after a drain, 1 when requests had to be cut at its limit;
 * with one line on standard error, 2 where the flags are wrong, 1 where the world is (a
 * port in use, an index that cannot be opened, a thread that cannot be started). */
int server_run(const struct config *config);

#endif
