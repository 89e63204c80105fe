/* What the calls of all commands have in common, to volumes or to a master. */
#ifndef MASTER_CLIENT_CONFIG_H
#define MASTER_CLIENT_CONFIG_H

#include "common/http/client.h"

/* The client's defaults, and what they are here. `lookups` resolves names, and outlives
 * the client. */
void client_config(struct http_client_config *config, struct workers *lookups);

#endif
