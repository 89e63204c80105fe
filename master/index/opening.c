/* What comes before LevelDB opens the index: see opening.h. */
#include "master/index/opening.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "master/index/folder.h"

static void say_busy(const char *path, char *err, size_t errlen)
{
    snprintf(err, errlen, "index %s: another process has it open", path);
}

static void say_damaged(const char *path, const char *why, char *err, size_t errlen)
{
    snprintf(err, errlen,
             "index %s is damaged (%s): make it anew from the volumes with mkv rebuild",
             path, why);
    errno = EBADMSG;
}

bool opening_prepare(const char *path, int *lock_fd, char *err, size_t errlen)
{
    enum folder_state state = FOLDER_NEW;
    int r = folder_make(path);

    if (r == -EEXIST) {
        snprintf(
            err, errlen,
            "index %s: a rebuild was cut off as it put the new one in place: run mkv "
            "rebuild again",
            path);
        return false;
    }
    if (r != 0) {
        snprintf(err, errlen, "index %s: cannot make the folder: %s", path, strerror(-r));
        return false;
    }
    r = folder_lock(path, lock_fd);
    if (r == -EBUSY) {
        say_busy(path, err, errlen);
        return false;
    }
    if (r == 0)
        r = folder_look(path, &state);
    if (r != 0) {
        snprintf(err, errlen, "index %s: cannot write the folder: %s", path,
                 strerror(-r));
        return false;
    }
    if (state == FOLDER_LOST_CURRENT) {
        say_damaged(path, "it has data but no CURRENT", err, errlen);
        return false;
    }
    return true;
}

bool opening_met_damage(const char *message)
{
    static const char word[] = "Corruption: ";
    return strncmp(message, word, sizeof(word) - 1) == 0;
}

void opening_failed(const char *path, const char *message, char *err, size_t errlen)
{
    static const char io[] = "IO error: ";
    if (strstr(message, "already held by process") ||
        strstr(message, strerrordesc_np(EAGAIN)))
        say_busy(path, err, errlen);
    else if (strncmp(message, io, sizeof(io) - 1) == 0)
        snprintf(err, errlen, "index %s: %s", path, message + sizeof(io) - 1);
    else
        say_damaged(path, message, err, errlen);
}
