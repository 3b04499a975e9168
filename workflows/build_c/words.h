/* Words of a text: letters of ASCII, made small, and all bytes above ASCII, so that UTF-8 stays whole. */

#ifndef WORDS_H
#define WORDS_H

#include "table.h"

#include <stdio.h>

/* Count every word of the file. Answers how many there were, or -1: reading failed, or memory has run out (errno). */
long words_count(FILE *file, struct table *table);

#endif
