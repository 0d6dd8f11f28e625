#include "check.h"
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/socket.h>
#include <sys/random.h>
#include <sys/sendfile.h>
int main(void) {
    struct utsname u;
    SHOW(uname(&u));
    SAY("%s\n", u.machine);
    struct sysinfo i;
    SHOW(sysinfo(&i));
    SAY("%d %d\n", i.totalram > 0, i.mem_unit >= 1);
    char b[300];
    SHOW(getrandom(b, 256, 0));
    SHOW(getrandom(b, 10, 99));
    SHOW(getrandom((void *)8, 10, 0));
    cpu_set_t s;
    TRY(sched_getaffinity(0, sizeof s, &s));
    SAY("cpus %d\n", CPU_COUNT(&s) >= 1);
    SHOW(sched_getaffinity(99999, sizeof s, &s));
    SHOW(sched_yield());
    SHOW(sched_getscheduler(0));
    SHOW(sched_get_priority_max(SCHED_FIFO));
    SHOW(sched_get_priority_min(SCHED_RR));
    struct sched_param sp;
    SHOW(sched_getparam(0, &sp));
    SHOW(sched_get_priority_max(99));
    int v[2];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, v));
    SHOW(write(v[0], "unix", 4));
    SHOW(read(v[1], b, 300));
    close(v[0]);
    SHOW(read(v[1], b, 1));
    int f = open("f", O_RDWR | O_CREAT, 0644);
    write(f, "0123456789", 10);
    lseek(f, 0, 0);
    int p[2];
    pipe(p);
    off_t o = 2;
    SHOW(sendfile(p[1], f, &o, 4));
    SHOW(read(p[0], b, 9));
    SAY("%.4s %ld\n", b, (long)o);
    SHOW(sendfile(p[1], f, 0, 100));
    SHOW(isatty(1));
    SHOW(ttyname(1) != 0);
    SHOW(syscall(SYS_membarrier, 0, 0, 0) >= 0);
    SHOW(getpid() == getpgid(0) || 1);
    SHOW(syscall(SYS_arch_prctl, 0x1003, (void *)8));
    SHOW(syscall(SYS_arch_prctl, 0x1002, 0x800000000000));
    SHOW(syscall(SYS_arch_prctl, 0x9999, 0));
    unsigned cpu;
    SHOW(syscall(SYS_getcpu, &cpu, 0, 0));
    SHOW(close(1000));
}
