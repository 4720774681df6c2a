/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine of a KVM guest, see kvm.h: blocks, memory slots, program, and the engine's
 * view.
 *
 * Model. Each block is a memfd, mapped once (shared), so that userfaultfd can be had on it and
 * another process could look at it. The program is the ROM of sim/guest/program, put as RAM below 1
 * MiB, where it migrates with the block; a read-only block that ends at 4 GiB is also shown below 1
 * MiB, as chipsets do. There is no interrupt controller, and no device but a serial port.
 *
 * Limits. A page that nobody has written takes memory when it is looked at (a shared mapping has no
 * zero page). Blocks without an address are not the vCPUs'.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/guest/kvm-internal.h"
#include "sim/guest/kvm-program.h"
#include "sim/world/prng.h"
#include "stream/zero.h"

#define TSS_ADDRESS 0xfffbd000ul /* three pages that VMX wants; below QEMU's BIOS, as there */
#define ROM_END     0x100000000ull
#define LOW_ROM_MAX 0x20000u /* bytes of a ROM that are seen below 1 MiB */
#define CPUID_MAX   256

G_DEFINE_QUARK(mig - kvm - error - quark, mig_kvm_error)

bool mig_kvm_fail(GError **error, MigKvmError code, const char *what)
{
    g_set_error(error, MIG_KVM_ERROR, (int)code, "%s: %s", what, g_strerror(errno));
    return false;
}

static bool complain(GError **error, MigKvmError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool complain(GError **error, MigKvmError code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_propagate_error(error, g_error_new_valist(MIG_KVM_ERROR, (int)code, format, args));
    va_end(args);
    return false;
}

/* The kernel ------------------------------------------------------------------------------- */

static int open_kvm(GError **error)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), code = errno;
    int version = fd >= 0 ? ioctl(fd, KVM_GET_API_VERSION, 0) : 0;
    if (version == KVM_API_VERSION) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
        complain(error, MIG_KVM_ERROR_ABSENT,
                 "backend kvm: /dev/kvm speaks version %d of its interface, not %d; take --backend "
                 "synthetic",
                 version, KVM_API_VERSION);
        return -1;
    }
    const char *advice =
        code == EACCES || code == EPERM
            ? "this user may not use it: add it to the group of /dev/kvm (usermod -aG kvm USER)"
            : "load the module (modprobe kvm_intel or kvm_amd), switch virtualization on in the "
              "firmware, or, inside a virtual machine or container, have its host pass it through";
    complain(error, MIG_KVM_ERROR_ABSENT,
             "backend kvm: cannot open /dev/kvm: %s; %s, or take --backend synthetic",
             g_strerror(code), advice);
    return -1;
}

bool mig_kvm_available(GError **error)
{
    int fd = open_kvm(error);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static bool set_cpuid(MigKvm *k, KvmVcpu *v, GError **error)
{
    g_autofree struct kvm_cpuid2 *cpuid =
        g_malloc0(sizeof(*cpuid) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
    cpuid->nent = CPUID_MAX;
    if (ioctl(k->fd, KVM_GET_SUPPORTED_CPUID, cpuid) != 0 ||
        ioctl(v->fd, KVM_SET_CPUID2, cpuid) != 0) {
        return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "KVM_SET_CPUID2");
    }
    return true;
}

/* Blocks ----------------------------------------------------------------------------------- */

static bool map_block(KvmBlock *b, const MigMemoryBlock *from, GError **error)
{
    b->name = g_strdup(from->name);
    b->memory = *from;
    b->memory.name = b->name;
    b->bytes = (from->max_length + from->host_page - 1) / from->host_page * from->host_page;
    bool huge = from->host_page > MIG_KVM_PAGE;
    unsigned flags =
        huge ? MFD_HUGETLB | (unsigned)__builtin_ctz(from->host_page) << MAP_HUGE_SHIFT : 0;
    b->fd = memfd_create(from->name, MFD_CLOEXEC | flags);
    if (b->fd < 0 || ftruncate(b->fd, (off_t)b->bytes) != 0) {
        return complain(error, MIG_KVM_ERROR_LACKS,
                        "block \"%s\": memfd of %" G_GUINT64_FORMAT " bytes in pages of %u: %s",
                        b->name, b->bytes, from->host_page, g_strerror(errno));
    }
    b->at = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, b->fd, 0);
    if (b->at == MAP_FAILED) {
        b->at = NULL;
        return complain(error, MIG_KVM_ERROR_LACKS,
                        "block \"%s\": cannot map %" G_GUINT64_FORMAT " bytes: %s%s", b->name,
                        b->bytes, g_strerror(errno),
                        huge ? " (are there huge pages? /proc/sys/vm/nr_hugepages)" : "");
    }
    b->log = mig_bitmap_new(from->max_length / MIG_KVM_PAGE); /* as the engine's: it may grow */
    b->reported = mig_bitmap_new(from->max_length / MIG_KVM_PAGE);
    return true;
}

