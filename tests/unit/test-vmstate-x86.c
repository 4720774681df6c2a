/* SPDX-License-Identifier: Apache-2.0 */
/* cpu, apic and kvm-tpr-opt of every recorded stream: loaded and saved, they are the same bytes. */
#include <glib.h>
#include <string.h>

#include "stream/vmstate-x86.h"
#include "tests/unit/bodies.h"
#include "tests/unit/traces.h"

typedef MigVmdesc Vmdesc;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vmdesc, mig_vmdesc_free)

/* What any of the three needs. */
typedef union State {
    MigX86Cpu cpu;
    MigX86Apic apic;
    MigX86Tpr tpr;
} State;

static const MigVmsd *known(const char *name)
{
    return strcmp(name, "cpu") == 0           ? mig_vmsd_x86_cpu()
           : strcmp(name, "apic") == 0        ? mig_vmsd_x86_apic()
           : strcmp(name, "kvm-tpr-opt") == 0 ? mig_vmsd_x86_tpr()
                                              : NULL;
}

static void round_trip(const MigVmsd *vmsd, const guint8 *body, gsize n, int version)
{
    g_autofree State *state = g_new0(State, 1);
    MigVmBytes out = { 0 };
    MigDiagnosis why = { 0 };
    if (!mig_vmstate_load_body(vmsd, state, version, body, n, &why)) {
        g_test_message("%s: expected %s, found %s", why.path, why.expected, why.found);
        g_test_fail();
        mig_vm_bytes_clear(&out);
        return;
    }
    g_assert_true(mig_vmstate_save(vmsd, state, version, &out, NULL, &why));
    g_assert_cmpmem(out.data, out.n, body, n);
    mig_vm_bytes_clear(&out);
}

static void test_trace(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    const guint8 *data = g_bytes_get_data(stream, NULL);
    gsize n, from = 0;
    const char *text = mig_test_vmdesc_text(stream, &n);
    g_autoptr(Vmdesc) desc = text ? mig_vmdesc_parse(text, n, NULL) : NULL;
    unsigned found = 0;
    for (const MigVmDevice *d = desc ? desc->devices : NULL; d; d = d->next) {
        const MigVmsd *vmsd = known(d->name);
        if (vmsd && d->body->version == vmsd->version) { /* another target's cpu has another */
            gsize body = mig_test_body(stream, &from, d);
            round_trip(vmsd, data + body, d->size, d->body->version);
            found++;
        }
    }
    if (found == 0) {
        g_test_skip("no x86 vCPU in it that is described");
    }
}

/* What a machine is after a reset can be saved, and is what comes back. */
static void test_reset(void)
{
    MigX86Cpu cpu = mig_x86_cpu_reset(), again = { 0 };
    MigVmBytes out = { 0 };
    g_assert_cmpuint(cpu.segs[1].base + cpu.eip, ==, 0xfffffff0u);
    g_assert_true(
        mig_vmstate_save(mig_vmsd_x86_cpu(), &cpu, MIG_X86_CPU_VERSION, &out, NULL, NULL));
    g_assert_true(mig_vmstate_load_body(mig_vmsd_x86_cpu(), &again, MIG_X86_CPU_VERSION, out.data,
                                        out.n, NULL));
    g_assert_cmpmem(&cpu, sizeof(cpu), &again, sizeof(again));
    mig_vm_bytes_clear(&out);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("raw");
    for (guint i = 0; i < ids->len; i++) {
        g_autofree char *path = g_strdup_printf("/vmstate-x86/trace/%s", (char *)ids->pdata[i]);
        g_test_add_data_func(path, ids->pdata[i], test_trace);
    }
    g_test_add_func("/vmstate-x86/reset", test_reset);
    return g_test_run();
}
