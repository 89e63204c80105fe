/*
 * From a request's head to the file that answers it: the target is made a path, and the
 * method picks. Also requests that were refused as malformed get their page here.
 */
#include <string.h>

#include "volumed/answer.h"
#include "volumed/footing.h"
#include "volumed/path.h"
#include "volumed/volumed.h"

static void refuse(struct exchange *ex, int status)
{
    answer_own(ex);
    answer_page(ex, status, NULL);
}

/* Does the path lead into a drive's dot folder? */
static bool is_reserved(const struct path *path)
{
    struct str piece;
    const char *rest = path->z + 1;
    size_t n = sizeof(DOT_FOLDER) - 1;
    path_subvolume(path, &piece, &rest);
    return strncmp(rest, DOT_FOLDER, n) == 0 && (rest[n] == '/' || rest[n] == '\0');
}

void route_request(void *ctx, struct exchange *ex)
{
    struct shard *shard = ctx;
    const struct http_head *head = exchange_head(ex);
    struct str method = head->method;
    struct path path;

    if (path_parse(head->target, &path)) {
        refuse(ex, 400);
        return;
    }
    bool get = str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
    bool put = str_eq(method, STR("PUT"));
    if (is_reserved(&path))
        refuse(ex, put ? 403 : 404);
    else if (get || str_eq(method, STR("POST")))
        get_answer(shard, ex, &path);
    else if (put)
        put_answer(shard, ex, &path);
    else if (str_eq(method, STR("DELETE")))
        delete_answer(shard, ex, &path);
    else
        refuse(ex, 405);
}

void route_refused(void *ctx, struct exchange *ex, int status)
{
    (void)ctx;
    answer_page(ex, status, NULL);
}
