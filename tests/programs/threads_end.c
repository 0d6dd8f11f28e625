// How threads end, and what an end owes to others: tid words, robust lists with hostile pointers, exit against exit_group.
#include "check.h"
#include <linux/futex.h>
#include <linux/sched.h>
struct robust {
    struct robust *next;
};
struct head {
    struct robust *list;
    long offset;
    struct robust *pending;
};
static long futex(volatile void *a, int op, int v, void *t, volatile void *b, int v3) {
    return syscall(SYS_futex, a, op, v, t, b, v3);
}
#define FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
static char stacks[8][65536] __attribute__((aligned(64)));
static volatile int tidword, ptid, ran;
static int ends(void *a) {
    ran++;
    syscall(SYS_exit, 0);
    return 0;
}
static int raw(int (*f)(void *), int flags, void *arg, volatile int *ctid) {
    static int n;
    return clone(f, stacks[n++ % 8] + 65536, flags, arg, &ptid, 0, ctid);
}
static void gone(volatile int *word) {
    int v;
    while ((v = *word))
        futex(word, FUTEX_WAIT, v, 0, 0, 0);
}
// One lock word followed by its link, as glibc lays a robust mutex out.
static struct lock {
    volatile unsigned word;
    unsigned pad;
    struct robust link;
} *locks;
static struct head *heads;
static int holds(void *a) {
    struct head *h = a;
    syscall(SYS_set_robust_list, h, sizeof *h);
    unsigned me = (unsigned)syscall(SYS_gettid);
    for (int i = 0; i < 4; i++)
        locks[i].word = me | (i == 2 ? FUTEX_WAITERS : 0);
    locks[3].word = me + 1; // somebody else's
    ran++;
    syscall(SYS_exit, 0);
    return 0;
}
static void show_locks(const char *what) {
    SAY("%s:", what);
    for (int i = 0; i < 4; i++)
        SAY(" %s%s%s", locks[i].word & FUTEX_OWNER_DIED ? "died" : "-", locks[i].word & FUTEX_WAITERS ? "+waiters" : "",
            locks[i].word & FUTEX_TID_MASK ? "+owner" : "");
    SAY("\n");
}
static void robust(const char *what, struct head *h) {
    tidword = 1;
    TRY(raw(holds, FLAGS | CLONE_CHILD_CLEARTID, h, &tidword));
    gone(&tidword);
    show_locks(what);
    for (int i = 0; i < 4; i++)
        locks[i].word = 0;
}
static int leaves_all(void *a) {
    syscall(SYS_exit_group, 21);
    return 0;
}
static void *joined(void *a) { return a; }
static int runs_true(void *a) {
    execl("/bin/busybox", "true", (char *)0);
    _exit(1);
}
static int clears(void *a) {
    syscall(SYS_set_tid_address, a);
    syscall(SYS_exit, 0);
    return 0;
}
int main(void) {
    locks = mmap(0, 8192, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    heads = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // 24: CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_PARENT_SETTID
    tidword = -1;
    int t = raw(ends, FLAGS | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID, 0, &tidword);
    SAY("parent's word %d\n", ptid == t);
    gone(&tidword);
    SAY("cleared %d, ran %d\n", tidword, ran);
    TRY(raw(ends, FLAGS | CLONE_CHILD_CLEARTID, 0, (int *)8)); // harmless
    while (ran < 2)
        sched_yield();
    volatile int *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(raw(ends, FLAGS | CLONE_CHILD_CLEARTID, 0, ro));
    while (ran < 3)
        sched_yield();
    tidword = 7;
    TRY(raw(clears, FLAGS, (void *)&tidword, 0));
    gone(&tidword);
    SAY("by set_tid_address %d\n", tidword);
    SHOW(syscall(SYS_set_tid_address, 8) == syscall(SYS_gettid));
    // a process of its own memory clears nothing of anyone's
    volatile int *shared = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *shared = 5;
    int p = (int)syscall(SYS_clone, CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, 0, 0, shared, 0);
    if (!p)
        _exit(*shared == getpid() ? 0 : 1);
    int was = p;
    reap("CHILD_SETTID", p);
    SAY("not cleared: the memory was not shared %d\n", *shared == was);
    // exec clears it where memory is shared (vfork)
    tidword = 9;
    p = raw(runs_true, CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | SIGCHLD, 0, &tidword);
    SAY("cleared by exec %d\n", tidword);
    reap("exec", p);
    // 25: robust lists
    struct head *h = heads;
#define LINK(i) (&locks[i].link)
#define TO(i) locks[i].link.next
    h->offset = -8;
    h->list = LINK(0), TO(0) = LINK(1), TO(1) = LINK(2), TO(2) = LINK(3), TO(3) = (struct robust *)h;
    h->pending = 0;
    robust("whole list", h);
    TO(1) = LINK(0); // a ring that never comes back to the head
    robust("ring", h);
    TO(1) = (struct robust *)8;
    robust("bad pointer", h);
    TO(1) = (struct robust *)0xffff888000000000;
    robust("kernel pointer", h);
    TO(1) = (struct robust *)((char *)LINK(2) + 1); // bit 0 marks a PI futex
    TO(2) = (struct robust *)h;
    robust("PI mark", h);
    h->list = (struct robust *)h;
    h->pending = LINK(1);
    robust("pending only", h);
    h->list = LINK(0), TO(0) = (struct robust *)h, h->pending = LINK(0);
    robust("pending is on the list", h);
    h->list = (struct robust *)16, h->pending = 0;
    robust("bad first", h);
    h->offset = -7;
    h->list = LINK(0), TO(0) = (struct robust *)h;
    robust("misaligned word", h);
    h->offset = 0x7fffffffffff;
    robust("offset into nowhere", h);
    robust("bad head", (struct head *)8);
    robust("head across the end", (struct head *)((char *)heads + 8192 - 8));
    // a waiter is woken and told
    h->offset = -8, h->list = LINK(2), TO(2) = (struct robust *)h, h->pending = 0;
    locks[2].word = 0;
    p = fork();
    if (!p) {
        unsigned v;
        while (!((v = locks[2].word) & FUTEX_TID_MASK) && !(v & FUTEX_OWNER_DIED))
            sched_yield();
        while (!(locks[2].word & FUTEX_OWNER_DIED))
            futex(&locks[2].word, FUTEX_WAIT, v, 0, 0, 0);
        _exit(3);
    }
    CHILD("owner", holds(h));
    reap("waiter", p);
    show_locks("after");
    // at exec too
    for (int i = 0; i < 4; i++)
        locks[i].word = 0;
    CHILD("exec with locks", syscall(SYS_set_robust_list, h, sizeof *h);
          locks[2].word = (unsigned)syscall(SYS_gettid) | FUTEX_WAITERS; execl("/bin/busybox", "true", (char *)0));
    show_locks("after exec");
    SHOW(syscall(SYS_get_robust_list, 0, heads + 1, heads + 2));
    SHOW(syscall(SYS_get_robust_list, 999999, heads + 1, heads + 2));
    SHOW(syscall(SYS_get_robust_list, 0, 8, heads + 2));
    SHOW(syscall(SYS_set_robust_list, 8, 24));
    // 23: exit ends a thread, exit_group all; the status is exit_group's or the last thread's
    CHILD("exit_group in a thread", raw(leaves_all, FLAGS, 0, 0); for (;;) pause());
    CHILD("two exit_groups", pthread_t x; pthread_create(&x, 0, joined, 0); pthread_join(x, 0); syscall(SYS_exit_group, 300));
    CHILD("last thread", pthread_t x; void *f(void *a) { ms(30); syscall(SYS_exit, 6); return 0; } pthread_create(&x, 0, f, 0);
          syscall(SYS_exit, 5));
    CHILD("fault in a thread", pthread_t x; void *f(void *a) { *(volatile int *)8 = 1; return 0; } pthread_create(&x, 0, f, 0);
          for (;;) pause());
    CHILD("fork in a thread has one thread", pthread_t x; void *f(void *a) {
        pid_t c = fork();
        if (!c) {
            SAY("is its own leader %d\n", getpid() == (int)syscall(SYS_gettid));
            _exit(7);
        }
        reap("its child", c);
        return 0;
    } pthread_create(&x, 0, f, 0); pthread_join(x, 0));
}
