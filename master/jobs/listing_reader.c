/*
 * A scanner of one format rather than a JSON library: what there is for C either wants
 * the whole document (a folder may hold a million entries) or refuses names that are not
 * UTF-8, which nginx sends as they are. An array of objects of plain values is taken, in
 * any order and with fields we do not know; anything else is no listing.
 */
#include "master/jobs/listing_reader.h"

#include <stdlib.h>

#include "common/assure.h"
#include "common/hex.h"
#include "common/http/parse.h"

enum {
    TEXT_MAX = 1024, /* bytes of one value; file names have at most 255 */
};

enum state {
    AT_START,       /* '[' must come */
    AT_FIRST_ENTRY, /* '{' or ']' */
    AT_ENTRY,       /* '{' */
    AT_FIELD,       /* '"' */
    IN_FIELD,       /* within a field's name */
    AT_COLON,
    AT_VALUE,
    IN_STRING,
    IN_WORD,     /* a number, true, false or null */
    AFTER_VALUE, /* ',' or '}' */
    AFTER_ENTRY, /* ',' or ']' */
    AT_END,      /* nothing but white space */
    BROKEN,
};

enum field {
    FIELD_NAME,
    FIELD_TYPE,
    FIELD_MTIME,
    FIELD_SIZE,
    FIELDS,
    FIELD_OTHER = FIELDS
};

struct listing_reader {
    enum state state;
    enum field field;
    unsigned seen;   /* fields of this entry, as bits */
    bool escape;     /* the last byte was a '\\' */
    unsigned digits; /* of a \uXXXX still to come */
    unsigned unit;   /* what came of it */
    unsigned high;   /* the first half of a pair, whose second must follow; or 0 */
    size_t text_n;
    char text[TEXT_MAX + 1]; /* of a field's name, a string or a word */
    size_t name_n;
    char name[TEXT_MAX];
    struct listing_entry entry;
};

struct listing_reader *listing_reader_new(void)
{
    return xcalloc(1, sizeof(struct listing_reader));
}

void listing_reader_free(struct listing_reader **reader)
{
    free(*reader);
    *reader = NULL;
}

void listing_reader_restart(struct listing_reader *r)
{
    r->state = AT_START;
}

bool listing_reader_ended(const struct listing_reader *r)
{
    return r->state == AT_END;
}

/* --- strings ----------------------------------------------------------------------- */

static void begin_text(struct listing_reader *r)
{
    r->text_n = 0;
    r->escape = false;
    r->digits = 0;
    r->high = 0;
}

/* Where there is no room left the text is too long, which full() tells. */
static void add_byte(struct listing_reader *r, unsigned byte)
{
    if (r->text_n < sizeof(r->text))
        r->text[r->text_n++] = (char)byte;
}

static bool full(const struct listing_reader *r)
{
    return r->text_n > TEXT_MAX;
}

static void add_character(struct listing_reader *r, unsigned c)
{
    if (c < 0x80) {
        add_byte(r, c);
        return;
    }
    if (c < 0x800) {
        add_byte(r, 0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            add_byte(r, 0xe0 | c >> 12);
        } else {
            add_byte(r, 0xf0 | c >> 18);
            add_byte(r, 0x80 | (c >> 12 & 0x3f));
        }
        add_byte(r, 0x80 | (c >> 6 & 0x3f));
    }
    add_byte(r, 0x80 | (c & 0x3f));
}

/* One \uXXXX is complete. false: it stands for nothing. */
static bool add_unit(struct listing_reader *r)
{
    unsigned unit = r->unit;

    if (r->high != 0) {
        if (unit < 0xdc00 || unit > 0xdfff)
            return false;
        add_character(r, 0x10000 + ((r->high - 0xd800) << 10) + (unit - 0xdc00));
        r->high = 0;
    } else if (unit >= 0xd800 && unit <= 0xdbff) {
        r->high = unit;
    } else if (unit >= 0xdc80 && unit <= 0xdcff) {
        add_byte(r, unit & 0xff);
    } else if (unit >= 0xdc00 && unit <= 0xdfff) {
        return false;
    } else {
        add_character(r, unit);
    }
    return true;
}

/* The byte behind a '\\'. */
static bool take_escape(struct listing_reader *r, char c)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";

    r->escape = false;
    if (c == 'u') {
        r->digits = 4;
        r->unit = 0;
        return true;
    }
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    if (!letter || r->high != 0)
        return false;
    add_byte(r, (unsigned char)meant[letter - letters]);
    return true;
}

/* One byte within a string that is not its end. */
static bool take_string(struct listing_reader *r, char c)
{
    if (r->digits > 0) {
        int value = hex_value(c);
        if (value < 0)
            return false;
        r->unit = r->unit << 4 | (unsigned)value;
        return --r->digits > 0 || add_unit(r);
    }
    if (r->escape)
        return take_escape(r, c);
    if (c == '\\') {
        r->escape = true;
        return true;
    }
    if ((unsigned char)c < 0x20 || r->high != 0)
        return false;
    add_byte(r, (unsigned char)c);
    return true;
}

static bool ends_string(const struct listing_reader *r, char c)
{
    return c == '"' && !r->escape;
}

/* --- values ------------------------------------------------------------------------ */

