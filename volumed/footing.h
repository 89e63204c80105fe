/*
 * A footing: what the name of a drive leads to now. A descriptor of its top folder, and
 * what is known of that file system. Requests hold a reference while they work; a drive
 * that is replaced gets a new footing, and requests under way keep the old one.
 */
#ifndef VOLUMED_FOOTING_H
#define VOLUMED_FOOTING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct footing;
struct durable;

/* The dot folder at a drive's top, for files under way where O_TMPFILE does not serve and
 * for those that replace another. Listings hide it, requests cannot reach into it. */
#define DOT_FOLDER ".volumed"

/* Which folder of which mount: what changes when a drive is replaced. */
struct identity {
    uint64_t dev, ino, mount;
};
/* Of the folder that a name leads to (an empty one: of dirfd itself). May block. 0 or
 * -errno. */
int identity_of(int dirfd, const char *name, struct identity *out);
bool identity_same(const struct identity *a, const struct identity *b);

/* Opens the folder and clears its dot folder. Workers only. 0 with a reference, or
 * -errno. */
int footing_open(int dirfd, const char *name, struct footing **out);
struct footing *footing_ref(struct footing *footing);
void footing_unref(struct footing *footing); /* any thread; NULL is fine */
/* Is the caller's reference the only one? */
bool footing_sole(const struct footing *footing);

int footing_fd(const struct footing *footing);
/* Does all of a file that lies on the device `dev` stand in memory, as far as that is
 * known here: is it the drive's own file system, a tmpfs? */
bool footing_in_memory(const struct footing *footing, dev_t dev);
const struct identity *footing_identity(const struct footing *footing);
struct durable *footing_durable(const struct footing *footing);
/* Exchanges what is known of its folders; what is given is of the same folder. Only while
 * the footing is known to nobody else. */
struct durable *footing_swap_durable(struct footing *footing, struct durable *durable);

/* Is its own name in the folder served on disk? */
bool footing_named(const struct footing *footing);
void footing_set_named(struct footing *footing);

/* O_TMPFILE does not serve there. Once said it is remembered. */
bool footing_without_tmpfile(const struct footing *footing);
void footing_no_tmpfile(struct footing *footing);

/* The dot folder, made when need be: a descriptor that is valid until footing_dot_done(),
 * or -errno. Workers only. */
int footing_dot(struct footing *footing);
void footing_dot_done(struct footing *footing);
/* Can files be made on it? 0 or -errno. May block. */
int footing_try(struct footing *footing);

#endif
