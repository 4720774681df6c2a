/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination, see dest.h: a consumer of records with a table of handlers. The decoder has
 * checked the bytes; what is checked here is whether this machine would take them (machine type,
 * capabilities, block list, versions), as QEMU's loaders do.
 *
 * Limits: it has no devices, so every device section is taken and only globalstate is read; blocks
 * of another length are refused unless they fit a resizable one.
 */
#include "sim/engine/dest-internal.h"
#include "sim/engine/dest-mapped.h"

#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

typedef bool (*MigHandler)(MigDest *d, const MigRecord *r);

bool mig_dest_refuse(MigDest *d, MigFault fault, const char *found, const char *expected, ...)
{
    va_list args;
    d->state = MIG_DEST_FAILED;
    d->error.fault = fault;
    bool preempt = d->pumped && d->pumped == d->preempt.decoder;
    d->error.offset = preempt ? d->preempt.record.offset : d->record.offset;
    mig_decoder_path(d->pumped ? d->pumped : d->decoder, d->error.path, sizeof(d->error.path));
    va_start(args, expected);
    g_vsnprintf(d->error.expected, sizeof(d->error.expected), expected, args);
    va_end(args);
    g_strlcpy(d->error.found, found, sizeof(d->error.found));
    return false;
}

bool mig_dest_refuse_number(MigDest *d, const char *what, uint64_t found, uint64_t expected)
{
    g_autofree char *text = g_strdup_printf("%s %" PRIu64, what, found);
    return mig_dest_refuse(d, MIG_FAULT_NONE, text, "%s %" PRIu64, what, expected);
}

static char *text(MigStr s)
{
    return g_strndup(s.text, s.len);
}

/* QEMU compares as many bytes as came, so that a prefix of the name will do. */
static bool on_config(MigDest *d, const MigRecord *r)
{
    g_autofree char *machine = text(r->config.machine);
    d->configured = true;
    if (!d->config.era.configuration) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, machine, "no configuration section (%s has none)",
                               d->machine);
    }
    if (strncmp(machine, d->machine, r->config.machine.len) != 0) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, machine, "machine type %s", d->machine);
    }
    return true;
}

static bool on_capabilities(MigDest *d, const MigRecord *r)
{
    MigCapabilitySet listed = 0;
    static const MigCapability validated[] = { MIG_CAP_X_IGNORE_SHARED, MIG_CAP_MAPPED_RAM };
    d->capabilities_seen = true;
    for (uint32_t i = 0; i < r->capabilities.count; i++) {
        g_autofree char *name = text(r->capabilities.names[i]);
        MigCapability cap = mig_capability_find(name);
        if (cap == MIG_CAP_COUNT) {
            return mig_dest_refuse(d, MIG_FAULT_NONE, name, "a known capability");
        }
        listed |= MIG_CAP_BIT(cap);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(validated); i++) {
        MigCapabilitySet bit = MIG_CAP_BIT(validated[i]);
        if ((listed & bit) != (d->config.capabilities & bit)) {
            return mig_dest_refuse(d, MIG_FAULT_NONE, listed & bit ? "on" : "off",
                                   "capability %s %s", mig_capability_name(validated[i]),
                                   listed & bit ? "off" : "on");
        }
    }
    return true;
}

static bool on_uuid(MigDest *d, const MigRecord *r)
{
    if (d->config.has_uuid && memcmp(d->config.uuid, r->uuid.uuid, 16) != 0) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "another UUID", "this machine's UUID");
    }
    return true;
}

static bool on_section(MigDest *d, const MigRecord *r)
{
    MigItem kind = r->section.kind;
    if (d->config.era.configuration && !d->configured) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a section", "the configuration section first");
    }
    d->counts.parts += kind == MIG_ITEM_PART || kind == MIG_ITEM_END;
    d->counts.devices += kind == MIG_ITEM_FULL;
    d->is_globalstate = mig_str_equal(r->section.idstr, mig_str("globalstate"));
    g_free(d->device);
    d->device = text(r->section.idstr);
    d->device_instance = r->section.instance;
    d->device_version = r->section.version;
    if (mig_str_equal(r->section.idstr, mig_str("ram")) && r->section.instance != 0) {
        return mig_dest_refuse_number(d, "instance", r->section.instance, 0);
    }
    return mig_dest_device_version(d) && mig_dest_on_disk_section(d, r);
}

