// Runs of one program side by side and one after the other: each starts from the file, whatever the others did with theirs.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COPY "/tmp/exec_image_copy"
#define PAGES 5

static unsigned char data[PAGES * 4096] = {[0] = 1, [4096] = 2, [2 * 4096] = 3, [3 * 4096] = 4, [4 * 4096] = 5};
static unsigned char bss[PAGES * 4096];
static const unsigned char constant[2 * 4096] = {[0] = 9, [4096] = 8};

static int pristine(void) {
    for (int page = 0; page < PAGES; page++) {
        if (data[page * 4096] != page + 1 || data[page * 4096 + 99] != 0 || bss[page * 4096] != 0) return 0;
    }
    return constant[0] == 9 && constant[4096] == 8;
}

static void spoil(int mark) {
    for (int page = 0; page < PAGES; page++) {
        data[page * 4096] = data[page * 4096 + 99] = bss[page * 4096] = mark;
    }
    // Even the constants, as a debugger would.
    void *start = (void *)((uintptr_t)&constant[4096] & ~4095ul);
    if (mprotect(start, 4096, PROT_READ | PROT_WRITE) == 0) ((volatile unsigned char *)constant)[4096] = mark;
    char *heap = sbrk(10000);
    memset(heap, mark, 10000);
}

// One run: looks, spoils, and perhaps becomes the next run.
static int child(int argc, char **argv) {
    int depth = atoi(argv[2]);
    if (!pristine()) return 1;
    spoil(depth + 1);
    if (argc > 3) {
        int in = atoi(argv[3]);
        char byte;
        read(in, &byte, 1);
    }
    if (data[0] != depth + 1 || bss[4096] != depth + 1) return 2;
    if (depth == 0) return 42;
    char next[16];
    sprintf(next, "%d", depth - 1);
    execl(argv[0], argv[0], "child", next, NULL);
    return 3;
}

static int run(const char *depth) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execl(COPY, COPY, "child", depth, NULL);
        _exit(errno == EACCES ? 77 : 99);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int copy_self(void) {
    static char buffer[65536];
    int in = open("/proc/self/exe", O_RDONLY), out = open(COPY, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t got;
    if (in < 0 || out < 0) return -1;
    while ((got = read(in, buffer, sizeof buffer)) > 0) {
        if (write(out, buffer, got) != got) return -1;
    }
    close(in);
    return close(out);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "child") == 0) return child(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    unlink(COPY);
    printf("copy %d\n", copy_self());
    printf("alone %d, a chain of nine %d\n", run("0"), run("8"));

    // Eight at once, all alive while the later ones start.
    int pipes[8][2], started[2];
    pid_t pids[8];
    pipe2(started, O_CLOEXEC);
    for (int i = 0; i < 8; i++) {
        pipe(pipes[i]);
        pids[i] = i % 2 ? vfork() : fork();
        if (pids[i] == 0) {
            char in[16], depth[16];
            sprintf(in, "%d", pipes[i][0]);
            sprintf(depth, "%d", i % 3);
            execl(COPY, COPY, "child", depth, in, NULL);
            _exit(98);
        }
    }
    // Its other ends close when all have executed: what follows must not take the right from those who are still on their way.
    close(started[1]);
    char none;
    printf("all run: %zd\n", read(started[0], &none, 1));
    printf("written to while it runs: %s\n", open(COPY, O_WRONLY) < 0 ? strerror(errno) : "opened");
    printf("truncated while it runs: %s\n", truncate(COPY, 100) < 0 ? strerror(errno) : "done");
    printf("run beside the others: %d\n", run("1"));
    chmod(COPY, 0644);
    setuid(getuid());
    printf("without the right to execute: %d\n", run("0"));
    chmod(COPY, 0755);
    printf("with it again: %d\n", run("2"));
    for (int i = 0; i < 8; i++) write(pipes[i][1], "x", 1);
    int sum = 0;
    for (int i = 0; i < 8; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        sum += WIFEXITED(status) && WEXITSTATUS(status) == 42;
    }
    printf("right: %d\n", sum);

    // Nobody runs it any more: it can be changed, and the next run sees that.
    int file = -1;
    for (int tries = 0; tries < 200 && (file = open(COPY, O_RDWR)) < 0 && errno == ETXTBSY; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    printf("written to afterwards: %s\n", file < 0 ? strerror(errno) : "opened");
    static char image[4 << 20];
    ssize_t size = pread(file, image, sizeof image, 0);
    int changed = 0;
    for (ssize_t at = 0; at + 4097 <= size; at += 16) {
        // The first page of `data`: 1 here, 2 a page later.
        if (image[at] == 1 && image[at + 4096] == 2 && memcmp(image + at + 1, data + PAGES * 4096 - 4095, 4000) == 0) {
            changed += pwrite(file, "\7", 1, at) == 1;
        }
    }
    printf("changed in %d place(s), run while open for writing: %d\n", changed, run("0"));
    close(file);
    printf("run of the changed file: %d\n", run("0"));
    unlink(COPY);
    return 0;
}
