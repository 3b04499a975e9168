/* tally [-n COUNT] [FILE...]: the most frequent words of files, or of standard input, and how often each is there. */

#include "table.h"
#include "top.h"
#include "words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(void)
{
    fputs("usage: tally [-n COUNT] [FILE...]\n", stderr);
    return 2;
}

static int failed(const char *name)
{
    fprintf(stderr, "tally: %s: %s\n", name, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    struct table table = {NULL, 0, 0};
    unsigned long most = 10;
    int first = 1;

    if (argc > first && strcmp(argv[first], "-n") == 0) {
        char *end;
        if (argc < first + 2 || argv[first + 1][0] < '0' || argv[first + 1][0] > '9')
            return usage();
        most = strtoul(argv[first + 1], &end, 10);
        if (*end != '\0')
            return usage();
        first += 2;
    } else if (argc > first && argv[first][0] == '-' && argv[first][1] != '\0') {
        return usage();
    }

    if (first == argc && words_count(stdin, &table) < 0)
        return failed("standard input");
    for (int i = first; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL)
            return failed(argv[i]);
        if (words_count(file, &table) < 0)
            return failed(argv[i]);
        fclose(file);
    }

    struct entry *sorted = top_of(&table);
    if (sorted == NULL)
        return failed("sorting");
    for (size_t i = 0; i < table.used && i < most; i++)
        printf("%lu %s\n", sorted[i].count, sorted[i].word);
    free(sorted);
    table_free(&table);
    if (fflush(stdout) != 0)
        return failed("standard output");
    return 0;
}
