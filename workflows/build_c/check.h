/* The smallest possible unit tests: CHECK(fact) counts, and says which fact is none; the test ends with checked(). */

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

static int facts, wrong;

#define CHECK(fact) \
    ((void)(facts++, (fact) ? 0 : (wrong++, fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact))))

static int checked(void)
{
    printf("%d facts, %d wrong\n", facts, wrong);
    return wrong != 0;
}

#endif
