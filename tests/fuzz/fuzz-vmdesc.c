/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION and what is read along it. The input is a text; behind its first NUL stand the
 * bytes of a device body. Whatever parses is bounded, and every device of it walks over those bytes
 * within them. The same bytes go to the devices that are known by descriptor: what they load they
 * save again.
 */
#include <string.h>

#include "stream/limits.h"
#include "stream/vmdesc-walk.h"
#include "stream/vmstate-devices.h"
#include "tests/fuzz/fuzz.h"

typedef struct Bounds {
    uint64_t n;
    uint64_t values;
} Bounds;

static bool check_value(void *opaque, const MigVmValue *value)
{
    Bounds *bounds = opaque;

    bounds->values++;
    MIG_FUZZ_CHECK(value->offset <= bounds->n && value->size <= bounds->n - value->offset);
    MIG_FUZZ_CHECK(strlen(value->path) < MIG_VM_PATH);
    return true;
}

static void walk_all(const MigVmdesc *desc, const uint8_t *body, size_t n)
{
    MigVmVisitor visitor = { .value = check_value };

    for (const MigVmDevice *device = desc->devices; device; device = device->next) {
        Bounds bounds = { .n = n };
        MigDiagnosis why = { .fault = MIG_FAULT_NONE };
        bool ok = mig_vmdesc_walk(device, body, n, &visitor, &bounds, &why);

        MIG_FUZZ_CHECK(ok == (why.fault == MIG_FAULT_NONE));
        MIG_FUZZ_CHECK(ok || why.offset <= n);
        MIG_FUZZ_CHECK(!ok || device->size == n || device->unreliable || device->opaque);
        MIG_FUZZ_CHECK(bounds.values <= (1u << 17) + 4 * n);
    }
}

static void load_and_save(const MigVmsd *vmsd, void *state, const uint8_t *bytes, size_t n)
{
    MigVmBytes out = { 0 };
    size_t used;

    if (mig_vmstate_load(vmsd, state, vmsd->version, bytes, n, &used, NULL)) {
        MIG_FUZZ_CHECK(used <= n);
        MIG_FUZZ_CHECK(mig_vmstate_save(vmsd, state, vmsd->version, &out, NULL, NULL));
    }
    mig_vm_bytes_clear(&out);
}

static void known_devices(const uint8_t *bytes, size_t n)
{
    static MigTimerState timer;
    static MigGlobalState global;
    static MigCpuCommon cpu;
    static MigConfiguration config;

    load_and_save(mig_vmsd_timer(5, 2), &timer, bytes, n);
    load_and_save(mig_vmsd_timer(7, 2), &timer, bytes, n);
    load_and_save(mig_vmsd_globalstate(7, 2), &global, bytes, n);
    load_and_save(mig_vmsd_globalstate(10, 0), &global, bytes, n);
    load_and_save(mig_vmsd_cpu_common(10, 0), &cpu, bytes, n);
    load_and_save(mig_vmsd_configuration(10, 0), &config, bytes, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    const uint8_t *body = nul ? nul + 1 : data + size;
    size_t left = (size_t)(data + size - body);
    MigDiagnosis why = { .fault = MIG_FAULT_NONE };
    MigVmdesc *desc = mig_vmdesc_parse((const char *)data, n, &why);

    MIG_FUZZ_CHECK((desc == NULL) == (why.fault != MIG_FAULT_NONE));
    MIG_FUZZ_CHECK(desc || why.offset <= n);
    if (desc) {
        MIG_FUZZ_CHECK(desc->memory <= MIG_VMDESC_MEMORY);
        walk_all(desc, body, left);
    }
    mig_vmdesc_free(desc);
    known_devices(body, left);
    return 0;
}
