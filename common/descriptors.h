/*
 * Descriptors are what a server runs out of first. Connections get most of them; some are
 * kept, so that a request that is let in finds one for its file or its volume.
 */
#ifndef COMMON_DESCRIPTORS_H
#define COMMON_DESCRIPTORS_H

/* Raises the process's limit as far as it goes. Returns the number from which on
 * descriptors are not for connections. */
int descriptors_take(void);
/* The number that the next one would get: the kernel gives the lowest that is free, so a
 * high one says that most are taken. INT_MAX: there is none. */
int descriptors_next(void);

#endif
