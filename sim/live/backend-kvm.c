/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM guest as the guest of a real migration, see backend-kvm.h.
 *
 * Its devices are those of QEMU's `-M none -cpu qemu64,apic-id=0 -accel kvm`: timer, cpu_common and
 * cpu for each vCPU, kvm-tpr-opt, apic, globalstate. What came with a migration and is none of
 * these (ioapic, kvmclock, fw_cfg of other machines) is kept as bytes and sent on as it came; so a
 * guest of such a machine comes through, and what it has in these devices stands still meanwhile.
 *
 * Limits. The clock of the timer section goes on while the guest is here; apic and kvmclock do not.
 */
#include "sim/live/backend-kvm.h"

#include <string.h>

#include "sim/guest/kvm.h"
#include "stream/vmstate-devices.h"
#include "stream/vmstate-x86.h"

#define RELEASE(era)  MIG_VERSION_MAJOR((era)->binary), MIG_VERSION_MINOR((era)->binary)
#define READY_SECONDS 60 /* for a program that says "ready" within milliseconds */

typedef struct Passenger {
    char *idstr;
    uint32_t instance, version;
    uint8_t *body;
    size_t n;
} Passenger;

typedef struct KvmBackend {
    MigBackend base;
    MigKvm *k;
    const MigScenario *scenario;
    MigX86Cpu *cpus;       /* what KVM does not keep of them */
    uint64_t loaded;       /* vCPUs whose state has come, a bit each */
    GPtrArray *passengers; /* Passenger, in the order of the stream; empty: a guest of our own */
    int64_t clock;         /* ns: of the timer section that came */
} KvmBackend;

static KvmBackend *from_base(MigBackend *b)
{
    return (KvmBackend *)b;
}

static void free_passenger(gpointer data)
{
    Passenger *p = data;
    g_free(p->idstr);
    g_free(p->body);
    g_free(p);
}

static void backend_free(MigBackend *base)
{
    KvmBackend *b = from_base(base);
    mig_kvm_free(b->k);
    g_ptr_array_unref(b->passengers);
    g_free(b->cpus);
    g_free(b);
}

static MigMemory *backend_memory(MigBackend *base)
{
    return mig_kvm_memory(from_base(base)->k);
}

static MigBuffer *backend_buffer(MigBackend *base)
{
    MigMemory *m = backend_memory(base);
    uint32_t count = m->ops->count(m);
    g_autofree uint8_t **at = g_new0(uint8_t *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        at[i] = mig_kvm_at(from_base(base)->k, i);
    }
    return mig_buffer_borrow(m, at);
}

static void backend_run(MigBackend *base, bool running)
{
    mig_kvm_run(from_base(base)->k, running);
}

static void backend_ask_stop(MigBackend *base)
{
    mig_kvm_ask_stop(from_base(base)->k);
}

static void backend_throttle(MigBackend *base, unsigned percent)
{
    mig_kvm_throttle(from_base(base)->k, percent);
}

static void backend_fill(MigBackend *base, uint32_t block, uint64_t first, uint64_t pages,
                         uint8_t byte)
{
    mig_kvm_fill(from_base(base)->k, block, first, pages, byte);
}

static MigGuestStats backend_stats(MigBackend *base)
{
    KvmBackend *b = from_base(base);
    MigKvmCheck check;
    MigKvmStats kvm = mig_kvm_stats(b->k);
    MigGuestStats stats = { .stalled = kvm.stalled, .limited = kvm.limited };
    if (mig_kvm_check(b->k, &check, NULL)) {
        stats.written = check.written;
        stats.lost = check.lost;
        stats.touched = check.pages;
    }
    return stats;
}

static uint32_t backend_vcpu_of(MigBackend *base, pid_t thread)
{
    return mig_kvm_vcpu_of(from_base(base)->k, thread);
}

/* Dirty rates and limits --------------------------------------------------------------------- */

static void switch_counting(void *opaque, bool on)
{
    mig_kvm_count(opaque, on);
}

static uint64_t counted(void *opaque, uint32_t vcpu)
{
    return vcpu == MIG_ALL_VCPUS ? mig_kvm_counted(opaque) : mig_kvm_counted_by(opaque, vcpu);
}

static MigDirtyRate *backend_measure(MigBackend *base, const MigDirtyRateConfig *config)
{
    MigWriteCounts counts = { from_base(base)->k, switch_counting, counted };
    return mig_dirty_rate_begin_on(backend_memory(base), &counts, config);
}

