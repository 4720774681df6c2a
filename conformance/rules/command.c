/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: known, well formed, at the time when a source sends them. */
#include "conformance/check.h"

enum {
    NUMBER_KNOWN,
    LENGTH_FIXED,
    PAYLOAD_VALID,
    PACKAGE_WHOLE,
    PACKAGE_NESTED,
    RETURN_ONCE,
    PING_RETURN,
    PING_VALUE,
    SETUP_FIRST,
    SWITCHOVER_PRESENT,
    SWITCHOVER_ABSENT,
    SWITCHOVER_ONCE,
    SWITCHOVER_ORDER,
    COLO_ORDER,
    RECOVERY_ONLY,
    ADVISE_ONCE,
    ADVISE_SIZES,
    POSTCOPY_ORDER,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [NUMBER_KNOWN] = {
        .id = "COMMAND-NUMBER-KNOWN",
        .title = "a command is one of 1 to 11",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "2.1 Table; loadvm_process_command()",
        .since = "2.5",
        .why = "a destination refuses what it doesn't know",
        .killed_by = "command-0 command-12",
    },
    [LENGTH_FIXED] = {
        .id = "COMMAND-LENGTH-FIXED",
        .title = "a command's payload has the length of its kind",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "2.1 Table; loadvm_process_command()",
        .since = "2.5",
        .why = "the destination says \"bad length\" and stops",
        .killed_by = "command-length command-ping-length",
    },
    [PAYLOAD_VALID] = {
        .id = "COMMAND-PAYLOAD-VALID",
        .title = "a command's payload does not contradict itself",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.3 RAM_DISCARD; loadvm_postcopy_ram_handle_discard()",
        .since = "2.5",
        .why = "counts, names and lengths must agree",
        .killed_by = "discard-version discard-nul",
    },
    [PACKAGE_WHOLE] = {
        .id = "COMMAND-PACKAGE-WHOLE",
        .title = "a package holds whole items",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "2.3 PACKAGED; loadvm_handle_cmd_packaged()",
        .since = "2.5",
        .why = "it is read from a buffer of its own, which ends where it ends",
        .killed_by = "package-short",
    },
    [PACKAGE_NESTED] = {
        .id = "COMMAND-PACKAGE-NESTED",
        .title = "a package holds no package",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "2.3 PACKAGED; loadvm_handle_cmd_packaged()",
        .since = "2.5",
        .why = "the inner one would be read from the outer stream",
        .killed_by = "package-nested",
    },
    [RETURN_ONCE] = {
        .id = "COMMAND-RETURN-ONCE",
        .title = "the return path is opened once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_COMPLAINS,
        .source = "2.1 Table; loadvm_process_command()",
        .since = "2.5",
        .why = "a second one is answered with a message",
        .killed_by = "return-twice",
    },
    [PING_RETURN] = {
        .id = "COMMAND-PING-RETURN",
        .title = "a PING comes after OPEN_RETURN_PATH",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "2.1 Table; loadvm_process_command()",
        .since = "2.5",
        .why = "there is no path for the PONG",
        .killed_by = "ping-alone",
    },
    [PING_VALUE] = {
        .id = "COMMAND-PING-VALUE",
        .title = "a PING's value is one that QEMU uses",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "2.2 PING values; qemu_savevm_send_ping()",
        .since = "2.5",
        .why = "the value only comes back; 1, 2, 3, 4 and 0x42 have a place each",
        .killed_by = "ping-value",
    },
    [SETUP_FIRST] = {
        .id = "COMMAND-SETUP-FIRST",
        .title = "OPEN_RETURN_PATH and POSTCOPY_ADVISE come before every section",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; migration_thread()",
        .since = "2.5",
        .why = "the block list has other fields when postcopy was advised",
        .killed_by = "return-late",
    },
    [SWITCHOVER_PRESENT] = {
        .id = "COMMAND-SWITCHOVER-PRESENT",
        .title = "machine types from 10.0 send SWITCHOVER_START",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.10 Era summary; qemu_savevm_maybe_send_switchover_start()",
        .since = "10.0",
        .why = "devices that were waiting for it (VFIO) never learn of the switchover",
        .killed_by = "switchover-dropped",
    },
    [SWITCHOVER_ABSENT] = {
        .id = "COMMAND-SWITCHOVER-ABSENT",
        .title = "machine types until 9.2 send no SWITCHOVER_START",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "1.10 Era summary; qemu_savevm_maybe_send_switchover_start()",
        .until = "9.2",
        .why = "destinations before 10.0 don't know the command and stop",
        .killed_by = "switchover-in-7.2",
    },
    [SWITCHOVER_ONCE] = {
        .id = "COMMAND-SWITCHOVER-ONCE",
        .title = "SWITCHOVER_START is sent once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "2.1 Table; qemu_savevm_maybe_send_switchover_start()",
        .since = "10.0",
        .why = "devices are told twice",
        .killed_by = "switchover-twice",
    },
    [SWITCHOVER_ORDER] = {
        .id = "COMMAND-SWITCHOVER-ORDER",
        .title = "SWITCHOVER_START stands between the last PART and the first END",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; qemu_savevm_maybe_send_switchover_start()",
        .since = "10.0",
        .why = "it announces that the guest has stopped",
        .killed_by = "switchover-early switchover-late",
    },
    [COLO_ORDER] = {
        .id = "COMMAND-COLO-ORDER",
        .title = "ENABLE_COLO comes before every START",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_VARIES,
        .source = "2.1 Table; qemu_savevm_send_colo_enable()",
        .since = "3.1",
        .why = "the destination keeps a copy of memory from the start; 11.1 refuses the command",
        .killed_by = "colo-late",
    },
    [RECOVERY_ONLY] = {
        .id = "COMMAND-RECOVERY-ONLY",
        .title = "POSTCOPY_RESUME and RECV_BITMAP belong to a recovery connection",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_COMPLAINS,
        .source = "7.7 Recovery; loadvm_postcopy_handle_resume()",
        .since = "2.12",
        .why = "outside a recovery they are answered with a message and ignored",
        .killed_by = "resume-in-precopy recv-bitmap-in-precopy",
    },
    [ADVISE_ONCE] = {
        .id = "POSTCOPY-ADVISE-ONCE",
        .title = "postcopy is advised once",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.1 POSTCOPY_ADVISE; loadvm_postcopy_handle_advise()",
        .since = "2.5",
        .why = "a second one finds the destination in a wrong state",
        .killed_by = "advise-twice",
    },
    [ADVISE_SIZES] = {
        .id = "POSTCOPY-ADVISE-SIZES",
        .title = "the advice names page sizes that are powers of two, the target's among them",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.1 POSTCOPY_ADVISE; loadvm_postcopy_handle_advise()",
        .since = "2.5",
        .why = "both ends must place the same pages",
        .killed_by = "advise-target-size advise-summary",
    },
    [POSTCOPY_ORDER] = {
        .id = "POSTCOPY-COMMAND-ORDER",
        .title = "postcopy goes advise, discard, listen, run, the last two in the package",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "7.2 Order on the wire; postcopy_state_set()",
        .since = "2.5",
        .why = "a destination in another state refuses, hangs or (5.2, 7.2) crashes",
        .killed_by = "listen-unadvised discard-unadvised run-alone",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_COMMAND_NUMBER, NUMBER_KNOWN },   { MIG_FAULT_COMMAND_LENGTH, LENGTH_FIXED },
    { MIG_FAULT_COMMAND_PAYLOAD, PAYLOAD_VALID }, { MIG_FAULT_PACKAGE_END, PACKAGE_WHOLE },
    { MIG_FAULT_PACKAGE_NESTED, PACKAGE_NESTED },
};

