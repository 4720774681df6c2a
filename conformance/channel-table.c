/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/channel-table.h"

#include <inttypes.h>
#include <string.h>

#include "conformance/output.h"

static MigChannelCounts *row_of(GArray *table, unsigned channel)
{
    if (channel >= table->len) {
        g_array_set_size(table, channel + 1);
    }
    return &g_array_index(table, MigChannelCounts, channel);
}

void mig_channel_table_record(GArray *table, unsigned channel, const MigRecord *r)
{
    MigChannelCounts *row = row_of(table, channel);

    row->records++;
    switch (r->type) {
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_XBZRLE:
    case MIG_REC_RAM_COMPRESS:
        row->normal++;
        break;
    case MIG_REC_RAM_ZERO:
        row->zero++;
        break;
    case MIG_REC_RAM_FLUSH:
        row->flushes++;
        break;
    case MIG_REC_RAM_EOS:
        row->eos++;
        break;
    case MIG_REC_MULTIFD_PACKET:
        row->packets++;
        row->normal += r->multifd.normal_pages;
        row->zero += r->multifd.zero_pages;
        row->syncs += (r->multifd.flags & MIG_MULTIFD_FLAG_SYNC) != 0;
        break;
    case MIG_REC_MULTIFD_DEVICE:
    case MIG_REC_RP:
    case MIG_REC_COLO:
        row->packets++;
        break;
    default:
        break;
    }
}

void mig_channel_table_bad(GArray *table, unsigned channel, bool cut)
{
    row_of(table, channel)->end = cut ? "cut off" : "bad";
}

void mig_channel_table_end(GArray *table, const MigRecording *m)
{
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        const MigDecoder *d = mig_recording_decoder(m, i);
        MigChannelCounts *row = row_of(table, i);
        row->bytes = d ? mig_decoder_offset(d) : 0;
        row->end = row->end ? row->end : "end";
    }
}

static bool shown(const MigRecording *m, guint i, const char *only)
{
    return !only || strcmp(mig_recording_channel_name(m, i), only) == 0;
}

void mig_channel_table_text(const GArray *table, const MigRecording *m, const char *only,
                            GString *out)
{
    g_string_append_printf(out, "%-12s %12s %8s %8s %8s %8s %6s %6s %6s  %s\n", "channel", "bytes",
                           "records", "packets", "normal", "zero", "sync", "flush", "eos", "end");
    for (guint i = 0; i < table->len; i++) {
        const MigChannelCounts *row = &g_array_index(table, MigChannelCounts, i);
        if (!shown(m, i, only)) {
            continue;
        }
        gsize at = out->len;
        mig_text_append(out, mig_str(mig_recording_channel_name(m, i)));
        while (out->len < at + 12) {
            g_string_append_c(out, ' ');
        }
        g_string_append_printf(out,
                               " %12" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64
                               " %6" PRIu64 " %6" PRIu64 " %6" PRIu64 "  %s\n",
                               row->bytes, row->records, row->packets, row->normal, row->zero,
                               row->syncs, row->flushes, row->eos, row->end);
    }
}

void mig_channel_table_json(const GArray *table, const MigRecording *m, const char *only,
                            GString *out)
{
    for (guint i = 0; i < table->len; i++) {
        const MigChannelCounts *row = &g_array_index(table, MigChannelCounts, i);
        if (!shown(m, i, only)) {
            continue;
        }
        g_string_append(out, "{\"type\":\"channel\",\"channel\":");
        mig_json_append_string(out, mig_str(mig_recording_channel_name(m, i)));
        g_string_append_printf(out,
                               ",\"bytes\":%" PRIu64 ",\"records\":%" PRIu64 ",\"packets\":%" PRIu64
                               ",\"normal\":%" PRIu64 ",\"zero\":%" PRIu64 ",\"sync\":%" PRIu64
                               ",\"flush\":%" PRIu64 ",\"eos\":%" PRIu64 ",\"end\":\"%s\"}\n",
                               row->bytes, row->records, row->packets, row->normal, row->zero,
                               row->syncs, row->flushes, row->eos, row->end);
    }
}
