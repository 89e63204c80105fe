/* See client_config.h. */
#include "master/client_config.h"

enum {
    CONNECT_MS = 2000
}; /* one lost SYN; to a volume no more, since there are others */

void client_config(struct http_client_config *config, struct workers *lookups)
{
    http_client_defaults(config);
    config->agent = "mkv";
    config->lookups = lookups;
    config->connect_ms = CONNECT_MS;
}
