/*
 * The entry points of the operations, one per file. Each is called on the exchange's loop
 * from on_request, owns the request, and must call exchange_own() before it returns.
 */
#ifndef MASTER_OPERATIONS_H
#define MASTER_OPERATIONS_H

#include "master/master.h"

void operation_get(struct request *request);       /* get.c: GET, HEAD without a query */
void operation_list(struct request *request);      /* list.c: ?list, ?unlinked */
void operation_put(struct request *request);       /* put.c */
void operation_delete(struct request *request);    /* delete.c */
void operation_unlink(struct request *request);    /* link.c */
void operation_relink(struct request *request);    /* link.c */
void operation_rebalance(struct request *request); /* rebalance.c: one key */

void operation_volumes(struct request *request); /* show_volumes.c: /?volumes */

/* jobs/requests.c */
void operation_jobs(struct request *request);            /* GET /?jobs */
void operation_start_rebalance(struct request *request); /* POST /?rebalance */
void operation_start_verify(struct request *request);    /* POST /?verify */
void operation_stop_jobs(struct request *request);       /* DELETE /?jobs */

#endif
