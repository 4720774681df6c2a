/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source in postcopy beside real QEMUs: for every postcopy trace the engine is put into the
 * same situation (blocks, host pages, devices, the pages that were dirty at the switchover, where a
 * line broke the bitmaps that came) and has to say the same: every command with its fields, every
 * section, in the same order, packages of the same length, the same pages. Left out: which PART a
 * page is in, and the order of pages, which follow from a guest's faults.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/source-postcopy.h"
#include "tests/unit/recordings.h"
#include "tests/unit/traces.h"

#define PAGE 4096u

/* A recording in lines, and the situation that it tells of. */
typedef struct Story {
    GPtrArray *lines;  /* of main */
    GPtrArray *after;  /* of main.2; empty: the line did not break */
    GHashTable *pages; /* "BLOCK PAGE" sent in postcopy, on main and preempt, before the break */
    GHashTable *again; /* behind it */
    GArray *blocks;    /* MigMemoryBlock; names are kept in |names| */
    GPtrArray *names;
    MigBitmap **dirty;    /* by block: what the discards name */
    GPtrArray *bitmaps;   /* GBytes by block, of RECV_BITMAP */
    GArray *devices;      /* MigDevice: body NULL */
    unsigned preempt_eos; /* EOS records on the preempt channel */
    unsigned named_first; /* 1: the first page behind the package has its block's name */
    bool packaged, in_part, empty_part;
} Story;

static GHashTable *new_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void story_init(Story *s)
{
    *s = (Story){ .lines = g_ptr_array_new_with_free_func(g_free),
                  .after = g_ptr_array_new_with_free_func(g_free),
                  .pages = new_set(),
                  .again = new_set(),
                  .blocks = g_array_new(FALSE, TRUE, sizeof(MigMemoryBlock)),
                  .names = g_ptr_array_new_with_free_func(g_free),
                  .bitmaps = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref),
                  .devices = g_array_new(FALSE, TRUE, sizeof(MigDevice)) };
}

static void story_clear(Story *s)
{
    for (guint i = 0; s->dirty && i < s->blocks->len; i++) {
        mig_bitmap_free(s->dirty[i]);
    }
    g_free(s->dirty);
    g_ptr_array_unref(s->lines);
    g_ptr_array_unref(s->after);
    g_hash_table_unref(s->pages);
    g_hash_table_unref(s->again);
    g_array_unref(s->blocks);
    g_ptr_array_unref(s->names);
    g_ptr_array_unref(s->bitmaps);
    g_array_unref(s->devices);
}

static char *text(MigStr s)
{
    return g_strndup(s.text, s.len);
}

static uint32_t block_of(const Story *s, MigStr name)
{
    for (guint i = 0; i < s->names->len; i++) {
        if (mig_str_equal(name, mig_str(s->names->pdata[i]))) {
            return i;
        }
    }
    g_assert_not_reached();
}

static char *command_line(const MigRecordCommand *c)
{
    GString *line = g_string_new(NULL);
    g_autofree char *name = NULL;
    g_string_printf(line, "%s length %u", mig_command_name(c->number), c->length);
    switch (c->number) {
    case MIG_CMD_PING:
        g_string_append_printf(line, " %x", c->ping);
        break;
    case MIG_CMD_POSTCOPY_ADVISE:
        g_string_append_printf(line, " %d %d", (int)c->advise.page_sizes,
                               (int)c->advise.target_page_size);
        break;
    case MIG_CMD_PACKAGED:
        g_string_append_printf(line, " of %u", c->package_length);
        break;
    case MIG_CMD_RECV_BITMAP:
        name = text(c->bitmap_name);
        g_string_append_printf(line, " %s", name);
        break;
    case MIG_CMD_POSTCOPY_RAM_DISCARD:
        name = text(c->discard.name);
        g_string_append_printf(line, " %s", name);
        for (uint32_t i = 0; i < c->discard.count; i++) {
            g_string_append_printf(line, " %d+%d", (int)c->discard.ranges[i].start,
                                   (int)c->discard.ranges[i].length);
        }
        break;
    default:
        break;
    }
    return g_string_free(line, FALSE);
}