static bool backend_has_rings(MigBackend *base)
{
    return mig_kvm_has_rings(from_base(base)->k);
}

static void backend_watch_rings(MigBackend *base, bool on)
{
    mig_kvm_watch_rings(from_base(base)->k, on);
}

static void backend_take_rings(MigBackend *base, uint64_t *noted)
{
    mig_kvm_take_rings(from_base(base)->k, noted);
}

static void backend_sleep_when_full(MigBackend *base, uint32_t vcpu, int64_t ns)
{
    mig_kvm_sleep_when_full(from_base(base)->k, vcpu, ns);
}

/* Saving ----------------------------------------------------------------------------------- */

typedef struct Saving {
    KvmBackend *b;
    const MigEra *era;
    MigDevices *devices;
    int64_t now;
    uint32_t section; /* the next section's id */
} Saving;

static bool save_cpu(Saving *to, uint32_t vcpu, GError **error)
{
    KvmBackend *b = to->b;
    if (!mig_kvm_save_cpu(b->k, vcpu, &b->cpus[vcpu], error)) {
        return false;
    }
    mig_devices_add(to->devices, "cpu", vcpu, to->section++, mig_vmsd_x86_cpu(), &b->cpus[vcpu]);
    return true;
}

static void save_timer(Saving *to)
{
    mig_devices_add_timer(to->devices, to->era, 0, to->b->clock + to->now);
}

static void save_globalstate(Saving *to)
{
    mig_devices_add_globalstate(to->devices, to->era, to->section++, to->b->scenario->run_state);
}

/* In the order in which QEMU 7.2 registers them. */
static bool save_own(Saving *to, GError **error)
{
    const MigVmsd *common = mig_vmsd_cpu_common(RELEASE(to->era));
    MigX86Tpr tpr = { 0 };
    save_timer(to);
    for (uint32_t i = 0; i < mig_kvm_vcpus(to->b->k); i++) {
        MigCpuCommon c = { .exception_index = -1 };
        MigX86Apic apic = mig_x86_apic_reset((uint8_t)i);
        mig_devices_add(to->devices, "cpu_common", i, to->section++, common, &c);
        if (!save_cpu(to, i, error)) {
            return false;
        }
        if (i == 0) {
            mig_devices_add(to->devices, "kvm-tpr-opt", 0, to->section++, mig_vmsd_x86_tpr(), &tpr);
        }
        mig_devices_add(to->devices, "apic", i, to->section++, mig_vmsd_x86_apic(), &apic);
    }
    save_globalstate(to);
    return true;
}

static bool save_passengers(Saving *to, GError **error)
{
    bool fine = true;
    for (guint i = 0; i < to->b->passengers->len && fine; i++) {
        const Passenger *p = to->b->passengers->pdata[i];
        if (strcmp(p->idstr, "cpu") == 0) {
            fine = save_cpu(to, p->instance, error);
        } else if (strcmp(p->idstr, "timer") == 0) {
            save_timer(to);
        } else if (strcmp(p->idstr, "globalstate") != 0) {
            mig_devices_add_opaque(to->devices, p->idstr, p->instance, p->version, to->section++,
                                   p->body, p->n);
        }
    }
    save_globalstate(to);
    return fine;
}

static bool backend_save(MigBackend *base, const MigEra *era, int64_t now, MigDevices *devices,
                         GError **error)
{
    KvmBackend *b = from_base(base);
    Saving to = { b, era, devices, now, era->ram_section_id + 1 };
    const char *death = mig_kvm_death(b->k);
    if (death) {
        g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE, "the guest has died: %s", death);
        return false;
    }
    return b->passengers->len > 0 ? save_passengers(&to, error) : save_own(&to, error);
}

/* Loading ---------------------------------------------------------------------------------- */

static bool load_body(const MigVmsd *vmsd, void *state, uint32_t version, const uint8_t *body,
                      size_t n, const char *idstr, GError **error)
{
    MigDiagnosis why = { 0 };
    if (mig_vmstate_load_body(vmsd, state, (int)version, body, n, &why)) {
        return true;
    }
    g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE,
                "%s: byte %" G_GUINT64_FORMAT ", %s: expected %s, found %s", idstr, why.offset,
                why.path, why.expected, why.found);
    return false;
}

