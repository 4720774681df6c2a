/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device sections and their description, see devices.h. Devices with a descriptor are saved by
 * stream/vmstate; the others are bytes.
 */
#include "sim/engine/devices.h"

#include <glib.h>
#include <string.h>

#include "stream/vmstate-devices.h"

/* mig_vmd_* ask for the two numbers of a release. */
#define RELEASE(era) MIG_VERSION_MAJOR((era)->binary), MIG_VERSION_MINOR((era)->binary)

static void describe_configuration(MigDevices *d, const MigEra *era, const char *machine)
{
    g_autofree MigConfiguration *c = g_new0(MigConfiguration, 1);
    MigVmBytes bytes = { 0 };
    const MigVmsd *vmsd = mig_vmsd_configuration(RELEASE(era));
    g_strlcpy(c->name, machine, sizeof(c->name));
    mig_vmdesc_writer_begin(d->vmdesc, "configuration", '{');
    if (!mig_vmstate_save(vmsd, c, vmsd->version, &bytes, d->vmdesc, NULL)) {
        g_error("the configuration cannot be described");
    }
    mig_vmdesc_writer_end(d->vmdesc, '}');
    mig_vm_bytes_clear(&bytes);
}

MigDevices *mig_devices_new(const MigEra *era, const char *machine, uint32_t page_size)
{
    MigDevices *d = g_new0(MigDevices, 1);
    if (!era->vmdesc) {
        return d;
    }
    MigVmdescStyle style = mig_vmdesc_style(RELEASE(era));
    d->vmdesc = mig_vmdesc_writer_new(&style);
    g_assert(d->vmdesc);
    mig_vmdesc_writer_begin_document(d->vmdesc);
    if (style.configuration && era->configuration) {
        describe_configuration(d, era, machine);
    }
    mig_vmdesc_writer_begin_devices(d->vmdesc, page_size);
    return d;
}

void mig_devices_free(MigDevices *d)
{
    if (!d) {
        return;
    }
    for (size_t i = 0; i < d->count; i++) {
        g_free(d->list[i].idstr);
        g_free(d->list[i].body);
    }
    g_free(d->list);
    mig_vmdesc_writer_free(d->vmdesc);
    g_free(d);
}

static MigDevice *append(MigDevices *d, const char *idstr, uint32_t instance, uint32_t version,
                         uint32_t section_id, const void *body, size_t n)
{
    if (d->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 8;
        d->list = g_renew(MigDevice, d->list, d->cap);
    }
    MigDevice *dev = &d->list[d->count++];
    *dev = (MigDevice){
        .idstr = g_strdup(idstr),
        .instance = instance,
        .version = version,
        .section_id = section_id,
        .body = g_memdup2(body, n),
        .body_len = n,
    };
    return dev;
}

void mig_devices_add_opaque(MigDevices *d, const char *idstr, uint32_t instance, uint32_t version,
                            uint32_t section_id, const void *body, size_t n)
{
    append(d, idstr, instance, version, section_id, body, n);
    if (d->vmdesc) {
        mig_vmdesc_writer_opaque_device(d->vmdesc, idstr, instance, n);
    }
}

void mig_devices_add(MigDevices *d, const char *idstr, uint32_t instance, uint32_t section_id,
                     const MigVmsd *vmsd, void *state)
{
    MigVmBytes bytes = { 0 };
    if (d->vmdesc) {
        mig_vmdesc_writer_begin_device(d->vmdesc, idstr, instance);
    }
    if (!mig_vmstate_save(vmsd, state, vmsd->version, &bytes, d->vmdesc, NULL) || bytes.failed) {
        g_error("the state of %s cannot be saved", idstr);
    }
    if (d->vmdesc) {
        mig_vmdesc_writer_end_device(d->vmdesc);
    }
    append(d, idstr, instance, (uint32_t)vmsd->version, section_id, bytes.data, bytes.n);
    mig_vm_bytes_clear(&bytes);
}

void mig_devices_add_timer(MigDevices *d, const MigEra *era, uint32_t section_id, int64_t clock_ns)
{
    MigTimerState t = { .cpu_clock_offset = clock_ns };
    mig_devices_add(d, "timer", 0, section_id, mig_vmsd_timer(RELEASE(era)), &t);
}

void mig_devices_add_globalstate(MigDevices *d, const MigEra *era, uint32_t section_id,
                                 const char *run_state)
{
    bool ordinary = strcmp(run_state, "running") == 0 || strcmp(run_state, "paused") == 0;
    if (era->globalstate == MIG_GLOBALSTATE_NONE || (!era->globalstate_always && ordinary)) {
        return;
    }
    MigGlobalState g = { .has_vm_was_suspended = 1 };
    g_strlcpy(g.runstate, run_state, sizeof(g.runstate));
    mig_devices_add(d, "globalstate", 0, section_id, mig_vmsd_globalstate(RELEASE(era)), &g);
}

void mig_devices_finish(MigDevices *d)
{
    if (d->vmdesc) {
        d->text = mig_vmdesc_writer_finish(d->vmdesc, &d->text_len);
        g_assert(d->text);
    }
}
