// Credentials: what root and others may set, capabilities over changes of user and exec, prctl, access checks (28).
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
static struct {
    struct __user_cap_header_struct h;
    struct __user_cap_data_struct d[2];
} cap;
static unsigned long set(int which) {
    cap.h.version = _LINUX_CAPABILITY_VERSION_3;
    cap.h.pid = 0;
    syscall(SYS_capget, &cap.h, cap.d);
    return which == 0   ? cap.d[0].effective | (unsigned long)cap.d[1].effective << 32
           : which == 1 ? cap.d[0].permitted | (unsigned long)cap.d[1].permitted << 32
                        : cap.d[0].inheritable | (unsigned long)cap.d[1].inheritable << 32;
}
static unsigned long all; // what root has here: not everything, in some containers
static unsigned long bounding(void) {
    unsigned long n = 0;
    for (int i = 0; i < 41; i++)
        n += prctl(PR_CAPBSET_READ, i) == 1;
    return n;
}
static char all_text[32], bounding_text[32];
static const char *word(unsigned long v) { return v == 0 ? "none" : v == all ? "all" : "some"; }
static void caps(const char *w) { SAY("%s: effective %s permitted %s inheritable %s\n", w, word(set(0)), word(set(1)), word(set(2))); }
static void ids(const char *w) {
    uid_t r, e, s;
    gid_t a, b, c;
    getresuid(&r, &e, &s);
    getresgid(&a, &b, &c);
    SAY("%s: uid %d %d %d fs %d, gid %d %d %d fs %d\n", w, r, e, s, setfsuid(-1), a, b, c, setfsgid(-1));
}
static int setcaps(unsigned long e, unsigned long p, unsigned long i) {
    cap.h.version = _LINUX_CAPABILITY_VERSION_3;
    cap.h.pid = 0;
    cap.d[0] = (struct __user_cap_data_struct){(unsigned)e, (unsigned)p, (unsigned)i};
    cap.d[1] = (struct __user_cap_data_struct){(unsigned)(e >> 32), (unsigned)(p >> 32), (unsigned)(i >> 32)};
    return (int)syscall(SYS_capset, &cap.h, cap.d);
}
static void tell(void) {
    unsigned long bnd = atol(bounding_text) - bounding(), amb = 0;
    for (int i = 0; i < 41; i++)
        amb += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1;
    ids("program");
    caps("program");
    SAY("bounded by %lu, ambient %lu securebits %d keepcaps %d nnp %d dumpable %d secure %lu\n", bnd, amb,
        (int)prctl(PR_GET_SECUREBITS), (int)prctl(PR_GET_KEEPCAPS), (int)prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        prctl(PR_GET_DUMPABLE) == 1, getauxval(AT_SECURE));
}
static void copy_self(const char *to, mode_t mode, uid_t u, gid_t g) {
    char b[65536];
    ssize_t n;
    int i = open("/proc/self/exe", O_RDONLY), o = open(to, O_CREAT | O_WRONLY, 0755);
    while ((n = read(i, b, sizeof b)) > 0)
        write(o, b, n);
    fchown(o, u, g);
    fchmod(o, mode);
    close(o), close(i);
}
#define EXEC(p) execl(p, "identity", all_text, bounding_text, (char *)0)
static volatile int go;
static void *other_thread(void *a) {
    while (!go)
        sched_yield();
    SAY("another thread: uid %ld\n", syscall(SYS_getuid));
    return a;
}
int main(int c, char **v) {
    if (c > 1) {
        all = strtoul(v[1], 0, 16);
        strcpy(bounding_text, v[2]);
        tell();
        return 0;
    }
    int d;
    all = set(1);
    snprintf(all_text, sizeof all_text, "%lx", all);
    snprintf(bounding_text, sizeof bounding_text, "%lu", bounding());
    setgroups(0, 0);
    ids("start");
    CHILD("setuid as root", setuid(5); ids("after"); caps("after"); SHOW(setuid(0)); SHOW(seteuid(0)));
    CHILD("seteuid", seteuid(5); ids("after"); caps("after"); seteuid(0); ids("back"); caps("back"));
    CHILD("setresuid keeps", setresuid(-1, 5, -1); setresuid(-1, -1, 7); ids("after"); SHOW(setresuid(5, 0, 7)); ids("then");
          SHOW(setresuid(1, -1, -1)));
    CHILD("setreuid sets the saved", setreuid(-1, 5); ids("a"); SHOW(setreuid(5, -1)); ids("b"); SHOW(setreuid(-1, 0)));
    CHILD("setreuid both", setreuid(6, 6); ids("a"); SHOW(setreuid(0, -1)); SHOW(setreuid(-1, 7)); SHOW(setreuid(6, 6)));
    CHILD("gid family", setresgid(1, 2, 3); ids("a"); setgid(9); ids("b"); setegid(4); ids("c"); setregid(-1, 8); ids("d");
          setuid(1); SHOW(setgid(0)); SHOW(setregid(8, 9)); ids("e"); SHOW(setresgid(0, -1, -1)); SHOW(setgroups(0, 0)));
    CHILD("fsuid", setfsuid(5); ids("a"); caps("dropped for files"); SHOW(open("/proc/1/environ", O_RDONLY) >= 0 || 1);
          setfsuid(0); caps("back"); setuid(5); SHOW(setfsuid(0)); ids("no right"));
    // KEEPCAPS, and what it does not keep
    CHILD("keepcaps", prctl(PR_SET_KEEPCAPS, 1); setresuid(5, 5, 5); caps("kept"); SHOW(setcaps(1 << 7, all, 0));
          caps("raised"); SHOW(setuid(6)); ids("with CAP_SETUID"); SHOW(prctl(PR_GET_KEEPCAPS)); EXEC("/proc/self/exe"));
    CHILD("no setuid fixup", SHOW(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)); setuid(5); caps("kept"));
    CHILD("noroot", prctl(PR_SET_SECUREBITS, SECBIT_NOROOT); EXEC("/proc/self/exe"));
    CHILD("locks", SHOW(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS_LOCKED)); SHOW(prctl(PR_SET_KEEPCAPS, 1));
          SHOW(prctl(PR_SET_SECUREBITS, 0)); SHOW(prctl(PR_SET_SECUREBITS, 1 << 9)); SHOW(prctl(PR_GET_SECUREBITS)));
    SHOW(prctl(PR_SET_KEEPCAPS, 2));
    // capset's rules
    CHILD("capset", SHOW(setcaps(0, all, 0)); caps("a"); SHOW(setcaps(all, all, 0)); SHOW(setcaps(0, 1, 0)); caps("b");
          SHOW(setcaps(0, 3, 0)); SHOW(setcaps(2, 1, 0)); SHOW(setcaps(1, 1, 2)); SHOW(setcaps(1, 1, 1)); caps("c"));
    cap.h.version = 0;
    SHOW(syscall(SYS_capget, &cap.h, cap.d));
    SAY("version %x\n", cap.h.version);
    cap.h.version = 0;
    SHOW(syscall(SYS_capget, &cap.h, 0));
    cap.h.version = _LINUX_CAPABILITY_VERSION_3, cap.h.pid = 999999;
    SHOW(syscall(SYS_capget, &cap.h, cap.d));
    cap.h.pid = -1;
    SHOW(syscall(SYS_capget, &cap.h, cap.d));
    cap.h.pid = 1;
    SHOW(syscall(SYS_capset, &cap.h, cap.d));
    SHOW(syscall(SYS_capget, 8, cap.d));
    // bounding and ambient sets
    CHILD("bounding", SHOW(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME)); SHOW(prctl(PR_CAPBSET_READ, CAP_SYS_TIME));
          SHOW(prctl(PR_CAPBSET_DROP, 63)); SHOW(prctl(PR_CAPBSET_READ, 64)); caps("still"); EXEC("/proc/self/exe"));
    CHILD("ambient", SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)); setcaps(all, all, 1 << CAP_KILL);
          SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
          SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0)); prctl(PR_SET_KEEPCAPS, 1); setuid(5);
          SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0));
          SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0)); EXEC("/proc/self/exe"));
    CHILD("ambient, no keepcaps", setcaps(all, all, 1 << CAP_KILL); prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0);
          setcaps(all, all, 0); SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0)));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, 9, 0, 0, 0));
    SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 64, 0, 0));
    // set-id programs, where no mount option forbids them
    mkdir("m", 0755);
    SHOW(mount("tmpfs", "m", "tmpfs", 0, "mode=755"));
    SHOW(chdir("m"));
    copy_self("suid", 04755, 7, 8);
    copy_self("sgid", 02755, 7, 8);
    copy_self("sroot", 04755, 0, 0);
    copy_self("sgid-no-x", 02745, 7, 8);
    CHILD("set-uid program", EXEC("suid"));
    CHILD("set-uid program as a user", setgid(9); setuid(9); EXEC("suid"));
    CHILD("set-gid program", setgid(9); setuid(9); EXEC("sgid"));
    CHILD("set-gid bit without group execution", setgid(9); setuid(9); EXEC("sgid-no-x"));
    CHILD("set-uid root", setgid(9); setuid(9); EXEC("sroot"));
    CHILD("no new privileges", SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
          setgid(9); setuid(9); EXEC("sroot"));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    CHILD("a write takes the bit", int f = open("suid", O_WRONLY); struct stat st; setgid(9); setuid(9); write(f, "", 0);
          fstat(f, &st); SAY("%o\n", st.st_mode & 07777); pwrite(f, "\177", 1, 0); fstat(f, &st); SAY("%o\n", st.st_mode & 07777));
    CHILD("chown takes the bits", chmod("sgid", 06755); chown("sgid", 3, 3); struct stat st; stat("sgid", &st);
          SAY("%o\n", st.st_mode & 07777));
    // dumpable
    CHILD("dumpable", SHOW(prctl(PR_GET_DUMPABLE)); setuid(5); SHOW(prctl(PR_GET_DUMPABLE) == 1); SHOW(prctl(PR_SET_DUMPABLE, 1));
          SHOW(prctl(PR_GET_DUMPABLE)); SHOW(prctl(PR_SET_DUMPABLE, 2)); SHOW(prctl(PR_SET_DUMPABLE, 3)));
    // access uses real ids, open effective ones
    int f = open("mine", O_CREAT | O_RDWR, 0600);
    close(f);
    CHILD("access", setresuid(9, 0, 0); SHOW(access("mine", R_OK)); SHOW(open("mine", O_RDONLY) >= 0);
          SHOW(faccessat(AT_FDCWD, "mine", R_OK, AT_EACCESS)); seteuid(9); SHOW(open("mine", O_RDONLY)));
    CHILD("root needs an x bit", SHOW(access("mine", X_OK)); SHOW(execl("mine", "mine", (char *)0)); chmod("mine", 0610);
          SHOW(access("mine", X_OK)));
    mkdir("shut", 0700), mkdir("sticky", 0777), chmod("sticky", 01777);
    close(open("sticky/f", O_CREAT, 0666));
    CHILD("directories", setgid(9); setuid(9); SHOW(open("shut/x", O_RDONLY)); SHOW(mkdir("shut/d", 0700));
          SHOW(unlink("sticky/f")); SHOW(rename("sticky/f", "sticky/g")); SHOW(open("sticky/mine", O_CREAT | O_RDWR, 0600) >= 0);
          SHOW(unlink("sticky/mine")); SHOW(chmod("sticky", 0700)); SHOW(chown("sticky", 9, 9)); SHOW(utimensat(AT_FDCWD, "sticky", 0, 0));
          SHOW(chroot(".")); SHOW(mknod("node", S_IFCHR | 0600, 0x103)); SHOW(sethostname("x", 1));
          SHOW(truncate("mine", 0)); SHOW(mkfifo("sticky/fifo", 0600)));
    CHILD("chown by the owner", f = open("sticky/own", O_CREAT | O_RDWR, 0666); fchown(f, 9, 9); gid_t g[] = {11}; setgroups(1, g);
          setgid(9); setuid(9); SHOW(fchown(f, -1, 11)); SHOW(fchown(f, -1, 12)); SHOW(fchown(f, 9, -1)); SHOW(fchown(f, 10, -1));
          SHOW(fchmod(f, 02755)); struct stat st; fstat(f, &st); SAY("%o\n", st.st_mode & 07777));
    // threads have credentials of their own in the kernel; the libc keeps them together
    CHILD("one thread only", pthread_t t; pthread_create(&t, 0, other_thread, 0); syscall(SYS_setuid, 5); go = 1; pthread_join(t, 0));
    CHILD("libc's", pthread_t t; pthread_create(&t, 0, other_thread, 0); setuid(5); go = 1; pthread_join(t, 0));
    // prctl's rest
    SHOW(prctl(PR_SET_NAME, 8));
    SHOW(prctl(PR_SET_TIMERSLACK, 0));
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    SHOW(prctl(PR_GET_CHILD_SUBREAPER, &d));
    SHOW(prctl(PR_GET_CHILD_SUBREAPER, 8));
    SHOW(prctl(PR_GET_PDEATHSIG, 8));
    SHOW(prctl(PR_GET_TSC, &d));
    SHOW(prctl(PR_SET_UNALIGN, 0));
    SHOW(prctl(PR_GET_TIMING));
    SHOW(prctl(PR_SET_TIMING, 1));
    SHOW(prctl(PR_GET_SECCOMP));
    SHOW(prctl(-1));
}