typedef struct Commands {
    bool opened, sections, starts, running;
    uint32_t switchovers;
    uint64_t switchover_at;
    bool part_behind; /* a PART behind SWITCHOVER_START, already said */
} Commands;

static void on_section(MigCheck *check, Commands *s, const MigRecord *r)
{
    s->sections = true;
    s->starts |= r->section.kind == MIG_ITEM_START;
    if (s->switchovers && r->section.kind == MIG_ITEM_PART && !s->part_behind &&
        !check->facts.discarded && !check->facts.listening) {
        s->part_behind = true;
        mig_check_find(check, &rules[SWITCHOVER_ORDER], s->switchover_at,
                       "SWITCHOVER_START behind the last PART", "it before a PART");
    }
}

static void setup_command(MigCheck *check, Commands *s, const MigRecord *r)
{
    if (s->sections) {
        mig_check_find(check, &rules[SETUP_FIRST], r->offset, "it before every section",
                       "it behind one");
    }
}

static void on_return(MigCheck *check, Commands *s, const MigRecord *r)
{
    if (s->opened) {
        mig_check_find(check, &rules[RETURN_ONCE], r->offset, "one OPEN_RETURN_PATH", "another");
    }
    s->opened = true;
    setup_command(check, s, r);
}

static void on_ping(MigCheck *check, Commands *s, const MigRecord *r)
{
    uint32_t v = r->command.ping;
    if (!s->opened) {
        mig_check_find(check, &rules[PING_RETURN], r->offset, "OPEN_RETURN_PATH before",
                       "no return path");
    }
    if ((v < MIG_PING_SETUP || v > MIG_PING_LISTEN) && v != MIG_PING_LOADED) {
        mig_check_find(check, &rules[PING_VALUE], r->offset + 5, "1, 2, 3, 4 or 66", "%u", v);
    }
}

static bool power_of_two(uint64_t v)
{
    return v && !(v & (v - 1));
}

static void on_advise(MigCheck *check, Commands *s, const MigRecord *r)
{
    const MigRecordCommand *c = &r->command;
    if (check->facts.advised) {
        mig_check_find(check, &rules[ADVISE_ONCE], r->offset, "one POSTCOPY_ADVISE", "another");
    }
    setup_command(check, s, r);
    if (c->length != 16) {
        return;
    }
    if (!power_of_two(c->advise.target_page_size) ||
        c->advise.target_page_size != check->facts.page_size) {
        mig_check_find(check, &rules[ADVISE_SIZES], r->offset + 13, "the target page size",
                       "0x%" G_GINT64_MODIFIER "x", c->advise.target_page_size);
    } else if (c->advise.page_sizes == 0 ||
               c->advise.page_sizes % c->advise.target_page_size != 0) {
        mig_check_find(check, &rules[ADVISE_SIZES], r->offset + 5,
                       "page sizes from the target's upwards", "0x%" G_GINT64_MODIFIER "x",
                       c->advise.page_sizes);
    }
}

