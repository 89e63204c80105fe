/*
 * The end of a LevelDB log after a power cut.
 *
 * The last batch may have reached the disk in parts: the file as long as it should be,
 * with a hole where a page is missing. It was not acknowledged, but with paranoid checks
 * LevelDB refuses the whole database for it. Nothing is written after a durable batch
 * before its sync is over, so damage with no whole record behind it is such a tail and
 * can go; damage with one behind it is in what was acknowledged, and must not be passed
 * over.
 */
#ifndef MASTER_INDEX_LOG_TAIL_H
#define MASTER_INDEX_LOG_TAIL_H

#include <sys/types.h>

/* Judges the log open as fd. 0: nothing is wrong with it; 1: its records are whole up to
 * *cut, and torn from there to the end; -EBADMSG: damaged before its end; another
 * -errno. */
int log_tail_judge(int fd, off_t *cut);

/* Cuts the torn tail of the newest log in the folder, keeping the whole log beside it
 * with ".torn" appended to its name. 1: cut, and said so in a log line; 0: there is
 * nothing to cut; -errno. */
int log_tail_cut(const char *folder);

#endif
