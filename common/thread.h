/* Starting a thread. */
#ifndef COMMON_THREAD_H
#define COMMON_THREAD_H

#include <pthread.h>

/* `name` shows in ps and debuggers (at most 15 bytes). The thread takes no signals: they
 * are the main thread's business. 0 or -errno. */
int thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *arg);

#endif
