# The 32-bit doors: PVH (qemu -kernel, microvm, Firecracker, Cloud Hypervisor) and multiboot2 (GRUB).
#
# Both arrive in protected mode without paging, EBX = physical address of what the loader says. Linked high, running
# low: every absolute address is written "symbol - VMA". Maps the first 4 GiB at 0 and at 0xffff800000000000 and the first
# GiB at VMA, turns on long mode, and calls the Rust side in the higher half with (info, entry time stamp).
.set VMA, 0xffffffff80000000
.set STACK_SIZE, 262144

.section .note.pvh,"a",@note
.balign 4
.long 4, 8, 18                          # namesz, descsz, XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.balign 4
.quad pvh_start - VMA

.section .multiboot2,"a",@progbits
.balign 8
multiboot2_header:
.long 0xe85250d6, 0, multiboot2_end - multiboot2_header
.long 0x100000000 - (0xe85250d6 + (multiboot2_end - multiboot2_header))
.short 3, 0                             # entry address
.long 12
.long multiboot2_start - VMA
.balign 8
.short 6, 0                             # modules on page boundaries
.long 8
.short 5, 1                             # framebuffer, optional
.long 20, 1024, 768, 32
.balign 8
.short 0, 0                             # end
.long 8
multiboot2_end:

.section .boot.text,"ax",@progbits
.code32
pvh_start:
    movl $(pvh_main - VMA), %esi
    jmp common32
multiboot2_start:
    movl $(multiboot2_main - VMA), %esi
common32:
    cli
    cld
    rdtsc
    movl %eax, boot_entry_tsc - VMA
    movl %edx, boot_entry_tsc - VMA + 4
    movl $(boot_stack_top - VMA), %esp
    xorl %ebp, %ebp

    movl $(boot_pml4 - VMA), %edi
    movl $(boot_pdpt_low - VMA + 3), %eax
    movl %eax, (%edi)
    movl %eax, 256*8(%edi)
    movl $(boot_pdpt_high - VMA + 3), %eax
    movl %eax, 511*8(%edi)
    movl $(boot_pd - VMA + 3), %eax
    movl %eax, boot_pdpt_high - VMA + 510*8

    movl $(boot_pdpt_low - VMA), %edi   # four directories of 2 MiB pages
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b

    movl $(boot_pd - VMA), %edi
    movl $0x83, %eax                    # present, writable, large
    movl $2048, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b

    movl %cr4, %eax
    orl $0x20, %eax                     # PAE
    movl %eax, %cr4
    movl $(boot_pml4 - VMA), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              # EFER
    rdmsr
    orl $0x900, %eax                    # LME, NXE
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax               # PG, WP, PE
    movl %eax, %cr0
    lgdt boot_gdtr - VMA
    ljmp $8, $(boot64 - VMA)

.code64
boot64:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movabsq $boot64_high, %rax
    jmpq *%rax
boot64_high:
    movq $boot_stack_top, %rsp
    movl %esi, %eax                     # the Rust entry, less VMA
    addq $VMA, %rax
    movl %ebx, %edi
    movq boot_entry_tsc(%rip), %rsi
    xorl %ebp, %ebp
    call *%rax
1:  hlt
    jmp 1b

.globl limine_start
limine_start:                           # 64-bit already, on Limine's page tables and stack
    cli
    cld
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, %rdi
    movq $boot_stack_top, %rsp
    xorl %ebp, %ebp
    call limine_main
1:  hlt
    jmp 1b

.balign 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdtr:
    .short 23
    .long boot_gdt - VMA

.section .data
.balign 8
boot_entry_tsc: .quad 0

.section .bss.boot,"aw",@nobits
.balign 4096
boot_pml4:      .skip 4096
boot_pdpt_low:  .skip 4096
boot_pdpt_high: .skip 4096
boot_pd:        .skip 4096*4
.globl boot_stack_guard
boot_stack_guard: .skip 4096            # unmapped once the kernel has its own page tables
.skip STACK_SIZE
.globl boot_stack_top
boot_stack_top:
