/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's state between KVM and QEMU's layout, as kvm_arch_get_registers() and
 * kvm_arch_put_registers() (target/i386/kvm/kvm.c) do it: general registers, segments, x87 and
 * SSE through the XSAVE area, model-specific registers one by one, pending events.
 *
 * Limits. Without an interrupt controller: pending interrupts that are not injected don't exist.
 * MTRRs and machine checks pass through as they came; AVX-512, MPX and protection keys are not
 * kept, which this program does not use.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sim/guest/kvm-internal.h"

#define EFER_LMA (1u << 10)

/* hflags of target/i386/cpu.h that follow from the other registers: x86_update_hflags(). */
#define HF_CPL     3u
#define HF_CS32    (1u << 4)
#define HF_SS32    (1u << 5)
#define HF_ADDSEG  (1u << 6)
#define HF_PE      (1u << 7)
#define HF_LMA     (1u << 14)
#define HF_CS64    (1u << 15)
#define HF_OSFXSR  (1u << 22)
#define HF_DERIVED (HF_CPL | HF_CS32 | HF_SS32 | HF_ADDSEG | HF_PE | HF_LMA | HF_CS64 | HF_OSFXSR)

enum { ES, CS, SS, DS, FS, GS };

static bool refused(GError **error, uint32_t vcpu, const char *what)
{
    g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE, "vCPU %u: %s: %s", vcpu, what,
                g_strerror(errno));
    return false;
}

/* Segments --------------------------------------------------------------------------------- */

static struct kvm_segment to_kvm(const MigX86Segment *s)
{
    uint32_t f = s->flags;
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = (uint16_t)s->selector,
        .type = f >> 8 & 15,
        .s = f >> 12 & 1,
        .dpl = f >> 13 & 3,
        .present = f >> 15 & 1,
        .avl = f >> 20 & 1,
        .l = f >> 21 & 1,
        .db = f >> 22 & 1,
        .g = f >> 23 & 1,
        .unusable = !(f >> 15 & 1),
    };
}

static MigX86Segment from_kvm(const struct kvm_segment *s)
{
    uint32_t flags = (uint32_t)s->type << 8 | (uint32_t)s->s << 12 | (uint32_t)s->dpl << 13 |
                     (uint32_t)s->present << 15 | (uint32_t)s->avl << 20 | (uint32_t)s->l << 21 |
                     (uint32_t)s->db << 22 | (uint32_t)s->g << 23;
    return (MigX86Segment){ s->selector, s->base, s->limit, s->unusable ? 0 : flags };
}

static void from_sregs(MigX86Cpu *c, const struct kvm_sregs *s)
{
    const struct kvm_segment *segments[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs };
    for (unsigned i = 0; i < 6; i++) {
        c->segs[i] = from_kvm(segments[i]);
    }
    c->ldt = from_kvm(&s->ldt);
    c->tr = from_kvm(&s->tr);
    c->gdt = (MigX86Segment){ 0, s->gdt.base, s->gdt.limit, 0 };
    c->idt = (MigX86Segment){ 0, s->idt.base, s->idt.limit, 0 };
    c->cr0 = s->cr0;
    c->cr2 = s->cr2;
    c->cr3 = s->cr3;
    c->cr4 = s->cr4;
    c->efer = s->efer;
    c->v_tpr = (uint8_t)s->cr8;
}

static void to_sregs(struct kvm_sregs *s, const MigX86Cpu *c)
{
    struct kvm_segment *segments[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs };
    for (unsigned i = 0; i < 6; i++) {
        *segments[i] = to_kvm(&c->segs[i]);
    }
    s->ldt = to_kvm(&c->ldt);
    s->tr = to_kvm(&c->tr);
    s->gdt = (struct kvm_dtable){ .base = c->gdt.base, .limit = (uint16_t)c->gdt.limit };
    s->idt = (struct kvm_dtable){ .base = c->idt.base, .limit = (uint16_t)c->idt.limit };
    s->cr0 = c->cr0;
    s->cr2 = c->cr2;
    s->cr3 = c->cr3;
    s->cr4 = c->cr4;
    s->efer = c->efer;
    s->cr8 = c->v_tpr;
}

