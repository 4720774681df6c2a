/* SPDX-License-Identifier: Apache-2.0 */
/* Counting records, and writing the counts down. */
#include "conformance/summary.h"

#include <string.h>

#include "conformance/check.h"
#include "conformance/output.h"
#include "sim/world/units.h"

static void row_clear(gpointer data)
{
    g_free(((MigSummaryRow *)data)->name);
}

MigSummary *mig_summary_new(void)
{
    MigSummary *s = g_new0(MigSummary, 1);
    s->rows = g_array_sized_new(FALSE, TRUE, sizeof(MigSummaryRow), 64);
    g_array_set_clear_func(s->rows, row_clear);
    s->blocks = g_array_new(FALSE, TRUE, sizeof(MigSummaryBlock));
    s->block_index = UINT32_MAX;
    return s;
}

void mig_summary_free(MigSummary *s)
{
    if (s) {
        g_array_unref(s->rows);
        g_array_unref(s->blocks);
        g_free(s->machine);
        g_free(s);
    }
}

static void on_section(MigSummary *s, const MigRecord *r)
{
    s->sections[r->section.kind]++;
    s->devices += r->section.kind == MIG_ITEM_FULL;
    s->row = NULL;
    if (s->rows->len >= MIG_SUMMARY_ROWS) {
        s->rows_left_out++;
        return;
    }
    MigSummaryRow row = { .section = r->section, .offset = r->offset };
    row.name = g_strndup(r->section.idstr.text, r->section.idstr.len);
    row.section.idstr = (MigStr){ row.name, r->section.idstr.len };
    g_array_append_val(s->rows, row);
    s->row = &g_array_index(s->rows, MigSummaryRow, s->rows->len - 1);
}

static void select_block(MigSummary *s, uint32_t index)
{
    if (index >= s->blocks->len) {
        g_array_set_size(s->blocks, index + 1);
    }
    s->block = &g_array_index(s->blocks, MigSummaryBlock, index);
    s->block_index = index;
}

static inline void count(MigRamCounts *c, const MigRecord *r)
{
    c->normal += r->type == MIG_REC_RAM_PAGE;
    c->zero += r->type == MIG_REC_RAM_ZERO;
    c->xbzrle += r->type == MIG_REC_RAM_XBZRLE;
    c->compressed += r->type == MIG_REC_RAM_COMPRESS;
    c->flush += r->type == MIG_REC_RAM_FLUSH;
    c->cont += r->ram.cont;
    c->bytes += r->wire + r->payload;
}

static void on_page(MigSummary *s, const MigRecord *r)
{
    if (s->block_index != r->ram.block) {
        select_block(s, r->ram.block);
    }
    s->block->passes += r->ram.offset < s->block->next || s->block->passes == 0;
    s->block->next = r->ram.offset + 1;
    count(&s->block->ram, r);
}

void mig_summary_record(MigSummary *s, const MigRecord *r)
{
    s->records++;
    switch (r->type) {
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_XBZRLE:
    case MIG_REC_RAM_COMPRESS:
        on_page(s, r);
        /* fall through */
    case MIG_REC_RAM_FLUSH:
        count(&s->ram, r);
        if (s->row) {
            count(&s->row->ram, r);
        }
        break;
    case MIG_REC_SECTION:
        on_section(s, r);
        break;
    case MIG_REC_COMMAND:
        s->commands[MIN(r->command.number, MIG_SUMMARY_COMMANDS - 1)]++;
        s->row = NULL;
        break;
    case MIG_REC_VMDESC:
        s->vmdesc_bytes = r->payload;
        break;
    default:
        break;
    }
    if (s->row) {
        s->row->bytes += r->wire + r->payload;
    }
    if (r->type == MIG_REC_FOOTER) {
        s->row = NULL;
    }
}

void mig_summary_end(MigSummary *s, const MigDecoder *d)
{
    MigStr machine = mig_decoder_machine(d);
    g_free(s->machine);
    s->machine = machine.text ? g_strndup(machine.text, machine.len) : NULL;
    s->footers = mig_decoder_footers(d);
    s->page_size = mig_decoder_page_size(d);
    s->bytes = mig_decoder_offset(d);
}

/* ---- text ---- */

