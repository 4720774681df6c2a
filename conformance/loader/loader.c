/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loader: what one version of QEMU does with a stream. Mirrors qemu_loadvm_state() and what it
 * calls only as far as an outcome depends on it; everything that any destination refuses is a rule
 * already.
 */
#include "conformance/loader/loader.h"

#include <string.h>

#include "stream/vmdesc.h"

#define MIG_ON_KIND(kind) (UINT32_C(1) << (kind))
#define ON_OTHERS         (UINT64_C(1) << 62) /* ranks of causes on other channels than main */

static const char *const loads[MIG_LOAD_COUNT] = { "accepts", "complains", "unknown",
                                                   "rejects", "hangs",     "crashes" };

const char *mig_load_name(MigLoad load)
{
    return loads[load];
}

static const char *const reasons[MIG_REASON_COUNT][2] = {
#define X(symbol, name, text) { name, text },
    MIG_LOAD_REASONS(X)
#undef X
};

const char *mig_load_reason_name(MigLoadReason reason)
{
    return reasons[reason][0];
}

const char *mig_load_reason_text(MigLoadReason reason)
{
    return reasons[reason][1];
}

/* ---- causes ---- */

static void cause_clear(gpointer data)
{
    MigLoadCause *c = data;
    g_free(c->path);
    g_free(c->expected);
    g_free(c->found);
}

/* A destination is started, then it is told what to expect, then it reads. */
enum { RANK_MACHINE, RANK_CAPABILITY, RANK_STREAM };

static uint64_t rank_of(const MigLoader *l, MigLoadReason reason, bool main, uint64_t offset)
{
    return reason == MIG_REASON_MACHINE      ? RANK_MACHINE
           : reason == MIG_REASON_CAPABILITY ? RANK_CAPABILITY
           : main                            ? RANK_STREAM + offset
                                             : ON_OTHERS + l->causes->len;
}

/* A rejection at the current record. Takes |found|. */
static void reject(MigLoader *l, const MigCheck *check, uint64_t offset, MigLoadReason reason,
                   const char *expected, char *found)
{
    char path[MIG_DIAGNOSIS_TEXT];
    bool main = check->kind == MIG_CHANNEL_MAIN;

    mig_decoder_path(check->decoder, path, sizeof(path));
    MigLoadCause c = {
        .load = MIG_LOAD_REJECTS,
        .reason = reason,
        .channel = mig_recording_channel_name(check->recording, check->channel),
        .offset = offset,
        .rank = rank_of(l, reason, main, offset),
        .path = g_strdup(path),
        .expected = g_strdup(expected),
        .found = found,
    };
    g_array_append_val(l->causes, c);
}

/* ---- records ---- */

/* configuration_validate_machine_type(): a prefix passes, and so does what stands behind a NUL. */
static bool name_passes(MigStr name, const char *local)
{
    return strncmp(name.text ? name.text : "", local, name.len) == 0;
}

static void on_config(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    MigStr name = r->config.machine;
    g_autofree char *shown = g_strndup(name.text ? name.text : "", name.len);
    const char *local = l->machine ? l->machine : shown;

    if (!name_passes(name, local)) {
        reject(l, check, r->offset + 5, MIG_REASON_MACHINE, local,
               g_strdup_printf("\"%s\"", shown));
    } else if (!mig_loader_has_machine(l->version, local)) {
        reject(l, check, r->offset + 5, MIG_REASON_MACHINE, "a machine type that it has",
               g_strdup_printf("\"%s\"", local));
    }
    mig_era_resolve(l->version, local, &l->era);
    g_free(l->config);
    l->config = g_strdup(local);
}

static void need(MigLoader *l, const MigCheck *check, uint64_t offset, const char *feature)
{
    if (!mig_loader_has_feature(l->version, feature)) {
        reject(l, check, offset, MIG_REASON_CAPABILITY, "a capability that it has",
               g_strdup(feature));
    }
}

