// Attributes of scheduling: sizes and flags of sched_setattr(2), what sched_getattr(2) tells, bounds of priorities. CI may not allow real time: then
// nothing of that is shown.
#include "check.h"

struct attr {
    unsigned size, policy;
    unsigned long long flags;
    int nice;
    unsigned priority;
    unsigned long long runtime, deadline, period;
    unsigned least, most;
    unsigned long long beyond;
};
static long set(void *attr, unsigned flags) { return syscall(SYS_sched_setattr, 0, attr, flags); }
static long get(void *attr, unsigned size, unsigned flags) { return syscall(SYS_sched_getattr, 0, attr, size, flags); }

static void tell(const char *what) {
    struct attr a = {0};
    long result = get(&a, 56, 0);
    SAY("%s: %ld size %u policy %u flags %llx nice %d priority %u\n", what, result, a.size, a.policy, a.flags, a.nice, a.priority);
}

int main(void) {
    struct attr a = {.size = 48};
    char page[4100];
    tell("at first");
    SHOW(get(&a, 0, 0));
    SHOW(get(&a, 47, 0));
    SHOW(get(&a, 48, 0));
    SHOW(a.size);
    SHOW(get(&a, 56, 1));
    SHOW(get(page, 4096, 0));
    SHOW(*(unsigned *)page);
    SHOW(get(page, 4097, 0));
    SHOW(syscall(SYS_sched_getattr, -1, &a, 56, 0));
    SHOW(syscall(SYS_sched_getattr, 0, 0, 56, 0));

    memset(&a, 0, sizeof a);
    static const struct {
        unsigned size;
        unsigned long long beyond;
    } sizes[] = {{0, 0}, {40, 0}, {47, 0}, {48, 1}, {56, 1}, {64, 0}, {64, 1}, {4097, 0}, {5000, 0}};
    for (int i = 0; i < 9; i++) {
        memset(page, 0, sizeof page);
        a.size = sizes[i].size, a.beyond = sizes[i].beyond, a.nice = i + 1;
        memcpy(page, &a, sizeof a);
        SAY("size %u, %llu beyond\n", a.size, a.beyond);
        SHOW(set(page, 0));
        SHOW(*(unsigned *)page);
    }
    tell("after that");
    a = (struct attr){.size = 48, .nice = 50};
    SHOW(set(&a, 0));
    tell("nice 50");
    a.nice = 19, a.priority = 5;
    SHOW(set(&a, 0));
    a.priority = 0;
    static const unsigned wrong[] = {4, 99, -1};
    for (int i = 0; i < 3; i++) {
        a.policy = wrong[i];
        SHOW(set(&a, 0));
    }
    a.policy = SCHED_OTHER;
    static const unsigned long long flags[] = {1, 0, 0x80, 0x100, 8, 0x10, 0x18};
    for (int i = 0; i < 7; i++) {
        a.flags = flags[i];
        SAY("flags %llx\n", a.flags);
        SHOW(set(&a, 0));
        tell("then");
    }
    a.flags = 0;
    static const unsigned fair[] = {SCHED_BATCH, SCHED_IDLE, SCHED_OTHER};
    for (int i = 0; i < 3; i++) {
        a.policy = fair[i];
        SHOW(set(&a, 0));
        tell("policy");
    }
    for (int policy = -1; policy < 7; policy++) {
        SHOW(sched_get_priority_min(policy));
        SHOW(sched_get_priority_max(policy));
    }
    SHOW(syscall(SYS_ioprio_get, 1, 0));
    SHOW(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3));
    SHOW(syscall(SYS_ioprio_get, 1, 0));

    a = (struct attr){.size = 48, .policy = SCHED_RR, .priority = 20, .flags = 1};
    if (set(&a, 0)) return 0;
    tell("real time");
    a = (struct attr){.size = 48, .policy = SCHED_OTHER, .priority = 3, .flags = 8};
    SHOW(set(&a, 0));
    tell("the policy kept");
    a = (struct attr){.size = 48, .policy = SCHED_FIFO, .priority = 7, .flags = 0x10};
    SHOW(set(&a, 0));
    tell("the priority kept");
    return 0;
}
