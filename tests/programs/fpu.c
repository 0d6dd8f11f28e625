#include "check.h"
#include <immintrin.h>
static int spin(double seed) {
    double x = seed;
    for (int i = 0; i < 300000; i++) {
        x = x * 1.0000001 + 0.5;
        if (i % 50000 == 0)
            sched_yield();
    }
    double y = seed;
    for (int i = 0; i < 300000; i++)
        y = y * 1.0000001 + 0.5;
    return x == y;
}
static void *th(void *a) { return (void *)(long)spin((double)(long)a); }
int main(void) {
    pid_t p[6];
    for (int i = 0; i < 6; i++)
        if (!(p[i] = fork()))
            _exit(spin(i) ? 0 : 1);
    for (int i = 0; i < 6; i++)
        reap("process", p[i]);
    pthread_t t[4];
    void *r;
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], 0, th, (void *)i);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &r);
        SAY("thread %ld\n", (long)r);
    }
    unsigned c;
    __asm__ volatile("stmxcsr %0" : "=m"(c));
    SAY("mxcsr %x\n", c);
    unsigned short w;
    __asm__ volatile("fnstcw %0" : "=m"(w));
    SAY("fcw %x\n", w);
    unsigned n = 0x3f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(n));
    CHILD("inherited", __asm__ volatile("stmxcsr %0" : "=m"(c)); SAY("child mxcsr %x\n", c & ~0x3f));
    if (__builtin_cpu_supports("avx")) {
        char buf[32] __attribute__((aligned(32)));
        memset(buf, 0x5a, 32);
        __asm__ volatile("vmovdqa %0, %%ymm9" ::"m"(buf) : "xmm9");
        ms(20);
        for (int i = 0; i < 20; i++)
            sched_yield();
        char out[32] __attribute__((aligned(32)));
        __asm__ volatile("vmovdqa %%ymm9, %0" : "=m"(out));
        SAY("ymm kept %d\n", memcmp(buf, out, 32) == 0);
    } else
        SAY("ymm kept 1\n");
    // What unmasked exceptions and bad MXCSR values do cannot be asked here: QEMU's emulated CPU raises neither.
}
