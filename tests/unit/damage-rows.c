/* SPDX-License-Identifier: Apache-2.0 */
/* The rows. Their names stand in the rules' killed_by; test-damage.c compares both ways. */
#include <string.h>

#include "stream/bytes.h"
#include "tests/unit/damage.h"

#define N7  "none-stopped-7.2"
#define N10 "none-stopped-10.0"
#define P7  "pc-idle-7.2"
#define P10 "pc-idle-10.0"
#define S10 "ignore-shared-10.0"
#define X7  "xbzrle-7.2"
#define D7  "pc-scripted-7.2"

#define REC(type_)                  \
    {                               \
        MIG_REC_##type_, 0, 0, NULL \
    }
#define NTH(type_, n)               \
    {                               \
        MIG_REC_##type_, n, 0, NULL \
    }
#define IN(type_, n, kind_)                         \
    {                                               \
        MIG_REC_##type_, n, MIG_ITEM_##kind_, "ram" \
    }
#define OF(type_, idstr_)             \
    {                                 \
        MIG_REC_##type_, 0, 0, idstr_ \
    }
#define RAM(kind_)                                  \
    {                                               \
        MIG_REC_SECTION, 0, MIG_ITEM_##kind_, "ram" \
    }

#define UUID_HEX   "05 12 'configuration/uuid' 00000001 00112233445566778899aabbccddeeff"
#define ADVISE_HEX "08 0003 0010 0000000000001000 0000000000001000"
/* be32 length and a page of zeros in zlib. */
#define ZLIB_PAGE "0000001a789cedc1010d000000c2a0f74f6d0f0714000000f06e10000001"

static void cut_section(MigDamaged *d, MigPlace place)
{
    const MigMark *m = mig_damage_find(d, place);
    uint64_t end = mig_damage_section_end(d, m);
    mig_damage_replace(d, m->r.offset, (unsigned)(end - m->r.offset), NULL, 0);
    d->expected = m->r.offset;
}

static void copy_section(MigDamaged *d, MigPlace place)
{
    const MigMark *m = mig_damage_find(d, place);
    uint64_t end = mig_damage_section_end(d, m);
    unsigned n = (unsigned)(end - m->r.offset);
    g_autofree uint8_t *copy = g_memdup2(d->bytes->data + m->r.offset, n);
    mig_damage_replace(d, end, 0, copy, n);
    d->expected = end;
}

static void move_section(MigDamaged *d, MigPlace what, MigPlace before)
{
    const MigMark *m = mig_damage_find(d, what);
    d->expected = mig_damage_move(d, m->r.offset, mig_damage_section_end(d, m),
                                  mig_damage_find(d, before)->r.offset);
}

static void drop_start(MigDamaged *d)
{
    cut_section(d, (MigPlace)RAM(START));
    d->expected += 1;
}

static void drop_end(MigDamaged *d)
{
    cut_section(d, (MigPlace)RAM(END));
}

static void drop_globalstate(MigDamaged *d)
{
    cut_section(d, (MigPlace)OF(SECTION, "globalstate"));
}

static void drop_ram(MigDamaged *d)
{
    const MigMark *from = mig_damage_find(d, (MigPlace)RAM(START));
    uint64_t to = mig_damage_section_end(d, mig_damage_find(d, (MigPlace)RAM(END)));
    mig_damage_replace(d, from->r.offset, (unsigned)(to - from->r.offset), NULL, 0);
}

static void copy_start(MigDamaged *d)
{
    copy_section(d, (MigPlace)RAM(START));
}

static void copy_end(MigDamaged *d)
{
    copy_section(d, (MigPlace)RAM(END));
}

static void copy_timer(MigDamaged *d)
{
    copy_section(d, (MigPlace)OF(SECTION, "timer"));
}

static void early_timer(MigDamaged *d)
{
    move_section(d, (MigPlace)OF(SECTION, "timer"), (MigPlace)RAM(END));
}

static void first_timer(MigDamaged *d)
{
    move_section(d, (MigPlace)OF(SECTION, "timer"), (MigPlace)RAM(START));
}

static void early_globalstate(MigDamaged *d)
{
    move_section(d, (MigPlace)OF(SECTION, "globalstate"), (MigPlace)OF(SECTION, "timer"));
}

static void move_switchover(MigDamaged *d, uint64_t where)
{
    const MigMark *m = mig_damage_find(d, (MigPlace)REC(COMMAND));
    d->expected = mig_damage_move(d, m->r.offset, m->r.offset + 5, where);
}

