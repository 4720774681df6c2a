/* SPDX-License-Identifier: Apache-2.0 */
/* The mutators. tests/unit/test-mutate.c tries all of them on recorded streams. */
#include <stddef.h>

#include "conformance/mutate/make.h"

#define OP(symbol) (1u << MIG_OP_##symbol)
#define STEP       (OP(PLUS) | OP(MINUS) | OP(FLIP))
#define ANY        (OP(ZERO) | STEP | OP(MAX))

#define FIELD(name_, type_, member, ops_, rule_, ...)                                             \
    {                                                                                             \
        .name = name_, .type = MIG_REC_##type_, .ops = (ops_), .at = offsetof(MigRecord, member), \
        .size = sizeof(((MigRecord *)NULL)->member), .rule = rule_, __VA_ARGS__                   \
    }
#define MAKE(name_, type_, make_, rule_, ...)                                              \
    {                                                                                      \
        .name = name_, .type = MIG_REC_##type_, .ops = OP(MAKE), .make = mig_make_##make_, \
        .rule = rule_, __VA_ARGS__                                                         \
    }
/* A record in front of a record. */
#define INSERT(name_, type_, record_, rule_, ...)                                      \
    {                                                                                  \
        .name = name_, .type = MIG_REC_##type_, .ops = OP(INSERT), .insert = &record_, \
        .rule = rule_, __VA_ARGS__                                                     \
    }
#define WHERE(f) .applies = mig_applies_##f
#define RAM      .idstr = "ram"
#define IN(k)    .kind = MIG_ITEM_##k

#define COMMAND(name, ...) \
    static const MigRecord name = { .type = MIG_REC_COMMAND, .command = { __VA_ARGS__ } }

COMMAND(command_0, .number = 0);
COMMAND(command_12, .number = 12);
COMMAND(command_ping, .number = MIG_CMD_PING, .length = 4, .ping = 1);
COMMAND(command_open, .number = MIG_CMD_OPEN_RETURN_PATH);
COMMAND(command_listen, .number = MIG_CMD_POSTCOPY_LISTEN);
COMMAND(command_run, .number = MIG_CMD_POSTCOPY_RUN);
COMMAND(command_resume, .number = MIG_CMD_POSTCOPY_RESUME);
COMMAND(command_colo, .number = MIG_CMD_ENABLE_COLO);
COMMAND(command_switchover, .number = MIG_CMD_SWITCHOVER_START);
COMMAND(command_advise, .number = MIG_CMD_POSTCOPY_ADVISE, .length = 16, .advise = { 4096, 8192 });
COMMAND(command_package, .number = MIG_CMD_PACKAGED, .length = 4, .package_length = 1);

static const MigRecord ram_hook = { .type = MIG_REC_RAM_HOOK };
static const MigRecord ram_flush = { .type = MIG_REC_RAM_FLUSH };
static const MigRecord ram_flush_offset = { .type = MIG_REC_RAM_FLUSH, .ram.offset = 0x100000 };
static const MigRecord mem_size_0 = { .type = MIG_REC_RAM_MEM_SIZE };
static const MigRecord configuration = { .type = MIG_REC_CONFIG, .config.machine = { "none", 4 } };
static const MigRecord page_bits = { .type = MIG_REC_CONFIG_PAGE_BITS,
                                     .page_bits = { .version = 1, .bits = 99 } };
static const MigRecord uuid_2 = { .type = MIG_REC_CONFIG_UUID, .uuid.version = 2 };
static const MigStr unknown_capability[] = { { "x-none", 6 } };
static const MigStr other_capability[] = { { "xbzrle", 6 } };
static const MigRecord capability_unknown = { .type = MIG_REC_CONFIG_CAPABILITIES,
                                              .capabilities = { 1, 1, unknown_capability } };
static const MigRecord capability_other = { .type = MIG_REC_CONFIG_CAPABILITIES,
                                            .capabilities = { 1, 1, other_capability } };
static const MigRecord footer_alone = { .type = MIG_REC_FOOTER, .footer.id = 2 };

