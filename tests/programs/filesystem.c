#include "check.h"
#include <dirent.h>
#include <sys/statfs.h>
int main(void) {
    struct stat s;
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d", 0755));
    SHOW(rmdir("nope"));
    SHOW(creat("d/f", 0600));
    SHOW(rmdir("d"));
    SHOW(unlink("d"));
    SHOW(rename("d/f", "d/g"));
    SHOW(rename("d", "d/x"));
    SHOW(rename("d/g", "d"));
    SHOW(link("d/g", "h"));
    SHOW(link("d", "hd"));
    SHOW(stat("h", &s));
    SAY("links %ld mode %o\n", (long)s.st_nlink, s.st_mode);
    SHOW(symlink("d/g", "s"));
    SHOW(symlink("x", "s"));
    char b[99] = {0};
    SHOW(readlink("s", b, 99));
    SHOW(readlink("s", b, 2));
    SHOW(readlink("h", b, 9));
    SHOW(lstat("s", &s));
    SAY("link %d size %ld\n", S_ISLNK(s.st_mode), (long)s.st_size);
    SHOW(stat("s", &s));
    SHOW(open("s", O_NOFOLLOW));
    symlink("loop", "loop");
    SHOW(open("loop", 0));
    SHOW(unlink("s/"));
    SHOW(open("h/", 0));
    SHOW(mkdir("new/", 0700));
    SHOW(rmdir("new/."));
    SHOW(rmdir("new/.."));
    SHOW(chmod("h", 0123));
    stat("h", &s);
    SAY("%o\n", s.st_mode);
    SHOW(chmod("nope", 0));
    SHOW(chown("h", 3, 4));
    stat("h", &s);
    SAY("%d %d\n", s.st_uid, s.st_gid);
    SHOW(truncate("h", 10000));
    stat("h", &s);
    SAY("%ld\n", (long)s.st_size);
    SHOW(truncate("h", -1));
    SHOW(truncate("d", 0));
    struct timespec t[2] = {{1000, 5}, {2000, 6}};
    SHOW(utimensat(AT_FDCWD, "h", t, 0));
    stat("h", &s);
    SAY("%ld %ld\n", (long)s.st_atime, (long)s.st_mtime);
    int d = open("d", O_RDONLY | O_DIRECTORY);
    SHOW(openat(d, "g", O_RDONLY) > 0);
    SHOW(openat(d, "nope", O_RDONLY));
    SHOW(openat(99, "g", 0));
    SHOW(fchdir(d));
    SHOW(access("g", F_OK));
    SHOW(chdir(".."));
    SHOW(chdir("h"));
    SHOW(read(d, b, 9));
    SHOW(faccessat(d, "g", X_OK, 0));
    SHOW(mkdirat(d, "sub", 0700));
    SHOW(unlinkat(d, "sub", 0));
    SHOW(unlinkat(d, "sub", AT_REMOVEDIR));
    SHOW(renameat2(AT_FDCWD, "h", d, "g", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "h", d, "g", RENAME_EXCHANGE));
    for (int i = 0; i < 100; i++) {
        char n[20];
        sprintf(n, "d/n%03d", i);
        close(creat(n, 0644));
    }
    DIR *x = opendir("d");
    int n = 0, dots = 0;
    struct dirent *e;
    while ((e = readdir(x))) {
        n++;
        dots += e->d_name[0] == '.';
    }
    SAY("entries %d dots %d\n", n, dots);
    rewinddir(x);
    n = 0;
    while ((e = readdir(x))) {
        if (e->d_name[0] == 'n') {
            char q[300];
            sprintf(q, "d/%s", e->d_name);
            unlink(q);
            n++;
        }
    }
    SAY("removed %d\n", n);
    closedir(x);
    char *p = getcwd(b, 99);
    SAY("cwd %d\n", p != 0);
    SHOW(syscall(SYS_getcwd, b, 2));
    mkdir("gone", 0700);
    chdir("gone");
    rmdir("../gone");
    SHOW(syscall(SYS_getcwd, b, 99));
    SHOW(open("x", O_CREAT, 0600));
    chdir("/tmp");
    char lng[5000];
    memset(lng, 'a', 4999);
    lng[4999] = 0;
    SHOW(open(lng, 0));
    lng[256] = 0;
    SHOW(open(lng, O_CREAT, 0600));
    SHOW(open("/proc/self/fd/1", O_WRONLY) > 0);
    struct statfs f;
    SHOW(statfs("/", &f));
    SAY("namelen %ld\n", (long)f.f_namelen);
    int m = memfd_create("m", 0);
    SHOW(write(m, "abc", 3));
    SHOW(lseek(m, 0, SEEK_END));
    struct statx sx;
    SHOW(statx(AT_FDCWD, "/etc/passwd", 0, STATX_BASIC_STATS, &sx));
    SAY("%o\n", sx.stx_mode);
    struct flock l = {F_WRLCK, SEEK_SET, 0, 1, 0};
    SHOW(fcntl(m, F_SETLK, &l));
    CHILD("lock conflict", SHOW(fcntl(m, F_SETLK, &l)); fcntl(m, F_GETLK, &l);
          SAY("held by parent %d\n", l.l_pid == getppid()));
}