static void early_switchover(MigDamaged *d)
{
    move_switchover(d, mig_damage_find(d, (MigPlace)RAM(PART))->r.offset);
}

static void late_switchover(MigDamaged *d)
{
    const MigMark *end = mig_damage_find(d, (MigPlace)RAM(END));
    move_switchover(d, mig_damage_section_end(d, end));
}

static void share_id(MigDamaged *d)
{
    static const uint8_t id[4] = { 0, 0, 0, 0 }; /* timer's */
    const MigMark *m = mig_damage_find(d, (MigPlace)OF(SECTION, "cpu_common"));
    uint64_t end = mig_damage_section_end(d, m);
    mig_damage_replace(d, m->r.offset + 1, 4, id, 4);
    mig_damage_replace(d, end - 4, 4, id, 4);
    d->expected = m->r.offset + 1;
}

static void drop_list(MigDamaged *d)
{
    const MigMark *list = mig_damage_find(d, (MigPlace)REC(RAM_MEM_SIZE));
    const MigMark *eos = mig_damage_find(d, (MigPlace)REC(RAM_EOS));
    mig_damage_replace(d, list->r.offset, (unsigned)(eos->r.offset - list->r.offset), NULL, 0);
    d->expected = list->r.offset;
}

static void copy_list(MigDamaged *d, uint64_t where)
{
    const MigMark *list = mig_damage_find(d, (MigPlace)REC(RAM_MEM_SIZE));
    unsigned n = (unsigned)(mig_damage_find(d, (MigPlace)REC(RAM_EOS))->r.offset - list->r.offset);
    g_autofree uint8_t *copy = g_memdup2(d->bytes->data + list->r.offset, n);
    mig_damage_replace(d, where, 0, copy, n);
    d->expected = where;
}

static void list_in_part(MigDamaged *d)
{
    copy_list(d, mig_damage_record_end(mig_damage_find(d, (MigPlace)RAM(PART))));
}

static void list_twice(MigDamaged *d)
{
    copy_list(d, mig_damage_find(d, (MigPlace)REC(RAM_EOS))->r.offset);
}

static void add_to(MigDamaged *d, uint64_t at, uint64_t n)
{
    uint8_t b[8];
    mig_store_be64(b, mig_load_be64(d->bytes->data + at) + n);
    mig_damage_replace(d, at, 8, b, 8);
}

static uint64_t length_field(MigDamaged *d, int nth)
{
    const MigMark *m = mig_damage_find(d, (MigPlace)NTH(RAM_BLOCK, nth));
    return m->r.offset + 1 + d->bytes->data[m->r.offset];
}

static void small_total(MigDamaged *d)
{
    add_to(d, mig_damage_find(d, (MigPlace)REC(RAM_MEM_SIZE))->r.offset, -(uint64_t)4096);
    d->expected = length_field(d, -1);
}

static void block_twice(MigDamaged *d)
{
    const MigMark *m = mig_damage_find(d, (MigPlace)REC(RAM_BLOCK));
    g_autofree uint8_t *copy = g_memdup2(d->bytes->data + m->r.offset, m->r.wire);
    uint64_t length = mig_load_be64(d->bytes->data + length_field(d, 0));
    mig_damage_replace(d, m->r.offset + m->r.wire, 0, copy, m->r.wire);
    add_to(d, mig_damage_find(d, (MigPlace)REC(RAM_MEM_SIZE))->r.offset, length);
    d->expected = m->r.offset + m->r.wire;
}

static void unaligned(MigDamaged *d)
{
    add_to(d, length_field(d, 0), 512);
    add_to(d, length_field(d, 1), -(uint64_t)512);
    d->expected = length_field(d, 0);
}

static void offset_end(MigDamaged *d)
{
    const MigMark *m = mig_damage_find(d, (MigPlace)IN(RAM_ZERO, 0, PART));
    add_to(d, m->r.offset, mig_load_be64(d->bytes->data + length_field(d, 0)));
    d->expected = m->r.offset;
}

static void drop_page(MigDamaged *d)
{
    const MigMark *m = mig_damage_find(d, (MigPlace)NTH(RAM_PAGE, 1));
    mig_damage_replace(d, m->r.offset, m->r.wire + (unsigned)m->r.payload, NULL, 0);
}

static void empty_delta(MigDamaged *d)
{
    static const uint8_t none[2];
    const MigMark *m = mig_damage_find(d, (MigPlace)REC(RAM_XBZRLE));
    d->expected = m->r.offset + m->r.wire - 2;
    mig_damage_replace(d, d->expected, 2 + (unsigned)m->r.payload, none, 2);
}

