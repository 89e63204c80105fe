/* The parts of a target: see query.h. */
#include "master/query.h"

/* Cuts off what comes before the first `mark`, which is left out; without one, all. */
static struct str cut(struct str *rest, char mark)
{
    const char *at = rest->n == 0 ? NULL : memchr(rest->p, mark, rest->n);
    struct str part = *rest;

    if (!at) {
        *rest = STR("");
        return part;
    }
    part.n = (size_t)(at - part.p);
    rest->p += part.n + 1;
    rest->n -= part.n + 1;
    return part;
}

void query_split(struct str target, struct str *path, struct str *query)
{
    *path = cut(&target, '?');
    *query = target;
}

bool query_next(struct str *query, struct str *parameter)
{
    if (query->n == 0)
        return false;
    *parameter = cut(query, '&');
    return true;
}
