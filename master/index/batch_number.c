/* The number of the last batch, as text under a key of its own: see batch_number.h. */
#include "master/index/batch_number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "master/index/apply.h"

void batch_number_add(struct db_batch *batch, uint64_t number)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "batch %" PRIu64, number);
    db_batch_put(batch, INDEX_BATCH, (struct str){text, (size_t)n});
}

int batch_number_read(struct db *db, uint64_t *number)
{
    char *value;
    size_t len;
    *number = 0;
    int err = db_get(db, DB_WRITER, INDEX_BATCH, &value, &len);
    if (err != 0 || !value)
        return err;
    char text[32] = "";
    if (len < sizeof(text))
        memcpy(text, value, len);
    db_value_free(value);
    if (sscanf(text, "batch %" SCNu64, number) != 1)
        log_error("index: the number of the last batch does not read");
    return 0;
}