static void text_counts(GString *out, const MigRamCounts *c)
{
    g_autofree char *size = mig_format_size(c->bytes);
    g_string_append_printf(out, "%10" G_GUINT64_FORMAT " normal %10" G_GUINT64_FORMAT " zero",
                           c->normal, c->zero);
    if (c->xbzrle) {
        g_string_append_printf(out, " %10" G_GUINT64_FORMAT " xbzrle", c->xbzrle);
    }
    if (c->compressed) {
        g_string_append_printf(out, " %10" G_GUINT64_FORMAT " compressed", c->compressed);
    }
    g_string_append_printf(out, "  %s", size);
}

static void text_head(const MigSummary *s, GString *out)
{
    g_autofree char *size = mig_format_size(s->bytes);

    g_string_append(out, "machine    ");
    mig_text_append(out, mig_str(s->machine ? s->machine : "not told (machine types before 2.4)"));
    g_string_append_printf(out, "\nera        %s, page size %u\n",
                           s->footers ? "configuration and footers (2.4 and later)"
                                      : "no configuration, no footers (until 2.3)",
                           s->page_size);
    g_string_append_printf(out,
                           "stream     %" G_GUINT64_FORMAT " bytes (%s), %" G_GUINT64_FORMAT
                           " records, VMDESCRIPTION %" G_GUINT64_FORMAT " bytes\n",
                           s->bytes, size, s->records, s->vmdesc_bytes);
    g_string_append_printf(out,
                           "sections   %" G_GUINT64_FORMAT " start, %" G_GUINT64_FORMAT
                           " part, %" G_GUINT64_FORMAT " end, %" G_GUINT64_FORMAT " full\n",
                           s->sections[MIG_ITEM_START], s->sections[MIG_ITEM_PART],
                           s->sections[MIG_ITEM_END], s->sections[MIG_ITEM_FULL]);
    for (uint16_t i = 0; i < MIG_SUMMARY_COMMANDS; i++) {
        if (s->commands[i]) {
            g_string_append_printf(out, "command    %s x %" G_GUINT64_FORMAT "\n",
                                   mig_command_name(i), s->commands[i]);
        }
    }
}

static void text_blocks(const MigSummary *s, const MigDecoder *d, GString *out)
{
    for (uint32_t i = 0; i < mig_decoder_block_count(d); i++) {
        const MigRecordRamBlock *b = mig_decoder_block(d, i);
        const MigSummaryBlock none = { 0 };
        const MigSummaryBlock *sb =
            i < s->blocks->len ? &g_array_index(s->blocks, MigSummaryBlock, i) : &none;
        g_autofree char *size = mig_format_size(b->used_length);
        g_string_append(out, "block      ");
        mig_text_append(out, b->name);
        g_string_append_printf(out, "  %s\n           ", size);
        text_counts(out, &sb->ram);
        g_string_append_printf(out, ", %" G_GUINT64_FORMAT " pass%s in rising order\n", sb->passes,
                               sb->passes == 1 ? "" : "es");
    }
}

static void text_rows(const MigSummary *s, GString *out)
{
    g_string_append(out, "\n    offset       bytes  kind   id  inst  ver  name\n");
    for (guint i = 0; i < s->rows->len; i++) {
        const MigSummaryRow *row = &g_array_index(s->rows, MigSummaryRow, i);
        g_string_append_printf(
            out, "%10" G_GUINT64_FORMAT "  %10" G_GUINT64_FORMAT "  %-5s %3u  %4u  %3u  ",
            row->offset, row->bytes, mig_item_name(row->section.kind), row->section.id,
            row->section.instance, row->section.version);
        mig_text_append(out, row->section.idstr);
        if (row->ram.normal + row->ram.zero + row->ram.xbzrle + row->ram.compressed) {
            text_counts(out, &row->ram);
        }
        g_string_append_c(out, '\n');
    }
    if (s->rows_left_out) {
        g_string_append_printf(out, "(%" G_GUINT64_FORMAT " more sections)\n", s->rows_left_out);
    }
}

void mig_summary_text(const MigSummary *s, const MigDecoder *d, GString *out)
{
    text_head(s, out);
    g_string_append(out, "ram        ");
    text_counts(out, &s->ram);
    g_string_append_c(out, '\n');
    text_blocks(s, d, out);
    text_rows(s, out);
}

/* ---- JSON ---- */

