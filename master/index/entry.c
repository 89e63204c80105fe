/* What an entry of the index says of a place; see index.h. */
#include "master/index.h"

const struct removal *entry_removal(const struct entry *entry, struct str place)
{
    for (int i = 0; i < entry->n_removals; i++)
        if (str_eq(entry->removal[i].place, place))
            return &entry->removal[i];
    return NULL;
}

bool entry_awaits(const struct entry *entry, struct str place)
{
    for (int i = 0; i < entry->n_marks; i++)
        if (str_eq(entry->mark[i], place))
            return true;
    return entry_removal(entry, place) != NULL;
}

bool entry_names(const struct entry *entry, struct str place)
{
    return (entry->record.state != RECORD_ABSENT &&
            record_names(&entry->record, place)) ||
           entry_awaits(entry, place);
}
