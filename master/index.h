/*
 * The one door to what the master knows of keys. Behind it today: LevelDB (the only file
 * that knows it is leveldb.c), a writer thread that group-commits, and the table of
 * claims. Several masters on a distributed engine are to stand behind the same door
 * later, so nothing else holds truth about keys in memory, and calls take completions. A
 * completion may be called before the call returns. Only rebuild
 * (jobs/rebuild/) passes by the door: index/scratch.h sorts what it finds, and by
 * index/folder.h and index/folder_swap.h its index takes the place of the old one.
 *
 * What is kept for a key, besides its record:
 *   size, time  of a value whose record has an MD5. Believed only while that MD5 is the
 *               record's.
 *   marks       places that a PUT under way may be writing to ("named before it exists").
 *   removals    places to be cleared, until they are known to be.
 * A mark or removal whose place the record names does not count: the record holds. At
 * open, marks left by a crash become removals (late, see below), unless the record names
 * the place.
 *
 * All of that stands in LevelDB under keys that do not begin with '/', in values that
 * begin with neither HASH nor DELETED; docs/index.md says how.
 */
#ifndef MASTER_INDEX_H
#define MASTER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "common/str.h"
#include "master/record.h"

struct index;

struct index_options {
    const char *path;
    bool sync; /* false: writes are acknowledged before they are on disk */
};

/* Opens or creates. On error NULL, and err holds one line (a damaged index: one that
 * names rebuild, and errno is EBADMSG; one that another process holds: that). */
struct index *index_open(const struct index_options *options, char *err, size_t errlen);
/* Waits for the commits under way, syncs, closes. No claims may be held. 0 (NULL is closed
 * already); -errno, after a line in the log, when not all of it is on disk. */
int index_close(struct index **index);
/* The same, but nobody else can open it until the descriptor returned is closed. After
 * an error it is not kept either. */
int index_close_held(struct index **index);

/* --- reading ----------------------------------------------------------------------- */

/* How long a request that went unanswered may still arrive. */
enum { REMOVAL_LATE_SECONDS = 3600 };

struct removal {
    struct str place;
    int64_t due;  /* epoch seconds: not to be cleared before; 0: at once */
    int64_t late; /* epoch seconds: a request that went unanswered may still arrive until
                     then, so the place stays listed and is cleared once more after; 0:
                     none */
};

/* All that is known of a key. Owned by whoever was handed it. */
struct entry {
    struct record record; /* state RECORD_ABSENT when there is none */
    bool has_size;
    uint64_t size;
    int64_t time; /* epoch seconds of the PUT */
    int n_marks;
    struct str *mark;
    int n_removals;
    struct removal *removal;
    /* What all of it points into; the index's. */
    struct {
        char *stored; /* the record's text, LevelDB's */
        char *cached; /* or this: the same, copied from the cache */
        void *places; /* arrays and text of marks and removals */
    } text;
};

void entry_clear(struct entry *entry);
/* The removal of that place, or NULL. */
const struct removal *entry_removal(const struct entry *entry, struct str place);
/* Is the place marked, or to be cleared? */
bool entry_awaits(const struct entry *entry, struct str place);
/* Does anything name the place: record, mark or removal? Then no value may go there
 * (docs/writes.md, rule 2), and what lies there is somebody's. */
bool entry_names(const struct entry *entry, struct str place);

/* err: 0 (a key that is not there gives a record RECORD_ABSENT), or -EIO and the like:
 * the answer is then not known, which is neither "live" nor "absent" (503). The callee
 * owns *entry and clears it; after an error it is empty. */
typedef void index_got(void *arg, int err, struct entry *entry);

/* Record, size and time only (no marks, no removals). `loop`: where the completion
 * runs. */
void index_get(struct index *index, struct loop *loop, struct str key, index_got *got,
               void *arg);

/* The whole entry of a key (marks and removals too), read at once, without a claim: for
 * the piece that clears places. Any thread. 0 (the caller clears *entry) or -EIO. */
