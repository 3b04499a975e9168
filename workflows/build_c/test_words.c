#include "check.h"
#include "words.h"

#include <string.h>

static struct table table;

/* Count the words of a text; the table of the text before is dropped. */
static long count(const char *text)
{
    FILE *file = tmpfile();
    if (file == NULL)
        return -1;
    table_free(&table);
    fputs(text, file);
    rewind(file);
    long words = words_count(file, &table);
    fclose(file);
    return words;
}

static unsigned long of(const char *word)
{
    return table_get(&table, word, strlen(word));
}

static void test_no_words(void)
{
    CHECK(count("") == 0);
    CHECK(count(" .,\n123\t") == 0);
    CHECK(table.used == 0);
}

static void test_words_end_at_what_is_no_letter_and_at_the_end(void)
{
    CHECK(count("to be, or not to-be") == 6);
    CHECK(table.used == 4);
    CHECK(of("to") == 2 && of("be") == 2 && of("or") == 1 && of("not") == 1);
}

static void test_capital_letters_are_small_ones(void)
{
    CHECK(count("Tea TEA tea") == 3);
    CHECK(of("tea") == 3 && of("Tea") == 0);
}

static void test_letters_beyond_ascii_belong_to_words(void)
{
    CHECK(count("caf\xc3\xa9 \xe8\x8c\xb6") == 2);
    CHECK(of("caf\xc3\xa9") == 1 && of("\xe8\x8c\xb6") == 1);
}

static void test_a_word_may_be_long(void)
{
    char text[5001];
    memset(text, 'x', 5000);
    text[5000] = '\0';
    CHECK(count(text) == 1);
    CHECK(of(text) == 1);
}

int main(void)
{
    test_no_words();
    test_words_end_at_what_is_no_letter_and_at_the_end();
    test_capital_letters_are_small_ones();
    test_letters_beyond_ascii_belong_to_words();
    test_a_word_may_be_long();
    table_free(&table);
    return checked();
}