static void add_line(Story *s, bool again, char *line)
{
    g_ptr_array_add(again ? s->after : s->lines, line);
}

/* In front of the package only an empty PART is of interest. */
static void on_section(Story *s, bool again, const MigRecord *r)
{
    s->in_part = r->section.kind == MIG_ITEM_PART;
    s->empty_part = true;
    if (!s->in_part) {
        g_autofree char *idstr = text(r->section.idstr);
        add_line(s, again,
                 g_strdup_printf("%s %u %s %u version %u", mig_item_name(r->section.kind),
                                 r->section.id, idstr, r->section.instance, r->section.version));
    }
}

static void on_page(Story *s, bool again, const MigRecord *r)
{
    s->empty_part = false;
    if (s->packaged || again) {
        g_autofree char *name = text(r->ram.name);
        GHashTable *set = again ? s->again : s->pages;
        if (g_hash_table_size(s->pages) == 0) {
            s->named_first = !r->ram.cont;
        }
        g_assert_true(
            g_hash_table_add(set, g_strdup_printf("%s %d", name, (int)(r->ram.offset / PAGE))));
    }
}

/* A record of a main channel (the second one: |again|), real or ours. */
static void tell(Story *s, bool again, const MigRecord *r)
{
    switch (r->type) {
    case MIG_REC_SECTION:
        on_section(s, again, r);
        break;
    case MIG_REC_COMMAND:
        s->packaged |= r->command.number == MIG_CMD_PACKAGED;
        add_line(s, again, command_line(&r->command));
        break;
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_PAGE:
        on_page(s, again, r);
        break;
    case MIG_REC_RAM_EOS:
        if (s->in_part && s->empty_part && !s->packaged) {
            add_line(s, again, g_strdup("empty part"));
        }
        break;
    case MIG_REC_RAM_BLOCK:
        add_line(s, again,
                 g_strdup_printf("block of %d, pages of %d", (int)r->block.used_length,
                                 r->block.has_page_size ? (int)r->block.page_size : 0));
        break;
    case MIG_REC_BODY:
        add_line(s, again, g_strdup_printf("body of %d", (int)r->payload));
        break;
    case MIG_REC_FOOTER:
    case MIG_REC_PACKAGE_END:
    case MIG_REC_RAM_FLUSH:
        break;
    default:
        add_line(s, again, g_strdup(mig_record_name(r->type)));
    }
}

/* The trace -------------------------------------------------------------------------------- */

static void learn_block(Story *s, const MigRecord *r)
{
    char *name = text(r->block.name);
    MigMemoryBlock b = { .name = name,
                         .used_length = r->block.used_length,
                         .max_length = r->block.used_length,
                         .host_page =
                             r->block.has_page_size ? (uint32_t)r->block.page_size : PAGE };
    g_ptr_array_add(s->names, name);
    g_array_append_val(s->blocks, b);
    s->dirty = g_renew(MigBitmap *, s->dirty, s->blocks->len);
    s->dirty[s->blocks->len - 1] = mig_bitmap_new(b.used_length / PAGE);
}

static void learn(Story *s, const MigRecord *r)
{
    if (r->type == MIG_REC_RAM_BLOCK) {
        learn_block(s, r);
    } else if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_POSTCOPY_RAM_DISCARD) {
        MigBitmap *b = s->dirty[block_of(s, r->command.discard.name)];
        for (uint32_t i = 0; i < r->command.discard.count; i++) {
            mig_bitmap_set_range(b, r->command.discard.ranges[i].start / PAGE,
                                 r->command.discard.ranges[i].length / PAGE);
        }
    } else if (r->type == MIG_REC_SECTION && r->section.kind == MIG_ITEM_FULL) {
        MigDevice d = { .idstr = text(r->section.idstr),
                        .instance = r->section.instance,
                        .version = r->section.version,
                        .section_id = r->section.id };
        g_ptr_array_add(s->names, d.idstr);
        g_array_append_val(s->devices, d);
    } else if (r->type == MIG_REC_BODY) {
        g_array_index(s->devices, MigDevice, s->devices->len - 1).body_len = r->payload;
    }
}

