#include "check.h"
#include <grp.h>
static void ids(void) {
    uid_t r, e, s;
    getresuid(&r, &e, &s);
    gid_t a, b, c;
    getresgid(&a, &b, &c);
    SAY("uid %d %d %d gid %d %d %d\n", r, e, s, a, b, c);
}
int main(void) {
    ids();
    CHILD("setuid", SHOW(setgid(100)); SHOW(setuid(1000)); ids(); SHOW(setuid(0)); SHOW(setgid(0));
          SHOW(kill(getppid(), 0)); SHOW(open("/etc/passwd", O_WRONLY)); SHOW(chown("/etc/passwd", 1, 1));
          SHOW(setpriority(PRIO_PROCESS, 0, -5)));
    CHILD("seteuid", SHOW(seteuid(1000)); ids(); SHOW(seteuid(0)); ids(); SHOW(setresuid(1, 2, 3)); ids();
          SHOW(setresuid(2, 1, -1)); ids(); SHOW(setresuid(9, -1, -1)); SHOW(setreuid(3, -1)); ids());
    gid_t g[3] = {5, 6, 7}, o[8];
    SHOW(setgroups(3, g));
    SHOW(getgroups(0, 0));
    SHOW(getgroups(8, o));
    SAY("%d %d\n", o[0], o[2]);
    SHOW(getgroups(1, o));
    CHILD("supplementary", int f = open("g", O_CREAT, 0640); fchown(f, 0, 6); setgid(100); setuid(1000);
          SHOW(open("g", O_RDONLY)); SHOW(open("g", O_WRONLY)); SHOW(access("g", R_OK)); SHOW(access("g", W_OK)));
    CHILD("set-uid program", char b[4096]; int i = open("/proc/self/exe", O_RDONLY); (void)i; (void)b; SHOW(umask(077));
          SHOW(umask(022)));
    struct rlimit l;
    getrlimit(RLIMIT_STACK, &l);
    SAY("stack %ld\n", (long)l.rlim_cur);
    SHOW(getrlimit(99, &l));
    l.rlim_cur = 10, l.rlim_max = 5;
    SHOW(setrlimit(RLIMIT_NOFILE, &l));
    CHILD("fsize", struct rlimit f = {100, 100}; setrlimit(RLIMIT_FSIZE, &f); signal(SIGXFSZ, SIG_IGN);
          int x = open("big", O_CREAT | O_WRONLY, 0644); char z[200] = {0}; SHOW(write(x, z, 200));
          SHOW(write(x, z, 1)); signal(SIGXFSZ, SIG_DFL); write(x, z, 1));
    CHILD("cpu", struct rlimit f = {1, 2}; setrlimit(RLIMIT_CPU, &f); for (;;););
    CHILD(
        "nproc", setuid(4242); struct rlimit f = {2, 2}; setrlimit(RLIMIT_NPROC, &f); pid_t a = fork(); if (!a) {
            ms(200);
            _exit(0);
        } SHOW(fork());
        wait(0));
}
