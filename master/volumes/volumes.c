/*
 * The set of volumes. Names are kept byte for byte as given, for placement hashes them:
 * two spellings of one address are two volumes, as they are to the Go program.
 */
#include "master/volumes/volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assure.h"
#include "common/net.h"

enum {
    NAME_MAX_BYTES = 300, /* leaves room for the subvolume in a place */
    SUBVOLUME_TEXT = 12,  /* placement_subvolume()'s, NUL included */
    ATTEMPTS_MAX = 256,
};

_Static_assert(NAME_MAX_BYTES + SUBVOLUME_TEXT <= PLACE_MAX, "a place may be too long");

struct public_name {
    struct str name;
    struct str public;
};

struct volumes {
    int n;
    int replicas;
    int subvolumes;
    struct str *name;
    struct volume_health *health;
    int n_public;
    struct public_name *public;
    char *text[2]; /* what the names point into */
};

/* --- names ------------------------------------------------------------------------- */
/* NULL when the name can be asked over HTTP, else what is wrong with it. */
static const char *name_fault(struct str name)
{
    struct str authority, prefix;
    char host[NET_HOST_MAX + 1];
    int port;

    if (name.n == 0)
        return "is empty";
    if (name.n > NAME_MAX_BYTES)
        return "is longer than 300 bytes";
    if (memmem(name.p, name.n, "://", 3))
        return "has a scheme; it should be host:port or host:port/prefix";
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];

        /* The prefix goes into request lines and into Location as it is. */
        if (c <= ' ' || c >= 0x7f || strchr("?#\"<>\\@", c))
            return "has a character that no volume's name may have";
    }
    /* A record that began with it would be read as something else. */
    if (str_starts(name, STR("DELETED")) || str_starts(name, STR("HASH")))
        return "begins with DELETED or HASH, as records do";
    place_split(name, &authority, &prefix);
    if (net_split(authority, 80, host, &port) != 0)
        return "is not host:port or host:port/prefix";
    return NULL;
}

/* Cuts the next entry of a comma-separated list off; false at the end. */
static bool next_entry(struct str *rest, struct str *entry)
{
    const char *comma;

    if (!rest->p)
        return false;
    comma = memchr(rest->p, ',', rest->n);
    if (!comma) {
        *entry = *rest;
        rest->p = NULL;
        return true;
    }
    *entry = (struct str){rest->p, (size_t)(comma - rest->p)};
    rest->n -= entry->n + 1;
    rest->p = comma + 1;
    return true;
}

static bool list_fault(char *err, size_t errlen, const char *flag, struct str name,
                       const char *fault)
{
    snprintf(err, errlen, "%s: '%.*s' %s", flag, (int)(name.n < 400 ? name.n : 400),
             name.p, fault);
    return false;
}

static bool read_names(struct volumes *v, char *err, size_t errlen)
{
    struct str rest = str_of(v->text[0]), name;

    if (rest.n == 0) {
        snprintf(err, errlen, "need -volumes: host:port,… of the volume servers");
        return false;
    }
    while (next_entry(&rest, &name)) {
        const char *fault = name_fault(name);

        if (fault)
            return list_fault(err, errlen, "-volumes", name, fault);
        for (int i = 0; i < v->n; i++)
            if (str_eq(v->name[i], name))
                return list_fault(err, errlen, "-volumes", name, "is named twice");
        if (v->n == PLACEMENT_VOLUMES_MAX) {
            snprintf(err, errlen, "-volumes: more than %d", PLACEMENT_VOLUMES_MAX);
            return false;
        }
        v->name[v->n++] = name;
    }
    return true;
}

static bool read_public_names(struct volumes *v, char *err, size_t errlen)
{
    struct str rest = str_of(v->text[1]), entry;
    size_t room = 1;

    if (rest.n == 0)
        return true;
    for (size_t i = 0; i < rest.n; i++)
        room += rest.p[i] == ',';
    v->public = xcalloc(room, sizeof(*v->public));
    while (next_entry(&rest, &entry)) {
        const char *equals = memchr(entry.p, '=', entry.n);
        struct public_name *map = &v->public[v->n_public];
        const char *fault;

        if (!equals)
            return list_fault(err, errlen, "-public-volumes", entry,
                              "is not name=public");
        map->name = (struct str){entry.p, (size_t)(equals - entry.p)};
        map->public = (struct str){equals + 1, entry.n - map->name.n - 1};
        if ((fault = name_fault(map->name)) != NULL)
            return list_fault(err, errlen, "-public-volumes", map->name, fault);
        if ((fault = name_fault(map->public)) != NULL)
            return list_fault(err, errlen, "-public-volumes", map->public, fault);
        for (int i = 0; i < v->n_public; i++)
            if (str_eq(v->public[i].name, map->name))
                return list_fault(err, errlen, "-public-volumes", map->name,
                                  "is named twice");
        v->n_public++;
    }
    return true;
}

