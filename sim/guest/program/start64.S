/* SPDX-License-Identifier: Apache-2.0
 *
 * The way from the reset vector to mig_guest_main() in 64 bit mode at privilege level 3: real mode,
 * protected mode, page tables that map 4 GiB one to one, long mode, iretq. Level 3, because there
 * is a kind of KVM that only runs that natively; ports are open to it (IOPL 3).
 *
 * %esi on entry is the number of the processor, 0 after a reset. Each has page tables of its own, in
 * which page 1 (counters, state, stack) and the page of the parameters are its own, so that one
 * program without locks serves all (guest-abi.h). Accessed and dirty bits are set from the start:
 * the tables are never written again.
 */
        .equ    TABLES, 0x20000         /* MIG_GUEST_TABLES_ADDRESS */
        .equ    TABLES_BYTES, 0x7000    /* of one processor: PML4, PDPT, 4 directories, 1 table */
        .equ    ENTRY, 0x67             /* present, writable, user, accessed, dirty */
        .equ    LARGE, 0xe7             /* the same, 2 MiB */
        .equ    CODE32, 0x08
        .equ    DATA, 0x10
        .equ    CODE64, 0x18
        .equ    USER_DATA, 0x23
        .equ    USER_CODE64, 0x2b

        .section .reset, "ax"
        .code16
        .globl  mig_guest_reset
mig_guest_reset:
        ljmp    $0xf000, $mig_guest_real_mode_offset

        .section .start, "ax"
        .code16
        .globl  mig_guest_real_mode, mig_guest_table
mig_guest_real_mode:
        cli
        cld
        movw    %cs, %ax
        movw    %ax, %ds
        lgdtl   mig_guest_table_offset
        movl    %cr0, %eax
        andl    $0x9fffffff, %eax       /* caches on */
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $CODE32, $protected_mode

        .code32
protected_mode:
        movw    $DATA, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        imull   $TABLES_BYTES, %esi, %ebx
        addl    $TABLES, %ebx
        movl    %ebx, %edi              /* PML4 and PDPT: empty but for what follows */
        xorl    %eax, %eax
        movl    $2048, %ecx
        rep stosl
        leal    0x1000 + ENTRY(%ebx), %eax
        movl    %eax, (%ebx)
        leal    0x2000 + ENTRY(%ebx), %eax
        leal    0x1000(%ebx), %edi
        movl    $4, %ecx
1:      movl    %eax, (%edi)
        addl    $0x1000, %eax
        addl    $8, %edi
        decl    %ecx
        jnz     1b
        movl    $LARGE, %eax            /* directories: 4 GiB in pages of 2 MiB */
        leal    0x2000(%ebx), %edi
        movl    $2048, %ecx
2:      movl    %eax, (%edi)
        movl    $0, 4(%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        decl    %ecx
        jnz     2b
        movl    $ENTRY, %eax            /* the first 2 MiB in small pages */
        leal    0x6000(%ebx), %edi
        movl    $512, %ecx
3:      movl    %eax, (%edi)
        movl    $0, 4(%edi)
        addl    $0x1000, %eax
        addl    $8, %edi
        decl    %ecx
        jnz     3b
        leal    0x6000 + ENTRY(%ebx), %eax
        movl    %eax, 0x2000(%ebx)
        movl    %esi, %eax
        shll    $12, %eax
        leal    0x1000 + ENTRY(%eax), %edx
        movl    %edx, 0x6000 + 8 * 0x01(%ebx)
        testl   %esi, %esi
        jz      4f                      /* the first one's parameters are where they always are */
        leal    0xe0000 + ENTRY(%eax), %edx
        movl    %edx, 0x6000 + 8 * 0xf0(%ebx)
4:      movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    %ebx, %cr3
        movl    $0xc0000080, %ecx       /* EFER: long mode */
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        ljmpl   $CODE64, $long_mode

        .code64
long_mode:
        movl    $0x2000, %esp           /* the upper part of page 1 */
        movw    $USER_DATA, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        pushq   $USER_DATA
        pushq   $0x2000
        pushq   $0x3002                 /* no interrupts, ports for everybody */
        pushq   $USER_CODE64
        pushq   $user
        iretq
user:   call    mig_guest_main
1:      pause                           /* this level must not halt */
        jmp     1b

        .balign 8
table:  .quad   0
        .quad   0x00cf9b000000ffff      /* code: base 0, 4 GiB, 32 bits */
        .quad   0x00cf93000000ffff      /* data: the same */
        .quad   0x00af9b000000ffff      /* code, 64 bits */
        .quad   0x00cff3000000ffff      /* data, level 3 */
        .quad   0x00affb000000ffff      /* code, 64 bits, level 3 */
mig_guest_table:
        .word   mig_guest_table - table - 1
        .long   table

        .section .note.GNU-stack, "", @progbits