static void truncate_at(MigDamaged *d, MigPlace place, uint64_t more)
{
    uint64_t at = mig_damage_find(d, place)->r.offset + more;
    mig_damage_replace(d, at, (unsigned)(d->bytes->len - at), NULL, 0);
    d->expected = at;
}

static void truncate_header(MigDamaged *d)
{
    truncate_at(d, (MigPlace)REC(HEADER), 6);
}

static void truncate_name(MigDamaged *d)
{
    truncate_at(d, (MigPlace)REC(CONFIG), 7);
}

static void truncate_page(MigDamaged *d)
{
    truncate_at(d, (MigPlace)REC(RAM_PAGE), 100);
}

static void truncate_body(MigDamaged *d)
{
    truncate_at(d, (MigPlace)OF(BODY, "timer"), 10);
}

static void truncate_vmdesc(MigDamaged *d)
{
    truncate_at(d, (MigPlace)REC(VMDESC), 100);
}

static void drop_eof(MigDamaged *d)
{
    truncate_at(d, (MigPlace)REC(END_OF_STREAM), 0);
}

static void drop_vmdesc(MigDamaged *d)
{
    truncate_at(d, (MigPlace)REC(VMDESC), 0);
}

static void edit_vmdesc(MigDamaged *d, const char *old, const char *new)
{
    const MigMark *m = mig_damage_find(d, (MigPlace)REC(VMDESC));
    uint8_t *text = d->bytes->data + m->r.offset + m->r.wire;
    uint8_t *found = memmem(text, (size_t)m->r.payload, old, strlen(old));
    g_assert_nonnull(found);
    memcpy(found, new, strlen(new));
    d->expected = m->r.offset + m->r.wire;
}

static void vmdesc_page_size(MigDamaged *d)
{
    edit_vmdesc(d, "4096", "4098");
}

static void postcopy_delta(MigDamaged *d)
{
    static const uint8_t delta[] = { 0, 0, 0, 0, 0, 0, 0, 0x60, 1, 0, 3, 0, 1, 0x41 };
    static const uint8_t listen[] = { 8, 0, 4, 0, 0 };
    uint64_t at = mig_damage_find(d, (MigPlace)IN(RAM_EOS, 0, END))->r.offset;
    uint64_t end = mig_damage_find(d, (MigPlace)RAM(END))->r.offset;
    mig_damage_replace(d, at, 0, delta, sizeof(delta));
    mig_damage_replace(d, end, 0, listen, sizeof(listen));
    d->expected = at + sizeof(listen);
}

static void vmdesc_device(MigDamaged *d)
{
    edit_vmdesc(d, "timer", "tymer");
}

#define ROW(name_, base_, rule_, ...)                            \
    {                                                            \
        .name = name_, .base = base_, .rule = rule_, __VA_ARGS__ \
    }
#define PLACE(...)          .place = __VA_ARGS__
#define BEFORE_END(hex_)    PLACE(RAM(END)), .hex = hex_
#define BEHIND_CONFIG(hex_) PLACE(REC(CONFIG)), .end = true, .hex = hex_

