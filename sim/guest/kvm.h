/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that really runs: a virtual machine of /dev/kvm whose memory is the blocks of a scenario
 * and whose program (sim/guest/program) writes to them as its workloads say.
 *
 *     vCPU threads --write--> memory (a memfd for each block) <--read-- engine
 *          |                     |
 *          +-- exits, kicks      +-- dirty log: bitmap | bitmap with manual clear | rings
 *
 *     k = mig_kvm_new(&config, &error);   mig_kvm_run(k, true);   mig_kvm_memory(k)->ops->sync(...)
 *     mig_kvm_run(k, false);   mig_kvm_save_cpu(k, 0, &state, &error);   mig_kvm_free(k);
 *
 * A new guest stands still. All functions are for one thread, that of the engine.
 */
#ifndef MIG_SIM_GUEST_KVM_H
#define MIG_SIM_GUEST_KVM_H

#include <glib.h>
#include <sys/types.h>

#include "sim/guest/guest.h"
#include "sim/guest/program/guest-abi.h"
#include "stream/vmstate-x86.h"

#define MIG_KVM_ADDRESS_END 0xfff00000ull /* RAM ends below: what is above is KVM's and a ROM's */

typedef enum MigKvmError {
    MIG_KVM_ERROR_ABSENT, /* there is no KVM here, or not for this user */
    MIG_KVM_ERROR_LACKS,  /* it can't do what was asked for */
    MIG_KVM_ERROR_CONFIG, /* the scenario asks for what this backend does not have */
    MIG_KVM_ERROR_STATE,  /* a vCPU's state was refused */
} MigKvmError;

#define MIG_KVM_ERROR mig_kvm_error_quark()
GQuark mig_kvm_error_quark(void);

typedef struct MigKvm MigKvm;

typedef struct MigKvmConfig {
    uint64_t seed;
    uint32_t vcpus;              /* 1 to MIG_GUEST_MAX_PROCESSORS */
    MigTracking tracking;        /* TCG counts as KVM_LOG */
    uint32_t ring_entries;       /* of each vCPU's dirty ring, a power of two; 0: 4096 */
    uint32_t heartbeat_ms;       /* a line on the serial port this often; 0: none */
    const MigGuestBlock *blocks; /* by their `address`; MIG_KVM_UNMAPPED: the vCPUs don't see it */
    uint32_t block_count;
    const MigWorkload *workloads; /* workload i runs on vCPU i mod vcpus */
    uint32_t workload_count;
    bool incoming; /* no contents and no program: all that comes with a migration */
} MigKvmConfig;

#define MIG_KVM_UNMAPPED UINT64_MAX

/* True when there is a KVM that this process may use; else *error says why not and what to do. */
bool mig_kvm_available(GError **error);

/* Copies what |config| points to. NULL and *error, which says what to do about it. */
MigKvm *mig_kvm_new(const MigKvmConfig *config, GError **error);
void mig_kvm_free(MigKvm *k); /* NULL is fine */

/*
 * For source and destination. read() and map() give the page where it is. With manual clear the log
 * begins with all pages set (KVM_DIRTY_LOG_INITIALLY_SET, as QEMU has it from 5.0 on): the first
 * sync behind log_start reports every page, and what clear() covers is exact from then on.
 */
MigMemory *mig_kvm_memory(MigKvm *k);

/* The address of a block's first byte, and the memfd behind it. */
uint8_t *mig_kvm_at(const MigKvm *k, uint32_t block);
int mig_kvm_memfd(const MigKvm *k, uint32_t block);

/* Starts the vCPUs, or stops them and waits until all have left the guest. */
void mig_kvm_run(MigKvm *k, bool running);
bool mig_kvm_running(const MigKvm *k);

/* As mig_guest_throttle(), of every vCPU. */
void mig_kvm_throttle(MigKvm *k, unsigned percent);

/* The vCPU that runs in the kernel's thread |thread|; UINT32_MAX: none of them. */
uint32_t mig_kvm_vcpu_of(MigKvm *k, pid_t thread);

/*
 * Has the vCPUs stop, without waiting: one may wait for a page that the caller alone can bring.
 * mig_kvm_run(k, false) waits for them later.
 */
