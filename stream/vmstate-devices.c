/* SPDX-License-Identifier: Apache-2.0 */
/* The tables. Names and order of the fields are what the descriptions of real streams show. */
#include "stream/vmstate-devices.h"

#include <string.h>

static bool from(unsigned major, unsigned minor, unsigned since_major, unsigned since_minor)
{
    return major > since_major || (major == since_major && minor >= since_minor);
}

/* timer */

static bool timer_has_icount(const void *state)
{
    return ((const MigTimerState *)state)->icount;
}

static bool timer_has_warp(const void *state)
{
    return ((const MigTimerState *)state)->warp_timer;
}

static bool timer_has_adjust(const void *state)
{
    return ((const MigTimerState *)state)->adjust_timers;
}

static bool timer_has_shift(const void *state)
{
    return ((const MigTimerState *)state)->shift;
}

static bool timer_pre_load(void *state)
{
    MigTimerState *timer = state;

    timer->icount = timer->warp_timer = timer->adjust_timers = timer->shift = false;
    return true;
}

static bool icount_pre_load(void *state)
{
    ((MigTimerState *)state)->icount = true;
    return true;
}

static bool warp_pre_load(void *state)
{
    ((MigTimerState *)state)->warp_timer = true;
    return true;
}

static bool adjust_pre_load(void *state)
{
    ((MigTimerState *)state)->adjust_timers = true;
    return true;
}

static bool shift_pre_load(void *state)
{
    ((MigTimerState *)state)->shift = true;
    return true;
}

static const MigVmsd timer_warp = {
    .name = "timer/icount/warp_timer",
    .version = 1,
    .minimum = 1,
    .needed = timer_has_warp,
    .pre_load = warp_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_INT64, vm_clock_warp_start, MigTimerState, int64_t),
            MIG_VMS_FIELD(MIG_VMT_TIMER, icount_warp_timer, MigTimerState, int64_t),
            MIG_VMS_END,
        },
};

static const MigVmsd timer_adjust = {
    .name = "timer/icount/timers",
    .version = 1,
    .minimum = 1,
    .needed = timer_has_adjust,
    .pre_load = adjust_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_TIMER, icount_rt_timer, MigTimerState, int64_t),
            MIG_VMS_FIELD(MIG_VMT_TIMER, icount_vm_timer, MigTimerState, int64_t),
            MIG_VMS_END,
        },
};

static const MigVmsd timer_shift_1 = {
    .name = "timer/icount/shift",
    .version = 1,
    .minimum = 1,
    .needed = timer_has_shift,
    .pre_load = shift_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_INT16, icount_time_shift, MigTimerState, int16_t),
            MIG_VMS_END,
        },
};

static const MigVmsd timer_shift_2 = {
    .name = "timer/icount/shift",
    .version = 2,
    .minimum = 2,
    .needed = timer_has_shift,
    .pre_load = shift_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_INT16, icount_time_shift, MigTimerState, int16_t),
            MIG_VMS_FIELD(MIG_VMT_INT64, last_delta, MigTimerState, int64_t),
            MIG_VMS_END,
        },
};

static const MigVmsField icount_fields[] = {
    MIG_VMS_FIELD(MIG_VMT_INT64, qemu_icount_bias, MigTimerState, int64_t),
    MIG_VMS_FIELD(MIG_VMT_INT64, qemu_icount, MigTimerState, int64_t),
    MIG_VMS_END,
};

static const MigVmsField timer_fields[] = {
    MIG_VMS_FIELD(MIG_VMT_INT64, cpu_ticks_offset, MigTimerState, int64_t),
    MIG_VMS_UNUSED(8),
    MIG_VMS_FIELD_V(MIG_VMT_INT64, cpu_clock_offset, MigTimerState, int64_t, 2),
    MIG_VMS_END,
};

#define ICOUNT(shift_)                                                                          \
    {                                                                                           \
        .name = "timer/icount", .version = 1, .minimum = 1, .needed = timer_has_icount,         \
        .pre_load = icount_pre_load, .fields = icount_fields,                                   \
        .subsections = (const MigVmsd *const[]){ &timer_warp, &timer_adjust, &(shift_), NULL }, \
    }
