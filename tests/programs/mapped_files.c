// Mappings of files that shrink, grow and get holes; what is in memory; what mremap and madvise refuse.
#include "check.h"
#include <setjmp.h>
#define PAGE 4096ul

static sigjmp_buf back;
static void on_fault(int sig, siginfo_t *info, void *context) {
    siglongjmp(back, sig == SIGBUS ? (info->si_code == BUS_ADRERR ? 1 : 2) : 3);
}
// What reading a byte gives: the byte, or the fault.
static void look(const char *what, char *p) {
    int fault = sigsetjmp(back, 1);
    static const char *names[] = {"", "SIGBUS, BUS_ADRERR", "SIGBUS", "SIGSEGV"};
    if (fault)
        SAY("%s: %s\n", what, names[fault]);
    else
        SAY("%s: %d\n", what, *(volatile char *)p);
}
static void there(const char *what, char *p, int pages) {
    unsigned char v[32] = {0};
    SAY("%s:", what);
    if (mincore(p, pages * PAGE, v))
        SAY(" %s", strerrorname_np(errno));
    else
        for (int i = 0; i < pages; i++)
            SAY(" %d", v[i] & 1);
    SAY("\n");
}
static int file(const char *name, int pages) {
    int f = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    char b[PAGE];
    for (int i = 0; i < pages; i++) {
        memset(b, 10 + i, PAGE);
        write(f, b, PAGE);
    }
    return f;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &a, 0);
    sigaction(SIGSEGV, &a, 0);
    int f = file("m1", 6);
    char *shared = mmap(0, 6 * PAGE, 3, MAP_SHARED, f, 0);
    char *private = mmap(0, 6 * PAGE, 3, MAP_PRIVATE, f, 0);
    char *tail = mmap(0, 2 * PAGE, 1, MAP_SHARED, f, 4 * PAGE);
    for (int i = 0; i < 6; i++)
        SAY("%d %d\n", shared[i * PAGE], private[i * PAGE]);
    private[4 * PAGE] = 99;
    SAY("%d\n", tail[0]);
    SHOW(ftruncate(f, 2 * PAGE + 100));
    look("shared, whole", shared + PAGE);
    look("shared, cut", shared + 2 * PAGE);
    look("shared, behind the cut", shared + 2 * PAGE + 100);
    look("shared, gone", shared + 3 * PAGE);
    look("private, gone", private + 3 * PAGE);
    look("private copy, gone", private + 4 * PAGE);
    look("private, whole", private + PAGE);
    look("other offset, gone", tail);
    SHOW(ftruncate(f, 6 * PAGE));
    look("shared, grown", shared + 3 * PAGE);
    look("private, grown", private + 4 * PAGE);
    look("other offset, grown", tail);
    shared[5 * PAGE] = 5;
    look("seen elsewhere", tail + PAGE);

    SAY("in a child\n");
    f = file("m2", 4);
    shared = mmap(0, 4 * PAGE, 3, MAP_SHARED, f, 0);
    private = mmap(0, 4 * PAGE, 3, MAP_PRIVATE, f, 0);
    private[PAGE] = shared[PAGE] = 1;
    int to[2], from[2];
    pipe(to), pipe(from);
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        look("before", shared + PAGE);
        look("before", private + PAGE);
        give(from);
        take(to);
        look("after", shared + PAGE);
        look("after", private + PAGE);
        look("after", shared);
        _exit(0);
    }
    take(from);
    SHOW(truncate("m2", 1));
    give(to);
    reap("child", p);
    look("parent", shared + PAGE);
    look("parent, first byte", shared);
    look("parent, second byte", shared + 1);
    close(open("m2", O_WRONLY | O_TRUNC));
    look("O_TRUNC", shared);

    SAY("holes\n");
    f = file("m3", 4);
    shared = mmap(0, 4 * PAGE, 3, MAP_SHARED, f, 0);
    private = mmap(0, 4 * PAGE, 3, MAP_PRIVATE, f, 0);
    private[PAGE] = 77;
    look("before", shared + PAGE);
    if (fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE) == 0) {
        look("hole", shared + PAGE);
        look("copy", private + PAGE);
        look("behind", shared + 3 * PAGE);
        shared[PAGE] = 3;
        char c = 0;
        pread(f, &c, 1, PAGE);
        SAY("written %d\n", c);
    }

    SAY("in memory\n");
    int m = memfd_create("m", 0);
    ftruncate(m, 4 * PAGE);
    shared = mmap(0, 4 * PAGE, 3, MAP_SHARED, m, 0);
    there("sparse file", shared, 4);
    shared[2 * PAGE] = 1;
    there("one written", shared, 4);
    char *anonymous = mmap(0, 4 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    there("untouched", anonymous, 4);
    anonymous[PAGE] = 1;
    there("touched", anonymous, 4);
    char *common = mmap(0, 4 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    common[3 * PAGE] = 1;
    there("shared", common, 4);
    munmap(anonymous + 2 * PAGE, PAGE);
    there("hole", anonymous, 4);
    SHOW(mincore(anonymous + 1, PAGE, (void *)&a));
    SHOW(mincore(anonymous, PAGE, (void *)8));
    SHOW(mincore(anonymous, 0, (void *)8));
    SHOW(mincore((void *)-PAGE, PAGE, (void *)&a));

    SAY("madvise\n");
    anonymous = mmap(0, 4 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(madvise(anonymous, PAGE, MADV_WILLNEED));
    SHOW(madvise(anonymous, PAGE, 22 /* MADV_POPULATE_READ */));
    SHOW(madvise(anonymous + PAGE, PAGE, 23 /* MADV_POPULATE_WRITE */));
    there("populated", anonymous, 4);
    mprotect(anonymous + 2 * PAGE, PAGE, PROT_READ);
    SHOW(madvise(anonymous + 2 * PAGE, PAGE, 23));
    SHOW(madvise(anonymous + 2 * PAGE, PAGE, 22));
    mprotect(anonymous + 3 * PAGE, PAGE, PROT_NONE);
    SHOW(madvise(anonymous + 3 * PAGE, PAGE, 22));
    SHOW(madvise(anonymous + 1, PAGE, MADV_NORMAL));
    SHOW(madvise(anonymous, 0, MADV_NORMAL));
    SHOW(madvise(anonymous, 0, 12345));
    SHOW(madvise(anonymous, -1, MADV_NORMAL));
    SHOW(madvise(shared, PAGE, MADV_FREE));
    SHOW(madvise(shared, PAGE, MADV_WIPEONFORK));
    SHOW(madvise(shared, PAGE, MADV_REMOVE));
    SHOW(madvise(anonymous, PAGE, MADV_REMOVE));
    munmap(anonymous + PAGE, PAGE);
    SHOW(madvise(anonymous, 3 * PAGE, MADV_DONTNEED));
    SHOW(madvise(anonymous, 3 * PAGE, 22));
    SHOW(madvise(anonymous, PAGE, MADV_WIPEONFORK));
    anonymous[0] = 4;
    CHILD("wiped", look("in the child", anonymous));
    SHOW(madvise(anonymous, PAGE, MADV_KEEPONFORK));
    CHILD("kept", look("in the child", anonymous));
    SHOW(madvise(anonymous, PAGE, MADV_DONTFORK));
    CHILD("not there", look("in the child", anonymous));
    SHOW(madvise(anonymous, PAGE, MADV_DOFORK));

    SAY("mremap\n");
    anonymous = mmap(0, 8 * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW(mremap(anonymous + 1, PAGE, PAGE, 0));
    SHOW(mremap(anonymous, PAGE, 0, 0));
    SHOW(mremap(anonymous, PAGE, PAGE, 8));
    SHOW(mremap(anonymous, PAGE, PAGE, MREMAP_FIXED, anonymous));
    SHOW(mremap(anonymous, 2 * PAGE, 2 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, anonymous + PAGE));
    SHOW(mremap(anonymous, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, anonymous + 1));
    SHOW(mremap(anonymous, 0, PAGE, MREMAP_MAYMOVE));
    SHOW(mremap(anonymous, 16 * PAGE, 17 * PAGE, MREMAP_MAYMOVE));
    char *again = mremap(shared, 0, 4 * PAGE, MREMAP_MAYMOVE);
    SAY("a second mapping: %d\n", again != MAP_FAILED && again != shared);
    if (again != MAP_FAILED) {
        shared[0] = 66;
        look("the same page", again);
    }
    munmap(anonymous + 4 * PAGE, PAGE);
    SHOW(mremap(anonymous, 2 * PAGE, 5 * PAGE, 0));
    SHOW(mremap(anonymous + 4 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
    unlink("m1"), unlink("m2"), unlink("m3");
    return 0;
}