int index_entry(struct index *index, struct str key, struct entry *entry);

/* --- claims: one operation at a time on a key -------------------------------------- */
/* Takes the key and reads all of its entry. -EBUSY: somebody has it. On success the claim
 * is held until index_release. While it is held nobody else changes record or marks;
 * removals may go away meanwhile, none is added. Changes that were committed under the
 * claim before, and not yet applied when it was released, are in the entry: the
 * completion waits for them. */
void index_claim(struct index *index, struct loop *loop, struct str key, index_got *got,
                 void *arg);
void index_release(struct index *index, struct str key);

/* --- changes ----------------------------------------------------------------------- */
/* What is to change for one key, applied as a whole or not at all. */
struct change;

struct change *
change_new(struct str key); /* the key is copied, as are all strings below */
/* The record becomes this. `has_size`: size and time are kept with it (only if it has an
 * MD5). */
void change_record(struct change *change, const struct record *record, bool has_size,
                   uint64_t size, int64_t time);
/* There is no record any more. */
void change_drop_record(struct change *change);
void change_mark(struct change *change, struct str place);
/* All marks of the key end. */
void change_end_marks(struct change *change);
/* The place becomes a removal; one that is listed already gets this due and the later
 * `late`. */
void change_removal(struct change *change, struct str place, int64_t due, int64_t late);
/* The place is clear: no removal any more. */
void change_cleared(struct change *change, struct str place);
void change_free(struct change **change);

/* err: 0 the change is applied (and on disk, where `durable` and the index syncs);
 * otherwise it is not, now or later: -EIO, -ENOSPC … (the index takes no writes: 503). */
typedef void index_done(void *arg, int err);

/* Before loops run: what is committed for this loop from now on, on its own thread, goes
 * to the writer together at the end of the turn. As many loops as a service has at most
 * (LOOPS_MAX). */
void index_join(struct index *index, struct loop *loop);
/* On the loop's thread, or after it: nothing waits for the end of a turn any more. */
void index_part(struct index *index, struct loop *loop);

/* Commits in the order of the calls; what gathers while the last sync runs goes together
 * in the next batch. Takes the change. The completion (may be NULL) runs on `loop`, never
 * before this returns. durable=false: need not be synced (what is lost is done again). */
void index_commit(struct index *index, struct loop *loop, struct change **change,
                  bool durable, index_done *done, void *arg);

/* --- scans ------------------------------------------------------------------------- */
/* Records in key order from one snapshot. Steps read from disk where they must: callers
 * take a bounded number of steps per turn. */
struct scan;

/* Keys that begin with `prefix`, from `start` on (inclusive; before the prefix: from its
 * beginning). */
struct scan *index_scan(struct index *index, struct str prefix, struct str start);
/* 1: key and record (valid until the next call; records that do not parse are skipped and
 * logged); 0: the end; -EIO. */
int scan_next(struct scan *scan, struct str *key, struct record *record);
/* How many records have been skipped so far. */
uint64_t scan_unreadable(const struct scan *scan);
/* Back to the beginning, same snapshot. */
void scan_rewind(struct scan *scan);
void scan_free(struct scan **scan);

/* The first key that can come after this one, into `out` (room for PLACEMENT_KEY_MAX
 * bytes; `key` may lie there). Returns its length. */
size_t index_key_after(struct str key, char *out);

/* How many removals are listed now. Any thread. */
uint64_t index_removals(struct index *index);
/* Walks the removals in key order: the first key >= `from` (an inclusive byte string, ""
 * for the start) that has any. 1: *key (copied to keybuf, PLACEMENT_KEY_MAX bytes) and
 * *entry (the whole entry, record included; caller clears); 0: none; -EIO. */
int index_removals_next(struct index *index, struct str from, char *keybuf,
                        struct str *key, struct entry *entry);

#endif