void mig_dest_reply_value(MigDest *d, uint16_t type, uint32_t value)
{
    MigRecord r = { .type = MIG_REC_RP };
    r.rp.type = type;
    r.rp.length = 4;
    r.rp.value = value;
    if (d->config.reply) {
        d->config.reply(d->config.opaque, &r);
    }
}

static void send_ack(MigDest *d)
{
    MigRecord r = { .type = MIG_REC_RP, .rp.type = MIG_RP_SWITCHOVER_ACK };
    if (d->config.reply) {
        d->config.reply(d->config.opaque, &r);
    }
}

/*
 * What may be said by now: one message for all when none is left (loadvm_process_command() and
 * qemu_loadvm_approve_switchover(), 10.0), or one of each.
 */
static void acknowledge(MigDest *d)
{
    uint32_t form = d->config.era.switchover_ack;
    if (!form || !d->counts.return_path ||
        !(d->config.capabilities & MIG_CAP_BIT(MIG_CAP_SWITCHOVER_ACK))) {
        return;
    }
    if (form == 1 && d->config.acks == 0 && !d->acknowledged) {
        d->acknowledged = true;
        send_ack(d);
    }
    for (; form == 2 && d->acks > 0; d->acks--) {
        send_ack(d);
    }
}

void mig_dest_acknowledge(MigDest *d)
{
    g_assert(d->config.acks > 0);
    d->config.acks--;
    d->acks++;
    acknowledge(d);
}

/* Up to 7.2 the command alone is enough; from 11.1 on there is none. */
static bool enable_colo(MigDest *d)
{
    bool on = d->config.capabilities & MIG_CAP_BIT(MIG_CAP_X_COLO);
    if (!d->config.era.enable_colo || (d->config.era.colo_checked && !on)) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "enable-colo", "%s",
                               on ? "no command that enables COLO" : "capability x-colo off");
    }
    d->counts.colo = true;
    return true;
}

static bool on_command(MigDest *d, const MigRecord *r)
{
    if (r->command.number > d->config.era.commands) {
        g_autofree char *found = g_strdup_printf("command %u", r->command.number);
        return mig_dest_refuse(d, MIG_FAULT_COMMAND_NUMBER, found, "a command up to %u",
                               d->config.era.commands);
    }
    d->counts.pings += r->command.number == MIG_CMD_PING;
    if (r->command.number == MIG_CMD_ENABLE_COLO) {
        return enable_colo(d);
    }
    if (r->command.number == MIG_CMD_OPEN_RETURN_PATH) {
        d->counts.return_path = true;
        acknowledge(d);
    } else if (r->command.number == MIG_CMD_PING && !d->counts.return_path) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "ping", "an open return path before a ping");
    } else if (r->command.number == MIG_CMD_PING) {
        mig_dest_reply_value(d, MIG_RP_PONG, r->command.ping);
    }
    return mig_dest_postcopy_command(d, &r->command);
}

static bool on_vmdesc(MigDest *d, const MigRecord *r)
{
    (void)r;
    d->described = true;
    return true;
}

/* Nothing can follow, although the peer may keep the channel open to wait for the verdict. */
static bool is_through(const MigDest *d)
{
    return d->ended && !d->end_waits &&
           (mig_dest_runs(d) ||
            (d->described ? mig_decoder_skippable(d->decoder) == 0 : !d->config.era.vmdesc));
}

static bool on_end(MigDest *d, const MigRecord *r)
{
    d->ended = r->depth == 0;
    return !d->ended || !mig_dest_listens(d) || mig_dest_postcopy_end(d);
}

/* As qemu_ram_resize(): a block that can be another length takes the source's. */
static bool resize_block(MigDest *d, uint32_t index, uint64_t length)
{
    MigMemory *m = d->config.memory;
    const MigMemoryBlock *b = m->ops->block(m, index);
    return b->max_length > b->used_length && length > 0 && length % m->page_size == 0 &&
           length <= b->max_length && m->ops->resize && m->ops->resize(m, index, length);
}