static uint32_t derive_hflags(const MigX86Cpu *c)
{
    uint32_t cs = c->segs[CS].flags, ss = c->segs[SS].flags, h = ss >> 13 & HF_CPL;
    bool lma = c->efer & EFER_LMA, cs64 = lma && cs >> 21 & 1;
    h |= c->cr0 & 1 ? HF_PE : 0;
    h |= c->cr4 & 1 << 9 ? HF_OSFXSR : 0;
    h |= lma ? HF_LMA : 0;
    if (cs64) {
        return h | HF_CS32 | HF_SS32 | HF_CS64;
    }
    h |= cs >> 22 & 1 ? HF_CS32 : 0;
    h |= ss >> 22 & 1 ? HF_SS32 : 0;
    bool bases = c->segs[DS].base | c->segs[ES].base | c->segs[SS].base;
    return h | (!(c->cr0 & 1) || !(h & HF_CS32) || bases ? HF_ADDSEG : 0);
}

/* Registers -------------------------------------------------------------------------------- */

static void from_regs(MigX86Cpu *c, const struct kvm_regs *r)
{
    const uint64_t regs[] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                              r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };
    memcpy(c->regs, regs, sizeof(regs));
    c->eip = r->rip;
    c->eflags = r->rflags;
}

static struct kvm_regs to_regs(const MigX86Cpu *c)
{
    const uint64_t *r = c->regs;
    return (struct kvm_regs){
        .rax = r[0],
        .rcx = r[1],
        .rdx = r[2],
        .rbx = r[3],
        .rsp = r[4],
        .rbp = r[5],
        .rsi = r[6],
        .rdi = r[7],
        .r8 = r[8],
        .r9 = r[9],
        .r10 = r[10],
        .r11 = r[11],
        .r12 = r[12],
        .r13 = r[13],
        .r14 = r[14],
        .r15 = r[15],
        .rip = c->eip,
        .rflags = c->eflags,
    };
}

/* The XSAVE area: a FXSAVE area of 512 bytes, a header, the upper halves of YMM at 576. */
typedef struct FxArea {
    uint16_t fpuc, fpus;
    uint8_t fptag, reserved;
    uint16_t fpop;
    uint64_t fpip, fpdp;
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t mantissa;
        uint16_t exponent, rest[3];
    } fpregs[8];
    MigX86Half xmm[16];
    uint8_t unused[96];
    uint64_t xstate_bv, header[7];
    MigX86Half ymmh[16];
} FxArea;

_Static_assert(offsetof(FxArea, fpregs) == 32 && offsetof(FxArea, xmm) == 160 &&
                   offsetof(FxArea, xstate_bv) == 512 && offsetof(FxArea, ymmh) == 576,
               "layout");

static bool get_fpu(KvmVcpu *v, MigX86Cpu *c, GError **error)
{
    union {
        struct kvm_xsave xsave;
        FxArea fx;
    } u;
    struct kvm_xcrs xcrs = { 0 };
    if (ioctl(v->fd, KVM_GET_XSAVE, &u.xsave) != 0) {
        return refused(error, v->index, "KVM_GET_XSAVE");
    }
    c->fpuc = u.fx.fpuc;
    c->fpus = u.fx.fpus;
    c->fptag = u.fx.fptag;
    c->fpregs_format = 0;
    c->mxcsr = u.fx.mxcsr;
    c->xstate_bv = u.fx.xstate_bv & 7;
    for (unsigned i = 0; i < 8; i++) {
        c->fpregs[i] = (MigX86Float){ u.fx.fpregs[i].mantissa, u.fx.fpregs[i].exponent };
    }
    memcpy(c->xmm, u.fx.xmm, sizeof(c->xmm));
    memcpy(c->ymmh, u.fx.ymmh, sizeof(c->ymmh));
    if (ioctl(v->fd, KVM_GET_XCRS, &xcrs) == 0 && xcrs.nr_xcrs > 0) {
        c->xcr0 = xcrs.xcrs[0].value;
    }
    return true;
}

