// Programs that are none: `elves COUNT SEED`. Takes itself, cuts it or changes bits of its headers, and executes that.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t seed;
static uint64_t rnd(void) { return seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; }

int main(int c, char **v) {
    if (c > 1 && !strcmp(v[1], "child"))
        return 7;
    int count = c > 1 ? atoi(v[1]) : 200, results[4] = {0};
    seed = c > 2 ? strtoull(v[2], 0, 0) | 1 : 1;
    static unsigned char image[4 << 20], copy[4 << 20];
    int fd = open("/proc/self/exe", O_RDONLY), n = read(fd, image, sizeof image);
    close(fd);
    if (n <= 0)
        return puts("FAIL cannot read myself"), 1;
    mkdir("/tmp", 0777);
    for (int i = 0; i < count; i++) {
        static const uint64_t odd[] = {0, 1, -1, 1UL << 47, 1UL << 63, 0xfff, 0x1000, 0x7ffffffff000, 0xffffffff80000000, 0x7fffffffffffffff};
        int len = n;
        memcpy(copy, image, n);
        switch (i % 6) {
        case 0: len = rnd() % (i % 12 ? 1024 : n); break;
        case 1: for (int k = 0; k < 3; k++) copy[rnd() % 64] ^= 1 << rnd() % 8; break;
        case 2: for (int k = 0; k < 3; k++) copy[64 + rnd() % 560] ^= 1 << rnd() % 8; break;
        case 3: memcpy(copy + rnd() % 72 * 8, &odd[rnd() % 10], 8); break;
        case 4: for (int k = 0; k < 2; k++) memcpy(copy + 64 + rnd() % 10 * 56 + rnd() % 7 * 8, &odd[rnd() % 10], 8); break;
        case 5: for (int k = 0; k < 40; k++) copy[rnd() % n] = rnd(); break;
        }
        char name[64];
        sprintf(name, "/tmp/elf%d", i % 16);
        unlink(name);
        fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0755);
        if (write(fd, copy, len) != len)
            return printf("FAIL write %d\n", errno), 1;
        close(fd);
        pid_t p = fork();
        if (p == 0) {
            struct rlimit l = {64 << 20, 64 << 20}, one = {20, 20};
            setrlimit(RLIMIT_AS, &l), setrlimit(RLIMIT_NPROC, &one);
            close(0), close(1), close(2);
            alarm(1);
            execl(name, name, "child", (char *)0);
            _exit(99);
        }
        int s;
        if (waitpid(p, &s, 0) != p)
            return printf("FAIL wait %d\n", errno), 1;
        results[WIFSIGNALED(s) ? 2 : WEXITSTATUS(s) == 99 ? 0 : WEXITSTATUS(s) == 7 ? 1 : 3]++;
    }
    printf("refused %d, ran %d, killed %d, other %d\nelves ok\n", results[0], results[1], results[2], results[3]);
    return 0;
}
