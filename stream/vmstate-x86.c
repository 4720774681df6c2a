/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of the x86 vCPU's devices, see vmstate-x86.h. */
#include "stream/vmstate-x86.h"

/* One member under QEMU's name; an array of them; an array of structs. */
#define ONE(type_, wire, member, ctype)                                                           \
    {                                                                                             \
        .name = (wire), .type = (type_), .offset = offsetof(STATE, member), .size = sizeof(ctype) \
    }
#define MANY(type_, wire, member, ctype)                          \
    {                                                             \
        .name = (wire), .type = (type_), .flags = MIG_VMS_ARRAY,  \
        .offset = offsetof(STATE, member), .size = sizeof(ctype), \
        .num = sizeof(((STATE *)0)->member) / sizeof(ctype)       \
    }
#define PART(wire, member, table)                                                  \
    {                                                                              \
        .name = (wire), .type = MIG_VMT_STRUCT, .offset = offsetof(STATE, member), \
        .size = sizeof(((STATE *)0)->member), .vmsd = &(table)                     \
    }
#define PARTS(wire, member, table)                                                              \
    {                                                                                           \
        .name = (wire), .type = MIG_VMT_STRUCT, .flags = MIG_VMS_ARRAY,                         \
        .offset = offsetof(STATE, member), .size = sizeof(((STATE *)0)->member[0]),             \
        .num = sizeof(((STATE *)0)->member) / sizeof(((STATE *)0)->member[0]), .vmsd = &(table) \
    }
#define U8(wire, member)  ONE(MIG_VMT_UINT8, wire, member, uint8_t)
#define U16(wire, member) ONE(MIG_VMT_UINT16, wire, member, uint16_t)
#define U32(wire, member) ONE(MIG_VMT_UINT32, wire, member, uint32_t)
#define U64(wire, member) ONE(MIG_VMT_UINT64, wire, member, uint64_t)
#define I32(wire, member) ONE(MIG_VMT_INT32, wire, member, int32_t)
#define I64(wire, member) ONE(MIG_VMT_INT64, wire, member, int64_t)

#define STATE MigX86Segment
static const MigVmsd segment = {
    .name = "segment",
    .version = 1,
    .minimum = 1,
    .fields = (const MigVmsField[]){ U32("selector", selector), U64("base", base),
                                     U32("limit", limit), U32("flags", flags), MIG_VMS_END },
};
#undef STATE

#define STATE MigX86Float
static const MigVmsd fpu_register = {
    .name = "fpreg",
    .version = 1,
    .minimum = 1,
    .fields =
        (const MigVmsField[]){ U64("tmp_mant", mantissa), U16("tmp_exp", exponent), MIG_VMS_END },
};
#undef STATE

#define STATE MigX86Half
static const MigVmsd xmm_low = {
    .name = "xmm_reg",
    .version = 1,
    .minimum = 1,
    .fields =
        (const MigVmsField[]){ U64("_q_ZMMReg[0]", low), U64("_q_ZMMReg[1]", high), MIG_VMS_END },
};
static const MigVmsd xmm_high = {
    .name = "ymmh_reg",
    .version = 1,
    .minimum = 1,
    .fields =
        (const MigVmsField[]){ U64("_q_ZMMReg[2]", low), U64("_q_ZMMReg[3]", high), MIG_VMS_END },
};
#undef STATE

#define STATE MigX86Range
static const MigVmsd mtrr_range = {
    .name = "mtrr_var",
    .version = 1,
    .minimum = 1,
    .fields = (const MigVmsField[]){ U64("base", base), U64("mask", mask), MIG_VMS_END },
};
#undef STATE

#define STATE MigX86Cpu

/* A subsection that is one flag and its fields: loading sets the flag. */
#define SUBSECTION(id, wire, flag, ...)                              \
    static bool id##_needed(const void *state)                       \
    {                                                                \
        return ((const MigX86Cpu *)state)->flag;                     \
    }                                                                \
    static bool id##_pre_load(void *state)                           \
    {                                                                \
        return ((MigX86Cpu *)state)->flag = true;                    \
    }                                                                \
    static const MigVmsd id = {                                      \
        .name = (wire),                                              \
        .version = 1,                                                \
        .minimum = 1,                                                \
        .needed = id##_needed,                                       \
        .pre_load = id##_pre_load,                                   \
        .fields = (const MigVmsField[]){ __VA_ARGS__, MIG_VMS_END }, \
    }