static bool on_ram_block(MigDest *d, const MigRecord *r)
{
    MigMemory *m = d->config.memory;
    g_autofree char *name = text(r->block.name);
    for (uint32_t i = 0; i < m->ops->count(m); i++) {
        const MigMemoryBlock *b = m->ops->block(m, i);
        if (strcmp(b->name, name) != 0) {
            continue;
        }
        uint64_t length = r->block.used_length;
        bool fits = length == b->used_length || resize_block(d, i, length);
        if (!fits) {
            g_autofree char *found =
                g_strdup_printf("0x%" G_GINT64_MODIFIER "x", r->block.used_length);
            return mig_dest_refuse(d, MIG_FAULT_NONE, found,
                                   "size of block %s: 0x%" G_GINT64_MODIFIER "x", name,
                                   b->used_length);
        }
        if (b->shared && r->block.has_address && r->block.address != b->address) {
            g_autofree char *found = g_strdup_printf("0x%" G_GINT64_MODIFIER "x", r->block.address);
            return mig_dest_refuse(d, MIG_FAULT_NONE, found,
                                   "address of shared block %s: 0x%" G_GINT64_MODIFIER "x", name,
                                   b->address);
        }
        MigDestBlock block = { .memory = i };
        if (r->block.index >= d->blocks->len) {
            g_array_set_size(d->blocks, r->block.index + 1);
        }
        g_array_index(d->blocks, MigDestBlock, r->block.index) = block;
        return true;
    }
    return mig_dest_refuse(d, MIG_FAULT_NONE, name, "the name of a RAM block of this machine");
}

bool mig_dest_page_at(MigDest *d, const MigRecord *r, uint32_t *block, uint64_t *page)
{
    MigMemory *m = d->config.memory;
    if (r->ram.block >= d->blocks->len) {
        return mig_dest_refuse(d, MIG_FAULT_RAM_BLOCK_UNKNOWN, "a page of another block",
                               "a listed block");
    }
    *block = g_array_index(d->blocks, MigDestBlock, r->ram.block).memory;
    *page = r->ram.offset / m->page_size;
    if (r->ram.offset >= m->ops->block(m, *block)->used_length) {
        return mig_dest_refuse(d, MIG_FAULT_RAM_OFFSET, "a page beyond it",
                               "a page inside the block");
    }
    mig_dest_note_page(d, r->ram.block, *page);
    return true;
}

static bool on_zero(MigDest *d, const MigRecord *r)
{
    if (mig_dest_listens(d)) {
        return mig_dest_host_page(d, &d->main, r);
    }
    MigMemory *m = d->config.memory;
    uint32_t block = 0;
    uint64_t page = 0;
    if (!mig_dest_page_at(d, r, &block, &page)) {
        return false;
    }
    if (r->ram.fill && !d->config.era.zero_fill_any) {
        g_autofree char *found = g_strdup_printf("%02x", r->ram.fill);
        return mig_dest_refuse(d, MIG_FAULT_NONE, found, "a zero record that fills with 00");
    }
    d->counts.zero++;
    if (!r->ram.fill && m->ops->is_zero(m, block, page)) {
        d->counts.zero_skipped++;
    } else {
        m->ops->fill(m, block, page, r->ram.fill);
    }
    return true;
}

static bool on_page(MigDest *d, const MigRecord *r)
{
    if (mig_dest_listens(d)) {
        return mig_dest_host_page(d, &d->main, r);
    }
    MigMemory *m = d->config.memory;
    uint32_t block = 0;
    uint64_t page = 0;
    if (!mig_dest_page_at(d, r, &block, &page)) {
        return false;
    }
    if (r->payload != m->page_size) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a page of another size", "%u bytes",
                               m->page_size);
    }
    uint8_t *mapped = m->ops->map ? m->ops->map(m, block, page) : NULL;
    d->target = mapped ? mapped : d->page;
    d->counts.normal++;
    mig_decoder_payload_into(d->decoder, d->target);
    return true;
}

bool mig_dest_on_unsupported(MigDest *d, const MigRecord *r)
{
    return mig_dest_refuse(d, MIG_FAULT_NONE, mig_record_name(r->type),
                           "a record that may stand here");
}