static void order(MigCheck *check, const MigRecord *r, bool good, const char *expected,
                  const char *found)
{
    if (!good) {
        mig_check_find(check, &rules[POSTCOPY_ORDER], r->offset, expected, "%s", found);
    }
}

/* Where nothing was dirty, or dirty bitmaps are all there is, no DISCARD comes before it. */
static void on_listen(MigCheck *check, const MigRecord *r)
{
    const MigFacts *facts = &check->facts;

    order(check, r, facts->advised && !facts->listening && r->depth == 1,
          "LISTEN once, in the package, behind ADVISE",
          !facts->advised    ? "it without ADVISE"
          : facts->listening ? "a second one"
                             : "it outside the package");
}

static void on_switchover(MigCheck *check, Commands *s, const MigRecord *r)
{
    MigVersion version = check->facts.machine_version;

    if (check->facts.colo) {
        return; /* 10.0 sends one with each checkpoint */
    }
    if (s->switchovers++) {
        mig_check_find(check, &rules[SWITCHOVER_ONCE], r->offset, "one SWITCHOVER_START",
                       "another");
    }
    s->switchover_at = r->offset;
    if (!check->facts.configured || (version && version < MIG_VERSION_OF(10, 0))) {
        mig_check_find(check, &rules[SWITCHOVER_ABSENT], r->offset,
                       "no SWITCHOVER_START in this machine type", "it");
    }
    if (check->facts.ended) {
        mig_check_find(check, &rules[SWITCHOVER_ORDER], r->offset,
                       "SWITCHOVER_START before the first END", "it behind");
    }
}

static void on_command(MigCheck *check, Commands *s, const MigRecord *r)
{
    const MigFacts *facts = &check->facts;

    switch (r->command.number) {
    case MIG_CMD_OPEN_RETURN_PATH:
        on_return(check, s, r);
        break;
    case MIG_CMD_PING:
        on_ping(check, s, r);
        break;
    case MIG_CMD_POSTCOPY_ADVISE:
        on_advise(check, s, r);
        break;
    case MIG_CMD_POSTCOPY_RAM_DISCARD:
        order(check, r, facts->advised && !facts->listening, "DISCARD between ADVISE and LISTEN",
              facts->advised ? "it behind LISTEN" : "it without ADVISE");
        break;
    case MIG_CMD_POSTCOPY_LISTEN:
        on_listen(check, r);
        break;
    case MIG_CMD_POSTCOPY_RUN:
        order(check, r, facts->listening && !s->running && r->depth == 1,
              "RUN once, in the package, behind LISTEN", s->running ? "a second one" : "it alone");
        s->running = true;
        break;
    case MIG_CMD_ENABLE_COLO:
        if (s->starts) {
            mig_check_find(check, &rules[COLO_ORDER], r->offset, "ENABLE_COLO before every START",
                           "it behind");
        }
        break;
    case MIG_CMD_POSTCOPY_RESUME:
    case MIG_CMD_RECV_BITMAP:
        if (check->kind == MIG_CHANNEL_RECOVERY) {
            break;
        }
        mig_check_find(check, &rules[RECOVERY_ONLY], r->offset, "no such command here", "%s",
                       mig_command_name(r->command.number));
        break;
    case MIG_CMD_SWITCHOVER_START:
        on_switchover(check, s, r);
        break;
    default:
        break;
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    (r->type == MIG_REC_SECTION ? on_section : on_command)(check, state, r);
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Commands *s = state;
    MigVersion version = check->facts.machine_version;

    if (!check->facts.ended) {
        mig_check_not_applicable(check, &rules[SWITCHOVER_PRESENT], "maybe a background snapshot");
    } else if (version >= MIG_VERSION_OF(10, 0) && !s->switchovers) {
        mig_check_find(check, &rules[SWITCHOVER_PRESENT], end, "one SWITCHOVER_START", "none");
    } else if (!version) {
        mig_check_not_applicable(check, &rules[SWITCHOVER_PRESENT],
                                 "the machine type tells no version");
    }
    if (version && version < MIG_VERSION_OF(10, 0)) {
        mig_check_not_applicable(check, &rules[SWITCHOVER_PRESENT], "machine type before 10.0");
    }
    if (version >= MIG_VERSION_OF(10, 0)) {
        mig_check_not_applicable(check, &rules[SWITCHOVER_ABSENT], "machine type from 10.0");
    }
}

const MigRuleGroup mig_rules_command = {
    .layer = "command",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Commands),
    .channels = MIG_ON(MAIN) | MIG_ON(RECOVERY),
    .wanted = MIG_WANT(SECTION) | MIG_WANT(COMMAND),
    .record = record,
    .finish = finish,
};