SUBSECTION(fpop, "cpu/fpop_ip_dp", has_fpop, U16("env.fpop", fpop), U64("env.fpip", fpip),
           U64("env.fpdp", fpdp));
SUBSECTION(adjust, "cpu/msr_tsc_adjust", has_tsc_adjust, U64("env.tsc_adjust", tsc_adjust));
SUBSECTION(misc, "cpu/msr_ia32_misc_enable", has_misc_enable,
           U64("env.msr_ia32_misc_enable", msr_ia32_misc_enable));
SUBSECTION(khz, "cpu/tsc_khz", has_tsc_khz, I64("env.tsc_khz", tsc_khz));
SUBSECTION(poll, "cpu/poll_control_msr", has_poll_control,
           U64("env.poll_control_msr", poll_control_msr));

static const MigVmsField cpu_fields[] = {
    MANY(MIG_VMT_UINT64, "env.regs", regs, uint64_t),
    U64("env.eip", eip),
    U64("env.eflags", eflags),
    U32("env.hflags", hflags),
    U16("env.fpuc", fpuc),
    U16("env.fpus_vmstate", fpus),
    U16("env.fptag_vmstate", fptag),
    U16("env.fpregs_format_vmstate", fpregs_format),
    PARTS("env.fpregs", fpregs, fpu_register),
    PARTS("env.segs", segs, segment),
    PART("env.ldt", ldt, segment),
    PART("env.tr", tr, segment),
    PART("env.gdt", gdt, segment),
    PART("env.idt", idt, segment),
    U32("env.sysenter_cs", sysenter_cs),
    U64("env.sysenter_esp", sysenter_esp),
    U64("env.sysenter_eip", sysenter_eip),
    U64("env.cr[0]", cr0),
    U64("env.cr[2]", cr2),
    U64("env.cr[3]", cr3),
    U64("env.cr[4]", cr4),
    MANY(MIG_VMT_UINT64, "env.dr", dr, uint64_t),
    I32("env.a20_mask", a20_mask),
    U32("env.mxcsr", mxcsr),
    PARTS("env.xmm_regs[0]", xmm, xmm_low),
    U64("env.efer", efer),
    U64("env.star", star),
    U64("env.lstar", lstar),
    U64("env.cstar", cstar),
    U64("env.fmask", fmask),
    U64("env.kernelgsbase", kernelgsbase),
    U32("env.smbase", smbase),
    U64("env.pat", pat),
    U32("env.hflags2", hflags2),
    U64("env.vm_hsave", vm_hsave),
    U64("env.vm_vmcb", vm_vmcb),
    U64("env.tsc_offset", tsc_offset),
    U64("env.intercept", intercept),
    U16("env.intercept_cr_read", intercept_cr_read),
    U16("env.intercept_cr_write", intercept_cr_write),
    U16("env.intercept_dr_read", intercept_dr_read),
    U16("env.intercept_dr_write", intercept_dr_write),
    U32("env.intercept_exceptions", intercept_exceptions),
    U8("env.v_tpr", v_tpr),
    MANY(MIG_VMT_UINT64, "env.mtrr_fixed", mtrr_fixed, uint64_t),
    U64("env.mtrr_deftype", mtrr_deftype),
    PARTS("env.mtrr_var", mtrr_var, mtrr_range),
    I32("env.interrupt_injected", interrupt_injected),
    U32("env.mp_state", mp_state),
    U64("env.tsc", tsc),
    I32("env.exception_nr", exception_nr),
    U8("env.soft_interrupt", soft_interrupt),
    U8("env.nmi_injected", nmi_injected),
    U8("env.nmi_pending", nmi_pending),
    U8("env.has_error_code", has_error_code),
    U32("env.sipi_vector", sipi_vector),
    U64("env.mcg_cap", mcg_cap),
    U64("env.mcg_status", mcg_status),
    U64("env.mcg_ctl", mcg_ctl),
    MANY(MIG_VMT_UINT64, "env.mce_banks", mce_banks, uint64_t),
    U64("env.tsc_aux", tsc_aux),
    U64("env.system_time_msr", system_time_msr),
    U64("env.wall_clock_msr", wall_clock_msr),
    U64("env.xcr0", xcr0),
    U64("env.xstate_bv", xstate_bv),
    PARTS("env.xmm_regs[1]", ymmh, xmm_high),
    MIG_VMS_END,
};