static void read_trace(const char *id, Story *s)
{
    g_autoptr(MigRecording) m = mig_test_recording(id);
    uint8_t *bitmap = NULL;
    MigRecord r;
    unsigned channel;
    MigStatus status;
    while ((status = mig_recording_next(m, &channel, &r, NULL)) != MIG_STATUS_END) {
        const char *name = mig_recording_channel_name(m, channel);
        bool again = strchr(name, '.') != NULL;
        if (status == MIG_STATUS_PAYLOAD && bitmap) {
            bitmap = NULL; /* it is in its GBytes */
        }
        if (status != MIG_STATUS_RECORD) {
            continue; /* a channel that was cut ends badly */
        }
        if (g_str_has_prefix(name, "main")) {
            learn(s, &r);
            tell(s, again, &r);
        } else if (g_str_has_prefix(name, "preempt") && r.type == MIG_REC_RAM_EOS) {
            s->preempt_eos++;
        } else if (g_str_has_prefix(name, "preempt")) {
            on_page(s, again, &r);
        } else if (r.type == MIG_REC_RP && r.rp.type == MIG_RP_RECV_BITMAP) {
            bitmap = g_malloc0(r.payload);
            g_ptr_array_add(s->bitmaps, g_bytes_new_take(bitmap, r.payload));
            mig_recording_payload_into(m, channel, bitmap);
        }
    }
}

/* Our source ------------------------------------------------------------------------------- */

/* Memory of zeros; a sync reports what |story| says, once, when it is asked behind a PART. */
typedef struct Memory {
    MigMemory memory;
    const Story *story;
    bool armed;
} Memory;

static uint32_t count(const MigMemory *m)
{
    return ((const Memory *)m)->story->blocks->len;
}

static const MigMemoryBlock *block(const MigMemory *m, uint32_t i)
{
    return &g_array_index(((const Memory *)m)->story->blocks, MigMemoryBlock, i);
}

static void nothing(MigMemory *m)
{
    (void)m;
}

static uint64_t sync_block(MigMemory *m, uint32_t i, MigBitmap *dirty)
{
    Memory *memory = (Memory *)m;
    MigBitmap *all = memory->story->dirty[i];
    uint64_t fresh = 0;
    for (uint64_t p = mig_bitmap_next(all, 0); memory->armed && p < all->bits;
         p = p + 1 < all->bits ? mig_bitmap_next(all, p + 1) : all->bits) {
        fresh += mig_bitmap_set(dirty, p);
    }
    return fresh;
}

static bool is_zero(MigMemory *m, uint32_t i, uint64_t page)
{
    (void)m;
    (void)i;
    (void)page;
    return true;
}

static const MigMemoryOps memory_ops = {
    .count = count,
    .block = block,
    .log_start = nothing,
    .log_stop = nothing,
    .sync = sync_block,
    .is_zero = is_zero,
};

typedef struct Driver {
    const Story *want;
    Story have;
    Memory memory;
    MigSource *source;
    MigDevices *devices;
    MigOutcome outcome;
    bool again;    /* behind the break */
    bool part_out; /* the first PART has been flushed */
    bool breaks, broken;
    unsigned pings, bitmaps, resumes; /* to be answered */
    uint32_t first_named;
} Driver;

