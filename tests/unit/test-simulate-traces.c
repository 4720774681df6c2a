/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For every trace of an idle or scripted guest: the scenario derived from its manifest makes the
 * simulator write the trace again. Compared record by record, page contents included, up to one
 * normalisation: where PART sections begin and end, section ids, device bodies, the VMDESCRIPTION's
 * text.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "sim/scenario/from-manifest.h"
#include "sim/simulate/simulate.h"
#include "sim/world/stream-reader.h"
#include "tests/unit/traces.h"

/* One line for each record that the normalisation leaves. */
typedef struct Lines {
    GPtrArray *text;
    uint8_t page[65536];
    char *open; /* the line of the page whose payload is on its way */
    bool part;  /* inside a PART */
} Lines;

static void add(Lines *l, char *line)
{
    g_ptr_array_add(l->text, line);
}

static void add_ram(Lines *l, const MigRecord *r)
{
    char *line = g_strdup_printf("%s block %.*s offset %" G_GINT64_MODIFIER "x cont %d fill %u",
                                 mig_record_name(r->type), (int)r->ram.name.len, r->ram.name.text,
                                 (guint64)r->ram.offset, r->ram.cont, r->ram.fill);
    if (r->type == MIG_REC_RAM_PAGE) {
        l->open = line;
    } else {
        add(l, line);
    }
}

static void add_section(Lines *l, const MigRecord *r)
{
    l->part = r->section.kind == MIG_ITEM_PART;
    if (!l->part) {
        add(l, g_strdup_printf("%s %.*s %u %u", mig_item_name(r->section.kind),
                               (int)r->section.idstr.len, r->section.idstr.text,
                               r->section.instance, r->section.version));
    }
}

static void add_block(Lines *l, const MigRecord *r)
{
    add(l,
        g_strdup_printf("block %.*s %" G_GINT64_MODIFIER "x page size %d %" G_GINT64_MODIFIER
                        "x address %d %" G_GINT64_MODIFIER "x",
                        (int)r->block.name.len, r->block.name.text, (guint64)r->block.used_length,
                        r->block.has_page_size, (guint64)r->block.page_size, r->block.has_address,
                        (guint64)r->block.address));
}

static void add_record(Lines *l, const MigRecord *r)
{
    switch (r->type) {
    case MIG_REC_SECTION:
        add_section(l, r);
        break;
    case MIG_REC_RAM_EOS:
    case MIG_REC_FOOTER:
        if (!l->part) {
            add(l, g_strdup(mig_record_name(r->type)));
        }
        break;
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_PAGE:
        add_ram(l, r);
        break;
    case MIG_REC_RAM_BLOCK:
        add_block(l, r);
        break;
    case MIG_REC_CONFIG:
        add(l, g_strdup_printf("config %.*s", (int)r->config.machine.len, r->config.machine.text));
        break;
    case MIG_REC_COMMAND:
        add(l, g_strdup_printf("command %u %u", r->command.number, r->command.length));
        break;
    case MIG_REC_BODY:
        add(l, g_strdup_printf("body %" G_GUINT64_FORMAT, (guint64)r->payload));
        break;
    default:
        add(l, g_strdup(mig_record_name(r->type)));
    }
}

static GPtrArray *lines_of(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(path, NULL, &error);
    g_assert_no_error(error);
    Lines l = { .text = g_ptr_array_new_with_free_func(g_free) };
    MigRecord r;
    MigStatus status;
    while ((status = mig_stream_reader_next(reader, &r, &error)) == MIG_STATUS_RECORD ||
           status == MIG_STATUS_PAYLOAD) {
        if (status == MIG_STATUS_RECORD) {
            add_record(&l, &r);
        }
        if (status == MIG_STATUS_RECORD && l.open) {
            mig_stream_reader_payload_into(reader, l.page);
        } else if (status == MIG_STATUS_PAYLOAD && l.open) {
            g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, l.page, 4096);
            add(&l, g_strdup_printf("%s %s", l.open, sum));
            g_clear_pointer(&l.open, g_free);
        }
    }
    g_assert_cmpint(status, ==, MIG_STATUS_END);
    return l.text;
}

static bool append(void *opaque, const void *data, size_t n, GError **error)
{
    (void)error;
    g_byte_array_append(opaque, data, (guint)n);
    return true;
}

/*
 * Pages whose contents differ in one line of a recording. QEMU refers to a page that it queues and
 * reads it when the queue is flushed: here the script wrote in between, and the first pass carries
 * what it wrote. The simulator reads pages when they are queued.
 */
static const struct {
    const char *id, *page;
} read_at_flush[] = {
    { "microvm-scripted-5.2", "ram-page block microvm.ram offset 38000 " },
    { "microvm-scripted-5.2", "ram-page block microvm.ram offset 3a000 " },
};

/* The number of the known difference that this is (same record, other contents), or -1. */
static int known_difference(const char *id, const char *want, const char *have)
{
    const char *sum = strrchr(want, ' ');
    for (size_t i = 0; i < G_N_ELEMENTS(read_at_flush); i++) {
        if (strcmp(id, read_at_flush[i].id) == 0 && g_str_has_prefix(want, read_at_flush[i].page) &&
            strncmp(want, have, (size_t)(sum - want)) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void compare(const char *id, const GPtrArray *want, const GPtrArray *have)
{
    unsigned seen[G_N_ELEMENTS(read_at_flush)] = { 0 };
    for (guint i = 0; i < MIN(want->len, have->len); i++) {
        int known = strcmp(have->pdata[i], want->pdata[i]) == 0
                        ? -1
                        : known_difference(id, want->pdata[i], have->pdata[i]);
        if (known < 0) {
            g_assert_cmpstr(have->pdata[i], ==, want->pdata[i]);
        } else {
            seen[known]++;
        }
    }
    g_assert_cmpuint(have->len, ==, want->len);
    for (size_t i = 0; i < G_N_ELEMENTS(seen); i++) {
        g_assert_cmpuint(seen[i], ==, strcmp(id, read_at_flush[i].id) == 0);
    }
}

static void rewrite(gconstpointer id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *manifest = mig_test_trace_path(id, ".json");
    g_autofree char *trace = mig_test_trace_path(id, ".mig.zst");
    g_autoptr(MigScenario) s = mig_scenario_from_manifest(manifest, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    MigSimulateOptions options = { .stream = append, .opaque = bytes };
    g_autoptr(MigSimulation) m = mig_simulate(s, &options, &error);
    g_assert_no_error(error);
    g_assert_true(mig_simulation_fine(m));

    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("migbench-test-XXXXXX", &path, &error);
    g_assert_no_error(error);
    close(fd);
    g_assert_true(g_file_set_contents(path, (const char *)bytes->data, bytes->len, &error));
    g_autoptr(GPtrArray) want = lines_of(trace), have = lines_of(path);
    unlink(path);
    compare(id, want, have);
}

static bool fits(const char *id)
{
    return strstr(id, "-idle-") || strstr(id, "-stopped-") || strstr(id, "-scripted-");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("raw");
    for (guint i = 0; i < ids->len; i++) {
        g_autofree char *path = g_strconcat("/simulate/rewrite/", ids->pdata[i], NULL);
        if (fits(ids->pdata[i])) {
            g_test_add_data_func(path, ids->pdata[i], rewrite);
        }
    }
    return g_test_run();
}