/* Which of the validated capabilities the list has, one bit each. */
static uint32_t validated(const MigRecord *r)
{
    static const char *const names[] = { "x-ignore-shared", "mapped-ram" };
    uint32_t bits = 1u << G_N_ELEMENTS(names); /* a list, if only an empty one */

    for (uint32_t i = 0; i < r->capabilities.count; i++) {
        for (size_t n = 0; n < G_N_ELEMENTS(names); n++) {
            bits |= mig_str_equal(r->capabilities.names[i], mig_str(names[n])) ? 1u << n : 0;
        }
    }
    return bits;
}

/* The destination has those of the first list; of several lists it compares the last. */
static void on_capabilities(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    uint32_t bits = validated(r);

    for (uint32_t i = 0; i < r->capabilities.count; i++) {
        MigStr name = r->capabilities.names[i];
        g_autofree char *text = g_strndup(name.text, name.len);
        need(l, check, r->offset, text);
    }
    if (l->validated && l->validated != bits) {
        reject(l, check, r->offset, MIG_REASON_CAPABILITY, "the capabilities of the first list",
               g_strdup("others"));
        /* It compares when the whole section is read. */
        g_array_index(l->causes, MigLoadCause, l->causes->len - 1).rank =
            RANK_STREAM + r->offset + r->wire;
    }
    l->validated = l->validated ? l->validated : bits;
}

static void on_command(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    uint16_t n = r->command.number;

    if (mig_command_name(n) &&
        (n > l->era.commands || (n == MIG_CMD_ENABLE_COLO && !l->era.enable_colo))) {
        reject(l, check, r->offset, MIG_REASON_COMMAND, "a command that it knows",
               g_strdup(mig_command_name(n)));
    } else if (n == MIG_CMD_POSTCOPY_ADVISE && check->facts.mapped_ram) {
        reject(l, check, r->offset, MIG_REASON_POSTCOPY, "no postcopy from a file of mapped RAM",
               g_strdup("postcopy-advise"));
    } else if (n == MIG_CMD_ENABLE_COLO && !l->colo_at) {
        l->colo_at = r->offset;
    }
}

static void unknown_section(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    reject(l, check, r->offset + 5, MIG_REASON_SECTION, "a section that it knows",
           g_strdup_printf("\"%.*s\" %u", (int)r->section.idstr.len, r->section.idstr.text,
                           r->section.instance));
}

/* The loader's table says which versions of a section it knows. */
static void on_versioned(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    const MigRecordSection *s = &r->section;
    const MigLoadDevice *known = mig_loader_device(l->version, s->idstr);

    if (known && (s->version > known->newest || s->version < known->oldest)) {
        reject(l, check, r->offset + 10 + s->idstr.len, MIG_REASON_VERSION,
               "a version that it knows", g_strdup_printf("version %u", s->version));
    }
}

/* What the description says of it: another name or instance is one that the machine has not. */
static void on_described(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    const MigRecordSection *s = &r->section;
    const MigVmdesc *desc = mig_recording_vmdesc(check->recording);
    const MigVmDevice *named = NULL;

    for (const MigVmDevice *d = desc ? desc->devices : NULL; d && !named; d = d->next) {
        if (d->instance_id == s->instance && mig_str_equal(mig_str(d->name), s->idstr)) {
            named = d;
        }
    }
    if (desc && !named) {
        unknown_section(l, check, r);
    } else if (named && named->body && named->body->version >= 0 &&
               s->version > (uint32_t)named->body->version) {
        reject(l, check, r->offset + 10 + s->idstr.len, MIG_REASON_VERSION, "the described version",
               g_strdup_printf("version %u", s->version));
    }
}

static void on_section(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    const MigRecordSection *s = &r->section;
    bool full = s->kind == MIG_ITEM_FULL;
    MigLoadKnown known = mig_loader_section(l->config ? l->config : "", s->idstr, s->instance);

    if (!full && s->kind != MIG_ITEM_START) {
        return;
    }
    if (known == MIG_LOAD_KNOWN_NOT ||
        (mig_str_equal(s->idstr, mig_str("block")) && !l->era.block_migration) ||
        (mig_str_equal(s->idstr, mig_str("dirty-bitmap")) && !l->era.dirty_bitmaps)) {
        unknown_section(l, check, r);
        return;
    }
    on_versioned(l, check, r);
    if (full && known == MIG_LOAD_KNOWN_MAYBE) {
        on_described(l, check, r);
    }
}

static void on_flag(MigLoader *l, const MigCheck *check, const MigRecord *r, uint32_t flag)
{
    if (!(l->era.ram_flags & flag)) {
        reject(l, check, r->offset, MIG_REASON_FLAGS, "flags that it knows",
               g_strdup_printf("0x%x", flag));
    }
}

static void on_zero(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    if (r->ram.fill && !l->era.zero_fill_any) {
        reject(l, check, r->offset, MIG_REASON_ZERO, "a zero page",
               g_strdup_printf("one that is full of %02x", r->ram.fill));
    }
}

/* ram_control_load_hook(): without RDMA behind the channel an error, from 8.2 on nothing. */
static void on_hook(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    if (mig_loader_has_feature(l->version, "x-hook-refused")) {
        reject(l, check, r->offset, MIG_REASON_FLAGS, "no HOOK record", g_strdup("one"));
    }
}

static void on_packet(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    uint32_t method = r->multifd.flags & MIG_MULTIFD_FLAG_COMPRESSION;
    bool fresh = !(l->methods & 1u << (method >> 1));

    l->methods |= 1u << (method >> 1);
    if (fresh && method == MIG_MULTIFD_FLAG_ZSTD) {
        need(l, check, 0, "multifd-compression=zstd");
    }
}

/* Channels and messages that tell of a capability. */
static void on_channel(MigLoader *l, const MigCheck *check)
{
    if (l->channels & MIG_ON_KIND(check->kind)) {
        return;
    }
    l->channels |= MIG_ON_KIND(check->kind);
    if (check->kind == MIG_CHANNEL_PREEMPT) {
        need(l, check, 0, "postcopy-preempt");
    } else if (check->kind == MIG_CHANNEL_MULTIFD) {
        need(l, check, 0, check->facts.advised ? "multifd+postcopy-ram" : "multifd");
    }
}

static void on_answer(MigLoader *l, const MigCheck *check, const MigRecord *r)
{
    if (r->rp.type == MIG_RP_SWITCHOVER_ACK) {
        need(l, check, r->offset, "switchover-ack");
    }
}

static void on_record(void *data, MigCheck *check, const MigRecord *r)
{
    MigLoader *l = data;

    on_channel(l, check);
    switch (r->type) {
    case MIG_REC_CONFIG:
        on_config(l, check, r);
        break;
    case MIG_REC_CONFIG_CAPABILITIES:
        on_capabilities(l, check, r);
        break;
    case MIG_REC_SECTION:
        on_section(l, check, r);
        break;
    case MIG_REC_COMMAND:
        on_command(l, check, r);
        break;
    case MIG_REC_RAM_ZERO:
        on_zero(l, check, r);
        break;
    case MIG_REC_RAM_COMPRESS:
        on_flag(l, check, r, MIG_RAM_FLAG_COMPRESS_PAGE);
        break;
    case MIG_REC_RAM_FLUSH:
        on_flag(l, check, r, MIG_RAM_FLAG_MULTIFD_FLUSH);
        break;
    case MIG_REC_RAM_HOOK:
        on_hook(l, check, r);
        break;
    case MIG_REC_MULTIFD_PACKET:
        on_packet(l, check, r);
        break;
    case MIG_REC_RP:
        on_answer(l, check, r);
        break;
    case MIG_REC_END_OF_STREAM:
        if (check->kind == MIG_CHANNEL_MAIN && r->depth == 0) {
            l->ended = true;
            l->end = r->offset;
        }
        break;
    default:
        break;
    }
}