static void send_pages(Driver *d, const MigOp *op)
{
    const MigMemoryBlock *b = block(&d->memory.memory, op->pages.block);
    bool named = op->pages.named;
    for (uint64_t left = op->pages.dirty; left; left &= left - 1) {
        uint64_t page = op->pages.first + (unsigned)__builtin_ctzll(left);
        MigClaim claim = op->pages.claim ? op->pages.claim(op->pages.engine, op->pages.block, page)
                                         : MIG_CLAIM_TAKE;
        g_assert_cmpint(claim, !=, MIG_CLAIM_STOP);
        MigRecord r = { .type = MIG_REC_RAM_ZERO };
        r.ram.offset = page * PAGE;
        r.ram.cont = !named;
        r.ram.name = mig_str(b->name);
        named = false;
        tell(&d->have, d->again, &r);
        d->outcome.sent |= left & -left;
        d->outcome.queued_bytes += PAGE; /* whatever it is, there is a bandwidth */
        d->outcome.flushed += PAGE;
    }
    d->outcome.zero = d->outcome.sent;
}

static void answer(Driver *d, uint16_t type, uint32_t value)
{
    MigRecord r = { .type = MIG_REC_RP };
    r.rp.type = type;
    r.rp.length = 4;
    r.rp.value = value;
    g_assert_cmpint(mig_source_message(d->source, &r, NULL), ==, MIG_MESSAGE_TAKEN);
}

static void answer_bitmap(Driver *d, MigStr name)
{
    uint32_t i = block_of(d->want, name);
    gsize n;
    MigRecord r = { .type = MIG_REC_RP };
    const void *bytes = g_bytes_get_data(d->want->bitmaps->pdata[i], &n);
    r.rp.type = MIG_RP_RECV_BITMAP;
    r.rp.bitmap.name = name;
    r.rp.bitmap.size = r.payload = n;
    g_assert_cmpint(mig_source_message(d->source, &r, bytes), ==, MIG_MESSAGE_TAKEN);
}

static void send_record(Driver *d, const MigOp *op)
{
    const MigRecord *r = op->send.record;
    if (op->channel > 0) {
        g_assert_cmpint(r->type, ==, MIG_REC_RAM_EOS);
        d->have.preempt_eos++;
        return;
    }
    tell(&d->have, d->again, r);
    if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_PING) {
        answer(d, MIG_RP_PONG, r->command.ping);
    } else if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_RECV_BITMAP) {
        answer_bitmap(d, r->command.bitmap_name);
    } else if (r->type == MIG_REC_COMMAND && r->command.number == MIG_CMD_POSTCOPY_RESUME) {
        answer(d, MIG_RP_RESUME_ACK, 1);
    } else if (r->type == MIG_REC_END_OF_STREAM) {
        answer(d, MIG_RP_SHUT, 0);
    }
}

/* The first PART has everything. Then time passes, so that there is a threshold, and a sync finds
 * what was dirty in the trace: postcopy starts on just that. */
static void do_op(Driver *d, const MigOp *op)
{
    switch (op->kind) {
    case MIG_OP_SEND:
        send_record(d, op);
        break;
    case MIG_OP_SEND_PAGES:
        send_pages(d, op);
        if (d->breaks && d->have.packaged && !d->broken) {
            d->broken = true;
            d->outcome.interrupt = MIG_INTERRUPT_ERROR;
            d->outcome.error = "the line broke";
        }
        break;
    case MIG_OP_FLUSH:
        if (d->have.in_part && !d->have.empty_part && !d->part_out) {
            d->part_out = d->memory.armed = true;
            d->outcome.now += 10000000000;
            g_assert_null(mig_source_start_postcopy(d->source));
        }
        break;
    case MIG_OP_DEVICES:
        d->outcome.devices = d->devices;
        break;
    case MIG_OP_SLEEP:
        d->outcome.now = MAX(op->until, d->outcome.now);
        break;
    case MIG_OP_WAIT_RECOVER:
        d->again = true;
        g_assert_null(mig_source_recover(d->source));
        break;
    case MIG_OP_NOTIFY:
        g_test_message("%s %s", op->notify.event, op->notify.status ? op->notify.status : "");
        break;
    default:
        break;
    }
}

