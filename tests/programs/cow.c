#include "check.h"
#define N (16 << 20)
int main(void) {
    unsigned char *p = mmap(0, N, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < N; i += 4096)
        p[i] = (unsigned char)(i >> 12);
    int bad = 0;
    pid_t c[6];
    for (int k = 0; k < 6; k++)
        if (!(c[k] = fork())) {
            for (int i = 0; i < N; i += 4096) {
                if (p[i] != (unsigned char)(i >> 12))
                    _exit(1);
                p[i] = (unsigned char)k;
            }
            if (!fork()) {
                for (int i = 0; i < N; i += 8192)
                    p[i] ^= 0xff;
                _exit(0);
            }
            int s;
            wait(&s);
            for (int i = 0; i < N; i += 4096)
                if (p[i] != k)
                    _exit(2);
            _exit(s ? 3 : 0);
        }
    for (int i = 0; i < N; i += 12288)
        p[i]++;
    for (int k = 0; k < 6; k++)
        reap("child", c[k]);
    for (int i = 0; i < N; i += 4096)
        bad += p[i] != (unsigned char)((i >> 12) + (i % 12288 == 0));
    SAY("bad %d\n", bad);
    // the kernel writes into a shared page
    int f[2];
    pipe(f);
    write(f[1], "kernel", 6);
    p[0] = 'p';
    pid_t q = fork();
    if (!q) {
        read(f[0], p, 6);
        _exit(p[0] == 'k' ? 0 : 1);
    }
    reap("read into cow", q);
    SAY("%c\n", p[0]);
    struct rusage u;
    SHOW(getrusage(RUSAGE_SELF, &u));
    SAY("faults %d\n", u.ru_minflt > 1000);
    for (int i = 0; i < 200; i++) {
        q = fork();
        if (!q)
            _exit(p[i * 4096] & 0);
        waitpid(q, 0, 0);
    }
    SAY("done\n");
}