/* ---- findings ---- */

/* A cause that no record shows at once. */
static void add(MigLoader *l, MigLoadCause c, const char *path, const char *expected,
                const char *found)
{
    c.path = g_strdup(path);
    c.expected = g_strdup(expected);
    c.found = g_strdup(found);
    g_array_append_val(l->causes, c);
}

/* Sections that were not started have id 0 in QEMU's list: the first of them is meant, in version
 * 0. */
static MigLoadReason reason_for(const MigFinding *f, const MigLoadReaction *row)
{
    if (row->reason == MIG_REASON_MAPPED && g_str_has_prefix(f->found, "bitmap at ")) {
        return MIG_REASON_DESYNC; /* nobody checks it: what stands there is taken for the bitmap */
    }
    bool started = strcmp(f->rule->id, "SECTION-ID-STARTED") != 0;
    return started || !g_str_has_suffix(f->found, " section 0") ? row->reason : MIG_REASON_VERSION;
}

/* Blocks of a mapped-ram file get a bitmap of their announced length at once. A machine name's
 * length is an int there: only a negative one can't be allocated. */
static MigLoad load_for(const MigCheck *check, const MigFinding *f, const MigLoadReaction *row)
{
    if (check->facts.mapped_ram && strcmp(f->rule->id, "RAM-BLOCK-LENGTH") == 0) {
        return MIG_LOAD_CRASHES;
    }
    if (strcmp(f->rule->id, "CONFIG-NAME-LENGTH") == 0 &&
        g_ascii_strtoull(f->found, NULL, 10) <= INT32_MAX) {
        return MIG_LOAD_REJECTS;
    }
    return row->load;
}

static void add_finding(MigLoader *l, const MigCheck *check, const MigFinding *f,
                        const MigLoadReaction *row)
{
    bool main = strcmp(f->channel, "main") == 0;
    MigLoadCause c = { .load = load_for(check, f, row),
                       .reason = reason_for(f, row),
                       .rule = f->rule,
                       .channel = f->channel,
                       .offset = f->offset,
                       .rank = rank_of(l, row->reason, main, f->offset) };

    if (main && l->ended && f->offset > l->end && row->load > MIG_LOAD_COMPLAINS) {
        return; /* nobody looks at what stands there */
    }
    add(l, c, f->path, f->expected, f->found);
}

/* Until 11.0 the page size of a mapped-ram header is only divided by. True: |f| is of it. */
static bool read_page_size(MigLoader *l, const MigFinding *f)
{
    if (strcmp(f->rule->id, "RAM-MAPPED-HEADER") != 0 ||
        !g_str_has_prefix(f->found, "page size ") ||
        mig_loader_has_feature(l->version, "x-mapped-page-size-checked")) {
        return false;
    }
    bool crashes = strcmp(f->found, "page size 0") == 0;
    MigLoadCause c = { .load = crashes ? MIG_LOAD_CRASHES : MIG_LOAD_ACCEPTS,
                       .reason = MIG_REASON_MAPPED,
                       .rule = f->rule,
                       .channel = f->channel,
                       .offset = f->offset,
                       .rank = RANK_STREAM + f->offset };

    l->unseen = !crashes; /* our own reading stops here, the destination's goes on */
    if (crashes) {
        add(l, c, f->path, f->expected, f->found);
    }
    return true;
}

static void read_findings(MigLoader *l, const MigCheck *check)
{
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        const MigLoadReaction *row = mig_loader_reaction(l->version, f->rule->id);
        if (row && !read_page_size(l, f)) {
            add_finding(l, check, f, row);
        }
    }
}