static const MigVmsd cpu = {
    .name = "cpu",
    .version = MIG_X86_CPU_VERSION,
    .minimum = MIG_X86_CPU_VERSION,
    .fields = cpu_fields,
    .subsections = (const MigVmsd *const[]){ &fpop, &adjust, &misc, &khz, &poll, NULL },
};
#undef STATE

const MigVmsd *mig_vmsd_x86_cpu(void)
{
    return &cpu;
}

MigX86Cpu mig_x86_cpu_reset(void)
{
    const uint32_t data = 0x9300, code = 0x9b00; /* present, accessed */
    MigX86Cpu c = {
        .eip = 0xfff0,
        .eflags = 2,
        .fpuc = 0x37f,
        .ldt = { .limit = 0xffff, .flags = 0x8200 },
        .tr = { .limit = 0xffff, .flags = 0x8b00 },
        .gdt = { .limit = 0xffff },
        .idt = { .limit = 0xffff },
        .cr0 = 0x60000010,
        .dr = { [6] = 0xffff0ff0, [7] = 0x400 },
        .a20_mask = -1,
        .mxcsr = 0x1f80,
        .smbase = 0x30000,
        .pat = 0x0007040600070406,
        .interrupt_injected = -1,
        .exception_nr = -1,
        .xcr0 = 1,
        .xstate_bv = 3,
    };
    for (unsigned i = 0; i < 6; i++) {
        c.segs[i] = (MigX86Segment){ .limit = 0xffff, .flags = data };
    }
    c.segs[1] = (MigX86Segment){ 0xf000, 0xffff0000, 0xffff, code };
    return c;
}

#define STATE MigX86Apic
static const MigVmsd apic = {
    .name = "apic",
    .version = MIG_X86_APIC_VERSION,
    .minimum = MIG_X86_APIC_VERSION,
    .fields =
        (const MigVmsField[]){
            U32("apicbase", apicbase),
            U8("id", id),
            U8("arb_id", arb_id),
            U8("tpr", tpr),
            U32("spurious_vec", spurious_vec),
            U8("log_dest", log_dest),
            U8("dest_mode", dest_mode),
            MANY(MIG_VMT_UINT32, "isr", isr, uint32_t),
            MANY(MIG_VMT_UINT32, "tmr", tmr, uint32_t),
            MANY(MIG_VMT_UINT32, "irr", irr, uint32_t),
            MANY(MIG_VMT_UINT32, "lvt", lvt, uint32_t),
            U32("esr", esr),
            MANY(MIG_VMT_UINT32, "icr", icr, uint32_t),
            U32("divide_conf", divide_conf),
            I32("count_shift", count_shift),
            U32("initial_count", initial_count),
            I64("initial_count_load_time", initial_count_load_time),
            I64("next_time", next_time),
            I64("timer_expiry", timer_expiry),
            MIG_VMS_END,
        },
};
#undef STATE

const MigVmsd *mig_vmsd_x86_apic(void)
{
    return &apic;
}

MigX86Apic mig_x86_apic_reset(uint8_t id)
{
    MigX86Apic a = {
        .apicbase = 0xfee00800u | (id == 0 ? 0x100u : 0), /* on; bit 8: boots */
        .id = id,
        .spurious_vec = 0xff,
        .dest_mode = 0xf,
        .timer_expiry = -1,
    };
    for (unsigned i = 0; i < 6; i++) {
        a.lvt[i] = 0x10000; /* masked */
    }
    return a;
}

#define STATE MigX86Tpr
static const MigVmsd tpr = {
    .name = "kvm-tpr-opt",
    .version = MIG_X86_TPR_VERSION,
    .minimum = MIG_X86_TPR_VERSION,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_UNUSED(8), /* the ROM's signature */
            MANY(MIG_VMT_UINT32, "rom_state", rom, uint32_t),
            U32("state", state[0]),
            U32("real_tpr_addr", state[1]),
            U32("rom_state_vaddr", state[2]),
            U32("vapic_paddr", state[3]),
            U32("rom_state_paddr", state[4]),
            MIG_VMS_END,
        },
};
#undef STATE

const MigVmsd *mig_vmsd_x86_tpr(void)
{
    return &tpr;
}