static bool put_fpu(KvmVcpu *v, const MigX86Cpu *c, GError **error)
{
    union {
        struct kvm_xsave xsave;
        FxArea fx;
    } u;
    struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = c->xcr0 } } };
    memset(&u, 0, sizeof(u));
    u.fx.fpuc = c->fpuc;
    u.fx.fpus = c->fpus;
    u.fx.fptag = (uint8_t)c->fptag;
    u.fx.mxcsr = c->mxcsr;
    u.fx.xstate_bv = c->xstate_bv & 7;
    for (unsigned i = 0; i < 8; i++) {
        u.fx.fpregs[i].mantissa = c->fpregs[i].mantissa;
        u.fx.fpregs[i].exponent = c->fpregs[i].exponent;
    }
    memcpy(u.fx.xmm, c->xmm, sizeof(c->xmm));
    memcpy(u.fx.ymmh, c->ymmh, sizeof(c->ymmh));
    if (c->xcr0 && ioctl(v->fd, KVM_SET_XCRS, &xcrs) != 0) {
        return refused(error, v->index, "KVM_SET_XCRS");
    }
    return ioctl(v->fd, KVM_SET_XSAVE, &u.xsave) == 0 || refused(error, v->index, "KVM_SET_XSAVE");
}

/* Model-specific registers ----------------------------------------------------------------- */

typedef struct MsrRow {
    uint32_t index;
    const char *name;
    size_t offset;
    size_t size; /* bytes of the member */
} MsrRow;

#define MSR(number, member)                                                              \
    {                                                                                    \
        (number), #member, offsetof(MigX86Cpu, member), sizeof(((MigX86Cpu *)0)->member) \
    }

static const MsrRow msrs[] = {
    MSR(0x10, tsc),           MSR(0x174, sysenter_cs),
    MSR(0x175, sysenter_esp), MSR(0x176, sysenter_eip),
    MSR(0x277, pat),          MSR(0xc0000081, star),
    MSR(0xc0000082, lstar),   MSR(0xc0000083, cstar),
    MSR(0xc0000084, fmask),   MSR(0xc0000102, kernelgsbase),
    MSR(0xc0000103, tsc_aux),
};

/* A struct kvm_msrs of one entry. */
typedef struct OneMsr {
    uint32_t nmsrs, pad;
    struct kvm_msr_entry entry;
} OneMsr;

/* Those that this KVM doesn't have stay as they are. */
static void get_msrs(KvmVcpu *v, MigX86Cpu *c)
{
    for (size_t i = 0; i < G_N_ELEMENTS(msrs); i++) {
        OneMsr one = { .nmsrs = 1, .entry.index = msrs[i].index };
        if (ioctl(v->fd, KVM_GET_MSRS, &one) == 1) {
            memcpy((uint8_t *)c + msrs[i].offset, &one.entry.data, msrs[i].size);
        }
    }
}

static bool put_msrs(KvmVcpu *v, const MigX86Cpu *c, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(msrs); i++) {
        OneMsr one = { .nmsrs = 1, .entry.index = msrs[i].index };
        memcpy(&one.entry.data, (const uint8_t *)c + msrs[i].offset, msrs[i].size);
        if (ioctl(v->fd, KVM_SET_MSRS, &one) != 1 && one.entry.data != 0) {
            g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE,
                        "vCPU %u: this KVM does not take %s (MSR 0x%x) = 0x%llx", v->index,
                        msrs[i].name, msrs[i].index, one.entry.data);
            return false;
        }
    }
    return true;
}

/* Events ----------------------------------------------------------------------------------- */

static void get_events(KvmVcpu *v, MigX86Cpu *c)
{
    struct kvm_vcpu_events e = { 0 };
    struct kvm_debugregs d = { 0 };
    struct kvm_mp_state mp = { 0 };
    if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) == 0) {
        c->exception_nr = e.exception.injected ? e.exception.nr : -1;
        c->has_error_code = e.exception.has_error_code;
        c->interrupt_injected = e.interrupt.injected ? e.interrupt.nr : -1;
        c->soft_interrupt = e.interrupt.soft;
        c->nmi_injected = e.nmi.injected;
        c->nmi_pending = e.nmi.pending;
        c->sipi_vector = e.sipi_vector;
    }
    if (ioctl(v->fd, KVM_GET_DEBUGREGS, &d) == 0) {
        memcpy(c->dr, d.db, sizeof(d.db));
        c->dr[6] = c->dr[4] = d.dr6;
        c->dr[7] = c->dr[5] = d.dr7;
    }
    c->mp_state = ioctl(v->fd, KVM_GET_MP_STATE, &mp) == 0 ? mp.mp_state : KVM_MP_STATE_RUNNABLE;
}

