/* A wall clock that jumps when a file says so, for one process and what it starts: preloaded before the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *moment) {
    static int (*true_one)(clockid_t, struct timespec *);
    if (!true_one) true_one = dlsym(RTLD_NEXT, "clock_gettime");
    int result = true_one(clock, moment);
    const char *path = getenv("SKEW");
    if (clock != CLOCK_REALTIME || result != 0 || !path) return result;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return result;
    char text[32] = {0};
    if (read(file, text, sizeof text - 1) > 0) moment->tv_sec += atol(text);
    close(file);
    return result;
}
