/* Open addressing with linear steps, at most two thirds full. The hash is FNV-1a, of 32 bits on any machine. */

#include "table.h"

#include <stdlib.h>
#include <string.h>

static unsigned long hash(const char *word, size_t length)
{
    unsigned long value = 2166136261UL;
    for (size_t i = 0; i < length; i++)
        value = ((value ^ (unsigned char)word[i]) * 16777619UL) & 0xffffffffUL;
    return value;
}

/* The entry of the word, or the free one where it belongs. The capacity must not be 0. */
static struct entry *find(const struct table *table, const char *word, size_t length)
{
    size_t i = hash(word, length) & (table->capacity - 1);
    for (;; i = (i + 1) & (table->capacity - 1)) {
        struct entry *entry = &table->entries[i];
        if (entry->word == NULL || (entry->length == length && memcmp(entry->word, word, length) == 0))
            return entry;
    }
}

static int grow(struct table *table)
{
    struct table larger = {NULL, table->used, table->capacity ? 2 * table->capacity : 64};
    larger.entries = calloc(larger.capacity, sizeof *larger.entries);
    if (larger.entries == NULL)
        return -1;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].word != NULL)
            *find(&larger, table->entries[i].word, table->entries[i].length) = table->entries[i];
    free(table->entries);
    *table = larger;
    return 0;
}

int table_count(struct table *table, const char *word, size_t length)
{
    if (3 * (table->used + 1) > 2 * table->capacity && grow(table) != 0)
        return -1;
    struct entry *entry = find(table, word, length);
    if (entry->word == NULL) {
        char *copy = malloc(length + 1);
        if (copy == NULL)
            return -1;
        memcpy(copy, word, length);
        copy[length] = '\0';
        entry->word = copy;
        entry->length = length;
        table->used++;
    }
    entry->count++;
    return 0;
}

unsigned long table_get(const struct table *table, const char *word, size_t length)
{
    return table->capacity ? find(table, word, length)->count : 0;
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->capacity; i++)
        free(table->entries[i].word);
    free(table->entries);
    *table = (struct table){NULL, 0, 0};
}
