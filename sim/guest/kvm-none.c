/* SPDX-License-Identifier: Apache-2.0 */
/* The KVM guest where its program can't be made: there is none, and that is said. See kvm.h. */
#include "sim/guest/kvm-program.h"
#include "sim/guest/kvm.h"

G_DEFINE_QUARK(mig - kvm - error - quark, mig_kvm_error)

bool mig_kvm_available(GError **error)
{
    g_set_error(
        error, MIG_KVM_ERROR, MIG_KVM_ERROR_ABSENT,
        "backend kvm: this program was built for another machine than x86_64 Linux, and its "
        "guest's program is for x86_64; take --backend synthetic");
    return false;
}

MigKvm *mig_kvm_new(const MigKvmConfig *config, GError **error)
{
    (void)config;
    mig_kvm_available(error);
    return NULL;
}

void mig_kvm_free(MigKvm *k)
{
    g_assert(!k);
}

/* Nobody has one to call these with. */
#define NEVER g_assert_not_reached()

MigMemory *mig_kvm_memory(MigKvm *k)
{
    (void)k;
    NEVER;
}

uint8_t *mig_kvm_at(const MigKvm *k, uint32_t block)
{
    (void)k, (void)block;
    NEVER;
}

int mig_kvm_memfd(const MigKvm *k, uint32_t block)
{
    (void)k, (void)block;
    NEVER;
}

void mig_kvm_run(MigKvm *k, bool running)
{
    (void)k, (void)running;
    NEVER;
}

bool mig_kvm_running(const MigKvm *k)
{
    (void)k;
    NEVER;
}

void mig_kvm_throttle(MigKvm *k, unsigned percent)
{
    (void)k, (void)percent;
    NEVER;
}

uint32_t mig_kvm_vcpu_of(MigKvm *k, pid_t thread)
{
    (void)k, (void)thread;
    NEVER;
}

void mig_kvm_ask_stop(MigKvm *k)
{
    (void)k;
    NEVER;
}

void mig_kvm_count(MigKvm *k, bool on)
{
    (void)k, (void)on;
    NEVER;
}

uint64_t mig_kvm_counted(const MigKvm *k)
{
    (void)k;
    NEVER;
}

uint64_t mig_kvm_counted_by(const MigKvm *k, uint32_t vcpu)
{
    (void)k, (void)vcpu;
    NEVER;
}

bool mig_kvm_has_rings(const MigKvm *k)
{
    (void)k;
    NEVER;
}

void mig_kvm_watch_rings(MigKvm *k, bool on)
{
    (void)k, (void)on;
    NEVER;
}

void mig_kvm_take_rings(MigKvm *k, uint64_t *noted)
{
    (void)k, (void)noted;
    NEVER;
}

void mig_kvm_sleep_when_full(MigKvm *k, uint32_t vcpu, int64_t ns)
{
    (void)k, (void)vcpu, (void)ns;
    NEVER;
}

void mig_kvm_fill(MigKvm *k, uint32_t block, uint64_t first, uint64_t pages, uint8_t byte)
{
    (void)k, (void)block, (void)first, (void)pages, (void)byte;
    NEVER;
}

const char *mig_kvm_death(MigKvm *k)
{
    (void)k;
    NEVER;
}

char *mig_kvm_serial(MigKvm *k)
{
    (void)k;
    NEVER;
}

bool mig_kvm_save_cpu(MigKvm *k, uint32_t vcpu, MigX86Cpu *state, GError **error)
{
    (void)k, (void)vcpu, (void)state, (void)error;
    NEVER;
}

bool mig_kvm_load_cpu(MigKvm *k, uint32_t vcpu, const MigX86Cpu *state, GError **error)
{
    (void)k, (void)vcpu, (void)state, (void)error;
    NEVER;
}

uint32_t mig_kvm_vcpus(const MigKvm *k)
{
    (void)k;
    NEVER;
}

bool mig_kvm_check(MigKvm *k, MigKvmCheck *check, GError **error)
{
    (void)k, (void)check, (void)error;
    NEVER;
}

void mig_kvm_pages_between(MigKvm *k, uint32_t vcpu, uint32_t block, const uint64_t *from,
                           const uint64_t *to, MigBitmap *pages)
{
    (void)k, (void)vcpu, (void)block, (void)from, (void)to, (void)pages;
    NEVER;
}

void mig_kvm_written(MigKvm *k, uint32_t vcpu, uint64_t *written)
{
    (void)k, (void)vcpu, (void)written;
    NEVER;
}

MigKvmStats mig_kvm_stats(MigKvm *k)
{
    (void)k;
    NEVER;
}

/* Nor is there one for a QEMU's guest: calibrate asks only where there is. */
const unsigned char mig_kvm_program[MIG_GUEST_ROM_BYTES];
