// Futexes in files mapped twice, in memory that is not there, and priority-inheriting locks in a ring; memory barriers.
#include "check.h"
#include <linux/futex.h>
#define PAGE 4096ul
#ifndef MEMBARRIER_CMD_GLOBAL
enum { MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
       MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16 };
#endif
static long futex(void *at, int op, unsigned value, void *timeout, void *at2, unsigned value3) {
    return syscall(SYS_futex, at, op, value, timeout, at2, value3);
}
static unsigned a, b;
static int begun[2];
static void *second(void *unused) {
    b = 0;
    SAY("the second takes b: %ld\n", futex(&b, FUTEX_LOCK_PI, 0, 0, 0, 0));
    give(begun);
    long r = futex(&a, FUTEX_LOCK_PI, 0, 0, 0, 0);
    futex(&a, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    futex(&b, FUTEX_UNLOCK_PI, 0, 0, 0, 0);
    return (void *)r;
}
int main(void) {
    SAY("one file, two mappings\n");
    int f = open("shared", O_RDWR | O_CREAT | O_TRUNC, 0644);
    ftruncate(f, 2 * PAGE);
    unsigned *first = mmap(0, 2 * PAGE, 3, MAP_SHARED, f, 0);
    fflush(stdout);
    int ready[2];
    pipe(ready);
    pid_t p = fork();
    if (!p) {
        int again = open("shared", O_RDWR);
        unsigned *own = mmap(0, PAGE, 3, MAP_SHARED, again, PAGE);
        struct timespec t = {20, 0};
        give(ready);
        long r = futex(own, FUTEX_WAIT, 0, &t, 0, 0);
        _exit(r ? errno : 0);
    }
    take(ready);
    await(p, "S");
    ms(20);
    SAY("wakes %ld\n", futex(first + PAGE / 4, FUTEX_WAKE, 9, 0, 0, 0));
    reap("child", p);

    SAY("not there\n");
    unsigned *gone = mmap(0, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned *none = mmap(0, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(gone, PAGE);
    ftruncate(f, PAGE);
    unsigned *beyond = first + PAGE / 4;
    unsigned *words[] = {gone, none, beyond, (unsigned *)((char *)&a + 1), (unsigned *)-8ul, 0};
    for (int i = 0; i < 6; i++) {
        SAY("word %d\n", i);
        struct timespec soon = {0, 1000000};
        SHOW(futex(words[i], FUTEX_WAKE, 1, 0, 0, 0));
        SHOW(futex(words[i], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0));
        SHOW(futex(words[i], FUTEX_WAIT, 0, &soon, 0, 0));
        SHOW(futex(words[i], FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &soon, 0, 0));
        SHOW(futex(&a, FUTEX_REQUEUE, 1, (void *)1, words[i], 0));
        SHOW(futex(words[i], FUTEX_CMP_REQUEUE, 1, (void *)1, &a, 0));
        SHOW(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, words[i], FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)));
        SHOW(futex(words[i], FUTEX_LOCK_PI, 0, 0, 0, 0));
        SHOW(futex(words[i], FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    }

    SAY("operations\n");
    static const int ops[] = {FUTEX_OP_SET, FUTEX_OP_ADD, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR, 5, 8 | FUTEX_OP_ADD};
    for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++) {
        a = 0, b = 0xff;
        errno = 0;
        long r = futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(ops[i], 4, FUTEX_OP_CMP_GT, 3));
        SAY("op %d: %ld %s, %u\n", ops[i], r, r < 0 ? strerrorname_np(errno) : "", b);
    }
    SHOW(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_SET, 1, 6, 0)));
    SHOW(futex(&a, 99, 0, 0, 0, 0));
    SHOW(futex(&a, FUTEX_WAIT_BITSET, a, 0, 0, 0));
    SHOW(futex(&a, FUTEX_WAKE_BITSET, 1, 0, 0, 0));
    SHOW(futex(&a, FUTEX_REQUEUE, -1, (void *)1, &b, 0));
    SHOW(futex(&a, FUTEX_REQUEUE, 1, (void *)-1, &b, 0));
    SHOW(futex(&a, FUTEX_CMP_REQUEUE, 1, (void *)1, &b, a + 1));

    SAY("a ring\n");
    a = b = 0;
    pipe(begun);
    SHOW(futex(&a, FUTEX_LOCK_PI, 0, 0, 0, 0));
    SHOW(futex(&a, FUTEX_LOCK_PI, 0, 0, 0, 0));
    pthread_t t;
    pthread_create(&t, 0, second, 0);
    take(begun);
    while (!(__atomic_load_n(&a, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
        ms(1);
    ms(20);
    SHOW(futex(&b, FUTEX_LOCK_PI, 0, 0, 0, 0));
    SHOW(futex(&a, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
    void *got;
    pthread_join(t, &got);
    SAY("the second got a: %ld\n", (long)got);
    SHOW(futex(&b, FUTEX_LOCK_PI, 0, 0, 0, 0));
    SHOW(futex(&b, FUTEX_UNLOCK_PI, 0, 0, 0, 0));

    SAY("barriers\n");
    SAY("offered %d\n", (int)(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0) & 25));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
    CHILD("in a child", SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0)));
    SHOW(syscall(SYS_membarrier, 1 << 20, 0));
    unlink("shared");
    return 0;
}