/* A sync point of multifd: the FLUSH records of new machine types, the ends of RAM in old ones. */
static bool sync_channels(MigDest *d, bool here)
{
    if (!d->multifd || !here) {
        return true;
    }
    bool fine = d->config.sync_channels
                    ? d->config.sync_channels(d->config.opaque, d->multifd, &d->error)
                    : mig_dest_multifd_sync(d->multifd, &d->error);
    if (!fine) {
        d->state = MIG_DEST_FAILED;
        return false;
    }
    return true;
}

static bool on_flush(MigDest *d, const MigRecord *r)
{
    (void)r;
    return sync_channels(d, d->config.era.multifd_flush_record);
}

static bool on_ram_end(MigDest *d, const MigRecord *r)
{
    (void)r;
    return sync_channels(d, !d->config.era.multifd_flush_record);
}

static const MigHandler handlers[MIG_REC_COUNT] = {
    [MIG_REC_CONFIG] = on_config,
    [MIG_REC_CONFIG_CAPABILITIES] = on_capabilities,
    [MIG_REC_CONFIG_UUID] = on_uuid,
    [MIG_REC_SECTION] = on_section,
    [MIG_REC_COMMAND] = on_command,
    [MIG_REC_RAM_BLOCK] = on_ram_block,
    [MIG_REC_RAM_ZERO] = on_zero,
    [MIG_REC_RAM_PAGE] = on_page,
    [MIG_REC_BODY] = mig_dest_on_body,
    [MIG_REC_RAM_FLUSH] = on_flush,
    [MIG_REC_RAM_EOS] = on_ram_end,
    [MIG_REC_END_OF_STREAM] = on_end,
    [MIG_REC_VMDESC] = on_vmdesc,
    [MIG_REC_RAM_XBZRLE] = mig_dest_on_xbzrle,
    [MIG_REC_RAM_COMPRESS] = mig_dest_on_compressed,
    [MIG_REC_RAM_HOOK] = mig_dest_on_hook,
    [MIG_REC_MAPPED_BITMAP] = mig_dest_on_mapped_bitmap,
    [MIG_REC_MAPPED_PAGES] = mig_dest_on_mapped_pages,
    [MIG_REC_BLOCK] = mig_dest_on_disk,
    [MIG_REC_ITERABLE] = mig_dest_on_unsupported,
    [MIG_REC_DIRTY_BITMAP] = mig_dest_on_bitmap,
    [MIG_REC_COLO] = mig_dest_on_unsupported,
};

static bool payload_done(MigDest *d)
{
    const MigRecord *r = &d->record;
    MigMemory *m = d->config.memory;
    if (r->type == MIG_REC_RAM_PAGE && mig_dest_listens(d)) {
        return mig_dest_host_page_filled(d, &d->main);
    } else if (r->type == MIG_REC_RAM_PAGE && d->target == d->page) {
        uint32_t block = g_array_index(d->blocks, MigDestBlock, r->ram.block).memory;
        m->ops->write(m, block, r->ram.offset / m->page_size, d->page);
    } else if (r->type == MIG_REC_BODY && (d->is_globalstate || d->config.device)) {
        return mig_dest_device_done(d, r->payload);
    } else if (r->type == MIG_REC_RAM_XBZRLE) {
        return mig_dest_apply_delta(d);
    } else if (r->type == MIG_REC_RAM_COMPRESS) {
        return mig_dest_decompress(d);
    } else if (r->type == MIG_REC_BLOCK || r->type == MIG_REC_DIRTY_BITMAP) {
        return mig_dest_on_disk_payload(d);
    }
    return true;
}

static bool handle(MigDest *d)
{
    const MigRecord *r = &d->record;
    MigHandler handler = handlers[r->type];
    return mig_dest_mapped_allows(d, r) && (!handler || handler(d, r));
}

bool mig_dest_pump(MigDest *d)
{
    for (;;) {
        MigRecord r = { 0 };
        d->pumped = d->decoder;
        switch (mig_decoder_next(d->decoder, &r)) {
        case MIG_STATUS_RECORD:
            d->record = r;
            if (!handle(d)) {
                return false;
            }
            break;
        case MIG_STATUS_PAYLOAD:
            if (!payload_done(d)) {
                return false;
            }
            break;
        case MIG_STATUS_MORE:
            if (!is_through(d)) {
                return true;
            }
            mig_decoder_feed_eof(d->decoder);
            break;
        case MIG_STATUS_END:
            d->state = MIG_DEST_COMPLETED;
            mig_dest_tell(d);
            return true;
        case MIG_STATUS_BAD:
            d->state = MIG_DEST_FAILED;
            d->error = *mig_decoder_diagnosis(d->decoder);
            return false;
        }
    }
}

