/* Writes COUNT times SIZE bytes, the last one a newline, to the file named FILE as a worker writes its log (O_APPEND),
   and prints how many nanoseconds of CLOCK_MONOTONIC that took. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long size = atol(argv[2]), count = atol(argv[3]);
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    char *line = malloc(size);
    if (file < 0 || line == NULL || size < 1) return 1;
    memset(line, 'x', size - 1);
    line[size - 1] = '\n';
    long long began = now();
    for (long i = 0; i < count; i++)
        if (write(file, line, size) != size) return 1;
    printf("%lld\n", now() - began);
    return 0;
}
