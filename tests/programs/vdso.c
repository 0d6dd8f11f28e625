// The code that the kernel lends to programs (vdso(7)): found as C libraries find it, and the same time by it and by calls, on
// any CPU, in any order.
#include "check.h"
#include <elf.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/auxv.h>

static char *base;
static Elf64_Sym *symbols;
static char *strings;
static Elf64_Half *versions;
static Elf64_Verdef *definitions;
static unsigned count;

static const char *version_of(unsigned symbol) {
    for (Elf64_Verdef *d = definitions;; d = (void *)((char *)d + d->vd_next)) {
        if (d->vd_ndx == (versions[symbol] & 0x7fff))
            return strings + ((Elf64_Verdaux *)((char *)d + d->vd_aux))->vda_name;
        if (!d->vd_next)
            return "none";
    }
}

static void *find(const char *name) {
    for (unsigned i = 1; i < count; i++)
        if (symbols[i].st_shndx && !strcmp(strings + symbols[i].st_name, name)) {
            SAY("%s %s: a function %d\n", name, version_of(i), ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC);
            return base + symbols[i].st_value;
        }
    SAY("%s is missing\n", name);
    exit(1);
}

static unsigned chain_end(unsigned *gnu) {
    unsigned buckets = gnu[0], first = gnu[1], *bucket = (unsigned *)((uint64_t *)(gnu + 4) + gnu[2]), last = 0;
    for (unsigned i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    for (unsigned *chain = bucket + buckets; last && !(chain[last - first] & 1);)
        last++;
    return last + 1;
}

static void parse(void) {
    base = (char *)getauxval(AT_SYSINFO_EHDR);
    if (!base) {
        SAY("no AT_SYSINFO_EHDR\n");
        exit(1);
    }
    Elf64_Ehdr *head = (void *)base;
    SAY("magic %d class %d type %d machine %d\n", !memcmp(head->e_ident, ELFMAG, 4), head->e_ident[EI_CLASS], head->e_type,
        head->e_machine);
    Elf64_Phdr *segment = (void *)(base + head->e_phoff);
    for (int i = 0; i < head->e_phnum; i++)
        if (segment[i].p_type == PT_DYNAMIC)
            for (Elf64_Dyn *d = (void *)(base + segment[i].p_vaddr); d->d_tag; d++) {
                char *at = base + d->d_un.d_ptr;
                if (d->d_tag == DT_SYMTAB)
                    symbols = (void *)at;
                else if (d->d_tag == DT_STRTAB)
                    strings = at;
                else if (d->d_tag == DT_VERSYM)
                    versions = (void *)at;
                else if (d->d_tag == DT_VERDEF)
                    definitions = (void *)at;
                else if (d->d_tag == DT_HASH)
                    count = ((unsigned *)at)[1];
                else if (d->d_tag == DT_GNU_HASH && !count)
                    count = chain_end((void *)at);
            }
}

static int (*v_gettime)(clockid_t, struct timespec *);
static int (*v_getres)(clockid_t, struct timespec *);
static int (*v_timeofday)(struct timeval *, struct timezone *);
static time_t (*v_time)(time_t *);
static int (*v_getcpu)(unsigned *, unsigned *, void *);

static int64_t by_page(clockid_t clock) {
    struct timespec t;
    return v_gettime(clock, &t) ? -1 : t.tv_sec * 1000000000L + t.tv_nsec;
}
static int64_t by_call(clockid_t clock) {
    struct timespec t;
    return syscall(SYS_clock_gettime, clock, &t) ? -1 : t.tv_sec * 1000000000L + t.tv_nsec;
}

// How often one of three readings in a row was earlier than the one before, and whether all were within a second.
static void alternate(const char *name, clockid_t clock) {
    int back = 0, bad = 0;
    int64_t last = by_call(clock), start = last;
    for (int i = 0; i < 3000; i++) {
        int64_t now = i % 2 ? by_call(clock) : by_page(clock);
        back += now < last;
        bad += now < 0;
        last = now;
    }
    struct timespec p = {-1, -1}, c = {-1, -1};
    int r = v_getres(clock, &p), s = syscall(SYS_clock_getres, clock, &c);
    SAY("%s: back %d bad %d near %d resolution %d %d\n", name, back, bad, last - start < 60000000000, r == s,
        p.tv_sec == c.tv_sec && p.tv_nsec == c.tv_nsec);
}

static _Atomic int64_t latest;
static atomic_int back, done;
static void *race(void *number) {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int want = (long)number % CPU_COUNT(&all), cpu = 0;
    for (; want || !CPU_ISSET(cpu, &all); cpu++)
        want -= CPU_ISSET(cpu, &all);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    unsigned at = -1, node = -1, wrong = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t seen = atomic_load(&latest);
        int64_t now = i % 3 ? by_page(CLOCK_MONOTONIC) : by_call(CLOCK_MONOTONIC);
        if (now < seen)
            atomic_fetch_add(&back, 1);
        while (seen < now && !atomic_compare_exchange_weak(&latest, &seen, now))
            ;
        wrong += v_getcpu(&at, &node, 0) || at != (unsigned)cpu;
        if (i % 1000 == 0)
            sched_yield();
    }
    unsigned cpu_by_call, node_by_call;
    syscall(SYS_getcpu, &cpu_by_call, &node_by_call, 0);
    wrong += at != cpu_by_call || node != node_by_call;
    atomic_fetch_add(&back, wrong * 1000000);
    atomic_fetch_add(&done, 1);
    return 0;
}

static volatile sig_atomic_t ticks;
static void tick(int signal) {
    ticks += by_page(CLOCK_REALTIME) > 0;
}

