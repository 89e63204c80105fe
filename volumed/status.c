/*
 * One function maps errno to an HTTP status and a log level, and all use it. The statuses
 * are nginx's but for what it lumps into 500: a full drive (507), a read-only one and a
 * missing permission to write (403), and what may be otherwise in a moment (503).
 */
#include "volumed/status.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "common/assure.h"
#include "common/clock.h"
#include "common/log.h"

/* Once a second: every request meets it then, and a line for each would be a flood. */
static bool seldom(void)
{
    static atomic_uint_fast64_t last;
    uint64_t now = clock_coarse_ms(), before = atomic_load(&last);
    return now - before >= 1000 && atomic_compare_exchange_strong(&last, &before, now);
}

static int map(enum deed deed, int err, enum log_level *level)
{
    *level = LOG_LEVEL_DEBUG;
    switch (err) {
    case ENOENT:
        if (deed != DEED_WRITE)
            return 404;
        break; /* the folders are made: it vanished under our hands */
    case ENAMETOOLONG:
        if (deed != DEED_WRITE)
            return 404;
        *level = LOG_LEVEL_WARN; /* the client's doing, though nginx says 500 */
        return 500;
    case ENOTDIR:
        if (deed == DEED_READ)
            return 404;
        if (deed == DEED_DELETE)
            return 409;
        *level = LOG_LEVEL_WARN;
        return 500;
    case EISDIR:
        return 409;
    case ELOOP:
    case EMLINK:
        *level = LOG_LEVEL_WARN;
        return deed == DEED_READ ? 403 : 500;
    case EXDEV: /* a link that leads outside */
    case EACCES:
    case EPERM:
        *level = LOG_LEVEL_WARN;
        return 403;
    case EROFS:
        *level = LOG_LEVEL_ERROR;
        return 403;
    case ENOSPC:
    case EDQUOT:
        *level = LOG_LEVEL_ERROR;
        return 507;
    case ECANCELED: /* the drive hangs; its own line says so */
        return 503;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        *level = seldom() ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG;
        return 503;
    default:
        break;
    }
    *level = LOG_LEVEL_ERROR;
    return 500;
}

int status_of(enum deed deed, int err, struct str path)
{
    static const char *const deeds[] = {"read", "write", "delete"};
    enum log_level level;
    assure(err > 0);
    int status = map(deed, err, &level);
    if (log_on(level))
        log_line(level, "cannot %s %.*s: %s", deeds[deed],
                 path.n > 512 ? 512 : (int)path.n, path.p,
                 err == EXDEV ? "a link leads outside" : strerror(err));
    return status;
}

void status_log(enum deed deed, int err, struct str path)
{
    (void)status_of(deed, err, path);
}