MigDest *mig_dest_new(const MigDestConfig *config)
{
    MigDest *d = g_new0(MigDest, 1);
    MigDecoderOptions options = {
        .channel = MIG_CHANNEL_MAIN,
        .start = config->file_offset,
        .page_size = config->memory->page_size,
        .footers = config->era.footers ? MIG_YES : MIG_NO,
        .body_size = config->body_size,
        .opaque = config->opaque,
    };
    d->config = *config;
    d->config.machine = d->machine = g_strdup(config->machine);
    d->decoder = mig_decoder_new(&options);
    g_assert(d->decoder);
    if (mig_dest_is_mapped(d)) { /* channels, if any, are how a file is read */
        d->mapped = mig_dest_mapped_new();
    } else if (config->capabilities & MIG_CAP_BIT(MIG_CAP_MULTIFD)) {
        d->multifd = mig_dest_multifd_new(&d->config);
    }
    d->blocks = g_array_new(FALSE, TRUE, sizeof(MigDestBlock));
    d->page = g_malloc(config->memory->page_size);
    d->disks = mig_dest_disks_new();
    mig_dest_postcopy_init(d);
    g_strlcpy(d->run_state, "running", sizeof(d->run_state));
    return d;
}

void mig_dest_free(MigDest *d)
{
    if (d) {
        mig_dest_multifd_free(d->multifd);
        mig_dest_mapped_free(d->mapped);
        mig_dest_disks_free(d->disks);
        mig_dest_postcopy_free(d); /* the decoder, too */
        g_array_unref(d->blocks);
        g_free(d->machine);
        g_free(d->device);
        g_free(d->page);
        g_free(d->body);
        mig_page_codec_free(d->codec);
        g_free(d);
    }
}

bool mig_dest_feed(MigDest *d, const void *data, size_t n)
{
    if (d->state == MIG_DEST_FAILED) {
        return false;
    }
    if (d->status == MIG_STATUS_IS_POSTCOPY_PAUSED) {
        return false; /* bytes of a channel that is gone */
    }
    mig_dest_begins(d);
    d->counts.bytes += n;
    mig_decoder_feed(d->decoder, data, n);
    return mig_dest_pump(d);
}

size_t mig_dest_direct(const MigDest *d, void **dst)
{
    return d->state == MIG_DEST_LOADING ? mig_decoder_direct(d->decoder, dst) : 0;
}

bool mig_dest_filled(MigDest *d, size_t n)
{
    d->counts.bytes += n;
    mig_decoder_filled(d->decoder, n);
    return mig_dest_pump(d);
}

bool mig_dest_feed_channel(MigDest *d, uint32_t channel, const void *data, size_t n)
{
    if (d->state == MIG_DEST_FAILED) {
        return false;
    }
    d->counts.bytes += n;
    if (!d->multifd) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "another one", "the main channel only");
    }
    if (!mig_dest_multifd_feed(d->multifd, channel, data, n, &d->error)) {
        d->state = MIG_DEST_FAILED;
        return false;
    }
    return true;
}

const MigDestMultifdCounts *mig_dest_multifd(const MigDest *d)
{
    return d->multifd ? mig_dest_multifd_counts(d->multifd) : NULL;
}

MigDestMultifd *mig_dest_channels(MigDest *d)
{
    return d->multifd;
}

bool mig_dest_end(MigDest *d)
{
    if (d->state != MIG_DEST_LOADING) {
        return d->state == MIG_DEST_COMPLETED;
    }
    mig_decoder_feed_eof(d->decoder);
    return mig_dest_pump(d) && d->state == MIG_DEST_COMPLETED;
}

MigDestState mig_dest_state(const MigDest *d)
{
    return d->state;
}

const MigDestCounts *mig_dest_counts(const MigDest *d)
{
    return &d->counts;
}

const MigDiagnosis *mig_dest_error(const MigDest *d)
{
    return &d->error;
}

const char *mig_dest_run_state(const MigDest *d)
{
    return d->run_state;
}
