/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of what an x86 vCPU is on the wire: "cpu", "apic", "kvm-tpr-opt". The fields are the
 * same from 5.2 to 11.1 (as the VMDESCRIPTION of machines none and microvm of 5.2, 7.2, 10.0
 * and 11.1 on KVM has them); of the subsections, those that such machines send.
 */
#ifndef MIG_STREAM_VMSTATE_X86_H
#define MIG_STREAM_VMSTATE_X86_H

#include "stream/vmstate.h"

#define MIG_X86_CPU_VERSION  12
#define MIG_X86_APIC_VERSION 3
#define MIG_X86_TPR_VERSION  1

typedef struct MigX86Segment {
    uint32_t selector;
    uint64_t base;
    uint32_t limit;
    uint32_t flags; /* bits 8 to 23 of a descriptor's upper word, where they stand there */
} MigX86Segment;

typedef struct MigX86Float {
    uint64_t mantissa;
    uint16_t exponent; /* and sign */
} MigX86Float;

typedef struct MigX86Half {
    uint64_t low, high;
} MigX86Half;

typedef struct MigX86Range {
    uint64_t base, mask;
} MigX86Range;

/* In the order of the wire; names are QEMU's (CPUX86State). */
typedef struct MigX86Cpu {
    uint64_t regs[16]; /* A, C, D, B, SP, BP, SI, DI, 8 to 15 */
    uint64_t eip, eflags;
    uint32_t hflags;
    uint16_t fpuc, fpus, fptag; /* the tag as in FXSAVE: a bit set for each register in use */
    uint16_t fpregs_format;     /* 0: fpregs are floats */
    MigX86Float fpregs[8];
    MigX86Segment segs[6]; /* ES, CS, SS, DS, FS, GS */
    MigX86Segment ldt, tr, gdt, idt;
    uint32_t sysenter_cs;
    uint64_t sysenter_esp, sysenter_eip;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t dr[8];
    int32_t a20_mask;
    uint32_t mxcsr;
    MigX86Half xmm[16];
    uint64_t efer, star, lstar, cstar, fmask, kernelgsbase;
    uint32_t smbase;
    uint64_t pat;
    uint32_t hflags2;
    uint64_t vm_hsave, vm_vmcb, tsc_offset, intercept;
    uint16_t intercept_cr_read, intercept_cr_write, intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions;
    uint8_t v_tpr;
    uint64_t mtrr_fixed[11], mtrr_deftype;
    MigX86Range mtrr_var[8];
    int32_t interrupt_injected; /* -1: none */
    uint32_t mp_state;          /* KVM_MP_STATE_* */
    uint64_t tsc;
    int32_t exception_nr; /* -1: none */
    uint8_t soft_interrupt, nmi_injected, nmi_pending, has_error_code;
    uint32_t sipi_vector;
    uint64_t mcg_cap, mcg_status, mcg_ctl;
    uint64_t mce_banks[40];
    uint64_t tsc_aux, system_time_msr, wall_clock_msr;
    uint64_t xcr0, xstate_bv;
    MigX86Half ymmh[16];
    bool has_tsc_khz; /* subsections that are there */
    int64_t tsc_khz;
    bool has_tsc_adjust;
    uint64_t tsc_adjust;
    bool has_misc_enable;
    uint64_t msr_ia32_misc_enable;
    bool has_fpop;
    uint16_t fpop;
    uint64_t fpip, fpdp;
    bool has_poll_control;
    uint64_t poll_control_msr;
} MigX86Cpu;

/* A processor as it is after a reset, its first instruction at 0xfffffff0. */
MigX86Cpu mig_x86_cpu_reset(void);

const MigVmsd *mig_vmsd_x86_cpu(void);

/* "apic" (APICCommonState). */
typedef struct MigX86Apic {
    uint32_t apicbase;
    uint8_t id, arb_id, tpr;
    uint32_t spurious_vec;
    uint8_t log_dest, dest_mode;
    uint32_t isr[8], tmr[8], irr[8], lvt[6];
    uint32_t esr, icr[2], divide_conf;
    int32_t count_shift;
    uint32_t initial_count;
    int64_t initial_count_load_time, next_time, timer_expiry;
} MigX86Apic;

/* As after a reset; processor 0 is the one that boots. */
MigX86Apic mig_x86_apic_reset(uint8_t id);

const MigVmsd *mig_vmsd_x86_apic(void);

/* "kvm-tpr-opt" (VAPICROMState), of a machine whose ROM for it is not there: all zero. */
typedef struct MigX86Tpr {
    uint32_t rom[29];  /* vaddr to real_tpr_addr, and two tables of 11 */
    uint32_t state[5]; /* state, real_tpr_addr, rom_state_vaddr, vapic_paddr, rom_state_paddr */
} MigX86Tpr;

const MigVmsd *mig_vmsd_x86_tpr(void);

#endif