static void add_slot(MigKvm *k, uint32_t block, uint64_t first, uint64_t pages, uint64_t address)
{
    k->slots = g_renew(KvmSlot, k->slots, k->slot_count + 1);
    k->slots[k->slot_count++] = (KvmSlot){
        .block = block,
        .first = first,
        .pages = pages,
        .address = address,
        .read_only = k->blocks[block].memory.rom,
        .bits = g_new0(uint64_t, pages / 64 + 1),
    };
}

static bool is_top_rom(const MigMemoryBlock *b)
{
    return b->rom && b->address != MIG_KVM_UNMAPPED && b->address + b->used_length == ROM_END;
}

/* Where RAM gives way to a ROM below 1 MiB: 1 MiB if there is none. */
static uint64_t low_rom_start(const MigKvm *k)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        const MigMemoryBlock *b = &k->blocks[i].memory;
        bytes = is_top_rom(b) ? MIN(b->used_length, LOW_ROM_MAX) : bytes;
    }
    return MIG_GUEST_FIRST_FREE - bytes;
}

static void add_block_slots(MigKvm *k, uint32_t index)
{
    const MigMemoryBlock *b = &k->blocks[index].memory;
    uint64_t low = low_rom_start(k), end = b->address + b->used_length,
             pages = b->used_length >> 12;
    if (b->address == MIG_KVM_UNMAPPED) {
        return;
    }
    if (is_top_rom(b)) {
        uint64_t seen = (MIG_GUEST_FIRST_FREE - low) >> 12;
        add_slot(k, index, 0, pages, b->address);
        add_slot(k, index, pages - seen, seen, low);
    } else if (low < MIG_GUEST_FIRST_FREE && b->address == 0 && end > MIG_GUEST_FIRST_FREE) {
        add_slot(k, index, 0, low >> 12, 0);
        add_slot(k, index, MIG_GUEST_FIRST_FREE >> 12, (end - MIG_GUEST_FIRST_FREE) >> 12,
                 MIG_GUEST_FIRST_FREE);
    } else {
        add_slot(k, index, 0, pages, b->address);
    }
}

static bool check_block(const MigKvmConfig *c, uint32_t index, GError **error)
{
    const MigMemoryBlock *b = &c->blocks[index].memory;
    uint64_t end = b->address + b->used_length;
    if (b->address == MIG_KVM_UNMAPPED) {
        return true;
    }
    if (b->address % MIG_KVM_PAGE || (end > MIG_KVM_ADDRESS_END && !is_top_rom(b))) {
        return complain(error, MIG_KVM_ERROR_CONFIG,
                        "backend kvm: block \"%s\" at 0x%" G_GINT64_MODIFIER "x: an address is a "
                        "multiple of 4096, and memory ends below 0x%llx",
                        b->name, b->address, MIG_KVM_ADDRESS_END);
    }
    for (uint32_t i = 0; i < index; i++) {
        const MigMemoryBlock *o = &c->blocks[i].memory;
        if (o->address != MIG_KVM_UNMAPPED && b->address < o->address + o->used_length &&
            o->address < end) {
            return complain(error, MIG_KVM_ERROR_CONFIG,
                            "backend kvm: blocks \"%s\" and \"%s\" overlap; give them addresses",
                            o->name, b->name);
        }
    }
    return true;
}

