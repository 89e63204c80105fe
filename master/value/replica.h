/*
 * One replica of a PUT: a place, and what is known of the new value there. It hides the
 * upstream call, or the copy from another replica, behind the states below; put.c decides
 * what is to happen, a replica tells when something has.
 */
#ifndef MASTER_VALUE_REPLICA_H
#define MASTER_VALUE_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/block.h"
#include "common/http/client.h"
#include "common/str.h"
#include "master/volumes/volumes.h"

enum replica_state {
    REPLICA_PROMISED, /* the place is chosen; nothing has gone out */
    REPLICA_TAKING, /* its call takes the body as it comes; the last byte is still here */
    REPLICA_ENDING, /* the last byte is out; the volume's answer decides */
    REPLICA_COPYING,   /* the value is on its way there from another replica */
    REPLICA_HOLDING,   /* the volume has acknowledged the value */
    REPLICA_UNTOUCHED, /* over: the volume never got the whole value, so nothing is
                        * there */
    REPLICA_SPOILT,    /* over: the value is there, or may come to be: to be cleared */
};

/* What all replicas of one PUT have in common. */
struct replica_env {
    struct http_client *client;
    struct volumes *volumes;
    struct workers *summers; /* of copies */
    struct str path;         /* the key's */
    bool has_length;         /* false: the client sends chunks, and so do we */
    uint64_t length;
    int answer_ms;
    void (*room)(void *arg);    /* connected, or more can be taken */
    void (*changed)(void *arg); /* the state has changed other than by the owner's call */
    void *arg;
};

struct replica;

/* PROMISED. `env` must outlive it. `rank`: the volume's, for the order in the record. */
struct replica *replica_new(const struct replica_env *env, struct str place, int rank);
/* Not while TAKING, ENDING or COPYING: see replica_stop(). */
void replica_free(struct replica **replica);

enum replica_state replica_state(const struct replica *replica);
struct str replica_place(const struct replica *replica);
int replica_rank(const struct replica *replica);
/* SPOILT: a request went unanswered and may still arrive. */
bool replica_late(const struct replica *replica);
/* Ended for want of our own descriptors or the like. */
bool replica_local(const struct replica *replica);
/* How often it went back to PROMISED because the replica it was copied from could not be
 * read. */
int replica_bad_sources(const struct replica *replica);

/* Which mark commit of the PUT named the place (the owner's to set and compare). */
unsigned replica_mark(const struct replica *replica);
void replica_note_mark(struct replica *replica, unsigned mark);

/* PROMISED → TAKING. The body goes out with replica_send(). */
void replica_take(struct replica *replica);
/* TAKING. The number of the next piece it is to be sent, and sending it. */
uint64_t replica_next(const struct replica *replica);
void replica_send(struct replica *replica, struct block *block, const char *data,
                  size_t len);
/* TAKING → ENDING: all pieces have been sent. */
void replica_finish(struct replica *replica);
bool replica_connected(const struct replica *replica);
bool replica_full(const struct replica *replica);

/* PROMISED → COPYING, from a place that holds the value. md5: hex, or "". */
void replica_copy(struct replica *replica, struct str from, uint64_t size,
                  const char *md5);

/* Gives it up, whatever it is doing: UNTOUCHED or SPOILT. No callback. */
void replica_stop(struct replica *replica);

#endif