static MigDevices *make_devices(const Story *s, const MigEra *era, const char *machine)
{
    MigDevices *devices = mig_devices_new(era, machine, PAGE);
    for (guint i = 0; i < s->devices->len; i++) {
        const MigDevice *from = &g_array_index(s->devices, MigDevice, i);
        g_autofree uint8_t *body = g_malloc0(from->body_len + 1);
        mig_devices_add_opaque(devices, from->idstr, from->instance, from->version,
                               from->section_id, body, from->body_len);
    }
    mig_devices_finish(devices);
    return devices;
}

static void drive(Driver *d, const char *id)
{
    const char *machine = strstr(id, "-old-") ? "pc-i440fx-7.2" : "microvm";
    MigVersion version;
    MigSourceConfig config = { .machine = machine, .guest_running = true };
    g_assert_true(mig_version_parse(strrchr(id, '-') + 1, &version));
    g_assert_cmpint(mig_era_resolve(version, machine, &config.era), ==, MIG_ERA_OK);
    config.memory = &d->memory.memory;
    config.capabilities = MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) |
                          (strstr(id, "preempt") ? MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT) : 0);
    config.parameters = mig_parameters_default(&config.era);
    config.parameters.max_bandwidth = 0;
    config.parameters.downtime_limit = 1;
    d->memory.memory = (MigMemory){ .ops = &memory_ops, .page_size = PAGE };
    d->memory.story = d->want;
    d->devices = make_devices(d->want, &config.era, machine);
    d->source = mig_source_new(&config);
    const MigOp *op;
    d->outcome = (MigOutcome){ .now = 0 };
    while ((op = mig_source_next(d->source, &d->outcome))->kind != MIG_OP_DONE) {
        d->outcome = (MigOutcome){ .now = d->outcome.now };
        do_op(d, op);
    }
    g_assert_true(mig_source_completed(d->source));
}

/* The comparison --------------------------------------------------------------------------- */

static void same_lines(const GPtrArray *have, const GPtrArray *want)
{
    for (guint i = 0; i < MIN(have->len, want->len); i++) {
        g_assert_cmpstr(have->pdata[i], ==, want->pdata[i]);
    }
    g_assert_cmpuint(have->len, ==, want->len);
}

static void same_pages(GHashTable *have, GHashTable *want)
{
    GHashTableIter it;
    gpointer page;
    g_hash_table_iter_init(&it, want);
    while (g_hash_table_iter_next(&it, &page, NULL)) {
        g_assert_true(g_hash_table_contains(have, page));
    }
    g_assert_cmpuint(g_hash_table_size(have), ==, g_hash_table_size(want));
}

static void compare(gconstpointer data)
{
    const char *id = data;
    Story want;
    Driver d = { .want = &want };
    story_init(&want);
    story_init(&d.have);
    read_trace(id, &want);
    d.breaks = want.after->len > 0;
    drive(&d, id);
    if (!d.breaks) {
        same_lines(d.have.lines, want.lines);
        same_pages(d.have.pages, want.pages);
    } else {
        /* Where it broke is chance: up to there the same, behind it all of the new line. */
        g_assert_cmpuint(d.have.lines->len, >=, want.lines->len);
        g_ptr_array_set_size(d.have.lines, (gint)want.lines->len);
        same_lines(d.have.lines, want.lines);
        same_lines(d.have.after, want.after);
        same_pages(d.have.again, want.again);
    }
    g_assert_cmpuint(d.have.named_first, ==, 1);
    g_assert_cmpuint(want.named_first, ==, 1);
    g_assert_cmpuint(d.have.preempt_eos, ==, want.preempt_eos);
    mig_source_free(d.source);
    mig_devices_free(d.devices);
    story_clear(&d.have);
    story_clear(&want);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("pcapng");
    for (guint i = 0; i < ids->len; i++) {
        const char *id = ids->pdata[i];
        if (g_str_has_prefix(id, "postcopy") && !strstr(id, "multifd")) {
            g_autofree char *path = g_strconcat("/postcopy/trace/", id, NULL);
            g_test_add_data_func(path, id, compare);
        }
    }
    return g_test_run();
}
