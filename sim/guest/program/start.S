/* SPDX-License-Identifier: Apache-2.0
 *
 * The way from the reset vector to mig_guest_main(): real mode, a flat descriptor table, protected mode.
 * Linked at 0xf0000, where chipsets show the ROM's copy below 1 MiB.
 */
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
        orl     $1, %eax                /* protection on, paging stays off */
        movl    %eax, %cr0
        ljmpl   $0x08, $protected_mode

        .code32
protected_mode:
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    %ax, %fs
        movw    %ax, %gs
        movl    $0x2000, %esp           /* the upper part of page 1 */
        call    mig_guest_main
halt:   cli
        hlt
        jmp     halt

        .balign 8
table:  .quad   0
        .quad   0x00cf9b000000ffff      /* code: base 0, 4 GiB, 32 bits */
        .quad   0x00cf93000000ffff      /* data: the same */
mig_guest_table:
        .word   mig_guest_table - table - 1
        .long   table

        .section .note.GNU-stack, "", @progbits