/* A type of before 2.4 isn't in the stream: what the user says has to do. */
static void read_machine(MigLoader *l)
{
    if (l->machine && !l->config && !mig_loader_has_machine(l->version, l->machine)) {
        MigLoadCause c = { .load = MIG_LOAD_REJECTS,
                           .reason = MIG_REASON_MACHINE,
                           .channel = "main",
                           .rank = RANK_MACHINE };
        add(l, c, "header", "a machine type that it has", l->machine);
    }
}

/* Without x-colo the newer ones refuse the command; the others wait for checkpoints. */
static void read_colo(MigLoader *l, const MigCheck *check)
{
    if (l->colo_at && !check->facts.colo) {
        bool refused = l->era.colo_checked;
        MigLoadCause c = { .load = refused ? MIG_LOAD_REJECTS : MIG_LOAD_HANGS,
                           .reason = MIG_REASON_COMMAND,
                           .channel = "main",
                           .offset = l->colo_at,
                           .rank = RANK_STREAM + (refused ? l->colo_at : check->end) };
        add(l, c, "command", "no ENABLE_COLO without checkpoints", "it");
    }
}

/* A destination of postcopy says so and waits for another line. */
static void read_break(MigLoader *l, const MigCheck *check)
{
    if (check->facts.broken) {
        MigLoadCause c = { .load = MIG_LOAD_COMPLAINS,
                           .reason = MIG_REASON_LINE,
                           .channel = "main",
                           .offset = check->end };
        add(l, c, "end", "one line", "one that breaks");
    }
}

/* Where our own reading ended and nothing says what the destination does there. */
static void read_stop(MigLoader *l, const MigCheck *check)
{
    const MigDiagnosis *d = &check->diagnosis;

    if (check->stopped && !l->unseen && !(l->ended && d->offset > l->end)) {
        MigLoadCause c = {
            .load = MIG_LOAD_UNKNOWN, .channel = "main", .offset = d->offset, .rank = ON_OTHERS * 2
        }; /* whatever else there is decides */
        add(l, c, d->path, d->expected, d->found);
    }
}

/* ---- the answer ---- */

/* A message is printed and the load goes on; what ends it is what it meets first. */
static bool decides(const MigLoadCause *a, const MigLoadCause *b)
{
    bool ends_a = a->load > MIG_LOAD_COMPLAINS, ends_b = b->load > MIG_LOAD_COMPLAINS;
    return ends_a != ends_b ? ends_a : a->rank < b->rank;
}

const MigLoadCause *mig_loader_answer(MigLoader *l, const MigCheck *check)
{
    read_findings(l, check);
    read_machine(l);
    read_colo(l, check);
    read_break(l, check);
    read_stop(l, check);
    l->worst = (MigLoadCause){ .load = MIG_LOAD_ACCEPTS };
    for (guint i = 0; i < l->causes->len; i++) {
        const MigLoadCause *c = &g_array_index(l->causes, MigLoadCause, i);
        if (l->worst.load == MIG_LOAD_ACCEPTS || decides(c, &l->worst)) {
            l->worst = *c;
        }
    }
    return &l->worst;
}

/* ---- life ---- */

MigLoader *mig_loader_new(MigVersion version, const char *machine)
{
    MigLoader *l = g_new0(MigLoader, 1);

    l->version = version;
    l->machine = g_strdup(machine);
    l->causes = g_array_new(FALSE, TRUE, sizeof(MigLoadCause));
    g_array_set_clear_func(l->causes, cause_clear);
    mig_era_resolve(version, machine, &l->era);
    return l;
}

void mig_loader_free(MigLoader *l)
{
    if (l) {
        g_array_unref(l->causes);
        g_free(l->machine);
        g_free(l->config);
        g_free(l);
    }
}

void mig_loader_attach(MigLoader *loader, MigCheck *check)
{
    check->observe = on_record;
    check->observer = loader;
}
