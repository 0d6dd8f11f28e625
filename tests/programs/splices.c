// splice, tee and vmsplice; openat2's restrictions; mremap that keeps the old range; /proc/locks.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(int error) {
    return error ? strerrorname_np(error) : "ok";
}

static void show(const char *what, long result) {
    int error = errno;
    printf("%s: %ld %s\n", what, result, result < 0 ? name(error) : "");
}

static void splices(void) {
    int p[2], q[2];
    pipe(p);
    pipe(q);
    int file = open("splice.txt", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(file, "0123456789", 10);
    off_t offset = 2;
    show("file to pipe at 2", splice(file, &offset, p[1], NULL, 5, 0));
    printf("offset %ld, position %ld\n", (long)offset, (long)lseek(file, 0, SEEK_CUR));
    char text[64] = {0};
    show("tee", tee(p[0], q[1], 64, 0));
    show("read of the copy", read(q[0], text, sizeof text));
    printf("%.5s\n", text);
    offset = 20;
    show("pipe to file at 20", splice(p[0], NULL, file, &offset, 64, 0));
    printf("offset %ld\n", (long)offset);
    show("back", pread(file, text, 64, 20));
    printf("%.5s\n", text);
    lseek(file, 0, SEEK_SET);
    show("file to pipe", splice(file, NULL, p[1], NULL, 4, 0));
    printf("position %ld\n", (long)lseek(file, 0, SEEK_CUR));
    show("pipe to pipe", splice(p[0], NULL, q[1], NULL, 100, 0));
    show("read", read(q[0], text, sizeof text));
    printf("%.4s\n", text);
    show("empty, not waiting", splice(p[0], NULL, q[1], NULL, 100, SPLICE_F_NONBLOCK));
    show("tee of nothing, not waiting", tee(p[0], q[1], 100, SPLICE_F_NONBLOCK));
    show("same pipe", splice(p[0], NULL, p[1], NULL, 10, 0));
    show("tee into itself", tee(p[0], p[1], 10, 0));
    show("file to file", splice(file, NULL, file, NULL, 10, 0));
    offset = 0;
    show("offset of a pipe", splice(p[0], &offset, file, NULL, 10, 0));
    show("wrong end", splice(p[1], NULL, file, NULL, 10, 0));
    show("bad flags", splice(p[0], NULL, file, NULL, 10, 0x100));
    show("tee with a file", tee(file, p[1], 10, 0));
    show("nothing asked for", splice(p[0], NULL, file, NULL, 0, 0));
    int append = open("splice.txt", O_WRONLY | O_APPEND);
    write(p[1], "x", 1);
    show("to an appending file", splice(p[0], NULL, append, NULL, 10, 0));
    read(p[0], text, 1);
    int event = eventfd(1, 0);
    show("from an eventfd", splice(event, NULL, p[1], NULL, 8, 0));

    struct iovec parts[2] = {{"hello ", 6}, {"world", 5}};
    show("vmsplice in", vmsplice(p[1], parts, 2, 0));
    char one[4] = {0}, two[16] = {0};
    struct iovec out[2] = {{one, 3}, {two, 15}};
    show("vmsplice out", vmsplice(p[0], out, 2, 0));
    printf("[%s][%s]\n", one, two);
    show("vmsplice of a file", vmsplice(file, parts, 2, 0));
    show("vmsplice, bad flags", vmsplice(p[1], parts, 2, 0x80));

    // A child that waits for bytes gets them; the end of the pipe ends the splice.
    pid_t child = fork();
    if (child == 0) {
        close(p[1]);
        long moved = splice(p[0], NULL, q[1], NULL, 100, 0);
        long end = splice(p[0], NULL, q[1], NULL, 100, 0);
        _exit(moved == 3 && end == 0 ? 7 : 1);
    }
    usleep(20000);
    write(p[1], "abc", 3);
    usleep(20000);
    close(p[1]);
    int status;
    waitpid(child, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    signal(SIGPIPE, SIG_IGN);
    close(q[0]);
    lseek(file, 0, SEEK_SET);
    show("nobody reads", splice(file, NULL, q[1], NULL, 4, 0));
    unlink("splice.txt");
}

static void open_how(const char *what, int dir, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags, .resolve = resolve, .mode = flags & O_CREAT ? 0600 : 0};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    int error = errno;
    printf("%s: %s\n", what, fd < 0 ? name(error) : "ok");
    if (fd >= 0)
        close(fd);
}

static void confined(void) {
    mkdir("top", 0700);
    mkdir("top/in", 0700);
    close(open("top/file", O_CREAT | O_WRONLY, 0600));
    close(open("outside", O_CREAT | O_WRONLY, 0600));
    symlink("../file", "top/in/up");
    symlink("../../outside", "top/in/out");
    symlink("/file", "top/absolute");
    symlink("file", "top/link");
    int top = open("top", O_RDONLY | O_DIRECTORY);
    int in = open("top/in", O_RDONLY | O_DIRECTORY);
    open_how("beneath", top, "file", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, up and down", top, "in/../file", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, a link up within", top, "in/up", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, a link out", top, "in/out", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, ..", in, "../file", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, absolute", top, "/file", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, absolute link", top, "absolute", O_RDONLY, RESOLVE_BENEATH);
    open_how("beneath, new", top, "new", O_RDWR | O_CREAT | O_EXCL, RESOLVE_BENEATH);
    open_how("beneath, new outside", top, "../new", O_RDWR | O_CREAT | O_EXCL, RESOLVE_BENEATH);
    open_how("in root", top, "/file", O_RDONLY, RESOLVE_IN_ROOT);
    open_how("in root, absolute link", top, "absolute", O_RDONLY, RESOLVE_IN_ROOT);
    open_how("in root, far up", top, "../../../file", O_RDONLY, RESOLVE_IN_ROOT);
    open_how("in root, link out", top, "in/out", O_RDONLY, RESOLVE_IN_ROOT);
    open_how("no links", top, "link", O_RDONLY, RESOLVE_NO_SYMLINKS);
    open_how("no links, none there", top, "file", O_RDONLY, RESOLVE_NO_SYMLINKS);
    open_how("no links, the link itself", top, "link", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
    open_how("no magic links", AT_FDCWD, "/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS);
    open_how("no magic links, other link", AT_FDCWD, "/proc/self/stat", O_RDONLY, RESOLVE_NO_MAGICLINKS);
    open_how("no mounts", AT_FDCWD, "/proc/self/stat", O_RDONLY, RESOLVE_NO_XDEV);
    open_how("no mounts crossed", top, "file", O_RDONLY, RESOLVE_NO_XDEV);
    open_how("both", top, "file", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT);
    open_how("unknown", top, "file", O_RDONLY, 0x100);
    system("rm -r top outside");
}

static void moved(void) {
    long page = sysconf(_SC_PAGESIZE);
    char *old = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(old, 'a', 3 * page);
    char *new = mremap(old + page, page, page, MREMAP_MAYMOVE | 4, NULL);
    printf("moved: %c, left behind: %d, neighbours %c %c\n", new[0], old[page], old[0], old[2 * page]);
    show("other size", mremap(old, page, 2 * page, MREMAP_MAYMOVE | 4, NULL) == MAP_FAILED ? -1 : 0);
    show("must not move", mremap(old, page, page, 4, NULL) == MAP_FAILED ? -1 : 0);
}

static void locks(void) {
    int file = open("locked", O_RDWR | O_CREAT, 0600);
    struct stat info;
    fstat(file, &info);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
    fcntl(file, F_OFD_SETLK, &range);
    range = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100};
    fcntl(file, F_SETLK, &range);
    char line[256], ino[32];
    snprintf(ino, sizeof ino, ":%lu ", (unsigned long)info.st_ino);
    FILE *list = fopen("/proc/locks", "r");
    char found[2][256] = {"none\n", "none\n"};
    int lines = 0;
    while (fgets(line, sizeof line, list)) {
        char *class = strchr(line, ' '), *place = strstr(line, ino);
        if (!place)
            continue;
        lines++;
        // Linux lists them by the CPU on which they were made.
        snprintf(found[class[1] == 'O'], 256, "%.6s %s %s", class + 1, strstr(class, "WRITE") ? "write" : "read",
                 place + strlen(ino));
    }
    printf("%d locks\n%s%s", lines, found[0], found[1]);
    fclose(list);
    unlink("locked");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    chdir("/tmp");
    splices();
    confined();
    moved();
    locks();
    int file = open("/tmp", O_RDONLY);
    show("ioctl nobody knows", ioctl(file, _IOW('H', 201, int), 8));
    show("huge pages off", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    show("huge pages are", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    show("with rubbish", prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
    return 0;
}