const MigDamage mig_damages[] = {
    /* header and configuration */
    ROW("header-magic", N7, "HEADER-MAGIC-QEVM", PLACE(REC(HEADER)), .cut = 1, .hex = "58"),
    ROW("header-version-2", N7, "HEADER-VERSION-CURRENT", PLACE(REC(HEADER)), .delta = 4, .cut = 4,
        .hex = "00000002"),
    ROW("header-version-4", N7, "HEADER-VERSION-CURRENT", PLACE(REC(HEADER)), .delta = 4, .cut = 4,
        .hex = "00000004"),
    ROW("config-dropped", N7, "CONFIG-SECTION-PRESENT", PLACE(REC(CONFIG)), .cut = 9, .hex = ""),
    ROW("config-repeated", N7, "CONFIG-SECTION-ONCE", BEHIND_CONFIG("07 00000004 'none'")),
    ROW("config-late", N7, "CONFIG-SECTION-ONCE", BEFORE_END("07 00000004 'none'")),
    ROW("config-length-huge", N7, "CONFIG-NAME-LENGTH", PLACE(REC(CONFIG)), .delta = 1, .cut = 4,
        .hex = "ffffffff"),
    ROW("config-name-empty", N7, "CONFIG-NAME-CANONICAL", PLACE(REC(CONFIG)), .delta = 1, .cut = 8,
        .hex = "00000000", .expect = 4),
    ROW("config-name-prefix", P7, "CONFIG-NAME-CANONICAL", PLACE(REC(CONFIG)), .delta = 1,
        .cut = 17, .hex = "00000009 'pc-i440fx'", .expect = 4),
    ROW("config-name-alias", P7, "CONFIG-NAME-CANONICAL", PLACE(REC(CONFIG)), .delta = 1, .cut = 17,
        .hex = "00000002 'pc'", .expect = 4),
    ROW("config-name-nul", N7, "CONFIG-NAME-CANONICAL", PLACE(REC(CONFIG)), .delta = 7, .cut = 1,
        .hex = "00"),
    ROW("config-subsection-unknown", N7, "CONFIG-SUBSECTION-KNOWN",
        BEHIND_CONFIG("05 0f 'configuration/x' 00000001"), .expect = 1),
    ROW("config-subsection-version", N7, "CONFIG-SUBSECTION-VERSION",
        BEHIND_CONFIG("05 12 'configuration/uuid' 00000002 00000000000000000000000000000000"),
        .expect = 20),
    ROW("config-subsection-version-0", N7, "CONFIG-SUBSECTION-VERSION",
        BEHIND_CONFIG("05 12 'configuration/uuid' 00000000 00000000000000000000000000000000"),
        .expect = 20),
    ROW("config-subsection-twice", N7, "CONFIG-SUBSECTION-ONCE", BEHIND_CONFIG(UUID_HEX UUID_HEX),
        .expect = 40),
    ROW("config-subsection-order", S10, "CONFIG-SUBSECTION-ORDER", BEHIND_CONFIG(UUID_HEX),
        .also = "CONFIG-SUBSECTION-ONCE", .expect = 40),
    ROW("config-capabilities-count", S10, "CONFIG-CAPABILITIES-COUNT",
        PLACE(REC(CONFIG_CAPABILITIES)), .delta = 32, .cut = 4, .hex = "ffffffff"),
    ROW("config-capability-unknown", N7, "CONFIG-CAPABILITY-KNOWN",
        BEHIND_CONFIG("05 1a 'configuration/capabilities' 00000001 00000001 06 'x-none'"),
        .expect = 36),
    ROW("config-capability-other", N7, "CONFIG-CAPABILITY-VALIDATED",
        BEHIND_CONFIG("05 1a 'configuration/capabilities' 00000001 00000001 06 'xbzrle'"),
        .expect = 36),
    ROW("config-capabilities-empty", N7, "CONFIG-CAPABILITY-VALIDATED",
        BEHIND_CONFIG("05 1a 'configuration/capabilities' 00000001 00000000"), .expect = 32),
    ROW("config-pagebits", N7, "CONFIG-PAGEBITS-RANGE",
        BEHIND_CONFIG("05 1e 'configuration/target-page-bits' 00000001 00000063"), .expect = 36),
    /* framing */
    ROW("item-type-09", N7, "STREAM-ITEM-TYPE", BEFORE_END("09")),
    ROW("item-type-05", N7, "STREAM-ITEM-TYPE", BEFORE_END("05")),
    ROW("item-type-06", N7, "STREAM-ITEM-TYPE", BEFORE_END("06")),
    ROW("footer-twice", N7, "STREAM-ITEM-TYPE", BEFORE_END("7e 00000002")),
    ROW("footer-after-command", N10, "STREAM-ITEM-TYPE", BEFORE_END("7e 00000001")),
    ROW("truncated-header", N7, "STREAM-END-PRESENT", .custom = truncate_header),
    ROW("truncated-name", N7, "STREAM-END-PRESENT", .custom = truncate_name),
    ROW("truncated-page", D7, "STREAM-END-PRESENT", .custom = truncate_page),
    ROW("truncated-body", N7, "STREAM-END-PRESENT", .custom = truncate_body),
    ROW("truncated-vmdesc", N7, "STREAM-END-PRESENT", .custom = truncate_vmdesc),
    ROW("eof-dropped", N7, "STREAM-END-PRESENT", .custom = drop_eof),
    ROW("trailing-byte", N7, "STREAM-TRAILING-NONE", PLACE(REC(VMDESC)), .end = true, .hex = "00"),
    ROW("trailing-stream", P7, "STREAM-TRAILING-NONE", PLACE(REC(VMDESC)), .end = true,
        .hex = "'QEVM' 00000003"),
    /* sections */
    ROW("section-idstr-empty", N7, "SECTION-IDSTR-PRESENT", PLACE(OF(SECTION, "timer")), .delta = 5,
        .cut = 6, .hex = "00"),
    ROW("part-id-unknown", N7, "SECTION-ID-STARTED", PLACE(RAM(PART)), .delta = 1, .cut = 4,
        .hex = "00000063"),
    ROW("part-id-0", N7, "SECTION-ID-STARTED", PLACE(RAM(PART)), .delta = 1, .cut = 4,
        .hex = "00000000"),
    ROW("start-dropped", N7, "SECTION-ID-STARTED", .custom = drop_start),
    ROW("footer-dropped", N7, "SECTION-FOOTER-PRESENT", PLACE(IN(FOOTER, 0, PART)), .cut = 5,
        .hex = ""),
    ROW("footer-dropped-device", P7, "SECTION-FOOTER-PRESENT", PLACE(OF(FOOTER, "cpu")), .cut = 5,
        .hex = ""),
    ROW("footer-mark", N7, "SECTION-FOOTER-PRESENT", PLACE(IN(FOOTER, 0, PART)), .cut = 1,
        .hex = "7f"),
    ROW("footer-id", N7, "SECTION-FOOTER-ID", PLACE(IN(FOOTER, 0, PART)), .delta = 1, .cut = 4,
        .hex = "00000001"),
    ROW("footer-id-device", P7, "SECTION-FOOTER-ID", PLACE(OF(FOOTER, "cpu")), .delta = 1, .cut = 4,
        .hex = "00000077"),
    ROW("start-twice", N7, "SECTION-START-ONCE", .custom = copy_start, .also = "RAM-LIST-ONCE"),
    ROW("section-id-shared", P7, "SECTION-ID-UNIQUE", .custom = share_id),
    ROW("start-late", N7, "SECTION-START-FIRST",
        BEFORE_END("01 00000063 0c 'dirty-bitmap' 00000000 00000001 01 7e 00000063"
                   "03 00000063 01 7e 00000063")),
    ROW("part-after-end", N7, "SECTION-PART-LIVE", PLACE(IN(FOOTER, 0, END)), .end = true,
        .hex = "02 00000002 0000000000000010 7e 00000002"),
    ROW("end-twice", N7, "SECTION-END-ONCE", .custom = copy_end),
    ROW("end-dropped", N10, "SECTION-END-PRESENT", .custom = drop_end, .at_end = true),
    ROW("full-twice", N7, "SECTION-FULL-ONCE", .custom = copy_timer,
        .also = "VMDESC-DEVICES-AGREE"),
    ROW("full-early", N7, "SECTION-FULL-LAST", .custom = early_timer),
    ROW("full-first", N7, "SECTION-FULL-LAST", .custom = first_timer),
    ROW("ram-as-full", N7, "SECTION-KIND-ITERABLE", PLACE(IN(FOOTER, 0, END)), .end = true,
        .hex = "04 00000063 03 'ram' 00000000 00000004 0000000000000010 7e 00000063",
        .also = "VMDESC-DEVICES-AGREE"),
    ROW("ram-dropped", N7, "SECTION-RAM-PRESENT", .custom = drop_ram, .at_end = true),
    ROW("ram-instance", N7, "SECTION-RAM-INSTANCE", PLACE(RAM(START)), .delta = 9, .cut = 4,
        .hex = "00000001"),
    /* commands */
    ROW("command-0", N7, "COMMAND-NUMBER-KNOWN", BEFORE_END("08 0000 0000"), .expect = 1),
    ROW("command-12", N7, "COMMAND-NUMBER-KNOWN", BEFORE_END("08 000c 0000"), .expect = 1),
    ROW("command-length", N10, "COMMAND-LENGTH-FIXED", PLACE(REC(COMMAND)), .delta = 3, .cut = 2,
        .hex = "0001 00"),
    ROW("command-ping-length", N7, "COMMAND-LENGTH-FIXED",
        BEHIND_CONFIG("08 0001 0000 08 0002 0003 000001"), .expect = 8),
    ROW("return-twice", N7, "COMMAND-RETURN-ONCE", BEHIND_CONFIG("08 0001 0000 08 0001 0000"),
        .expect = 5),
    ROW("ping-alone", N7, "COMMAND-PING-RETURN", BEHIND_CONFIG("08 0002 0004 00000001")),
    ROW("ping-value", N7, "COMMAND-PING-VALUE", BEHIND_CONFIG("08 0001 0000 08 0002 0004 00000007"),
        .expect = 10, .profile = MIG_PROFILE_CANONICAL),
    ROW("return-late", N7, "COMMAND-SETUP-FIRST", BEFORE_END("08 0001 0000")),
    ROW("switchover-dropped", P10, "COMMAND-SWITCHOVER-PRESENT", PLACE(REC(COMMAND)), .cut = 5,
        .hex = "", .at_end = true),
    ROW("switchover-in-7.2", P7, "COMMAND-SWITCHOVER-ABSENT", BEFORE_END("08 000b 0000")),
    ROW("switchover-twice", N10, "COMMAND-SWITCHOVER-ONCE", BEFORE_END("08 000b 0000")),
    ROW("switchover-early", N10, "COMMAND-SWITCHOVER-ORDER", .custom = early_switchover),
    ROW("switchover-late", N10, "COMMAND-SWITCHOVER-ORDER", .custom = late_switchover),
    ROW("colo-late", N7, "COMMAND-COLO-ORDER", BEFORE_END("08 0008 0000")),
    ROW("resume-in-precopy", N7, "COMMAND-RECOVERY-ONLY", BEFORE_END("08 0009 0000")),
    ROW("recv-bitmap-in-precopy", N7, "COMMAND-RECOVERY-ONLY", BEFORE_END("08 000a 0004 03 'ram'")),
    ROW("advise-twice", N7, "POSTCOPY-ADVISE-ONCE", BEHIND_CONFIG(ADVISE_HEX ADVISE_HEX),
        .expect = 21),
    ROW("advise-target-size", N7, "POSTCOPY-ADVISE-SIZES",
        BEHIND_CONFIG("08 0003 0010 0000000000001000 0000000000002000"), .expect = 13),
    ROW("advise-summary", N7, "POSTCOPY-ADVISE-SIZES",
        BEHIND_CONFIG("08 0003 0010 0000000000000000 0000000000001000"), .expect = 5),
    ROW("listen-unadvised", N7, "POSTCOPY-COMMAND-ORDER", BEFORE_END("08 0004 0000"),
        .also = "VMDESC-SECTION-ABSENT"),
    ROW("discard-unadvised", N7, "POSTCOPY-COMMAND-ORDER",
        BEFORE_END("08 0006 0016 00 03 'ram' 00 0000000000000000 0000000000001000")),
    ROW("run-alone", N7, "POSTCOPY-COMMAND-ORDER", BEFORE_END("08 0005 0000")),
    ROW("discard-version", N7, "COMMAND-PAYLOAD-VALID",
        BEFORE_END("08 0006 0016 01 03 'ram' 00 0000000000000000 0000000000001000"), .expect = 5),
    ROW("discard-nul", N7, "COMMAND-PAYLOAD-VALID",
        BEFORE_END("08 0006 0016 00 03 'ram' 78 0000000000000000 0000000000001000"), .expect = 10),
    ROW("package-short", N7, "COMMAND-PACKAGE-WHOLE", BEFORE_END("08 0007 0004 00000003 08 0004"),
        .expect = 12),
    ROW("package-nested", N7, "COMMAND-PACKAGE-NESTED",
        BEFORE_END("08 0007 0004 00000009 08 0007 0004 00000000"), .expect = 9),
    /* block list */
    ROW("ram-version-3", N7, "RAM-SECTION-VERSION", PLACE(RAM(START)), .delta = 13, .cut = 4,
        .hex = "00000003"),
    ROW("ram-version-5", N7, "RAM-SECTION-VERSION", PLACE(RAM(START)), .delta = 13, .cut = 4,
        .hex = "00000005"),
    ROW("list-dropped", N7, "RAM-LIST-FIRST", .custom = drop_list),
    ROW("list-in-part", N7, "RAM-LIST-FIRST", .custom = list_in_part, .also = "RAM-LIST-ONCE"),
    ROW("list-twice", N7, "RAM-LIST-ONCE", .custom = list_twice, .also = "RAM-LIST-FIRST"),
    ROW("list-total-small", P7, "RAM-LIST-TOTAL", .custom = small_total),
    ROW("list-empty", N7, "RAM-LIST-NONEMPTY", PLACE(IN(RAM_EOS, 0, START)),
        .hex = "0000000000000004", .also = "RAM-LIST-FIRST RAM-LIST-ONCE"),
    ROW("block-length-huge", N7, "RAM-BLOCK-LENGTH", PLACE(REC(RAM_BLOCK)), .delta = 3, .cut = 8,
        .hex = "7ffffffffffff000"),
    ROW("block-twice", N7, "RAM-BLOCK-UNIQUE", .custom = block_twice),
    ROW("block-unaligned", P7, "RAM-BLOCK-ALIGNED", .custom = unaligned),
    ROW("block-name-empty", N7, "RAM-BLOCK-KNOWN", PLACE(REC(RAM_BLOCK)), .cut = 3, .hex = "00"),
    /* RAM records */
    ROW("ram-flags-0", N7, "RAM-RECORD-FLAGS", PLACE(NTH(RAM_ZERO, 5)), .delta = 7, .cut = 1,
        .hex = "00", .expect = -7),
    ROW("ram-flags-full", N7, "RAM-RECORD-FLAGS", PLACE(NTH(RAM_ZERO, 5)), .delta = 7, .cut = 1,
        .hex = "21", .expect = -7),
    ROW("ram-flags-two", N7, "RAM-RECORD-FLAGS", PLACE(NTH(RAM_ZERO, 5)), .delta = 7, .cut = 1,
        .hex = "2a", .expect = -7),
    ROW("ram-flags-400", N7, "RAM-RECORD-FLAGS", PLACE(NTH(RAM_ZERO, 5)), .delta = 6, .cut = 1,
        .hex = "54", .expect = -6),
    ROW("eos-dropped", N7, "RAM-BODY-EOS", PLACE(IN(RAM_EOS, 0, PART)), .cut = 8, .hex = ""),
    ROW("eos-offset", N7, "RAM-EOS-CLEAN", PLACE(IN(RAM_EOS, 0, PART)), .delta = 5, .cut = 1,
        .hex = "10", .expect = -5),
    ROW("eos-continue", N7, "RAM-EOS-CLEAN", PLACE(IN(RAM_EOS, 0, PART)), .delta = 7, .cut = 1,
        .hex = "30", .expect = -7),
    ROW("flush-offset", N10, "RAM-FLUSH-CLEAN", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000100200"),
    ROW("flush-in-7.2", P7, "RAM-FLUSH-ERA", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000200"),
    ROW("hook", N7, "RAM-HOOK-ABSENT", PLACE(IN(RAM_EOS, 0, PART)), .hex = "0000000000000080"),
    ROW("continue-first", N7, "RAM-CONTINUE-BLOCK", PLACE(IN(RAM_PAGE, 0, PART)), .delta = 7,
        .cut = 4, .hex = "28", .expect = -7),
    ROW("continue-cleared", N7, "RAM-CONTINUE-CANONICAL", PLACE(NTH(RAM_ZERO, 5)), .delta = 7,
        .cut = 1, .hex = "02 02 'm0'", .expect = -7, .profile = MIG_PROFILE_CANONICAL),
    ROW("page-block-unknown", N7, "RAM-BLOCK-KNOWN", PLACE(IN(RAM_PAGE, 0, PART)), .delta = 9,
        .cut = 1, .hex = "'x'", .expect = -1),
    ROW("page-block-empty", N7, "RAM-BLOCK-KNOWN", PLACE(IN(RAM_PAGE, 0, PART)), .delta = 8,
        .cut = 3, .hex = "00"),
    ROW("page-offset-end", N7, "RAM-OFFSET-BOUNDED", .custom = offset_end),
    ROW("page-offset-huge", N7, "RAM-OFFSET-BOUNDED", PLACE(NTH(RAM_ZERO, 5)), .cut = 1,
        .hex = "7f"),
    ROW("zero-fill", N7, "RAM-ZERO-FILL", PLACE(NTH(RAM_ZERO, 5)), .delta = 8, .cut = 1,
        .hex = "aa"),
    ROW("page-in-start", N7, "RAM-START-PAGELESS", PLACE(IN(RAM_EOS, 0, START)),
        .hex = "0000000000000002 02 'm0' 00"),
    ROW("zero-page-dropped", N7, "RAM-PAGE-COVERAGE", PLACE(NTH(RAM_ZERO, 5)), .cut = 9, .hex = "",
        .at_end = true),
    ROW("page-dropped", N7, "RAM-PAGE-COVERAGE", .custom = drop_page, .at_end = true),
    ROW("xbzrle-encoding", X7, "RAM-XBZRLE-HEADER", PLACE(REC(RAM_XBZRLE)), .delta = 8, .cut = 1,
        .hex = "02"),
    ROW("xbzrle-length", X7, "RAM-XBZRLE-HEADER", PLACE(NTH(RAM_XBZRLE, 1)), .delta = 9, .cut = 2,
        .hex = "1001"),
    ROW("xbzrle-run", X7, "RAM-XBZRLE-DELTA", PLACE(NTH(RAM_XBZRLE, 1)), .delta = 11, .cut = 2,
        .hex = "ffff"),
    ROW("xbzrle-empty", X7, "RAM-XBZRLE-CANONICAL", .custom = empty_delta),
    ROW("xbzrle-wide", N7, "RAM-XBZRLE-CANONICAL", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000060 01 0004 85000141", .expect = 11),
    ROW("xbzrle-base", N7, "RAM-XBZRLE-BASE", PLACE(RAM(PART)), .delta = 5,
        .hex = "0000000000000040 02 'm0' 01 0003 000141"),
    ROW("compress-length", N7, "RAM-COMPRESS-LENGTH", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000120 00000000", .expect = 8),
    ROW("compress-data", N7, "RAM-COMPRESS-INFLATE", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000120 00000004 'junk'", .expect = 12),
    ROW("compress-short", N7, "RAM-COMPRESS-INFLATE", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000120 0000000d 789c2bcec82f2a010006890231", .expect = 12),
    ROW("compress-named", N7, "RAM-COMPRESS-CONTINUE", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000100 02 'm0' " ZLIB_PAGE),
    ROW("compress-in-10.0", P10, "RAM-COMPRESS-ERA", PLACE(IN(RAM_EOS, 0, PART)),
        .hex = "0000000000000120 " ZLIB_PAGE),
    /* devices */
    ROW("globalstate-dropped", N7, "DEVICE-GLOBALSTATE-PRESENT", .custom = drop_globalstate,
        .at_end = true, .also = "VMDESC-DEVICES-AGREE"),
    ROW("globalstate-early", N7, "DEVICE-GLOBALSTATE-LAST", .custom = early_globalstate,
        .also = "VMDESC-DEVICES-AGREE"),
    ROW("globalstate-version", N7, "DEVICE-GLOBALSTATE-VERSION", PLACE(OF(SECTION, "globalstate")),
        .delta = 21, .cut = 4, .hex = "00000002"),
    ROW("globalstate-length", N7, "DEVICE-GLOBALSTATE-LENGTH", PLACE(OF(BODY, "globalstate")),
        .hex = "00", .also = "VMDESC-SIZES-AGREE"),
    ROW("globalstate-name", N7, "DEVICE-GLOBALSTATE-NAME", PLACE(OF(BODY, "globalstate")),
        .delta = 4, .cut = 1, .hex = "'X'"),
    ROW("globalstate-size", N7, "DEVICE-GLOBALSTATE-SIZE", PLACE(OF(BODY, "globalstate")), .cut = 4,
        .hex = "00000032"),
    ROW("globalstate-fill", N7, "DEVICE-GLOBALSTATE-FILL", PLACE(OF(BODY, "globalstate")),
        .delta = 103, .cut = 1, .hex = "01", .profile = MIG_PROFILE_CANONICAL),
    /* description */
    ROW("vmdesc-dropped", N7, "VMDESC-SECTION-PRESENT", .custom = drop_vmdesc),
    ROW("vmdesc-length-huge", N7, "VMDESC-LENGTH-SANE", PLACE(REC(VMDESC)), .delta = 1, .cut = 4,
        .hex = "ffffffff"),
    ROW("vmdesc-garbled", N7, "VMDESC-TEXT-VALID", PLACE(REC(VMDESC)), .delta = 5, .cut = 1,
        .hex = "'x'"),
    ROW("vmdesc-short", N7, "VMDESC-TEXT-VALID", PLACE(REC(VMDESC)), .end = true, .delta = -1,
        .cut = 1, .hex = "' '", .expect = 1),
    ROW("vmdesc-page-size", N7, "VMDESC-PAGESIZE-AGREES", .custom = vmdesc_page_size),
    ROW("vmdesc-device-renamed", N7, "VMDESC-DEVICES-AGREE", .custom = vmdesc_device),
    ROW("body-grown", P7, "VMDESC-SIZES-AGREE", PLACE(OF(BODY, "cpu")), .hex = "00"),
    ROW("vmdesc-in-postcopy", N7, "VMDESC-SECTION-ABSENT", BEFORE_END("08 0004 0000"),
        .also = "POSTCOPY-COMMAND-ORDER", .at_end = true),
    ROW("globalstate-nul", N7, "DEVICE-GLOBALSTATE-NAME", PLACE(OF(BODY, "globalstate")),
        .delta = 13, .cut = 1, .hex = "'x'", .expect = -9),
    ROW("xbzrle-in-postcopy", N7, "RAM-POSTCOPY-RECORDS", PLACE(IN(RAM_EOS, 0, END)),
        .custom = postcopy_delta, .also = "POSTCOPY-COMMAND-ORDER VMDESC-SECTION-ABSENT"),
    { .name = NULL },
};
