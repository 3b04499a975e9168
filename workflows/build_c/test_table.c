#include "check.h"
#include "table.h"

#include <string.h>

static void test_what_was_never_counted_is_0(void)
{
    struct table table = {NULL, 0, 0};
    CHECK(table_get(&table, "a", 1) == 0);
    table_count(&table, "a", 1);
    CHECK(table_get(&table, "b", 1) == 0);
    table_free(&table);
}

static void test_words_are_told_apart_by_their_length(void)
{
    struct table table = {NULL, 0, 0};
    table_count(&table, "abc", 1);
    table_count(&table, "abc", 2);
    table_count(&table, "abd", 2);
    CHECK(table.used == 2);
    CHECK(table_get(&table, "a", 1) == 1);
    CHECK(table_get(&table, "ab", 2) == 2);
    table_free(&table);
}

static void test_the_words_are_copies(void)
{
    struct table table = {NULL, 0, 0};
    char word[] = "first";
    table_count(&table, word, 5);
    memcpy(word, "other", 5);
    CHECK(table_get(&table, "first", 5) == 1);
    table_free(&table);
}

static void test_counts_survive_growth(void)
{
    struct table table = {NULL, 0, 0};
    char word[16];
    int n, lost = 0;
    for (n = 0; n < 20000; n++)
        table_count(&table, word, (size_t)sprintf(word, "w%d", n % 7000));
    for (n = 0; n < 7000; n++)
        lost += table_get(&table, word, (size_t)sprintf(word, "w%d", n)) != (n < 6000 ? 3 : 2);
    CHECK(table.used == 7000);
    CHECK(lost == 0);
    CHECK(3 * table.used <= 2 * table.capacity);
    table_free(&table);
    CHECK(table.used == 0 && table.entries == NULL);
}

int main(void)
{
    test_what_was_never_counted_is_0();
    test_words_are_told_apart_by_their_length();
    test_the_words_are_copies();
    test_counts_survive_growth();
    return checked();
}
