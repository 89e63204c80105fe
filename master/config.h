/* The command line of mkv: flags, their defaults, and what is wrong with them. */
#ifndef MASTER_CONFIG_H
#define MASTER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct config {
    const char *command;
    /* as in the Go program */
    const char *db;
    const char *fallback; /* "" for none */
    const char *volumes;
    int port; /* 0: the kernel chooses */
    int replicas;
    int subvolumes;
    int voltimeout_ms;
    bool protect;
    bool verbose;
    bool md5sum;
    /* ours */
    const char *bind;       /* "" for all addresses */
    const char *access_log; /* "" for none */
    const char *public_volumes;
    int answer_ms;
    int stall_ms;
    int drain_ms;
    int loops; /* 0: one per core */
    bool sync;
    int jobs;
    int jobs_rate;      /* 0: unbounded */
    const char *master; /* "" for none */
    bool repair;
    bool delete_orphans;
    int orphan_age_ms;
    int list_ms;
};

/* Strings point into argv. 0; 1 when help was asked for; -1 with one line in err. The
 * volume lists are volumes_new()'s to check. */
int config_read(int argc, char **argv, struct config *config, char *err, size_t errlen);
void config_help(FILE *out);

#endif
