/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of the devices that every QEMU has: timer, globalstate, cpu_common, and the
 * configuration section, which is described like a device from 10.0 on.
 *
 * Which form a device has depends on the release of the binary that writes.
 */
#ifndef MIG_STREAM_VMSTATE_DEVICES_H
#define MIG_STREAM_VMSTATE_DEVICES_H

#include "stream/vmstate.h"

/* "timer" (TimersState in QEMU's softmmu/system cpu-timers.c). Times in ns. */
typedef struct MigTimerState {
    int64_t cpu_ticks_offset;
    int64_t cpu_clock_offset;
    bool icount; /* subsection timer/icount is there */
    int64_t qemu_icount_bias;
    int64_t qemu_icount; /* instructions */
    bool warp_timer;     /* subsection timer/icount/warp_timer is there */
    int64_t vm_clock_warp_start;
    int64_t icount_warp_timer;
    bool adjust_timers; /* subsection timer/icount/timers is there */
    int64_t icount_rt_timer;
    int64_t icount_vm_timer;
    bool shift; /* subsection timer/icount/shift is there: icount shift=auto */
    int16_t icount_time_shift;
    int64_t last_delta; /* not in 5.2 */
} MigTimerState;

/* Loading sets the four flags to what was there. */
const MigVmsd *mig_vmsd_timer(unsigned major, unsigned minor);

/* "globalstate" (GlobalState in migration/global_state.c): 104 bytes in both forms. */
typedef struct MigGlobalState {
    uint32_t size;                /* strlen(runstate) + 1; set by saving, ignored by loading */
    char runstate[100];           /* NUL-terminated; from 9.0 on 32 bytes of it are sent */
    uint8_t has_vm_was_suspended; /* 9.0 and later */
    uint8_t vm_was_suspended;
    uint8_t unused[66];
} MigGlobalState;

/* Loading refuses a name that does not end, or is no run state. */
const MigVmsd *mig_vmsd_globalstate(unsigned major, unsigned minor);

/* Is it one of QEMU's run states? */
bool mig_is_runstate(const char *name);

/* "cpu_common" (CPUState in hw/core/cpu-system.c). */
typedef struct MigCpuCommon {
    uint32_t halted;
    uint32_t interrupt_request; /* loading clears bit 0, which is never sent by a living version */
    int32_t exception_index;    /* sent if not -1; loading sets -1 first */
    bool crash_occurred;        /* sent if set */
} MigCpuCommon;

const MigVmsd *mig_vmsd_cpu_common(unsigned major, unsigned minor);

#define MIG_CONFIGURATION_NAME 1024u
#define MIG_CONFIGURATION_CAPS 64u
#define MIG_CAPABILITY_NAME    64u

/* What stands behind byte 07 of the configuration section (SaveState in migration/savevm.c). */
typedef struct MigConfiguration {
    uint32_t len;                      /* strlen(name); set by saving */
    char name[MIG_CONFIGURATION_NAME]; /* machine type; not NUL-terminated after loading if full */
    bool send_page_bits;
    uint32_t target_page_bits;
    bool send_capabilities;
    uint32_t caps_count;
    char capabilities[MIG_CONFIGURATION_CAPS][MIG_CAPABILITY_NAME];
    bool send_uuid;
    uint8_t uuid[16];
} MigConfiguration;

const MigVmsd *mig_vmsd_configuration(unsigned major, unsigned minor);

#endif