static bool load_cpu(KvmBackend *b, uint32_t vcpu, uint32_t version, const uint8_t *body, size_t n,
                     GError **error)
{
    if (vcpu >= mig_kvm_vcpus(b->k)) {
        g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE,
                    "cpu: instance %u, but guest.vcpus is %u", vcpu, mig_kvm_vcpus(b->k));
        return false;
    }
    b->loaded |= 1ull << vcpu;
    b->cpus[vcpu] = (MigX86Cpu){ 0 };
    return load_body(mig_vmsd_x86_cpu(), &b->cpus[vcpu], version, body, n, "cpu", error);
}

static bool load_timer(KvmBackend *b, uint32_t version, const uint8_t *body, size_t n,
                       GError **error)
{
    MigTimerState timer = { 0 };
    const MigVersion v = b->scenario->destination_version;
    const MigVmsd *vmsd = mig_vmsd_timer(MIG_VERSION_MAJOR(v), MIG_VERSION_MINOR(v));
    bool fine = load_body(vmsd, &timer, version, body, n, "timer", error);
    b->clock = timer.cpu_clock_offset;
    return fine;
}

static bool backend_load(MigBackend *base, const char *idstr, uint32_t instance, uint32_t version,
                         const uint8_t *body, size_t n, GError **error)
{
    KvmBackend *b = from_base(base);
    Passenger *p = g_new0(Passenger, 1);
    *p = (Passenger){ g_strdup(idstr), instance, version, g_memdup2(body, n), n };
    g_ptr_array_add(b->passengers, p);
    return strcmp(idstr, "cpu") == 0     ? load_cpu(b, instance, version, body, n, error)
           : strcmp(idstr, "timer") == 0 ? load_timer(b, version, body, n, error)
                                         : true;
}

static bool backend_loaded(MigBackend *base, GError **error)
{
    KvmBackend *b = from_base(base);
    for (uint32_t i = 0; i < mig_kvm_vcpus(b->k); i++) {
        if (!(b->loaded >> i & 1)) {
            g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE,
                        "no state of vCPU %u has come (section \"cpu\", instance %u); does "
                        "guest.vcpus fit the source, and does the source have a CPU?",
                        i, i);
            return false;
        }
        if (!mig_kvm_load_cpu(b->k, i, &b->cpus[i], error)) {
            return false;
        }
    }
    return true;
}

/* Reporting -------------------------------------------------------------------------------- */

static void put_uint(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static void put_text(json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, json_object_new_string(text));
}

static void report_check(KvmBackend *b, json_object *o, bool *fine)
{
    g_autoptr(GError) error = NULL;
    MigKvmCheck c;
    if (!mig_kvm_check(b->k, &c, &error)) {
        put_text(o, "unchecked", error->message); /* somebody else's program: nothing is wrong */
        return;
    }
    put_uint(o, "writes", c.written);
    put_uint(o, "writes-lost", c.lost);
    put_uint(o, "pages-checked", c.pages);
    put_uint(o, "pages-wrong", c.wrong);
    put_uint(o, "wrong-by-guest", c.noticed);
    put_uint(o, "stalls", c.stalls);
    put_uint(o, "longest-stall-ns", c.longest_stall);
    if (c.wrong) {
        g_autofree char *first = g_strdup_printf(
            "block %s, page %" G_GUINT64_FORMAT ": counter %" G_GUINT64_FORMAT
            ", expected %" G_GUINT64_FORMAT,
            backend_memory(&b->base)->ops->block(backend_memory(&b->base), c.block)->name, c.page,
            c.found, c.expected);
        put_text(o, "first-wrong", first);
    }
    *fine = *fine && c.wrong == 0 && c.noticed == 0;
}

static json_object *backend_report(MigBackend *base, bool *fine)
{
    KvmBackend *b = from_base(base);
    json_object *o = json_object_new_object();
    MigKvmStats stats = mig_kvm_stats(b->k);
    g_autofree char *serial = mig_kvm_serial(b->k);
    *fine = mig_kvm_death(b->k) == NULL;
    put_text(o, "backend", base->ops->name);
    if (!*fine) {
        put_text(o, "death", mig_kvm_death(b->k));
    }
    report_check(b, o, fine);
    put_uint(o, "vcpu-exits", stats.exits);
    put_uint(o, "ring-full", stats.ring_full);
    put_uint(o, "limited-ns", (uint64_t)stats.limited);
    put_uint(o, "syncs", stats.syncs);
    put_uint(o, "sync-ns", (uint64_t)stats.sync_time);
    put_uint(o, "stalled-ns", (uint64_t)stats.stalled);
    put_text(o, "serial", serial);
    return o;
}

