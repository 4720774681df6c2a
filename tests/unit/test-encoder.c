/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder writes fields, not kept bytes: changing one field of a record changes exactly that
 * field's bytes.
 */
#include <glib.h>
#include <string.h>

#include "stream/encoder.h"

typedef struct Case {
    const char *name;
    MigRecord record;
    void (*change)(MigRecord *r);
    gsize at, width; /* of the bytes that may differ */
} Case;

#define CHANGE(function, statement)    \
    static void function(MigRecord *r) \
    {                                  \
        statement;                     \
    }

CHANGE(magic, r->header.magic ^= 0xff)
CHANGE(version, r->header.version++)
CHANGE(machine, r->config.machine = mig_str("nonf"))
CHANGE(page_bits, r->page_bits.bits = 14)
CHANGE(uuid, r->uuid.uuid[3] = 0x55)
CHANGE(section_kind, r->section.kind = MIG_ITEM_START)
CHANGE(section_id, r->section.id += 1 << 24)
CHANGE(instance, r->section.instance = 0xa0000)
CHANGE(section_version, r->section.version = 3)
CHANGE(footer, r->footer.id = 0x12345678)
CHANGE(ping, r->command.ping = 0x42)
CHANGE(advise, r->command.advise.page_sizes |= 1u << 21)
CHANGE(discard_range, ((MigRange *)r->command.discard.ranges)[1].length = 0x77000)
CHANGE(package, r->command.package_length = 99)
CHANGE(total, r->ram.offset += 4096)
CHANGE(used_length, r->block.used_length *= 2)
CHANGE(block_page_size, r->block.page_size = 1u << 21)
CHANGE(offset, r->ram.offset = 0x7000)
CHANGE(cont, r->ram.cont = true)
CHANGE(fill, r->ram.fill = 9)
CHANGE(payload, r->payload = 0x1234)
CHANGE(pong, r->rp.value = 3)
CHANGE(request_start, r->rp.request.start = 0x5000)
CHANGE(packet_num, r->multifd.packet_num = 77)
CHANGE(zero_pages, r->multifd.zero_pages = 5)
CHANGE(multifd_offset, ((uint64_t *)r->multifd.offsets)[2] = 0x9000)

static MigRange ranges[2] = { { 0, 4096 }, { 8192, 4096 } };
static uint64_t offsets[128];

