#include <sched.h>

// Goes to the last CPU that this process may use, since elsewhere its parent and other programs go on; which that is.
static inline int one_cpu(void) {
    cpu_set_t may, one;
    sched_getaffinity(0, sizeof may, &may);
    int last = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &may)) last = cpu;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    sched_setaffinity(0, sizeof one, &one);
    return last;
}
