/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads in a hurry, see hurry.h.
 *
 * Model. Linux 6.12 lets a thread choose its slice (sched_setattr(2), sched_runtime of an ordinary
 * policy), which needs no permission. The share of the processor stays the same; a shorter slice
 * comes in smaller pieces, but sooner: who wakes with one goes before who runs with a longer one.
 * QEMU's threads have the default, of some milliseconds on a small machine.
 *
 * Limits. Older kernels take the value and forget it. The C library has no name for the call's
 * argument before glibc 2.41, and then one that clashes with the kernel's header: so it has its own
 * here.
 */
#include "sim/world/hurry.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS      100000u /* the shortest that Linux grants */
#define POLICY_NORMAL 0u
#define POLICY_BATCH  3u

/* The kernel's struct sched_attr in its first version, 48 bytes. */
typedef struct Attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period; /* ns */
} Attributes;

bool mig_hurry(bool on)
{
    Attributes a = { .size = sizeof(a) };
    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0 ||
        (a.policy != POLICY_NORMAL && a.policy != POLICY_BATCH)) {
        return false;
    }
    a.runtime = on ? SLICE_NS : 0;
    return syscall(SYS_sched_setattr, 0, &a, 0) == 0 &&
           syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0 && (!on || a.runtime == SLICE_NS);
}
