/* The physical limit that Wattle is measured against: a loop that spawns the tasks of a DAG and reaps them.
 *
 *   loop DAG SLOTS DIRECTORY [FILES]
 *
 * DAG is text: the number of tasks, then for each task a line
 *
 *   <needs> <task> ... <words> <word> ...
 *
 * with the tasks (from 0) that must have ended before, and its argv; words hold no white space. At most SLOTS
 * tasks live at a time, started in the order in which they became ready. Each has /dev/null as its input and its
 * output, stdout and stderr, in DIRECTORY/<task>.out; with FILES = 2 stderr goes to DIRECTORY/<task>.err, which is
 * what Wattle does. The directory must be there.
 *
 * Prints `<seconds> <tasks>`: monotonic, from just before the first spawn to just after the last reap; reading the
 * DAG is not counted. Exit status 1: a task failed, or a circle; 2: anything else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct task {
    char **argv;
    int missing;    /* needs that have not ended yet */
    int *dependants;
    int dependant_count, dependant_room;
};

static void die(const char *what)
{
    fprintf(stderr, "loop: %s: %s\n", what, errno ? strerror(errno) : "malformed");
    exit(2);
}

static void *grow(void *old, size_t size)
{
    void *new = realloc(old, size ? size : 1);
    if (new == NULL)
        die("memory");
    return new;
}

static int number(FILE *file)
{
    int n;
    errno = 0;
    if (fscanf(file, "%d", &n) != 1 || n < 0)
        die("a number is wanted");
    return n;
}

static struct task *read_dag(const char *path, int *count)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        die(path);
    int n = *count = number(file);
    struct task *tasks = calloc(n ? n : 1, sizeof *tasks);
    if (tasks == NULL)
        die("memory");
    for (int t = 0; t < n; t++) {
        tasks[t].missing = number(file);
        for (int i = 0; i < tasks[t].missing; i++) {
            int need = number(file);
            if (need >= n)
                die("no such task");
            struct task *producer = &tasks[need];
            if (producer->dependant_count == producer->dependant_room) {
                producer->dependant_room = producer->dependant_room * 2 + 4;
                producer->dependants = grow(producer->dependants, producer->dependant_room * sizeof(int));
            }
            producer->dependants[producer->dependant_count++] = t;
        }
        int words = number(file);
        tasks[t].argv = grow(NULL, (words + 1) * sizeof(char *));
        for (int i = 0; i < words; i++)
            if (fscanf(file, "%ms", &tasks[t].argv[i]) != 1)
                die("a word is wanted");
        tasks[t].argv[words] = NULL;
        if (words == 0)
            die("a task without a command");
    }
    fclose(file);
    return tasks;
}

static pid_t spawn(int t, char **argv, const char *directory, int files)
{
    const int flags = O_WRONLY | O_CREAT | O_APPEND;
    char out[4096], err[4096];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    snprintf(out, sizeof out, "%s/%d.out", directory, t);
    snprintf(err, sizeof err, "%s/%d.err", directory, t);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, flags, 0600);
    if (files == 2)
        posix_spawn_file_actions_addopen(&actions, 2, err, flags, 0600);
    else
        posix_spawn_file_actions_adddup2(&actions, 1, 2);
    errno = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    if (errno != 0)
        die(argv[0]);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 4 || atoi(argv[2]) < 1) {
        fprintf(stderr, "usage: loop DAG SLOTS DIRECTORY [FILES]\n");
        return 2;
    }
    int count, slots = atoi(argv[2]), files = argc > 4 ? atoi(argv[4]) : 1;
    struct task *tasks = read_dag(argv[1], &count);
    int *ready = grow(NULL, count * sizeof(int));     /* a queue: each task enters it once */
    int first = 0, last = 0, live = 0, ended = 0, failed = 0;
    pid_t *pids = grow(NULL, slots * sizeof(pid_t));  /* of the live ones, in no order */
    int *whose = grow(NULL, slots * sizeof(int));

    for (int t = 0; t < count; t++)
        if (tasks[t].missing == 0)
            ready[last++] = t;

    double began = seconds();
    for (;;) {
        while (live < slots && first < last) {
            whose[live] = ready[first++];
            pids[live] = spawn(whose[live], tasks[whose[live]].argv, argv[3], files);
            live++;
        }
        if (live == 0)
            break;
        int status, slot = 0;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0)
            die("waitpid");
        while (slot < live && pids[slot] != pid)
            slot++;
        if (slot == live)
            continue;                                  /* not ours: inherited from whoever became us */
        struct task *task = &tasks[whose[slot]];
        live--;
        pids[slot] = pids[live];
        whose[slot] = whose[live];
        ended++;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            failed++;
            continue;                                  /* its dependants are never started */
        }
        for (int i = 0; i < task->dependant_count; i++)
            if (--tasks[task->dependants[i]].missing == 0)
                ready[last++] = task->dependants[i];
    }
    printf("%.6f %d\n", seconds() - began, ended);
    return failed || ended < count;
}
