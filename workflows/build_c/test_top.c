#include "check.h"
#include "top.h"

#include <stdlib.h>
#include <string.h>

static void test_an_empty_table_has_an_empty_order(void)
{
    struct table table = {NULL, 0, 0};
    struct entry *sorted = top_of(&table);
    CHECK(sorted != NULL);
    free(sorted);
}

static void test_most_frequent_first_then_by_bytes(void)
{
    struct table table = {NULL, 0, 0};
    const char *text[] = {"b", "c", "a", "c", "\xc3\xa9", "ab"};
    const char *expected[] = {"c", "a", "ab", "b", "\xc3\xa9"};
    int n;
    for (n = 0; n < 6; n++)
        table_count(&table, text[n], strlen(text[n]));
    struct entry *sorted = top_of(&table);
    CHECK(table.used == 5);
    CHECK(sorted[0].count == 2 && sorted[1].count == 1);
    for (n = 0; n < 5; n++)
        CHECK(strcmp(sorted[n].word, expected[n]) == 0);
    free(sorted);
    table_free(&table);
}

int main(void)
{
    test_an_empty_table_has_an_empty_order();
    test_most_frequent_first_then_by_bytes();
    return checked();
}