#define TIMER(icount_)                                                                       \
    {                                                                                        \
        .name = "timer", .version = 2, .minimum = 1, .pre_load = timer_pre_load,             \
        .fields = timer_fields, .subsections = (const MigVmsd *const[]){ &(icount_), NULL }, \
    }

static const MigVmsd timer_icount_1 = ICOUNT(timer_shift_1);
static const MigVmsd timer_icount_2 = ICOUNT(timer_shift_2);
static const MigVmsd timer_1 = TIMER(timer_icount_1);
static const MigVmsd timer_2 = TIMER(timer_icount_2);

const MigVmsd *mig_vmsd_timer(unsigned major, unsigned minor)
{
    return from(major, minor, 6, 0) ? &timer_2 : &timer_1;
}

/* globalstate */

static const char *const runstates[] = {
    "debug",     "inmigrate",      "internal-error", "io-error", "paused",  "postmigrate",
    "prelaunch", "finish-migrate", "restore-vm",     "running",  "save-vm", "shutdown",
    "suspended", "watchdog",       "guest-panicked", "colo",
};

bool mig_is_runstate(const char *name)
{
    for (unsigned i = 0; i < sizeof(runstates) / sizeof(runstates[0]); i++) {
        if (strcmp(runstates[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool globalstate_pre_save(void *state)
{
    MigGlobalState *global = state;

    global->size = (uint32_t)strnlen(global->runstate, sizeof(global->runstate) - 1) + 1;
    return true;
}

static bool globalstate_pre_load(void *state)
{
    memset(state, 0, sizeof(MigGlobalState));
    return true;
}

static bool globalstate_post_load(void *state, int version)
{
    MigGlobalState *global = state;

    (void)version;
    return memchr(global->runstate, 0, sizeof(global->runstate)) &&
           mig_is_runstate(global->runstate);
}

/* The 32 bytes have to hold a NUL of their own; what stands behind them is not theirs. */
static bool globalstate_post_load_9(void *state, int version)
{
    return memchr(((MigGlobalState *)state)->runstate, 0, 32) &&
           globalstate_post_load(state, version);
}

static const MigVmsd globalstate_1 = {
    .name = "globalstate",
    .version = 1,
    .minimum = 1,
    .pre_save = globalstate_pre_save,
    .pre_load = globalstate_pre_load,
    .post_load = globalstate_post_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT32, size, MigGlobalState, uint32_t),
            MIG_VMS_BUFFER(runstate, MigGlobalState),
            MIG_VMS_END,
        },
};

static const MigVmsd globalstate_9 = {
    .name = "globalstate",
    .version = 1,
    .minimum = 1,
    .pre_save = globalstate_pre_save,
    .pre_load = globalstate_pre_load,
    .post_load = globalstate_post_load_9,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT32, size, MigGlobalState, uint32_t),
            MIG_VMS_FIELD(MIG_VMT_BUFFER, runstate, MigGlobalState, char[32]),
            MIG_VMS_FIELD(MIG_VMT_UINT8, has_vm_was_suspended, MigGlobalState, uint8_t),
            MIG_VMS_FIELD(MIG_VMT_UINT8, vm_was_suspended, MigGlobalState, uint8_t),
            MIG_VMS_BUFFER(unused, MigGlobalState),
            MIG_VMS_END,
        },
};

const MigVmsd *mig_vmsd_globalstate(unsigned major, unsigned minor)
{
    return from(major, minor, 9, 0) ? &globalstate_9 : &globalstate_1;
}

/* cpu_common */

static bool cpu_has_exception(const void *state)
{
    return ((const MigCpuCommon *)state)->exception_index != -1;
}

static bool cpu_has_crashed(const void *state)
{
    return ((const MigCpuCommon *)state)->crash_occurred;
}

static bool cpu_pre_load(void *state)
{
    ((MigCpuCommon *)state)->exception_index = -1;
    return true;
}

static bool cpu_post_load(void *state, int version)
{
    (void)version;
    ((MigCpuCommon *)state)->interrupt_request &= ~1u;
    return true;
}

static const MigVmsd cpu_exception = {
    .name = "cpu_common/exception_index",
    .version = 1,
    .minimum = 1,
    .needed = cpu_has_exception,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_INT32, exception_index, MigCpuCommon, int32_t),
            MIG_VMS_END,
        },
};

