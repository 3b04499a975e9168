/* The text is read byte by byte, so a word may be as long as memory allows. */

#include "words.h"

#include <stdlib.h>

static int letter(int byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A' + 'a';
    return (byte >= 'a' && byte <= 'z') || byte >= 0x80 ? byte : 0;
}

long words_count(FILE *file, struct table *table)
{
    char *word = NULL;
    size_t length = 0, room = 0;
    long words = 0;

    for (;;) {
        int byte = getc(file);
        int small = byte == EOF ? 0 : letter(byte);
        if (small) {
            if (length == room) {
                char *larger = realloc(word, room = room ? 2 * room : 32);
                if (larger == NULL)
                    goto failed;
                word = larger;
            }
            word[length++] = (char)small;
        } else if (length) {
            if (table_count(table, word, length) != 0)
                goto failed;
            words++;
            length = 0;
        }
        if (byte == EOF)
            break;
    }
    if (ferror(file))
        goto failed;
    free(word);
    return words;

failed:
    free(word);
    return -1;
}
