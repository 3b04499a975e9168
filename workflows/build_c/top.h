/* The words of a table in the order in which people want them. */

#ifndef TOP_H
#define TOP_H

#include "table.h"

/* All entries of the table, most frequent first, then by bytes. Free the array, not the words. NULL: no memory. */
struct entry *top_of(const struct table *table);

#endif