void mig_kvm_ask_stop(MigKvm *k);

/*
 * Counts the pages written while it is on, beside a migration's log: of all vCPUs each page once;
 * of a single one (only with rings) as often as its ring had them. Asked for behind the end.
 */
void mig_kvm_count(MigKvm *k, bool on);
uint64_t mig_kvm_counted(const MigKvm *k);
uint64_t mig_kvm_counted_by(const MigKvm *k, uint32_t vcpu);

/* What a dirty limit (dirty-limit.h) needs of a guest with rings; without them the others do
 * nothing.
 */
bool mig_kvm_has_rings(const MigKvm *k);
void mig_kvm_watch_rings(MigKvm *k, bool on); /* the log is on for them, whoever else needs it */
/* Reaps all rings: pages that each vCPU's has had so far, |noted| being one for each. */
void mig_kvm_take_rings(MigKvm *k, uint64_t *noted);
/* The vCPU sleeps so many ns whenever its ring was full. */
void mig_kvm_sleep_when_full(MigKvm *k, uint32_t vcpu, int64_t ns);

/* A write from outside, logged as any other. */
void mig_kvm_fill(MigKvm *k, uint32_t block, uint64_t first, uint64_t pages, uint8_t byte);

/* Why the guest has died (a triple fault, say), or NULL. Borrowed. */
const char *mig_kvm_death(MigKvm *k);

/* What the guest has said on its serial ports, in lines "N: text" of vCPU N. g_free(). */
char *mig_kvm_serial(MigKvm *k);

/*
 * A vCPU's state, of a guest that stands still. Saving keeps in |state| what KVM does not know
 * (what a load had brought); loading sets everything, the time stamp counter included.
 */
bool mig_kvm_save_cpu(MigKvm *k, uint32_t vcpu, MigX86Cpu *state, GError **error);
bool mig_kvm_load_cpu(MigKvm *k, uint32_t vcpu, const MigX86Cpu *state, GError **error);
uint32_t mig_kvm_vcpus(const MigKvm *k);

/*
 * Looks from outside at a guest that stands still: does every page hold the newest counter that its
 * workloads wrote? It recomputes all their writes, of the workloads that have a page of their own
 * to look at (write "counter", no shared pages); others are not looked at.
 */
typedef struct MigKvmCheck {
    uint64_t written; /* by all workloads, the one under way included */
    uint64_t lost;    /* due, but never made */
    uint64_t pages;   /* looked at */
    uint64_t wrong;   /* of them: lost, or old */
    uint64_t noticed; /* by the guest itself, see guest-abi.h */
    uint64_t stalls;
    uint64_t longest_stall; /* ns */
    uint32_t block;         /* of the first wrong page */
    uint64_t page, found, expected;
} MigKvmCheck;

/* False and *error when there is no guest program in this memory. */
bool mig_kvm_check(MigKvm *k, MigKvmCheck *check, GError **error);

/*
 * The pages of |block| that writes number from[i] (inclusive) to to[i] of region i of |vcpu| went
 * to are set in |pages|. Both have MIG_GUEST_MAX_REGIONS elements, see mig_kvm_written().
 */
void mig_kvm_pages_between(MigKvm *k, uint32_t vcpu, uint32_t block, const uint64_t *from,
                           const uint64_t *to, MigBitmap *pages);
/* How many writes each region of |vcpu| has made, one whose page is written but not yet counted
 * included (known with write "counter"). */
void mig_kvm_written(MigKvm *k, uint32_t vcpu, uint64_t *written);

typedef struct MigKvmStats {
    uint64_t exits;     /* of vCPUs */
    uint64_t ring_full; /* times that a vCPU's ring was */
    uint64_t reaped;    /* entries of rings */
    int64_t stalled;    /* ns that vCPU 0 did not run, stops and throttling together */
    int64_t limited;    /* ns that a dirty limit had vCPUs sleep, added up */
    uint64_t syncs;
    int64_t sync_time; /* ns in syncs and clears */
} MigKvmStats;

MigKvmStats mig_kvm_stats(MigKvm *k);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigKvm, mig_kvm_free)

#endif