static bool make_memory(MigKvm *k, GError **error)
{
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        if (!check_block(&k->config, i, error) ||
            !map_block(&k->blocks[i], &k->config.blocks[i].memory, error)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        add_block_slots(k, i);
    }
    return mig_kvm_set_slots(k, error);
}

/* Contents and program --------------------------------------------------------------------- */

static void fill_block(MigKvm *k, uint32_t index)
{
    const MigGuestBlock *from = &k->config.blocks[index];
    KvmBlock *b = &k->blocks[index];
    MigPageOrigin origin = { .key = mig_prng_key(k->config.seed, "content", index),
                             .page_size = MIG_KVM_PAGE };
    for (uint32_t i = 0; i < from->content_count; i++) {
        const MigContent *c = &from->content[i];
        origin.content = c;
        for (uint64_t page = c->first; page < c->first + c->pages; page++) {
            origin.page = page;
            mig_content_read(NULL, &origin, b->at + page * MIG_KVM_PAGE);
        }
    }
}

/* What a scenario can say and sim/guest/program can't do, in the scenario's words; NULL: nothing.
 */
static const char *not_in_program(const MigWorkload *w)
{
    const struct {
        bool wanted;
        const char *name;
    } rows[] = {
        { w->pattern == MIG_PATTERN_ZIPF, "pattern zipf" },
        { w->pattern == MIG_PATTERN_TRACE, "pattern trace" },
        { w->phase_count > 0, "phases" },
        { w->start > 0, "start" },
        { w->end > 0, "end" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].wanted) {
            return rows[i].name;
        }
    }
    return NULL;
}

static bool fill_region(const MigKvm *k, uint32_t index, struct mig_guest_region *r, GError **error)
{
    static const uint32_t patterns[] = {
        [MIG_PATTERN_SEQUENTIAL] = MIG_GUEST_SEQUENTIAL, [MIG_PATTERN_RANDOM] = MIG_GUEST_RANDOM,
        [MIG_PATTERN_HOT_COLD] = MIG_GUEST_HOT_COLD,     [MIG_PATTERN_ONCE] = MIG_GUEST_ONCE,
        [MIG_PATTERN_PERIODIC] = MIG_GUEST_PERIODIC,
    };
    static const uint32_t writes[] = { [MIG_WRITE_COUNTER] = MIG_GUEST_COUNTER,
                                       [MIG_WRITE_PAGE] = MIG_GUEST_PAGE,
                                       [MIG_WRITE_BYTES] = MIG_GUEST_BYTES,
                                       [MIG_WRITE_FILL] = MIG_GUEST_ZERO };
    const MigWorkload *w = &k->workloads[index];
    const MigMemoryBlock *b = &k->blocks[w->block].memory;
    *r = (struct mig_guest_region){
        .offset = b->address + w->first * MIG_KVM_PAGE,
        .length = w->pages * MIG_KVM_PAGE,
        .pace = w->pace == MIG_PACE_CPU ? MIG_GUEST_CPU : MIG_GUEST_CLOCK,
        .rate = (uint32_t)w->rate,
        .catch_up_us = (uint32_t)(w->catch_up / 1000),
        .write_bytes = w->write_bytes,
        .write_cost_ns = (uint32_t)w->cost,
        .hot_share = w->hot_share,
        .hot_size = w->hot_size,
        .period_us = (uint32_t)(w->period / 1000),
        .seed = mig_prng_key(k->config.seed, "kvm-region", index),
    };
    if (b->address == MIG_KVM_UNMAPPED || b->rom || r->offset < MIG_GUEST_FIRST_FREE) {
        return complain(
            error, MIG_KVM_ERROR_CONFIG,
            "backend kvm: guest.workload[%u]: it writes to block \"%s\" from 0x%llx; the "
            "first MiB is the program's, ROMs can't be written: set \"offset\"",
            index, b->name, (unsigned long long)(w->first * MIG_KVM_PAGE));
    }
    const char *lacking = not_in_program(w);
    if (lacking) {
        return complain(
            error, MIG_KVM_ERROR_CONFIG,
            "backend kvm: guest.workload[%u]: its program has no %s (it has the patterns "
            "sequential, random, hot-cold, once and periodic, and one rate from beginning to end); "
            "take --backend synthetic",
            index, lacking);
    }
    r->pattern = patterns[w->pattern];
    r->write = w->access == MIG_ACCESS_READ ? MIG_GUEST_READ : writes[w->write];
    return true;
}

