// Locked memory: what mlock and its kin count, refuse and bring in; what madvise, msync, fork and exec make of it.
#include "check.h"
#define PAGE 4096ul
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static long field(const char *name) {
    char line[256];
    long found = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            found = atol(line + strlen(name) + 1);
    if (f)
        fclose(f);
    return found;
}
static void locked(const char *what) { SAY("%s: VmLck %ld kB\n", what, field("VmLck")); }
static int there(char *p, int pages) {
    unsigned char v[64] = {0};
    int n = 0;
    if (mincore(p, pages * PAGE, v))
        return -1;
    for (int i = 0; i < pages; i++)
        n += v[i] & 1;
    return n;
}
static char *map(long pages) { return mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0); }
// From here on an ordinary user with this limit.
static void ordinary(rlim_t bytes) {
    struct rlimit r = {bytes, bytes};
    SHOW(setrlimit(RLIMIT_MEMLOCK, &r));
    SHOW(setresuid(1000, 1000, 1000));
}

static void arguments(void) {
    char *p = map(4);
    SHOW(mlock(p + 1, 1));
    locked("one byte");
    SHOW(mlock(p, 0));
    SHOW(mlock(p + PAGE - 1, 2));
    locked("across a border");
    SHOW(munlock(p + 5, 1));
    locked("one back");
    SHOW(munlock(p, 4 * PAGE));
    locked("all back");
    SHOW(syscall(SYS_mlock2, p, PAGE, 2));
    SHOW(syscall(SYS_mlock2, p, 3 * PAGE, MLOCK_ONFAULT));
    SAY("present %d\n", there(p, 4));
    locked("on fault");
    p[0] = 1;
    SAY("present %d\n", there(p, 4));
    SHOW(syscall(SYS_mlock2, p, 4 * PAGE, 0));
    SAY("present %d\n", there(p, 4));
    locked("at once");
    munmap(p + PAGE, PAGE);
    locked("hole");
    SHOW(mlock(p, 4 * PAGE));
    SHOW(munlock(p, 4 * PAGE));
    locked("before the hole");
    SHOW(mlock((void *)-PAGE, 2 * PAGE));
    SHOW(mlock(p, -PAGE));
    SHOW(munlock(p, -1));
    SHOW(munlock((void *)8, 8));
    SHOW(mlock((void *)8, 8));
    munmap(p, 4 * PAGE);
    locked("unmapped");
    char *none = mmap(0, 2 * PAGE, PROT_NONE, ANON, -1, 0);
    SHOW(mlock(none, PAGE));
    locked("no rights");
    munmap(none, 2 * PAGE);
    SHOW(mlockall(0));
    SHOW(mlockall(MCL_ONFAULT));
    SHOW(mlockall(MCL_CURRENT | 8));
    SHOW(munlockall());
}