struct volumes *volumes_new(const char *list, int replicas, int subvolumes,
                            const char *public_names, char *err, size_t errlen)
{
    struct volumes *v = xcalloc(1, sizeof(*v));

    v->replicas = replicas;
    v->subvolumes = subvolumes;
    v->text[0] = xstrdup(list);
    v->text[1] = xstrdup(public_names);
    v->name = xcalloc(PLACEMENT_VOLUMES_MAX, sizeof(*v->name));
    v->health = volume_health_new(PLACEMENT_VOLUMES_MAX);

    if (!read_names(v, err, errlen) || !read_public_names(v, err, errlen))
        goto fail;
    if (replicas < 1 || replicas > RECORD_PLACES_MAX) {
        snprintf(err, errlen, "-replicas: %d is not within 1 to %d", replicas,
                 RECORD_PLACES_MAX);
        goto fail;
    }
    if (v->n < replicas) {
        snprintf(err, errlen, "%d volumes are fewer than the %d replicas", v->n,
                 replicas);
        goto fail;
    }
    if (subvolumes < 1 || subvolumes > SUBVOLUMES_MAX) {
        snprintf(err, errlen, "-subvolumes: %d is not within 1 to %d", subvolumes,
                 SUBVOLUMES_MAX);
        goto fail;
    }
    return v;

fail:
    volumes_free(&v);
    return NULL;
}

void volumes_free(struct volumes **volumes)
{
    struct volumes *v = *volumes;

    *volumes = NULL;
    if (!v)
        return;
    free(v->public);
    volume_health_free(&v->health);
    free(v->name);
    free(v->text[1]);
    free(v->text[0]);
    free(v);
}

int volumes_count(const struct volumes *volumes)
{
    return volumes->n;
}

int volumes_replicas(const struct volumes *volumes)
{
    return volumes->replicas;
}

struct str volumes_name(const struct volumes *volumes, int volume)
{
    assure(volume >= 0 && volume < volumes->n);
    return volumes->name[volume];
}

/* --- ranks and places -------------------------------------------------------------- */
void volumes_rank(const struct volumes *volumes, struct str key,
                  struct placement_rank *out)
{
    placement_rank(key, volumes->name, volumes->n, out);
}

size_t volumes_place(const struct volumes *volumes, const struct placement_rank *rank,
                     int attempt, char out[PLACE_MAX])
{
    struct str name = volumes_name(volumes, rank->volume);
    uint32_t n = (uint32_t)volumes->subvolumes;
    char subvolume[SUBVOLUME_TEXT];
    size_t len = 0;

    assure(attempt >= 0);
    if (attempt >= ATTEMPTS_MAX || (n > 1 && (uint32_t)attempt >= n))
        return 0;
    if (n > 1)
        len = placement_subvolume((rank->word % n + (uint32_t)attempt) % n, (int)n,
                                  subvolume);
    else if (attempt > 0)
        len = placement_subvolume((uint32_t)attempt - 1, ATTEMPTS_MAX, subvolume);
    assure(name.n + len < PLACE_MAX);
    memcpy(out, name.p, name.n);
    memcpy(out + name.n, subvolume, len);
    out[name.n + len] = '\0';
    return name.n + len;
}

bool volumes_balanced(const struct volumes *volumes, struct str key,
                      const struct record *record)
{
    struct placement_rank rank[PLACEMENT_VOLUMES_MAX];
    char home[PLACE_MAX];

    if (record->n != volumes->replicas)
        return false;
    volumes_rank(volumes, key, rank);
    for (int i = 0; i < volumes->replicas; i++) {
        size_t n = volumes_place(volumes, &rank[i], 0, home);

        if (!record_names(record, (struct str){home, n}))
            return false;
    }
    return true;
}

/* Does the place lie on the volume of that name? "a:1" holds "a:1" and "a:1/…", not
 * "a:11". */
static bool lies_on(struct str place, struct str name)
{
    return str_starts(place, name) && (place.n == name.n || place.p[name.n] == '/');
}

size_t volumes_public(const struct volumes *volumes, struct str place,
                      char out[PLACE_MAX])
{
    struct str head = {place.p, 0}, tail = place;
    size_t longest = 0;

    for (int i = 0; i < volumes->n_public; i++) {
        const struct public_name *map = &volumes->public[i];

        if (map->name.n > longest && lies_on(place, map->name)) {
            longest = map->name.n;
            head = map->public;
        }
    }
    tail.p += longest;
    tail.n -= longest;
    if (head.n + tail.n >= PLACE_MAX)
        return 0;
    memcpy(out, head.p, head.n);
    memcpy(out + head.n, tail.p, tail.n);
    out[head.n + tail.n] = '\0';
    return head.n + tail.n;
}

/* --- health ------------------------------------------------------------------------ */
/* Which volume the place lies on; -1: none in the list. */
static int volume_of(const struct volumes *volumes, struct str place)
{
    int found = -1;

    for (int i = 0; i < volumes->n; i++)
        if (lies_on(place, volumes->name[i]) &&
            (found < 0 || volumes->name[i].n > volumes->name[found].n))
            found = i;
    return found;
}

bool volumes_lists(const struct volumes *volumes, struct str place)
{
    return volume_of(volumes, place) >= 0;
}

bool volumes_well(const struct volumes *volumes, struct str place)
{
    int volume = volume_of(volumes, place);

    return volume < 0 || volume_health_well(volumes->health, volume);
}

struct volume_standing volumes_standing(const struct volumes *volumes, int volume)
{
    assure(volume >= 0 && volume < volumes->n);
    return volume_health_standing(volumes->health, volume);
}

void volumes_saw(struct volumes *volumes, struct str place, enum call_result result)
{
    int volume = volume_of(volumes, place);

    if (volume >= 0)
        volume_health_saw(volumes->health, volume, volumes->name[volume], result);
}

void volumes_write_failed(struct volumes *volumes, struct str place)
{
    volume_health_write_failed(volumes->health, place);
}

bool volumes_write_shunned(const struct volumes *volumes, struct str place)
{
    return volume_health_write_shunned(volumes->health, place);
}