/* A rate of 0 is "as fast as possible" for the program, and none for a scenario: left out. */
static bool fill_parameters(MigKvm *k, uint32_t vcpu, struct mig_guest_parameters *p,
                            GError **error)
{
    int khz = ioctl(k->vcpus[vcpu].fd, KVM_GET_TSC_KHZ, 0);
    *p = (struct mig_guest_parameters){
        .magic = MIG_GUEST_MAGIC,
        .version = MIG_GUEST_VERSION,
        .bytes = sizeof(*p),
        .tsc_hz = khz > 0 ? (uint64_t)khz * 1000 : 1000000000,
        .heartbeat_ms = k->config.heartbeat_ms,
    };
    for (uint32_t i = vcpu; i < k->config.workload_count; i += k->config.vcpus) {
        if (p->region_count == MIG_GUEST_MAX_REGIONS) {
            return complain(error, MIG_KVM_ERROR_CONFIG,
                            "backend kvm: more than %d workloads on a vCPU; add vCPUs",
                            MIG_GUEST_MAX_REGIONS);
        }
        if (k->workloads[i].rate > UINT32_MAX ||
            !fill_region(k, i, &p->region[p->region_count], error)) {
            return false;
        }
        p->region_count += k->workloads[i].rate > 0;
    }
    return true;
}

/* The memory at guest physical |address|, NULL if there is no writable block of |bytes|. */
static uint8_t *at_address(const MigKvm *k, uint64_t address, uint64_t bytes)
{
    for (uint32_t i = 0; i < k->slot_count; i++) {
        const KvmSlot *s = &k->slots[i];
        if (address >= s->address && address + bytes <= s->address + s->pages * MIG_KVM_PAGE) {
            return k->blocks[s->block].at + s->first * MIG_KVM_PAGE + (address - s->address);
        }
    }
    return NULL;
}

static bool load_program(MigKvm *k, GError **error)
{
    uint8_t *low = at_address(k, 0, MIG_GUEST_FIRST_FREE);
    if (!low) {
        return complain(
            error, MIG_KVM_ERROR_CONFIG,
            "backend kvm: there is no RAM from address 0 to 1M for the guest's program; "
            "give a block of guest.ram the address 0 and at least 1M");
    }
    memset(low, 0, MIG_GUEST_FIRST_FREE);
    memcpy(low + MIG_GUEST_ROM_ADDRESS, mig_kvm_program, MIG_GUEST_ROM_BYTES);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        struct mig_guest_parameters p;
        uint64_t at = i == 0 ? MIG_GUEST_ROM_ADDRESS
                             : MIG_GUEST_PARAMETERS_ADDRESS + (uint64_t)i * MIG_KVM_PAGE;
        if (!fill_parameters(k, i, &p, error)) {
            return false;
        }
        memcpy(low + at, &p, sizeof(p));
    }
    return true;
}