static void json_number(GString *out, const char *key, uint64_t n)
{
    mig_json_append_key(out, key);
    g_string_append_printf(out, "%" G_GUINT64_FORMAT, n);
}

static void json_string(GString *out, const char *key, MigStr s)
{
    mig_json_append_key(out, key);
    mig_json_append_string(out, s);
}

static void json_counts(GString *out, const MigRamCounts *c)
{
    g_string_append_c(out, '{');
    json_number(out, "normal", c->normal);
    json_number(out, "zero", c->zero);
    json_number(out, "xbzrle", c->xbzrle);
    json_number(out, "compressed", c->compressed);
    json_number(out, "flush", c->flush);
    json_number(out, "continue", c->cont);
    json_number(out, "bytes", c->bytes);
    g_string_append_c(out, '}');
}

static void json_stats(const MigSummary *s, GString *out)
{
    static const char *const kinds[] = { NULL, "start", "part", "end", "full" };

    g_string_append_c(out, '{');
    json_number(out, "bytes", s->bytes);
    mig_json_append_key(out, "machine");
    if (s->machine) {
        mig_json_append_string(out, mig_str(s->machine));
    } else {
        g_string_append(out, "null");
    }
    json_number(out, "page_size", s->page_size);
    mig_json_append_key(out, "sections");
    g_string_append_c(out, '{');
    for (int i = MIG_ITEM_START; i <= MIG_ITEM_FULL; i++) {
        json_number(out, kinds[i], s->sections[i]);
    }
    g_string_append_c(out, '}');
    mig_json_append_key(out, "commands");
    g_string_append_c(out, '{');
    for (uint16_t i = 0; i < MIG_SUMMARY_COMMANDS; i++) {
        if (s->commands[i]) {
            json_number(out, mig_command_name(i), s->commands[i]);
        }
    }
    g_string_append_c(out, '}');
    mig_json_append_key(out, "ram");
    json_counts(out, &s->ram);
    json_number(out, "devices", s->devices);
    json_number(out, "vmdesc_bytes", s->vmdesc_bytes);
    g_string_append_c(out, '}');
}

static void json_blocks(const MigSummary *s, const MigDecoder *d, GString *out)
{
    g_string_append_c(out, '[');
    for (uint32_t i = 0; i < mig_decoder_block_count(d); i++) {
        const MigRecordRamBlock *b = mig_decoder_block(d, i);
        const MigSummaryBlock none = { 0 };
        const MigSummaryBlock *sb =
            i < s->blocks->len ? &g_array_index(s->blocks, MigSummaryBlock, i) : &none;
        g_string_append(out, i ? ",{" : "{");
        json_string(out, "name", b->name);
        json_number(out, "used-length", b->used_length);
        json_number(out, "passes", sb->passes);
        mig_json_append_key(out, "pages");
        json_counts(out, &sb->ram);
        g_string_append_c(out, '}');
    }
    g_string_append_c(out, ']');
}

static void json_rows(const MigSummary *s, GString *out)
{
    g_string_append_c(out, '[');
    for (guint i = 0; i < s->rows->len; i++) {
        const MigSummaryRow *row = &g_array_index(s->rows, MigSummaryRow, i);
        g_string_append(out, i ? ",{" : "{");
        json_string(out, "kind", mig_str(mig_item_name(row->section.kind)));
        json_number(out, "id", row->section.id);
        json_string(out, "idstr", row->section.idstr);
        json_number(out, "instance", row->section.instance);
        json_number(out, "version", row->section.version);
        json_number(out, "offset", row->offset);
        json_number(out, "bytes", row->bytes);
        if (row->ram.bytes) {
            mig_json_append_key(out, "pages");
            json_counts(out, &row->ram);
        }
        g_string_append_c(out, '}');
    }
    g_string_append_c(out, ']');
}

void mig_summary_json(const MigSummary *s, const MigDecoder *d, GString *out)
{
    g_string_append(out, "{\"type\":\"summary\"");
    mig_json_append_key(out, "stats");
    json_stats(s, out);
    json_number(out, "records", s->records);
    mig_json_append_key(out, "blocks");
    json_blocks(s, d, out);
    mig_json_append_key(out, "sections");
    json_rows(s, out);
    json_number(out, "sections-left-out", s->rows_left_out);
    g_string_append(out, "}\n");
}
