# The page of code that programs find by AT_SYSINFO_EHDR: an ELF shared object, laid out by hand.
#
# Position-independent; the page of data (`Data` in mod.rs) lies right before it. C calling convention; only registers that
# a call may change are used, no stack. What cannot be answered here is asked of the kernel by the same arguments.

.pushsection .rodata.hal_vdso, "a", @progbits
.p2align 12
.globl hal_vdso
hal_vdso:
.Lvdso:
    # ELF header: 64 bits, little endian, version 1; shared object for x86-64.
    .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0
    .quad 0
    .short 3, 62
    .long 1
    .quad 0
    .quad .Lvdso_segments - .Lvdso
    .quad 0
    .long 0
    .short 64, 56, 2, 64, 0, 0

.Lvdso_segments:
    # PT_LOAD, readable and executable: all of it.
    .long 1, 5
    .quad 0, 0, 0, .Lvdso_end - .Lvdso, .Lvdso_end - .Lvdso, 4096
    # PT_DYNAMIC, readable.
    .long 2, 4
    .quad .Lvdso_dynamic - .Lvdso, .Lvdso_dynamic - .Lvdso, .Lvdso_dynamic - .Lvdso
    .quad .Lvdso_dynamic_end - .Lvdso_dynamic, .Lvdso_dynamic_end - .Lvdso_dynamic, 8

.Lvdso_dynamic:
    .quad 14, .Lvdso_soname - .Lvdso_strings                # DT_SONAME
    .quad 4, .Lvdso_hash - .Lvdso                           # DT_HASH
    .quad 5, .Lvdso_strings - .Lvdso                        # DT_STRTAB
    .quad 6, .Lvdso_symbols - .Lvdso                        # DT_SYMTAB
    .quad 10, .Lvdso_strings_end - .Lvdso_strings           # DT_STRSZ
    .quad 11, 24                                            # DT_SYMENT
    .quad 0x6ffffff0, .Lvdso_version_of_symbols - .Lvdso    # DT_VERSYM
    .quad 0x6ffffffc, .Lvdso_versions - .Lvdso              # DT_VERDEF
    .quad 0x6ffffffd, 2                                     # DT_VERDEFNUM
    .quad 0, 0
.Lvdso_dynamic_end:

# A function by both of its names, the plain one weak (STT_FUNC; STB_GLOBAL, STB_WEAK). Without section headers a section's
# number says no more than that the symbol is defined.
.macro VDSO_SYMBOL name
    .long .Lvdso_long_\name - .Lvdso_strings
    .byte 0x12, 0
    .short 1
    .quad .Lvdso_do_\name - .Lvdso, .Lvdso_done_\name - .Lvdso_do_\name
    .long .Lvdso_long_\name + 7 - .Lvdso_strings
    .byte 0x22, 0
    .short 1
    .quad .Lvdso_do_\name - .Lvdso, .Lvdso_done_\name - .Lvdso_do_\name
.endm
.Lvdso_symbols:
    .quad 0, 0, 0
    VDSO_SYMBOL clock_gettime
    VDSO_SYMBOL gettimeofday
    VDSO_SYMBOL time
    VDSO_SYMBOL clock_getres
    VDSO_SYMBOL getcpu

.Lvdso_hash:
    # One bucket, so that nobody's hash matters: a chain of all symbols.
    .long 1, 11, 1
    .long 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0
.Lvdso_version_of_symbols:
    .short 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2
.p2align 2
.Lvdso_versions:
    # Version 1 is the object itself (VER_FLG_BASE), version 2 is LINUX_2.6; with the hashes of their names.
    .short 1, 1, 1, 1
    .long 0x0deebfa1, 20, 28
    .long .Lvdso_soname - .Lvdso_strings, 0
    .short 1, 0, 2, 1
    .long 0x03ae75f6, 20, 0
    .long .Lvdso_version - .Lvdso_strings, 0

.Lvdso_strings:
    .byte 0
.Lvdso_soname: .asciz "linux-vdso.so.1"
.Lvdso_version: .asciz "LINUX_2.6"
# The plain name is the end of the long one.
.Lvdso_long_clock_gettime: .asciz "__vdso_clock_gettime"
.Lvdso_long_gettimeofday: .asciz "__vdso_gettimeofday"
.Lvdso_long_time: .asciz "__vdso_time"
.Lvdso_long_clock_getres: .asciz "__vdso_clock_getres"
.Lvdso_long_getcpu: .asciz "__vdso_getcpu"
.Lvdso_strings_end:

# Sets rax to the nanoseconds since boot, as `time::now` counts them; changes rdx. The fence keeps the counter from being read
# ahead of what the program has seen of others.
.macro VDSO_NOW
    lfence
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    subq .Lvdso - 4096 + {base}(%rip), %rax
    mulq .Lvdso - 4096 + {scale}(%rip)
    shrdq $32, %rdx, %rax
.endm

# Divides the nanoseconds in rax: rdx becomes the whole seconds, rax the rest of nanoseconds; changes rcx.
# n / 10^9 = (n / 2^9) * 19342813113834067 / 2^75.
.macro VDSO_SPLIT
    movq %rax, %rcx
    shrq $9, %rax
    movabsq $19342813113834067, %rdx
    mulq %rdx
    shrq $11, %rdx
    imulq $1000000000, %rdx, %rax
    subq %rax, %rcx
    movq %rcx, %rax
.endm

.macro VDSO_CALL number
    movl $\number, %eax
    syscall
    retq
.endm

.p2align 4
.Lvdso_do_clock_gettime:
    testl ${clocks}, .Lvdso - 4096 + {has}(%rip)
    jz 3f
    cmpl $11, %edi
    ja 3f
    # CLOCK_REALTIME, _REALTIME_COARSE, _TAI.
    movl $0x821, %eax
    movq .Lvdso - 4096 + {real}(%rip), %r8
    btl %edi, %eax
    jc 2f
    # CLOCK_MONOTONIC, _RAW, _COARSE, _BOOTTIME.
    movl $0xd2, %eax
    xorl %r8d, %r8d
    btl %edi, %eax
    jnc 3f
2:  VDSO_NOW
    addq %r8, %rax
    VDSO_SPLIT
    movq %rdx, (%rsi)
    movq %rax, 8(%rsi)
    xorl %eax, %eax
    retq
3:  VDSO_CALL 228
.Lvdso_done_clock_gettime:

.p2align 4
.Lvdso_do_gettimeofday:
    testl ${clocks}, .Lvdso - 4096 + {has}(%rip)
    jz 3f
    testq %rdi, %rdi
    jz 2f
    movq .Lvdso - 4096 + {real}(%rip), %r8
    VDSO_NOW
    addq %r8, %rax
    VDSO_SPLIT
    movq %rdx, (%rdi)
    # n / 1000 = n * 274877907 / 2^38 for 32 bits.
    imulq $274877907, %rax, %rax
    shrq $38, %rax
    movq %rax, 8(%rdi)
2:  xorl %eax, %eax
    testq %rsi, %rsi
    jz 1f
    # Time zones are the C library's.
    movq %rax, (%rsi)
1:  retq
3:  VDSO_CALL 96
.Lvdso_done_gettimeofday:

.p2align 4
.Lvdso_do_time:
    testl ${clocks}, .Lvdso - 4096 + {has}(%rip)
    jz 3f
    movq .Lvdso - 4096 + {real}(%rip), %r8
    VDSO_NOW
    addq %r8, %rax
    VDSO_SPLIT
    movq %rdx, %rax
    testq %rdi, %rdi
    jz 1f
    movq %rax, (%rdi)
1:  retq
3:  VDSO_CALL 201
.Lvdso_done_time:

.p2align 4
.Lvdso_do_clock_getres:
    cmpl $11, %edi
    ja 3f
    # As for clock_gettime; _REALTIME_COARSE and _MONOTONIC_COARSE are those of 4 ms.
    movl $0x8f3, %eax
    btl %edi, %eax
    jnc 3f
    movl $0x60, %eax
    movl $1, %edx
    movl $4000000, %ecx
    btl %edi, %eax
    cmovcl %ecx, %edx
    xorl %eax, %eax
    testq %rsi, %rsi
    jz 1f
    movq %rax, (%rsi)
    movq %rdx, 8(%rsi)
1:  retq
3:  VDSO_CALL 229
.Lvdso_done_clock_getres:

.p2align 4
.Lvdso_do_getcpu:
    testl ${cpu_number}, .Lvdso - 4096 + {has}(%rip)
    jz 3f
    # ecx: the CPU in the lower 12 bits, its node above.
    rdtscp
    testq %rdi, %rdi
    jz 1f
    movl %ecx, %eax
    andl $0xfff, %eax
    movl %eax, (%rdi)
1:  xorl %eax, %eax
    testq %rsi, %rsi
    jz 2f
    shrl $12, %ecx
    movl %ecx, (%rsi)
2:  retq
3:  VDSO_CALL 309
.Lvdso_done_getcpu:

.Lvdso_end:
.p2align 12
.popsection