const struct mig_guest_parameters *mig_kvm_parameters(const MigKvm *k, uint32_t vcpu)
{
    uint64_t at = vcpu == 0 ? MIG_GUEST_ROM_ADDRESS
                            : MIG_GUEST_PARAMETERS_ADDRESS + (uint64_t)vcpu * MIG_KVM_PAGE;
    const struct mig_guest_parameters *p = (const void *)at_address(k, at, sizeof(*p));
    bool known = p && p->magic == MIG_GUEST_MAGIC && p->bytes == sizeof(*p) &&
                 p->region_count <= MIG_GUEST_MAX_REGIONS;
    return known ? p : NULL;
}

const struct mig_guest_counters *mig_kvm_counters(const MigKvm *k, uint32_t vcpu)
{
    uint64_t at = MIG_GUEST_COUNTERS_ADDRESS + (uint64_t)vcpu * MIG_KVM_PAGE;
    const struct mig_guest_counters *c = (const void *)at_address(k, at, sizeof(*c));
    return c && c->magic == MIG_GUEST_COUNTERS_MAGIC ? c : NULL;
}

/* The engine's view ------------------------------------------------------------------------ */

static const KvmBlock *block_of(const MigMemory *m, uint32_t index)
{
    const MigKvm *k = (const MigKvm *)m;
    g_assert(index < k->config.block_count);
    return &k->blocks[index];
}

static uint32_t kvm_count(const MigMemory *m)
{
    return ((const MigKvm *)m)->config.block_count;
}

static const MigMemoryBlock *kvm_block(const MigMemory *m, uint32_t index)
{
    return &block_of(m, index)->memory;
}

static uint8_t *kvm_map(MigMemory *m, uint32_t block, uint64_t page)
{
    return block_of(m, block)->at + page * MIG_KVM_PAGE;
}

static bool kvm_is_zero(MigMemory *m, uint32_t block, uint64_t page)
{
    return mig_is_zero(kvm_map(m, block, page), MIG_KVM_PAGE);
}

static const uint8_t *kvm_read(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch)
{
    (void)scratch;
    return kvm_map(m, block, page);
}

static void kvm_write(MigMemory *m, uint32_t block, uint64_t page, const uint8_t *bytes)
{
    memcpy(kvm_map(m, block, page), bytes, MIG_KVM_PAGE);
}

static void kvm_fill(MigMemory *m, uint32_t block, uint64_t page, uint8_t byte)
{
    memset(kvm_map(m, block, page), byte, MIG_KVM_PAGE);
}

static void kvm_release(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    madvise(kvm_map(m, block, first), count * MIG_KVM_PAGE, MADV_REMOVE); /* a hole in the memfd */
}

static const MigMemoryOps kvm_ops = {
    .count = kvm_count,
    .block = kvm_block,
    .log_start = mig_kvm_log_start,
    .log_stop = mig_kvm_log_stop,
    .sync = mig_kvm_sync,
    .clear = mig_kvm_clear,
    .is_zero = kvm_is_zero,
    .read = kvm_read,
    .map = kvm_map,
    .write = kvm_write,
    .fill = kvm_fill,
    .release = kvm_release,
};

MigMemory *mig_kvm_memory(MigKvm *k)
{
    return &k->memory;
}

uint8_t *mig_kvm_at(const MigKvm *k, uint32_t block)
{
    return block_of(&k->memory, block)->at;
}

int mig_kvm_memfd(const MigKvm *k, uint32_t block)
{
    return block_of(&k->memory, block)->fd;
}

void mig_kvm_fill(MigKvm *k, uint32_t block, uint64_t first, uint64_t pages, uint8_t byte)
{
    memset(mig_kvm_at(k, block) + first * MIG_KVM_PAGE, byte, pages * MIG_KVM_PAGE);
    g_mutex_lock(&k->lock);
    if (k->loggers) {
        mig_bitmap_set_range(k->blocks[block].log, first, pages);
    }
    g_mutex_unlock(&k->lock);
}

/* Making one ------------------------------------------------------------------------------- */

