/* `mkv server`: builds the master's parts, runs them, and closes them in order. */
#ifndef MASTER_SERVER_H
#define MASTER_SERVER_H

#include "master/config.h"

/* Returns the exit status: 0 after a drain; 2 with one line on standard error where the
 * flags are wrong, 1 where the world is (a port in use, an index that cannot be opened).
 */
int server_run(const struct config *config);

#endif
