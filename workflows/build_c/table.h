/* A table of words and how often each was seen. */

#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>

struct entry {
    char *word; /* ends with NUL; the table's own copy */
    size_t length;
    unsigned long count;
};

struct table {
    struct entry *entries; /* `capacity` of them, those without a word are free */
    size_t used, capacity; /* capacity is 0 or a power of two */
};

/* Count one more of the word. Answers 0, or -1 when memory has run out; the table is then as before. */
int table_count(struct table *table, const char *word, size_t length);

/* How often the word was counted. */
unsigned long table_get(const struct table *table, const char *word, size_t length);

/* Free the words; the table is empty and may be used again. */
void table_free(struct table *table);

#endif