static bool make_machine(MigKvm *k, GError **error)
{
    k->fd = open_kvm(error);
    if (k->fd < 0) {
        return false;
    }
    k->vm = ioctl(k->fd, KVM_CREATE_VM, 0);
    if (k->vm < 0) {
        return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "KVM_CREATE_VM");
    }
    int bytes = ioctl(k->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes <= 0) {
        return mig_kvm_fail(error, MIG_KVM_ERROR_LACKS, "KVM_GET_VCPU_MMAP_SIZE");
    }
    k->run_bytes = (uint32_t)bytes;
    ioctl(k->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS); /* not every KVM wants it */
    return mig_kvm_dirty_init(k, error);
}

static bool make_vcpus(MigKvm *k, GError **error)
{
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        if (!mig_kvm_make_vcpu(k, i, error) || !set_cpuid(k, &k->vcpus[i], error) ||
            !mig_kvm_reset_cpu(k, i, error)) {
            return false;
        }
    }
    return true;
}

static bool make(MigKvm *k, GError **error)
{
    if (!make_machine(k, error) || !make_memory(k, error) || !make_vcpus(k, error)) {
        return false;
    }
    for (uint32_t i = 0; i < k->config.block_count && !k->config.incoming; i++) {
        fill_block(k, i);
    }
    return (k->config.incoming || load_program(k, error)) && mig_kvm_start_threads(k, error);
}

MigKvm *mig_kvm_new(const MigKvmConfig *config, GError **error)
{
    if (config->vcpus < 1 || config->vcpus > MIG_GUEST_MAX_PROCESSORS) {
        complain(error, MIG_KVM_ERROR_CONFIG, "backend kvm: guest.vcpus is 1 to %d, not %u",
                 MIG_GUEST_MAX_PROCESSORS, config->vcpus);
        return NULL;
    }
    MigKvm *k = g_new0(MigKvm, 1);
    k->memory = (MigMemory){ .ops = &kvm_ops, .page_size = MIG_KVM_PAGE };
    k->config = *config;
    k->fd = k->vm = -1;
    g_mutex_init(&k->lock);
    g_cond_init(&k->changed);
    k->workloads = g_memdup2(config->workloads, config->workload_count * sizeof(MigWorkload));
    k->blocks = g_new0(KvmBlock, config->block_count + 1);
    for (uint32_t i = 0; i < config->block_count; i++) {
        k->blocks[i].fd = -1;
    }
    k->vcpus = g_new0(KvmVcpu, config->vcpus);
    bool made = make(k, error);
    k->config.blocks = NULL; /* borrowed until here */
    k->config.workloads = k->workloads;
    if (!made) {
        mig_kvm_free(k);
    }
    return made ? k : NULL;
}

static void free_block(KvmBlock *b)
{
    if (b->at) {
        munmap(b->at, b->bytes);
    }
    if (b->fd >= 0) {
        close(b->fd);
    }
    mig_bitmap_free(b->log);
    mig_bitmap_free(b->reported);
    mig_bitmap_free(b->counted);
    g_free(b->name);
}

void mig_kvm_free(MigKvm *k)
{
    if (!k) {
        return;
    }
    mig_kvm_end_threads(k);
    for (uint32_t i = 0; i < k->config.vcpus; i++) {
        mig_kvm_free_vcpu(&k->vcpus[i]);
    }
    if (k->vm >= 0) {
        close(k->vm);
    }
    if (k->fd >= 0) {
        close(k->fd);
    }
    for (uint32_t i = 0; i < k->config.block_count; i++) {
        free_block(&k->blocks[i]);
    }
    for (uint32_t i = 0; i < k->slot_count; i++) {
        g_free(k->slots[i].bits);
    }
    g_free(k->slots);
    g_free(k->blocks);
    g_free(k->vcpus);
    g_free(k->workloads);
    g_free(k->death);
    g_mutex_clear(&k->lock);
    g_cond_clear(&k->changed);
    g_free(k);
}
