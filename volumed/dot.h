/*
 * The dot folder at the top of a drive: where files under way are kept when O_TMPFILE
 * does not serve, and where a file that is to replace another takes its first name, since
 * a link can only be made where nothing is.
 */
#ifndef VOLUMED_DOT_H
#define VOLUMED_DOT_H

struct dot;

/* All of it may block: workers only (or before the loops run). `top` is the drive's, and
 * stays open as long as this is used. */
struct dot *dot_new(int top, const char *name);
void dot_free(struct dot **dot);

/* Empties and removes the folder, if it is there and no other process works in it. */
void dot_clear(struct dot *dot);
/* Can a file be made in it? 0 or -errno. */
int dot_try(struct dot *dot);
/* It is needed for every file: no use in removing it each time. */
void dot_keep(struct dot *dot);
/* The folder, made when need be: a descriptor that is valid until dot_put(), or -errno.
 * Once nobody has it the folder is removed again, unless it is kept. */
int dot_get(struct dot *dot);
void dot_put(struct dot *dot);

#endif
