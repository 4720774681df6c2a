/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the KVM guest: the virtual machine, and what its parts share.
 *
 *     kvm.c         the machine: memory, program, the engine's view of it
 *     kvm-vcpu.c    threads that run vCPUs; stopping, kicking, throttling them
 *     kvm-dirty.c   the dirty log in its three forms
 *     kvm-count.c   counting writes, and limiting them
 *     kvm-state.c   a vCPU's state to and from QEMU's layout
 *     kvm-check.c   recomputing what the program should have written
 */
#ifndef MIG_SIM_GUEST_KVM_INTERNAL_H
#define MIG_SIM_GUEST_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>

#include "sim/guest/kvm.h"

#define MIG_KVM_PAGE 4096u
#define MIG_KVM_KICK SIGUSR2 /* gets a vCPU thread out of KVM_RUN */

typedef struct KvmBlock {
    MigMemoryBlock memory;
    char *name;
    int fd;
    uint8_t *at;
    uint64_t bytes;      /* mapped */
    MigBitmap *log;      /* what was logged and no sync has taken */
    MigBitmap *reported; /* manual clear: what a sync saw and no clear() has dropped */
    MigBitmap *counted;  /* while writes are counted: pages written; else NULL */
} KvmBlock;

/* A memory slot of the kernel: a part of a block at an address. Several may show the same part. */
typedef struct KvmSlot {
    uint32_t block;
    uint64_t first; /* page of the block, a multiple of 64 */
    uint64_t pages;
    uint64_t address;
    bool read_only; /* not logged */
    uint64_t *bits; /* for the kernel: one per page, whole words */
} KvmSlot;

typedef struct KvmVcpu {
    MigKvm *k;
    uint32_t index;
    int fd;
    struct kvm_run *run;
    struct kvm_dirty_gfn *ring; /* NULL: no ring */
    uint32_t ring_next;         /* entries taken so far */
    pthread_t thread;
    pid_t tid; /* the kernel's number of it; 0: it has not begun */
    bool has_thread;
    /* Under the machine's lock. */
    bool inside;           /* in KVM_RUN */
    bool standing;         /* waits for the guest to be started */
    bool halted;           /* the program has ended */
    bool unfinished;       /* an exit's instruction is completed by the next KVM_RUN */
    int64_t nap;           /* ns to sleep before the next KVM_RUN */
    int64_t full_nap;      /* likewise, whenever its ring was full: a dirty limit */
    uint64_t noted;        /* pages that its ring has had */
    uint64_t counted_from; /* of them: when counting began */
    uint64_t counted;      /* of them: while it lasted */
    uint64_t looks;        /* how often it was outside and looked at what is wanted */
    uint64_t exits;
    GString *said; /* on the serial port */
    size_t told;   /* of it: behind the last whole line */
} KvmVcpu;

struct MigKvm {
    MigMemory memory; /* first: it is one */
    MigKvmConfig config;
    MigWorkload *workloads;
    int fd, vm;
    uint32_t run_bytes;
    KvmBlock *blocks;
    KvmSlot *slots;
    uint32_t slot_count;
    KvmVcpu *vcpus;
    uint32_t ring_entries; /* 0: bitmaps */
    unsigned loggers;      /* who needs the log, a bit each; 0: it is off */
    uint64_t counted;      /* pages, when writes were counted last */
    GMutex lock;
    GCond changed;
    bool wanted; /* the vCPUs should run */
    bool ending;
    char *death;
    unsigned throttle; /* percent */
    GThread *ticker;   /* throttling, and reaping of rings */
    int64_t stopped_at;
    MigKvmStats stats;
};

/* Who needs the log: as QEMU's GLOBAL_DIRTY_*. */
typedef enum KvmLogger {
    KVM_LOGGER_MIGRATION = 1,
    KVM_LOGGER_COUNT = 2,
    KVM_LOGGER_LIMIT = 4,
} KvmLogger;

/* What a slot, a vCPU... of KVM is called in messages: "KVM_CREATE_VM: ...". */
bool mig_kvm_fail(GError **error, MigKvmError code, const char *what);
int64_t mig_kvm_now(void); /* ns, CLOCK_MONOTONIC */

/* What the guest was told and what it counts, where they stand in memory; NULL: there is none. */
const struct mig_guest_parameters *mig_kvm_parameters(const MigKvm *k, uint32_t vcpu);
const struct mig_guest_counters *mig_kvm_counters(const MigKvm *k, uint32_t vcpu);

/* kvm-vcpu.c */
bool mig_kvm_make_vcpu(MigKvm *k, uint32_t index, GError **error);
bool mig_kvm_start_threads(MigKvm *k, GError **error);
void mig_kvm_end_threads(MigKvm *k);
void mig_kvm_free_vcpu(KvmVcpu *v);
/* Has every vCPU leave the guest once: what the processor had buffered is in the log then. */
void mig_kvm_flush_vcpus(MigKvm *k);

/* kvm-dirty.c; those of the memory interface. */
bool mig_kvm_dirty_init(MigKvm *k, GError **error);
void mig_kvm_set_logger(MigKvm *k, KvmLogger who, bool on);
void mig_kvm_log_start(MigMemory *m);
void mig_kvm_log_stop(MigMemory *m);
uint64_t mig_kvm_sync(MigMemory *m, uint32_t block, MigBitmap *dirty);
void mig_kvm_clear(MigMemory *m, uint32_t block, uint64_t first, uint64_t count);
void mig_kvm_reap(MigKvm *k); /* with the lock held */
/* As mig_kvm_reap(), of the ring of |v| alone. */
void mig_kvm_reap_vcpu(MigKvm *k, KvmVcpu *v);
/* What the kernel has for all blocks, into their logs: for the next sync. */
void mig_kvm_fetch(MigKvm *k);
bool mig_kvm_set_slots(MigKvm *k, GError **error);

/* kvm-state.c */
bool mig_kvm_reset_cpu(MigKvm *k, uint32_t vcpu, GError **error);

#endif