static const MigBackendOps backend_ops = {
    .name = "kvm",
    .free = backend_free,
    .memory = backend_memory,
    .buffer = backend_buffer,
    .run = backend_run,
    .ask_stop = backend_ask_stop,
    .throttle = backend_throttle,
    .fill = backend_fill,
    .stats = backend_stats,
    .vcpu_of = backend_vcpu_of,
    .measure = backend_measure,
    .has_rings = backend_has_rings,
    .watch_rings = backend_watch_rings,
    .take_rings = backend_take_rings,
    .sleep_when_full = backend_sleep_when_full,
    .save = backend_save,
    .load = backend_load,
    .loaded = backend_loaded,
    .report = backend_report,
};

/* Making one ------------------------------------------------------------------------------- */

/* Blocks without any address stand in a row from 0; where some have one, the others are unmapped.
 */
static void place(const MigScenario *s, MigGuestBlock *blocks)
{
    bool any = false;
    uint64_t next = 0;
    for (guint i = 0; i < s->blocks->len; i++) {
        any = any || g_array_index(s->blocks, MigScenarioBlock, i).has_address;
    }
    for (guint i = 0; i < s->blocks->len; i++) {
        const MigScenarioBlock *from = &g_array_index(s->blocks, MigScenarioBlock, i);
        blocks[i] = (MigGuestBlock){
            .memory = { .name = from->name,
                        .used_length = from->size,
                        .max_length = from->max_size,
                        .host_page = (uint32_t)from->page_size,
                        .address = !any                ? next
                                   : from->has_address ? from->address
                                                       : MIG_KVM_UNMAPPED,
                        .shared = from->shared,
                        .rom = from->rom },
            .content = (const MigContent *)(void *)from->content->data,
            .content_count = from->content->len,
        };
        next += from->max_size;
    }
}

/* Until every vCPU's program has said that it is. */
static bool wait_ready(KvmBackend *b, GError **error)
{
    int64_t end = g_get_monotonic_time() + READY_SECONDS * G_TIME_SPAN_SECOND;
    MigKvmCheck check;
    while (!mig_kvm_check(b->k, &check, NULL)) {
        const char *death = mig_kvm_death(b->k);
        if (death || g_get_monotonic_time() >= end) {
            g_set_error(error, MIG_KVM_ERROR, MIG_KVM_ERROR_STATE,
                        "backend kvm: the guest's program did not get ready: %s",
                        death ? death : "it still starts");
            return false;
        }
        g_usleep(1000);
    }
    return true;
}

static bool begin(KvmBackend *b, GError **error)
{
    mig_kvm_run(b->k, true);
    bool fine = wait_ready(b, error);
    if (strcmp(b->scenario->run_state, "running") != 0) {
        mig_kvm_run(b->k, false);
    }
    return fine;
}

MigBackend *mig_backend_kvm_new(const MigScenario *s, bool incoming, GError **error)
{
    g_autofree MigGuestBlock *blocks = g_new0(MigGuestBlock, s->blocks->len);
    MigKvmConfig config = {
        .seed = s->seed,
        .vcpus = MAX(s->vcpus, 1),
        .tracking = s->tracking,
        .ring_entries = s->ring_pages,
        .heartbeat_ms = 1000,
        .blocks = blocks,
        .block_count = s->blocks->len,
        .workloads = (const MigWorkload *)(void *)s->workloads->data,
        .workload_count = s->workloads->len,
        .incoming = incoming,
    };
    place(s, blocks);
    MigKvm *k = mig_kvm_new(&config, error);
    if (!k) {
        return NULL;
    }
    KvmBackend *b = g_new0(KvmBackend, 1);
    b->base.ops = &backend_ops;
    b->k = k;
    b->scenario = s;
    b->passengers = g_ptr_array_new_with_free_func(free_passenger);
    b->cpus = g_new0(MigX86Cpu, config.vcpus);
    for (uint32_t i = 0; i < config.vcpus; i++) {
        b->cpus[i] = mig_x86_cpu_reset();
    }
    if (!incoming && !begin(b, error)) {
        backend_free(&b->base);
        return NULL;
    }
    return &b->base;
}