static bool know_field(struct listing_reader *r)
{
    static const struct str names[FIELDS] = {STR_INIT("name"), STR_INIT("type"),
                                             STR_INIT("mtime"), STR_INIT("size")};
    struct str text = {r->text, r->text_n};

    if (r->high != 0 || r->digits > 0)
        return false;
    r->field = FIELD_OTHER;
    for (int i = 0; i < FIELDS; i++)
        if (str_eq(text, names[i]))
            r->field = (enum field)i;
    if (r->field == FIELD_OTHER)
        return true;
    bool again = r->seen >> r->field & 1;
    r->seen |= 1U << r->field;
    return !again;
}

static bool is_name(struct str s)
{
    return s.n > 0 && !memchr(s.p, '/', s.n) && !memchr(s.p, '\0', s.n) &&
           !str_eq(s, STR(".")) && !str_eq(s, STR(".."));
}

/* A string is complete. */
static bool keep_string(struct listing_reader *r)
{
    struct str text = {r->text, r->text_n};

    if (r->high != 0 || r->digits > 0)
        return false;
    if (r->field == FIELD_OTHER)
        return true;
    if (r->field == FIELD_SIZE)
        return false;
    if (r->field == FIELD_NAME) {
        if (!is_name(text))
            return false;
        memcpy(r->name, text.p, text.n);
        r->name_n = text.n;
    } else if (r->field == FIELD_TYPE) {
        r->entry.kind = str_eq(text, STR("directory")) ? LISTED_FOLDER
                        : str_eq(text, STR("file"))    ? LISTED_FILE
                                                       : LISTED_OTHER;
    } else {
        int64_t t = http_parse_date(text);
        r->entry.mtime = t > 0 ? t : 0;
    }
    return true;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '+' || c == '.';
}

/* A word is complete. */
static bool keep_word(struct listing_reader *r)
{
    uint64_t n = 0;

    if (r->field == FIELD_OTHER)
        return true;
    if (r->field != FIELD_SIZE)
        return false;
    for (size_t i = 0; i < r->text_n; i++) {
        unsigned digit = (unsigned)(unsigned char)r->text[i] - '0';
        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    r->entry.size = n;
    return true;
}

static bool entry_is_whole(const struct listing_reader *r)
{
    unsigned need = 1U << FIELD_NAME | 1U << FIELD_TYPE;

    if (r->seen >> FIELD_TYPE & 1 && r->entry.kind == LISTED_FILE)
        need |= 1U << FIELD_SIZE;
    return (r->seen & need) == need;
}

/* --- the structure ----------------------------------------------------------------- */

static enum state begin_entry(struct listing_reader *r)
{
    r->seen = 0;
    r->entry = (struct listing_entry){.kind = LISTED_OTHER};
    return AT_FIELD;
}

static enum state begin_value(struct listing_reader *r, char c)
{
    begin_text(r);
    if (c == '"')
        return IN_STRING;
    if (!is_word(c))
        return BROKEN;
    add_byte(r, (unsigned char)c);
    return IN_WORD;
}

static enum state either(char c, char one, enum state to, char other, enum state to_other)
{
    return c == one ? to : c == other ? to_other : BROKEN;
}

/* What follows a byte that is neither within a string or a word nor white space. */
static enum state structure(struct listing_reader *r, char c)
{
    switch (r->state) {
    case AT_START:
        return c == '[' ? AT_FIRST_ENTRY : BROKEN;
    case AT_FIRST_ENTRY:
        return c == ']' ? AT_END : c == '{' ? begin_entry(r) : BROKEN;
    case AT_ENTRY:
        return c == '{' ? begin_entry(r) : BROKEN;
    case AT_FIELD:
        begin_text(r);
        return c == '"' ? IN_FIELD : BROKEN;
    case AT_COLON:
        return c == ':' ? AT_VALUE : BROKEN;
    case AT_VALUE:
        return begin_value(r, c);
    case AFTER_VALUE:
        return either(c, ',', AT_FIELD, '}', AFTER_ENTRY);
    case AFTER_ENTRY:
        return either(c, ',', AT_ENTRY, ']', AT_END);
    case IN_FIELD:
    case IN_STRING:
    case IN_WORD:
    case AT_END:
    case BROKEN:
        break;
    }
    return BROKEN;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The state after one more byte. */
static enum state step(struct listing_reader *r, char c)
{
    if (r->state == IN_FIELD || r->state == IN_STRING) {
        bool field = r->state == IN_FIELD;
        if (!ends_string(r, c))
            return take_string(r, c) && !full(r) ? r->state : BROKEN;
        if (field)
            return know_field(r) ? AT_COLON : BROKEN;
        return keep_string(r) ? AFTER_VALUE : BROKEN;
    }
    if (r->state == IN_WORD) {
        if (is_word(c)) {
            add_byte(r, (unsigned char)c);
            return full(r) ? BROKEN : IN_WORD;
        }
        if (!keep_word(r))
            return BROKEN;
        r->state = AFTER_VALUE;
    }
    if (is_space(c))
        return r->state;
    return structure(r, c);
}

int listing_reader_next(struct listing_reader *r, struct str *in,
                        struct listing_entry *entry)
{
    while (in->n > 0 && r->state != BROKEN) {
        enum state was = r->state;
        r->state = step(r, *in->p);
        in->p++;
        in->n--;
        if (r->state != AFTER_ENTRY || was == AFTER_ENTRY)
            continue;
        if (!entry_is_whole(r)) {
            r->state = BROKEN;
            break;
        }
        *entry = r->entry;
        entry->name = (struct str){r->name, r->name_n};
        return 1;
    }
    return r->state == BROKEN ? -1 : 0;
}