static char *vvar, *vvar_end, *vdso, *vdso_end;
static void maps(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[256], rights[8];
    void *from, *to;
    vvar = 0;
    while (fgets(line, sizeof line, f)) {
        sscanf(line, "%p-%p %7s", &from, &to, rights);
        // Newer kernels have a second area of data after the first.
        if (strstr(line, "[vvar")) {
            if (!vvar)
                SAY("data %s\n", rights);
            vvar = vvar ? vvar : from;
            vvar_end = to;
        }
        if (strstr(line, "[vdso]")) {
            vdso = from;
            vdso_end = to;
            SAY("code %s at AT_SYSINFO_EHDR %d\n", rights, vdso == base);
        }
    }
    SAY("code after data %d\n", vvar_end == vdso);
    fclose(f);
}

int main(int argc, char **argv) {
    parse();
    v_gettime = find("__vdso_clock_gettime");
    v_getres = find("__vdso_clock_getres");
    v_timeofday = find("__vdso_gettimeofday");
    v_time = find("__vdso_time");
    v_getcpu = find("__vdso_getcpu");
    SAY("short names %d\n", find("clock_gettime") == v_gettime && find("gettimeofday") == v_timeofday &&
                                find("time") == v_time && find("getcpu") == v_getcpu && find("clock_getres") == v_getres);
    if (argc > 1) {
        SAY("after exec %d\n", by_page(CLOCK_MONOTONIC) >= atoll(argv[1]));
        return 0;
    }

    alternate("REALTIME", CLOCK_REALTIME);
    alternate("MONOTONIC", CLOCK_MONOTONIC);
    alternate("MONOTONIC_RAW", CLOCK_MONOTONIC_RAW);
    alternate("REALTIME_COARSE", CLOCK_REALTIME_COARSE);
    alternate("MONOTONIC_COARSE", CLOCK_MONOTONIC_COARSE);
    alternate("BOOTTIME", CLOCK_BOOTTIME);
    alternate("TAI", CLOCK_TAI);
    alternate("PROCESS_CPUTIME_ID", CLOCK_PROCESS_CPUTIME_ID);
    alternate("THREAD_CPUTIME_ID", CLOCK_THREAD_CPUTIME_ID);
    struct timespec t = {-1, -1};
    int clocks[] = {12, 99, -2, INT_MAX, INT_MIN};
    for (int i = 0; i < 5; i++) {
        long p = v_gettime(clocks[i], &t), c = syscall(SYS_clock_gettime, clocks[i], &t) ? -errno : 0;
        SAY("clock %d: %ld %ld\n", clocks[i], p, c);
    }
    SAY("no place for a resolution %d\n", v_getres(CLOCK_REALTIME, 0));

    int order = 0;
    for (int i = 0; i < 1000; i++) {
        struct timeval a, b, c;
        struct timezone zone = {-1, -1};
        order += v_timeofday(&a, &zone) || zone.tz_minuteswest == -1;
        syscall(SYS_gettimeofday, &b, 0);
        v_timeofday(&c, 0);
        order += timercmp(&b, &a, <) || timercmp(&c, &b, <) || a.tv_usec >= 1000000;
        time_t out = 0, d = v_time(&out), e = syscall(SYS_time, 0), f = v_time(0);
        order += out != d || e < d || f < e;
    }
    SAY("gettimeofday, time: out of order %d; nowhere %d\n", order, v_timeofday(0, 0));

    int64_t from = by_page(CLOCK_MONOTONIC), real = by_page(CLOCK_REALTIME);
    ms(30);
    SAY("30 ms pass %d %d\n", by_page(CLOCK_MONOTONIC) - from >= 30000000, by_page(CLOCK_REALTIME) - real >= 29000000);

    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], 0, race, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], 0);
    SAY("four threads: back %d done %d\n", back, done);

    signal(SIGALRM, tick);
    struct itimerval every = {{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &every, 0);
    while (ticks < 10)
        by_page(CLOCK_MONOTONIC);
    signal(SIGALRM, SIG_IGN);
    SAY("signals in between\n");

    maps();
    CHILD("write to the data", *(volatile char *)vvar = 1);
    CHILD("write to the code", *(volatile char *)vdso = 1);
    CHILD("in a child", maps(); SAY("%d\n", by_page(CLOCK_MONOTONIC) >= from));
    SHOW(mprotect(vvar, 4096, PROT_READ | PROT_WRITE));
    CHILD("a copy of the code", SHOW(mprotect(vdso, vdso_end - vdso, PROT_READ | PROT_WRITE | PROT_EXEC));
          vdso[8] = 77; SAY("%d %d\n", vdso[8], by_page(CLOCK_MONOTONIC) >= from));
    SAY("ours is untouched %d\n", vdso[8] != 77);
    CHILD("without", SHOW(munmap(vvar, vdso_end - vvar)); SAY("%d\n", by_call(CLOCK_MONOTONIC) >= from));
    CHILD("without, touched", munmap(vvar, vdso_end - vvar); by_page(CLOCK_MONOTONIC));
    char *elsewhere = mmap(0, vdso_end - vdso, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHILD("moved", SAY("%d\n", mremap(vdso, vdso_end - vdso, vdso_end - vdso, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) ==
                                    elsewhere);
          SAY("magic %d\n", !memcmp(elsewhere, ELFMAG, 4)));

    char text[32];
    snprintf(text, sizeof text, "%ld", by_call(CLOCK_MONOTONIC));
    fflush(stdout);
    execl("/proc/self/exe", "vdso", text, (char *)0);
    SAY("exec failed\n");
    return 1;
}