static const Case cases[] = {
    { "header/magic", { .type = MIG_REC_HEADER, .header = { MIG_MAGIC, 3 } }, magic, 0, 4 },
    { "header/version", { .type = MIG_REC_HEADER, .header = { MIG_MAGIC, 3 } }, version, 4, 4 },
    { "config/machine", { .type = MIG_REC_CONFIG, .config = { { "none", 4 } } }, machine, 5, 4 },
    { "config/page-bits",
      { .type = MIG_REC_CONFIG_PAGE_BITS, .page_bits = { 1, 12 } },
      page_bits,
      1 + 1 + 30 + 4,
      4 },
    { "config/uuid", { .type = MIG_REC_CONFIG_UUID, .uuid = { 1 } }, uuid, 1 + 1 + 18 + 4, 16 },
    { "section/kind",
      { .type = MIG_REC_SECTION, .section = { MIG_ITEM_FULL, 2, { "ram", 3 }, 0, 4 } },
      section_kind,
      0,
      1 },
    { "section/id",
      { .type = MIG_REC_SECTION, .section = { MIG_ITEM_PART, 2 } },
      section_id,
      1,
      4 },
    { "section/instance",
      { .type = MIG_REC_SECTION, .section = { MIG_ITEM_FULL, 2, { "ram", 3 }, 0, 4 } },
      instance,
      9,
      4 },
    { "section/version",
      { .type = MIG_REC_SECTION, .section = { MIG_ITEM_FULL, 2, { "ram", 3 }, 0, 4 } },
      section_version,
      13,
      4 },
    { "footer/id", { .type = MIG_REC_FOOTER, .footer = { 2 } }, footer, 1, 4 },
    { "command/ping",
      { .type = MIG_REC_COMMAND, .command = { MIG_CMD_PING, 4, .ping = 1 } },
      ping,
      5,
      4 },
    { "command/advise",
      { .type = MIG_REC_COMMAND,
        .command = { MIG_CMD_POSTCOPY_ADVISE, 16, .advise = { 4096, 4096 } } },
      advise,
      5,
      8 },
    { "command/discard",
      { .type = MIG_REC_COMMAND,
        .command = { MIG_CMD_POSTCOPY_RAM_DISCARD, 38,
                     .discard = { 0, { "ram", 3 }, 0, 2, ranges } } },
      discard_range,
      5 + 6 + 16 + 8,
      8 },
    { "command/package",
      { .type = MIG_REC_COMMAND, .command = { MIG_CMD_PACKAGED, 4, .package_length = 7 } },
      package,
      5,
      4 },
    { "ram/total", { .type = MIG_REC_RAM_MEM_SIZE, .ram = { .offset = 0 } }, total, 0, 8 },
    { "ram/used-length",
      { .type = MIG_REC_RAM_BLOCK, .block = { .name = { "ram", 3 }, .used_length = 4096 } },
      used_length,
      4,
      8 },
    { "ram/page-size",
      { .type = MIG_REC_RAM_BLOCK,
        .block = { .name = { "ram", 3 }, .has_page_size = true, .page_size = 4096 } },
      block_page_size,
      12,
      8 },
    { "ram/offset",
      { .type = MIG_REC_RAM_PAGE, .payload = 4096, .ram = { .name = { "ram", 3 } } },
      offset,
      0,
      8 },
    { "ram/continue", { .type = MIG_REC_RAM_EOS }, cont, 7, 1 },
    { "ram/fill", { .type = MIG_REC_RAM_ZERO, .ram = { .cont = true } }, fill, 8, 1 },
    { "ram/xbzrle-length",
      { .type = MIG_REC_RAM_XBZRLE, .payload = 5, .ram = { .cont = true, .fill = 1 } },
      payload,
      9,
      2 },
    { "rp/pong", { .type = MIG_REC_RP, .rp = { MIG_RP_PONG, 4, .value = 1 } }, pong, 4, 4 },
    { "rp/request",
      { .type = MIG_REC_RP, .rp = { MIG_RP_REQ_PAGES, 12, .request = { 0x1000, 4096 } } },
      request_start,
      4,
      8 },
    { "multifd/packet-num",
      { .type = MIG_REC_MULTIFD_PACKET, .multifd = { .page_count = 128, .offsets = offsets } },
      packet_num,
      24,
      8 },
    { "multifd/zero-pages",
      { .type = MIG_REC_MULTIFD_PACKET, .multifd = { .page_count = 128, .offsets = offsets } },
      zero_pages,
      32,
      4 },
    { "multifd/offset",
      { .type = MIG_REC_MULTIFD_PACKET, .multifd = { .page_count = 128, .offsets = offsets } },
      multifd_offset,
      320 + 16,
      8 },
};

static void test_field(gconstpointer data)
{
    const Case *c = data;
    guint8 before[2048], after[2048];
    MigRecord r = c->record;
    gsize n = mig_record_encode(&r, before, sizeof(before));
    guint changed = 0;

    c->change(&r);
    g_assert_cmpuint(mig_record_encode(&r, after, sizeof(after)), ==, n);
    g_assert_cmpuint(n, <=, sizeof(before));
    for (gsize i = 0; i < n; i++) {
        gboolean inside = i >= c->at && i < c->at + c->width;
        g_assert_true(inside || before[i] == after[i]);
        changed += before[i] != after[i];
    }
    g_assert_cmpuint(changed, >, 0);
}

/* A buffer that is too small is never overrun, and the needed size is told all the same. */
static void test_room(void)
{
    MigRecord r = { .type = MIG_REC_CONFIG, .config = { { "pc-i440fx-7.2", 13 } } };
    guint8 out[32];
    gsize n = mig_record_encode(&r, NULL, 0);

    for (gsize cap = 0; cap < n; cap++) {
        memset(out, 0xaa, sizeof(out));
        g_assert_cmpuint(mig_record_encode(&r, out, cap), ==, n);
        for (gsize i = cap; i < sizeof(out); i++) {
            g_assert_cmphex(out[i], ==, 0xaa);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/encoder/one-field/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_field);
    }
    g_test_add_func("/encoder/too-little-room", test_room);
    return g_test_run();
}
