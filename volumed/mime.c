/*
 * nginx's built-in types: what it serves where no types file is included, as is so with
 * the configuration volumed takes over from. Everything else is bytes.
 */
#include "volumed/mime.h"

const char *mime_type(struct str path)
{
    static const struct {
        struct str extension;
        const char *type;
    } types[] = {
        {STR_INIT("html"), "text/html"},
        {STR_INIT("gif"), "image/gif"},
        {STR_INIT("jpg"), "image/jpeg"},
    };

    /* A name that begins with its only dot has no extension. */
    for (size_t i = path.n; i > 2 && path.p[i - 1] != '/'; i--) {
        if (path.p[i - 1] != '.' || path.p[i - 2] == '/')
            continue;
        struct str extension = {path.p + i, path.n - i};
        for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++)
            if (str_caseeq(extension, types[t].extension))
                return types[t].type;
        break;
    }
    return "application/octet-stream";
}