static void limits(void) {
    char *p = map(16);
    ordinary(4 * PAGE);
    SHOW(mlock(p, 4 * PAGE));
    SHOW(mlock(p + PAGE, 2 * PAGE));
    SHOW(mlock(p + PAGE, 4 * PAGE));
    SHOW(mlock(p + 8 * PAGE, 1));
    locked("at the limit");
    SHOW(munlock(p, PAGE));
    SHOW(mlock(p + 8 * PAGE, 1));
    SHOW(mmap(0, PAGE, PROT_READ, ANON | MAP_LOCKED, -1, 0));
    SHOW(mlockall(MCL_CURRENT));
    SHOW(mlockall(MCL_FUTURE));
    SHOW(mmap(0, PAGE, PROT_READ, ANON, -1, 0));
    SAY("brk %d\n", syscall(SYS_brk, (char *)sbrk(0) + 4 * PAGE) == (long)sbrk(0));
    SHOW(mremap(p + PAGE, 3 * PAGE, 6 * PAGE, MREMAP_MAYMOVE));
    SHOW(munlockall());
    locked("none");
    TRY(mmap(0, 4 * PAGE, PROT_READ, ANON | MAP_LOCKED, -1, 0));
    locked("MAP_LOCKED");
    SHOW(mmap(0, PAGE, PROT_READ, ANON | MAP_LOCKED, -1, 0));
}
static void nothing_allowed(void) {
    char *p = map(2);
    ordinary(0);
    SHOW(mlock(p, 0));
    SHOW(mlock(p, PAGE));
    SHOW(syscall(SYS_mlock2, p, PAGE, 2));
    SHOW(mlockall(MCL_FUTURE));
    SHOW(mmap(0, PAGE, PROT_READ, ANON | MAP_LOCKED, -1, 0));
    SHOW(munlock(p, PAGE));
    SHOW(munlockall());
}
static void future(void) {
    char *p = map(8), *before = p;
    SHOW(mlockall(MCL_FUTURE));
    locked("nothing yet");
    p = map(8);
    SAY("present %d of new, %d of old\n", there(p, 8), there(before, 8));
    locked("new");
    char *end = sbrk(0);
    end = (char *)(((long)end + PAGE - 1) & -PAGE);
    brk(end);
    long base = field("VmLck");
    brk(end + 3 * PAGE);
    SAY("heap %ld more, %d present\n", field("VmLck") - base, there(end, 3));
    char *q = mremap(p, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE);
    SAY("grown: %d present, %ld more\n", there(q, 12), field("VmLck") - base);
    SHOW(mlockall(MCL_FUTURE | MCL_ONFAULT));
    p = map(8);
    SAY("on fault: %d present, %ld more\n", there(p, 8), field("VmLck") - base);
    CHILD("child", locked("in the child"); char *c = map(3); SAY("%d present\n", there(c, 3)));
    SHOW(munlockall());
    locked("munlockall");
    p = map(8);
    SAY("present %d\n", there(p, 8));
    SHOW(mlockall(MCL_CURRENT));
    SAY("present %d; all locked: %d\n", there(p, 8), field("VmLck") > 400);
    p = map(8);
    SAY("new one present %d\n", there(p, 8));
}
static void advice(void) {
    char *p = map(8);
    memset(p, 7, 8 * PAGE);
    mlock(p, 2 * PAGE);
    SHOW(madvise(p, PAGE, MADV_DONTNEED));
    SHOW(madvise(p, 8 * PAGE, MADV_DONTNEED));
    SAY("kept %d %d\n", p[0], p[5 * PAGE]);
    SHOW(madvise(p, PAGE, MADV_FREE));
    SHOW(madvise(p, PAGE, MADV_COLD));
    SHOW(madvise(p, PAGE, MADV_PAGEOUT));
    SHOW(madvise(p, PAGE, 24 /* MADV_DONTNEED_LOCKED */));
    SAY("dropped %d\n", p[0]);
    SHOW(madvise(p + 2 * PAGE, PAGE, MADV_COLD));
    SHOW(msync(p, PAGE, MS_INVALIDATE));
    SHOW(msync(p, PAGE, MS_INVALIDATE | MS_SYNC));
    SHOW(msync(p + 3 * PAGE, PAGE, MS_INVALIDATE));
    SHOW(msync(p, PAGE, MS_SYNC));
    SHOW(msync(p, PAGE, MS_SYNC | MS_ASYNC));
    SHOW(msync(p + 1, PAGE, MS_SYNC));
    munmap(p + 4 * PAGE, PAGE);
    SHOW(msync(p, 8 * PAGE, MS_SYNC));
    SHOW(msync(p, 0, MS_SYNC));
    SHOW(mprotect(p, PAGE, PROT_READ));
    locked("other rights");
    munlock(p, 2 * PAGE);
    locked("unlocked");
}
static void map_locked(void) {
    char *p = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, ANON | MAP_LOCKED, -1, 0);
    SAY("present %d\n", there(p, 4));
    SHOW(msync(p, PAGE, MS_INVALIDATE));
    SHOW(madvise(p, PAGE, MADV_DONTNEED));
    locked("MAP_LOCKED");
    CHILD("child", locked("in the child"); SHOW(msync(p, PAGE, MS_INVALIDATE)));
}
static void executed(char *self) {
    mlockall(MCL_CURRENT | MCL_FUTURE);
    execl(self, self, "again", (char *)0);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        locked("after exec");
        return 0;
    }
    CHILD("arguments", arguments());
    CHILD("limits", limits());
    CHILD("nothing allowed", nothing_allowed());
    CHILD("future", future());
    CHILD("advice", advice());
    CHILD("MAP_LOCKED", map_locked());
    CHILD("exec", executed("/proc/self/exe"));
    return 0;
}
