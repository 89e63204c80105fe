/*
 * GET /?volumes: what the master thinks of each volume, as JSON; docs/operation.md says
 * what the members mean. Placement does not depend on any of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/assure.h"
#include "common/json.h"
#include "master/operations.h"

static void write_volume(FILE *out, const struct volumes *volumes, int volume)
{
    struct str name = volumes_name(volumes, volume);
    struct volume_standing standing = volumes_standing(volumes, volume);
    char public[PLACE_MAX], text[JSON_STRING_MAX(PLACE_MAX)];
    size_t n = volumes_public(volumes, name, public);

    fprintf(out, "{\"name\":%.*s", (int)json_quote(name, text), text);
    fprintf(out, ",\"public\":%.*s", (int)json_quote((struct str){public, n}, text),
            text);
    fprintf(out, ",\"up\":%s", standing.well ? "true" : "false");
    if (!standing.well)
        fprintf(out, ",\"down_seconds\":%" PRIu64, standing.since_ms / 1000);
    fprintf(out, ",\"failures\":%" PRIu64, standing.failures);
    if (standing.last_end != CALL_OK)
        fprintf(out, ",\"last_failure\":\"%s\"", call_result_text(standing.last_end));
    fputc('}', out);
}

static void over(struct exchange *ex, enum exchange_end how)
{
    struct request *request = exchange_arg(ex);

    (void)how;
    request_free(&request);
}

void operation_volumes(struct request *request)
{
    static const struct exchange_ops ops = {.over = over};
    const struct master *master = request->shard->master;
    struct http_fields fields;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assure(out != NULL);
    exchange_own(request->ex, &ops, request);
    fputs("{\"volumes\":[", out);
    for (int i = 0; i < volumes_count(master->volumes); i++) {
        if (i > 0)
            fputc(',', out);
        write_volume(out, master->volumes, i);
    }
    fputs("]}\n", out);
    int closed = fclose(out);
    assure(closed == 0);
    http_fields_init(&fields);
    http_fields_add(&fields, "Content-Type", "application/json");
    exchange_reply(request->ex, 200, &fields, (struct str){text, n});
    free(text);
}
