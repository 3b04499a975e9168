/* Prints the time (unix seconds) and 80 characters, a line at a time, RATE lines a second, for ever. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long rate = argc > 1 ? atol(argv[1]) : 20;
    struct timespec now, pause = {rate > 1 ? 0 : 1, rate > 1 ? 1000000000L / rate : 0};
    char line[160], text[81];
    memset(text, 'x', 80);
    text[80] = 0;
    for (;;) {
        clock_gettime(CLOCK_REALTIME, &now);
        int size = snprintf(line, sizeof line, "%lld.%09ld %s\n", (long long)now.tv_sec, now.tv_nsec, text);
        if (write(1, line, size) != size) return 1;
        nanosleep(&pause, NULL);
    }
}