static bool put_events(KvmVcpu *v, const MigX86Cpu *c, GError **error)
{
    struct kvm_debugregs d = { .dr6 = c->dr[6], .dr7 = c->dr[7] };
    struct kvm_vcpu_events e = {
        .exception = { .injected = c->exception_nr >= 0,
                       .nr = (uint8_t)c->exception_nr,
                       .has_error_code = c->has_error_code },
        .interrupt = { .injected = c->interrupt_injected >= 0,
                       .nr = (uint8_t)c->interrupt_injected,
                       .soft = c->soft_interrupt },
        .nmi = { .injected = c->nmi_injected, .pending = c->nmi_pending },
        .sipi_vector = c->sipi_vector,
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR,
    };
    memcpy(d.db, c->dr, sizeof(d.db));
    if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e) != 0) {
        return refused(error, v->index, "KVM_SET_VCPU_EVENTS");
    }
    return ioctl(v->fd, KVM_SET_DEBUGREGS, &d) == 0 ||
           refused(error, v->index, "KVM_SET_DEBUGREGS");
}

/* All of it -------------------------------------------------------------------------------- */

uint32_t mig_kvm_vcpus(const MigKvm *k)
{
    return k->config.vcpus;
}

bool mig_kvm_save_cpu(MigKvm *k, uint32_t vcpu, MigX86Cpu *c, GError **error)
{
    KvmVcpu *v = &k->vcpus[vcpu];
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    g_assert(!k->wanted);
    if (ioctl(v->fd, KVM_GET_REGS, &regs) != 0 || ioctl(v->fd, KVM_GET_SREGS, &sregs) != 0) {
        return refused(error, vcpu, "KVM_GET_SREGS");
    }
    from_regs(c, &regs);
    from_sregs(c, &sregs);
    c->hflags = (c->hflags & ~HF_DERIVED) | derive_hflags(c);
    get_msrs(v, c);
    get_events(v, c);
    int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
    c->has_tsc_khz = khz > 0;
    c->tsc_khz = khz > 0 ? khz : 0;
    return get_fpu(v, c, error);
}

bool mig_kvm_load_cpu(MigKvm *k, uint32_t vcpu, const MigX86Cpu *c, GError **error)
{
    KvmVcpu *v = &k->vcpus[vcpu];
    struct kvm_regs regs = to_regs(c);
    struct kvm_sregs sregs;
    g_assert(!k->wanted);
    if (ioctl(v->fd, KVM_GET_SREGS, &sregs) != 0) {
        return refused(error, vcpu, "KVM_GET_SREGS");
    }
    to_sregs(&sregs, c);
    memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
    if (ioctl(v->fd, KVM_SET_SREGS, &sregs) != 0) {
        return refused(error, vcpu, "KVM_SET_SREGS (long mode on a processor that has none?)");
    }
    if (ioctl(v->fd, KVM_SET_REGS, &regs) != 0) {
        return refused(error, vcpu, "KVM_SET_REGS");
    }
    v->halted = c->mp_state == KVM_MP_STATE_HALTED;
    v->unfinished = false;
    return put_fpu(v, c, error) && put_msrs(v, c, error) && put_events(v, c, error);
}

/* At the reset vector as it is seen below 1 MiB, with the processor's number in SI. */
bool mig_kvm_reset_cpu(MigKvm *k, uint32_t vcpu, GError **error)
{
    MigX86Cpu c = mig_x86_cpu_reset();
    c.segs[CS].base = MIG_GUEST_ROM_ADDRESS;
    c.regs[6] = vcpu;
    return mig_kvm_load_cpu(k, vcpu, &c, error);
}
