/*
 * The replicas of one PUT as a whole: which places are tried, that each is marked in the
 * index before its last byte goes out, that one lost is replaced, and what is left behind
 * at the end. put.c decides when the value is whole, when it is committed and when all is
 * undone.
 *
 * A replica that is over is replaced by the next choice: with the held body where its
 * beginning is still there, otherwise by a copy from a replica that holds the value, once
 * there is one.
 */
#ifndef MASTER_VALUE_REPLICA_SET_H
#define MASTER_VALUE_REPLICA_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block.h"
#include "master/index.h"
#include "master/master.h"
#include "master/value/held.h"

struct replica_set;

struct replica_set_spec {
    struct shard *shard;
    struct str key;
    const struct entry *entry; /* what is known of the key, under its claim */
    struct held *held;         /* the body */
    bool has_length;           /* false: the client sends chunks, and so do we */
    uint64_t length;
    /* Something has happened; what follows is decided by replica_set_mend(). `err`: 0, or
     * the index did not take a mark and will take nothing. Never from within a call. */
    void (*changed)(void *arg, int err);
    void *arg;
};

/* Key, entry and held body must outlive it. No place is chosen yet. */
struct replica_set *replica_set_new(const struct replica_set_spec *spec);
/* Only when nothing is under way: after replica_set_stop(), or with all replicas holding.
 * No mark may be on its way to the index (a commit that has completed came after them
 * all). */
void replica_set_free(struct replica_set **set);

enum replica_set_state {
    REPLICA_SET_GOING, /* as many as there should be are under way or hold the value */
    REPLICA_SET_HELD,  /* all hold it */
    REPLICA_SET_FEW,   /* too few volumes are left */
    REPLICA_SET_LOST,  /* no replica has the body from its start, or can be read */
    REPLICA_SET_LOCAL, /* we are out of descriptors or the like */
};

/* Chooses the first places, replaces what is lost, starts the copies that can be. As long
 * as the body is small and not `complete` it does nothing, so that such a one that is cut
 * off has touched neither index nor volume. size, md5 (hex or ""): of the value, for
 * copies; they begin only when the body is complete. */
enum replica_set_state replica_set_mend(struct replica_set *set, bool complete,
                                        uint64_t size, const char *md5);
/* Sends what may be sent of the held body: all but the last piece, and that as well where
 * the body is complete (and found right) and the place durably marked; a small body only
 * then. Returns whether any last byte has gone out. */
bool replica_set_send(struct replica_set *set, bool complete);
/* Can a piece of that block be held and sent? NULL: any piece. */
bool replica_set_room(const struct replica_set *set, const struct block *block);

/* Gives all up. */
void replica_set_stop(struct replica_set *set);
/* Has the index been asked to name any place? */
bool replica_set_marked(const struct replica_set *set);
/* The places that hold the value, best rank first. */
void replica_set_places(const struct replica_set *set, struct record *record);
/* Places of replicas that are over and may have left something behind: fills `place`
 * (room for volumes_count()) and returns their number. */
int replica_set_spoilt(const struct replica_set *set, struct str *place);
/* Makes them removals, `due` as removals_due() has it, and ends the marks. */
void replica_set_settle(const struct replica_set *set, int64_t due,
                        struct change *change);

#endif
