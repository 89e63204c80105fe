#include "common/http/request_log.h"

#include <inttypes.h>

#include "common/log.h"

void request_log(const struct exchange *ex, struct str path, struct str query)
{
    struct str method = exchange_head(ex)->method;
    struct exchange_stats stats;

    if (method.n == 0) /* nobody could make one out */
        method = STR("-");
    exchange_stats(ex, &stats);
    log_info("%.*s %.*s%.*s %d %" PRIu64 " bytes in, %" PRIu64 " out, %" PRIu64
             ".%03u ms",
             (int)method.n, method.p, (int)path.n, path.p, (int)query.n, query.p,
             stats.status, stats.body_in, stats.body_out, stats.micros / 1000,
             (unsigned)(stats.micros % 1000));
}
