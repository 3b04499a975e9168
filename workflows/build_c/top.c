#include "top.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->word, b->word);
}

struct entry *top_of(const struct table *table)
{
    struct entry *sorted = malloc((table->used + 1) * sizeof *sorted);
    if (sorted == NULL)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].word != NULL)
            sorted[n++] = table->entries[i];
    qsort(sorted, n, sizeof *sorted, compare);
    return sorted;
}
