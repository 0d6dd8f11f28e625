// Calls that move much do not keep the CPU from others, and end soon when the process is killed.
#include "check.h"
#include <sys/random.h>

#define SIZE (256L << 20)

static void read_random(char *to) {
    int f = open("/dev/urandom", O_RDONLY);
    read(f, to, SIZE);
}

static void get_random(char *to) {
    for (;;)
        getrandom(to, SIZE, 0);
}

static void read_zero(char *to) {
    int f = open("/dev/zero", O_RDONLY);
    struct iovec parts[64];
    for (int i = 0; i < 64; i++)
        parts[i] = (struct iovec){to, SIZE};
    readv(f, parts, 64);
}

static void one(const char *name, void (*call)(char *)) {
    int s;
    pid_t child = fork();
    if (!child) {
        call(mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        _exit(0);
    }
    struct timespec from, to;
    usleep(30000);
    clock_gettime(CLOCK_MONOTONIC, &from);
    kill(child, SIGKILL);
    waitpid(child, &s, 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    status(name, s);
    SAY("%s: soon %d\n", name, to.tv_sec - from.tv_sec < 5);
}

int main(void) {
    one("read of /dev/urandom", read_random);
    one("getrandom", get_random);
    one("readv of /dev/zero", read_zero);
    // A long read gives every byte, from the right place.
    int f = open("long", O_RDWR | O_CREAT, 0600);
    long size = (3L << 20) + 4321;
    char *out = malloc(size), *in = malloc(size);
    for (long i = 0; i < size; i++)
        out[i] = i * 2654435761u >> 24;
    SHOW(write(f, out, size));
    SHOW(lseek(f, 0, SEEK_SET));
    SHOW(read(f, in, size));
    SAY("same %d\n", !memcmp(in, out, size));
    memset(in, 0, size);
    SHOW(lseek(f, 0, SEEK_CUR));
    SHOW(pread(f, in, size, 1));
    SAY("same %d\n", !memcmp(in, out + 1, size - 1));
    struct iovec parts[3] = {{in, 1}, {in + 1, 2 << 20}, {in + 1 + (2 << 20), size}};
    SHOW(preadv(f, parts, 3, 7));
    SAY("same %d\n", !memcmp(in, out + 7, size - 7));
    // Where memory ends, a read is cut.
    char *end = mmap(0, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(end + (2 << 20), 2 << 20);
    SHOW(pread(f, end, 3 << 20, 0));
    SHOW(pread(f, (void *)8, 3 << 20, 0));
}