const MigMutator mig_mutators[] = {
    /* header and configuration */
    FIELD("header.magic", HEADER, header.magic, ANY, "HEADER-MAGIC-QEVM"),
    FIELD("header.version", HEADER, header.version, ANY, "HEADER-VERSION-CURRENT"),
    MAKE("header.drop", HEADER, drop_record, "HEADER-MAGIC-QEVM"),
    MAKE("config.drop", CONFIG, drop_record, "CONFIG-SECTION-PRESENT", WHERE(plain_config)),
    MAKE("config.name-nul", CONFIG, nul_name, "CONFIG-NAME-CANONICAL"),
    MAKE("config.name-empty", CONFIG, empty_name, "CONFIG-NAME-CANONICAL"),
    MAKE("config.length", CONFIG, config_length, "CONFIG-NAME-LENGTH"),
    MAKE("config.unknown", SECTION, config_unknown, "CONFIG-SUBSECTION-KNOWN", RAM, IN(START),
         WHERE(precopy)),
    INSERT("config.late", SECTION, configuration, "CONFIG-SECTION-ONCE", RAM, IN(END)),
    INSERT("config.repeat", SECTION, configuration, "CONFIG-SECTION-ONCE", RAM, IN(START),
           WHERE(precopy)),
    INSERT("config.page-bits", SECTION, page_bits, "CONFIG-PAGEBITS-RANGE", RAM, IN(START),
           WHERE(precopy)),
    INSERT("config.uuid-version", SECTION, uuid_2, "CONFIG-SUBSECTION-VERSION", RAM, IN(START),
           WHERE(precopy)),
    INSERT("config.capability-unknown", SECTION, capability_unknown, "CONFIG-CAPABILITY-KNOWN", RAM,
           IN(START), WHERE(precopy)),
    INSERT("config.capability-other", SECTION, capability_other, "CONFIG-CAPABILITY-VALIDATED", RAM,
           IN(START), WHERE(precopy)),
    /* framing */
    INSERT("footer.alone", SECTION, footer_alone, "STREAM-ITEM-TYPE", RAM, IN(END)),
    MAKE("stream.cut-record", RAM_PAGE, truncate_inside, "STREAM-END-PRESENT"),
    MAKE("stream.cut-zero", RAM_ZERO, truncate_before, "STREAM-END-PRESENT"),
    MAKE("stream.cut-section", SECTION, truncate_inside, "STREAM-END-PRESENT", RAM),
    MAKE("stream.cut-eof", END_OF_STREAM, truncate_before, "STREAM-END-PRESENT"),
    MAKE("stream.cut-vmdesc", VMDESC, truncate_inside, "STREAM-END-PRESENT"),
    MAKE("stream.trail", END_OF_STREAM, trail, "STREAM-TRAILING-NONE", WHERE(vmdesc)),
    /* sections */
    FIELD("section.part-id", SECTION, section.id, ANY, "SECTION-ID-STARTED", RAM, IN(PART),
          WHERE(unstarted_id)),
    FIELD("section.end-id", SECTION, section.id, ANY, "SECTION-ID-STARTED", RAM, IN(END),
          WHERE(unstarted_id)),
    FIELD("section.start-id", SECTION, section.id, ANY, "SECTION-FOOTER-ID", RAM, IN(START),
          WHERE(footers)),
    FIELD("footer.id", FOOTER, footer.id, ANY, "SECTION-FOOTER-ID", RAM),
    FIELD("footer.device-id", FOOTER, footer.id, ANY, "SECTION-FOOTER-ID", .idstr = "globalstate"),
    MAKE("footer.drop", FOOTER, drop_record, "SECTION-FOOTER-PRESENT", RAM),
    MAKE("section.name-empty", SECTION, empty_name, "SECTION-IDSTR-PRESENT", IN(FULL)),
    FIELD("section.ram-instance", SECTION, section.instance, ANY, "SECTION-RAM-INSTANCE", RAM,
          IN(START)),
    FIELD("section.ram-version", SECTION, section.version, ANY, "RAM-SECTION-VERSION", RAM,
          IN(START)),
    MAKE("section.drop-start", SECTION, drop_section, "SECTION-ID-STARTED", RAM, IN(START)),
    MAKE("section.ram-as-full", SECTION, as_full, "SECTION-KIND-ITERABLE", RAM, IN(START)),
    MAKE("section.drop-ram", SECTION, drop_ram, "SECTION-RAM-PRESENT", RAM, IN(START),
         WHERE(precopy)),
    MAKE("section.drop-part", SECTION, drop_section, "RAM-PAGE-COVERAGE", RAM, IN(PART),
         WHERE(pages_once)),
    MAKE("section.drop-end", SECTION, drop_section, "SECTION-END-PRESENT", RAM, IN(END),
         WHERE(switchover)),
    MAKE("section.drop-device", SECTION, drop_section, "VMDESC-DEVICES-AGREE", IN(FULL),
         WHERE(plain_device)),
    MAKE("section.drop-globalstate", SECTION, drop_section, "DEVICE-GLOBALSTATE-PRESENT", IN(FULL),
         .idstr = "globalstate"),
    MAKE("section.repeat-start", SECTION, repeat_section, "SECTION-START-ONCE", RAM, IN(START)),
    MAKE("section.repeat-part", SECTION, repeat_section, NULL, RAM, IN(PART), WHERE(no_delta)),
    MAKE("section.repeat-end", SECTION, repeat_section, "SECTION-END-ONCE", RAM, IN(END)),
    MAKE("section.repeat-device", SECTION, repeat_section, "SECTION-FULL-ONCE", IN(FULL),
         WHERE(plain_device)),
    MAKE("section.part-behind-end", SECTION, move_behind_end, "SECTION-PART-LIVE", RAM, IN(PART),
         WHERE(part_behind)),
    MAKE("section.device-first", SECTION, move_before_ram, "SECTION-FULL-LAST", IN(FULL),
         WHERE(plain_device)),
    MAKE("section.swap-devices", SECTION, swap_sections, "VMDESC-DEVICES-AGREE", IN(FULL),
         WHERE(swap_devices)),
    MAKE("section.swap-globalstate", SECTION, swap_sections, "DEVICE-GLOBALSTATE-LAST", IN(FULL),
         WHERE(before_globalstate)),
    MAKE("section.split-zero", RAM_ZERO, split_part, NULL, RAM, IN(PART)),
    MAKE("section.split-page", RAM_PAGE, split_part, NULL, RAM, IN(PART)),
    /* commands */
    FIELD("command.number", COMMAND, command.number, OP(ZERO) | OP(PLUS) | OP(MAX),
          "COMMAND-NUMBER-KNOWN", WHERE(precopy)),
    INSERT("command.0", SECTION, command_0, "COMMAND-NUMBER-KNOWN", RAM, IN(PART)),
    INSERT("command.12", SECTION, command_12, "COMMAND-NUMBER-KNOWN", RAM, IN(END)),
    INSERT("command.ping-alone", SECTION, command_ping, "COMMAND-PING-RETURN", RAM, IN(START),
           WHERE(precopy)),
    INSERT("command.open-late", SECTION, command_open, "COMMAND-SETUP-FIRST", RAM, IN(PART)),
    INSERT("command.listen-alone", SECTION, command_listen, "POSTCOPY-COMMAND-ORDER", RAM, IN(END),
           WHERE(precopy)),
    INSERT("command.run-alone", SECTION, command_run, "POSTCOPY-COMMAND-ORDER", RAM, IN(END),
           WHERE(precopy)),
    INSERT("command.resume", SECTION, command_resume, "COMMAND-RECOVERY-ONLY", RAM, IN(END)),
    INSERT("command.colo-late", SECTION, command_colo, "COMMAND-COLO-ORDER", RAM, IN(END)),
    INSERT("command.advise-sizes", SECTION, command_advise, "POSTCOPY-ADVISE-SIZES", RAM, IN(START),
           WHERE(precopy)),
    INSERT("command.package-short", SECTION, command_package, "COMMAND-PACKAGE-WHOLE", RAM,
           IN(END)),
    MAKE("command.length", SECTION, command_length, "COMMAND-LENGTH-FIXED", RAM, IN(END)),
    MAKE("command.package-nested", SECTION, package_nested, "COMMAND-PACKAGE-NESTED", RAM, IN(END)),
    INSERT("command.switchover-in-old", SECTION, command_switchover, "COMMAND-SWITCHOVER-ABSENT",
           RAM, IN(END), WHERE(until_9_2)),
    MAKE("command.switchover-drop", COMMAND, drop_record, "COMMAND-SWITCHOVER-PRESENT",
         WHERE(since_10)),
    MAKE("command.switchover-repeat", COMMAND, repeat_record, "COMMAND-SWITCHOVER-ONCE",
         WHERE(precopy)),
    /* the block list */
    FIELD("list.total-small", RAM_MEM_SIZE, ram.offset, OP(MINUS), "RAM-LIST-TOTAL", .pages = true,
          WHERE(total)),
    FIELD("list.length-big", RAM_BLOCK, block.used_length, OP(PLUS) | OP(FLIP), "RAM-LIST-TOTAL",
          .pages = true, WHERE(length)),
    FIELD("list.length-huge", RAM_BLOCK, block.used_length, OP(MAX), "RAM-BLOCK-LENGTH",
          .pages = true),
    MAKE("list.block-renamed", RAM_BLOCK, flip_name, "RAM-BLOCK-KNOWN", WHERE(one_block)),
    INSERT("list.empty", RAM_EOS, mem_size_0, "RAM-LIST-NONEMPTY", RAM, IN(START)),
    MAKE("list.page-behind", RAM_EOS, page_in_start, "RAM-START-PAGELESS", RAM, IN(START)),
    FIELD("mapped.version-0", RAM_BLOCK, block.mapped.version, OP(ZERO), "MAPPED-VERSION-CURRENT",
          WHERE(mapped)),
    MAKE("mapped.tail", RAM_MEM_SIZE, mapped_tail, "MAPPED-BITMAP-TAIL", WHERE(mapped_tail),
         .profile = MIG_PROFILE_CANONICAL),
    FIELD("mapped.version", RAM_BLOCK, block.mapped.version, OP(PLUS) | OP(MAX),
          "RAM-MAPPED-HEADER", WHERE(mapped)),
    FIELD("mapped.page-size", RAM_BLOCK, block.mapped.page_size, ANY, "RAM-MAPPED-HEADER",
          WHERE(mapped)),
    /* other iterables */
    FIELD("block.flags", BLOCK, disk.flags, OP(MAX), "SECTION-ITERABLE-RECORD"),
    /* RAM records */
    FIELD("page.offset-max", RAM_PAGE, ram.offset, OP(MAX), "RAM-OFFSET-BOUNDED", .pages = true),
    FIELD("page.zero-offset", RAM_ZERO, ram.offset, OP(MAX) | OP(FLIP), "RAM-OFFSET-BOUNDED",
          .pages = true, WHERE(beyond_block)),
    FIELD("page.moved", RAM_ZERO, ram.offset, STEP | OP(ZERO), "RAM-PAGE-COVERAGE", .pages = true,
          WHERE(moved_page)),
    FIELD("page.data-moved", RAM_PAGE, ram.offset, STEP | OP(ZERO), "RAM-PAGE-COVERAGE",
          .pages = true, WHERE(moved_page)),
    FIELD("page.fill", RAM_ZERO, ram.fill, OP(PLUS) | OP(MAX) | OP(FLIP), "RAM-ZERO-FILL"),
    MAKE("page.continue-first", RAM_ZERO, name_block, "RAM-CONTINUE-BLOCK", WHERE(named)),
    MAKE("page.data-continue-first", RAM_PAGE, name_block, "RAM-CONTINUE-BLOCK", WHERE(named)),
    MAKE("page.named", RAM_ZERO, name_block, "RAM-CONTINUE-CANONICAL", WHERE(continued),
         .profile = MIG_PROFILE_CANONICAL),
    MAKE("page.named-accepted", RAM_PAGE, name_block, NULL, WHERE(continued)),
    MAKE("page.drop", RAM_ZERO, drop_record, "RAM-PAGE-COVERAGE", WHERE(once)),
    MAKE("page.data-drop", RAM_PAGE, drop_record, "RAM-PAGE-COVERAGE", WHERE(once)),
    MAKE("page.repeat", RAM_ZERO, repeat_record, NULL, WHERE(continued)),
    MAKE("page.data-repeat", RAM_PAGE, repeat_record, NULL, WHERE(continued)),
    MAKE("page.swap", RAM_ZERO, swap_records, NULL, WHERE(swap)),
    MAKE("page.data-swap", RAM_PAGE, swap_records, NULL, WHERE(swap)),
    MAKE("page.spelled-out", RAM_ZERO, spell_out_zero, NULL),
    MAKE("page.data-flip", RAM_PAGE, flip_payload, NULL),
    MAKE("page.flags", RAM_ZERO, bad_flags, "RAM-RECORD-FLAGS"),
    MAKE("eos.drop", RAM_EOS, drop_record, "RAM-BODY-EOS", RAM, WHERE(footers)),
    FIELD("eos.offset", RAM_EOS, ram.offset, OP(PLUS) | OP(MAX) | OP(FLIP), "RAM-EOS-CLEAN",
          .pages = true, RAM),
    INSERT("ram.hook", RAM_EOS, ram_hook, "RAM-HOOK-ABSENT", RAM, IN(PART)),
    INSERT("ram.flush-in-old", RAM_EOS, ram_flush, "RAM-FLUSH-ERA", RAM, IN(PART),
           WHERE(until_9_2)),
    INSERT("ram.flush-offset", RAM_EOS, ram_flush_offset, "RAM-FLUSH-CLEAN", RAM, IN(PART)),
    FIELD("xbzrle.encoding", RAM_XBZRLE, ram.fill, OP(ZERO) | OP(PLUS) | OP(MAX),
          "RAM-XBZRLE-HEADER"),
    MAKE("xbzrle.length", RAM_XBZRLE, long_delta, "RAM-XBZRLE-HEADER"),
    MAKE("xbzrle.run", RAM_XBZRLE, run_over, "RAM-XBZRLE-DELTA"),
    /* devices and their description */
    FIELD("globalstate.version", SECTION, section.version, ANY, "DEVICE-GLOBALSTATE-VERSION",
          .idstr = "globalstate"),
    MAKE("globalstate.grow", BODY, grow_body, "DEVICE-GLOBALSTATE-LENGTH", .idstr = "globalstate"),
    MAKE("globalstate.size", BODY, first_byte, "DEVICE-GLOBALSTATE-SIZE", .idstr = "globalstate"),
    MAKE("globalstate.fill", BODY, last_byte, "DEVICE-GLOBALSTATE-FILL", .idstr = "globalstate",
         .profile = MIG_PROFILE_CANONICAL),
    MAKE("globalstate.name", BODY, state_name, "DEVICE-GLOBALSTATE-NAME", .idstr = "globalstate"),
    MAKE("body.grow", BODY, grow_body, "VMDESC-SIZES-AGREE", WHERE(described)),
    MAKE("body.grow-known", BODY, grow_body, "SECTION-BODY-LENGTH", .idstr = "cpu_common",
         WHERE(described)),
    MAKE("body.flip", BODY, flip_payload, NULL, WHERE(described)),
    MAKE("vmdesc.drop", VMDESC, truncate_before, "VMDESC-SECTION-PRESENT"),
    MAKE("vmdesc.page-size", VMDESC, vmdesc_page, "VMDESC-PAGESIZE-AGREES"),
    MAKE("vmdesc.struct-size", VMDESC, vmdesc_size, "VMDESC-SIZES-ADD", WHERE(structs),
         .profile = MIG_PROFILE_CANONICAL),
    MAKE("vmdesc.garble", VMDESC, first_byte, "VMDESC-TEXT-VALID"),
    MAKE("vmdesc.short", VMDESC, short_length, "VMDESC-TEXT-VALID"),
    { .name = NULL },
};