static const MigVmsd cpu_crash = {
    .name = "cpu_common/crash_occurred",
    .version = 1,
    .minimum = 1,
    .needed = cpu_has_crashed,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_BOOL, crash_occurred, MigCpuCommon, bool),
            MIG_VMS_END,
        },
};

static const MigVmsd cpu_common = {
    .name = "cpu_common",
    .version = 1,
    .minimum = 1,
    .pre_load = cpu_pre_load,
    .post_load = cpu_post_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT32, halted, MigCpuCommon, uint32_t),
            MIG_VMS_FIELD(MIG_VMT_UINT32, interrupt_request, MigCpuCommon, uint32_t),
            MIG_VMS_END,
        },
    .subsections = (const MigVmsd *const[]){ &cpu_exception, &cpu_crash, NULL },
};

const MigVmsd *mig_vmsd_cpu_common(unsigned major, unsigned minor)
{
    (void)major;
    (void)minor;
    return &cpu_common;
}

/* configuration */

static bool config_pre_save(void *state)
{
    MigConfiguration *config = state;

    config->len = (uint32_t)strnlen(config->name, sizeof(config->name));
    return true;
}

static bool config_pre_load(void *state)
{
    memset(state, 0, sizeof(MigConfiguration));
    return true;
}

static bool config_has_bits(const void *state)
{
    return ((const MigConfiguration *)state)->send_page_bits;
}

static bool config_has_caps(const void *state)
{
    return ((const MigConfiguration *)state)->send_capabilities;
}

static bool config_has_uuid(const void *state)
{
    return ((const MigConfiguration *)state)->send_uuid;
}

static bool bits_pre_load(void *state)
{
    ((MigConfiguration *)state)->send_page_bits = true;
    return true;
}

static bool caps_pre_load(void *state)
{
    ((MigConfiguration *)state)->send_capabilities = true;
    return true;
}

static bool uuid_pre_load(void *state)
{
    ((MigConfiguration *)state)->send_uuid = true;
    return true;
}

static const MigVmsd config_bits = {
    .name = "configuration/target-page-bits",
    .version = 1,
    .minimum = 1,
    .needed = config_has_bits,
    .pre_load = bits_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT32, target_page_bits, MigConfiguration, uint32_t),
            MIG_VMS_END,
        },
};

static const MigVmsd config_caps = {
    .name = "configuration/capabilities",
    .version = 1,
    .minimum = 1,
    .needed = config_has_caps,
    .pre_load = caps_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT32, caps_count, MigConfiguration, uint32_t),
            {
                .name = "capabilities",
                .type = MIG_VMT_CAPABILITY,
                .flags = MIG_VMS_COUNT_U32,
                .offset = offsetof(MigConfiguration, capabilities),
                .size = MIG_CAPABILITY_NAME,
                .num = MIG_CONFIGURATION_CAPS,
                .num_offset = offsetof(MigConfiguration, caps_count),
            },
            MIG_VMS_END,
        },
};

static const MigVmsd config_uuid = {
    .name = "configuration/uuid",
    .version = 1,
    .minimum = 1,
    .needed = config_has_uuid,
    .pre_load = uuid_pre_load,
    .fields =
        (const MigVmsField[]){
            {
                .name = "uuid.data",
                .type = MIG_VMT_UINT8,
                .flags = MIG_VMS_ARRAY,
                .offset = offsetof(MigConfiguration, uuid),
                .size = 1,
                .num = 16,
            },
            MIG_VMS_END,
        },
};

static const MigVmsd configuration = {
    .name = "configuration",
    .version = 1,
    .minimum = 1,
    .pre_save = config_pre_save,
    .pre_load = config_pre_load,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT32, len, MigConfiguration, uint32_t),
            {
                .name = "name",
                .type = MIG_VMT_BUFFER,
                .flags = MIG_VMS_SIZE_U32,
                .offset = offsetof(MigConfiguration, name),
                .size = MIG_CONFIGURATION_NAME,
                .num_offset = offsetof(MigConfiguration, len),
            },
            MIG_VMS_END,
        },
    .subsections = (const MigVmsd *const[]){ &config_bits, &config_caps, &config_uuid, NULL },
};

const MigVmsd *mig_vmsd_configuration(unsigned major, unsigned minor)
{
    (void)major;
    (void)minor;
    return &configuration;
}
