// Whom a signal reaches and who may send it, what it says of its sender, how long a number lives, and what user copies leave behind.
#include "check.h"
#include <sys/prctl.h>
static volatile int code, from, uid_, value, hits;
static void note(int s, siginfo_t *i, void *u) {
    hits++;
    code = i->si_code, from = i->si_pid, uid_ = i->si_uid, value = i->si_value.sival_int;
}
static long queue(pid_t p, pid_t t, int sig, int c) {
    siginfo_t i = {0};
    i.si_signo = sig, i.si_code = c, i.si_pid = 12345, i.si_uid = 77, i.si_value.sival_int = 6;
    return t ? syscall(SYS_rt_tgsigqueueinfo, p, t, sig, &i) : syscall(SYS_rt_sigqueueinfo, p, sig, &i);
}
static pid_t sleeper(uid_t u) {
    static int f[2];
    pipe(f);
    pid_t p = fork();
    if (!p) {
        if (u)
            setresuid(u, u, u);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        give(f);
        for (;;)
            pause();
    }
    take(f);
    close(f[0]), close(f[1]);
    return p;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0), sigaction(SIGRTMIN, &a, 0);
    int s, st;
    // what a signal says
    kill(getpid(), SIGUSR1);
    SAY("kill: code %d from me %d uid %d\n", code, from == getpid(), uid_);
    raise(SIGUSR1);
    SAY("tgkill: code %d from me %d\n", code, from == getpid());
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
    SAY("queue: code %d from me %d value %d\n", code, from == getpid(), value);
    SHOW(queue(getpid(), 0, SIGUSR1, -7));
    SAY("made up: code %d from %d uid %d value %d\n", code, from, uid_, value);
    SHOW(queue(getpid(), 0, SIGUSR1, SI_USER));
    SAY("to oneself: code %d\n", code);
    SHOW(queue(getpid(), getpid(), SIGUSR1, SI_TKILL));
    SAY("to oneself: code %d\n", code);
    SHOW(queue(getpid(), 0, SIGUSR1, 5));
    pid_t p = sleeper(0);
    SHOW(queue(p, 0, SIGUSR2 & 0, -1));
    SHOW(queue(p, 0, SIGCHLD, SI_USER));
    SHOW(queue(p, 0, SIGCHLD, SI_TKILL));
    SHOW(queue(p, 0, SIGCHLD, 1));
    SHOW(queue(p, p, SIGCHLD, -1));
    SHOW(queue(p, p, SIGCHLD, 0));
    SHOW(queue(p, 0, 65, -1));
    SHOW(queue(0, 0, SIGCHLD, -1));
    SHOW(queue(p, -1, SIGCHLD, -1));
    SHOW(queue(-1, p, SIGCHLD, -1));
    SHOW(queue(999999, 0, SIGCHLD, -1));
    SHOW(syscall(SYS_rt_sigqueueinfo, p, SIGCHLD, 8));
    // pidfd_send_signal
    int fd = (int)syscall(SYS_pidfd_open, p, 0);
    siginfo_t i = {.si_signo = SIGCHLD, .si_code = -1};
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGCHLD, &i, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGWINCH, &i, 0));
    i.si_code = 0;
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGCHLD, &i, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 65, 0, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, 0, 1 << 20));
    SHOW(syscall(SYS_pidfd_send_signal, 0, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_send_signal, -1, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGCHLD, 8, 0));
    // 27: permission, by the sender's real or effective and the target's real or saved user
    pid_t other = sleeper(31301);
    CHILD("another user", setuid(31302); SHOW(kill(other, 0)); SHOW(kill(other, SIGTERM)); SHOW(kill(other, SIGCONT)); SHOW(kill(p, 0));
          SHOW(syscall(SYS_tgkill, other, other, 0)); SHOW(syscall(SYS_tkill, other, 0)); SHOW(queue(other, 0, SIGCHLD, -1));
          SHOW(queue(other, other, SIGCHLD, -1)); SHOW(syscall(SYS_pidfd_send_signal, fd, 0, 0, 0)); SHOW(kill(1, 0)); SHOW(kill(getpid(), 0));
          SHOW(kill(other, 65)); SHOW(kill(999999, 0)));
    CHILD("same session, SIGCONT", setuid(31302); SHOW(kill(p, SIGCONT)));
    CHILD("another session, SIGCONT", setsid(); setuid(31302); SHOW(kill(p, SIGCONT)));
    CHILD("real user matches", setresuid(31301, 31302, 31302); SHOW(kill(other, 0)));
    CHILD("effective user matches", setresuid(31302, 31301, 31302); SHOW(kill(other, 0)));
    CHILD("saved user matches", setresuid(31302, 31302, 31301); SHOW(kill(other, 0)));
    // groups: one success is success, EPERM only if none
    pid_t g1 = sleeper(31303), g2 = sleeper(31304);
    setpgid(g1, g1), setpgid(g2, g1);
    CHILD("a mixed group", setuid(31303); SHOW(kill(-g1, 0)); SHOW(kill(-g1, SIGTERM)));
    reap("the one allowed", g1);
    SHOW(kill(-g1, 0)); // the group outlives its leader
    CHILD("none allowed", setuid(31303); SHOW(kill(-g1, 0)));
    // 26: its number is not free while the group lives
    int reused = 0;
    for (int k = 0; k < 50; k++) {
        pid_t q = fork();
        if (!q)
            _exit(0);
        reused += q == g1;
        waitpid(q, 0, 0);
    }
    SAY("reused %d\n", reused);
    SHOW(kill(g1, 0));
    SHOW(getpgid(g2) == g1);
    SHOW(setpgid(0, g1));
    SHOW(getpgrp() == g1);
    SHOW(setpgid(0, 0));
    kill(g2, 9), reap("the last of the group", g2);
    SHOW(kill(-g1, 0));
    // a zombie counts as there
    pid_t z = fork();
    if (!z)
        _exit(3);
    await(z, "Z");
    SHOW(kill(z, 0));
    SHOW(kill(z, SIGKILL));
    SHOW(getpgid(z) == getpgrp());
    SHOW(setpgid(z, z));
    SHOW(syscall(SYS_tgkill, z, z, 0));
    int zf = (int)syscall(SYS_pidfd_open, z, 0);
    SHOW(zf >= 0);
    SHOW(syscall(SYS_pidfd_send_signal, zf, SIGTERM, 0, 0));
    reap("zombie", z);
    SHOW(kill(z, 0));
    SHOW(syscall(SYS_pidfd_send_signal, zf, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_open, z, 0));
    // kill(-1): all that may be signalled but oneself; kill(0): the own group
    pid_t m1 = sleeper(31305), m2 = sleeper(31305);
    CHILD("kill(-1)", setuid(31305); signal(SIGTERM, SIG_DFL); SHOW(kill(-1, SIGTERM)); SAY("not oneself\n"));
    reap("first", m1), reap("second", m2);
    CHILD("kill(-1), nobody", setuid(31306); SHOW(kill(-1, SIGTERM)));
    CHILD("kill(0)", setpgid(0, 0); pid_t q = sleeper(0); signal(SIGTERM, SIG_IGN); SHOW(kill(0, SIGTERM)); reap("member", q));
    SHOW(kill(INT_MIN, 0));
    kill(other, 9), kill(p, 9);
    reap("other", other), reap("p", p);
    // 17: setsid where the number names a group others are in
    pid_t lead = fork();
    if (!lead) {
        setpgid(0, 0);
        pid_t q = sleeper(0);
        setpgid(0, getppid() ? getpgid(getppid()) : 0); // leave the group; the child stays in it
        SHOW(setsid());
        kill(q, 9), reap("member", q);
        SHOW(setsid() == getpid());
        _exit(0);
    }
    reap("setsid", lead);
    // 36: a copy that meets a bad page tells what was done before
    char *m = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), b[64];
    munmap(m + 4096, 4096);
    int f = open("file", O_CREAT | O_RDWR, 0600), q[2];
    for (int k = 0; k < 200; k++)
        write(f, "0123456789012345678901234567890123456789", 40);
    SHOW(pread(f, m + 4000, 200, 0));
    SHOW(pread(f, m + 4096, 200, 0));
    SHOW(pwrite(f, m + 4000, 200, 0));
    pipe(q);
    SHOW(write(q[1], "0123456789", 10));
    SHOW(read(q[0], m + 4096, 5));
    struct iovec v[2] = {{b, 5}, {m + 4096, 5}}, w[2] = {{b, 5}, {(void *)0xffff800000000000, 5}};
    lseek(f, 0, SEEK_SET);
    SHOW(readv(f, v, 2));
    SHOW(writev(f, v, 2));
    SHOW(readv(f, w, 2));
    v[1].iov_len = -1;
    SHOW(readv(f, v, 2));
    SHOW(readv(f, v, -1));
    SHOW(readv(f, v, 1025));
    SHOW(read(f, (void *)0xffff888000000000, 10));
    SHOW(read(f, (void *)0x7ffffffff000, 10));
    SHOW(read(f, b, -1) > 0 || errno == EFAULT);
    SHOW(read(f, (void *)-4096, 8192));
    SHOW(write(f, (void *)-1, 1));
    SHOW(wait4(-1, (int *)(m + 4094), WNOHANG, 0));
    SHOW(nanosleep((void *)(m + 4090), 0));
}
