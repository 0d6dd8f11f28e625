// A program that ends itself by SIGKILL whenever it has run for a while, and writes down how long it took until the next one's
// first instruction, by the time-stamp counter. After so many lives it prints the 50th and the 99th percentile and ends the
// machine. Without a C library, so that the first instruction is its own.
#define LIVES 200
#define MAP_SHARED 1
#define O_RDWR 2
#define O_CREAT 64
#define O_WRONLY 1

typedef unsigned long u64;

struct book {
    u64 lives, died, took[LIVES];
};

static long call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static u64 ticks(void) {
    unsigned low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

static char *put(char *at, const char *name, u64 value) {
    char digits[24];
    int count = 0;
    while (*name) *at++ = *name++;
    do digits[count++] = '0' + value % 10;
    while (value /= 10);
    while (count) *at++ = digits[--count];
    *at++ = '\n';
    return at;
}

__attribute__((used)) static void begin(u64 first) {
    long file = call(2, (long)"/tmp/lives.book", O_RDWR | O_CREAT, 0600, 0, 0, 0);
    call(77, file, sizeof(struct book), 0, 0, 0, 0);
    struct book *book = (void *)call(9, 0, sizeof(struct book), 3, MAP_SHARED, file, 0);
    if (book->lives > 0) book->took[book->lives - 1] = first - book->died;
    if (book->lives == LIVES) {
        for (int i = 1; i < LIVES; i++)
            for (int j = i; j > 0 && book->took[j - 1] > book->took[j]; j--) {
                u64 other = book->took[j];
                book->took[j] = book->took[j - 1], book->took[j - 1] = other;
            }
        char text[200], *end = text;
        end = put(end, "figure restart_p50 ", book->took[LIVES / 2]);
        end = put(end, "figure restart_p99 ", book->took[LIVES * 99 / 100]);
        long console = call(2, (long)"/dev/console", O_WRONLY, 0, 0, 0, 0);
        call(1, console, (long)text, end - text, 0, 0, 0);
        call(169, 0xfee1dead, 672274793, 0x4321fedc, 0, 0, 0);
    }
    book->lives++;
    // Ready, for s6, which makes those wait a second who never were.
    call(1, 3, (long)"\n", 1, 0, 0, 0);
    // Long enough for every supervisor to take it for well, whatever it makes of those who end at once.
    long span[2] = {1, 200000000};
    call(35, (long)span, 0, 0, 0, 0, 0);
    long self = call(39, 0, 0, 0, 0, 0, 0);
    book->died = ticks();
    call(62, self, 9, 0, 0, 0, 0);
}

__attribute__((naked, used)) void _start(void) {
    __asm__("rdtsc\n"
            "shl $32, %rdx\n"
            "lea (%rdx, %rax), %rdi\n"
            "and $-16, %rsp\n"
            "call begin\n"
            "ud2\n");
}
