/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it what QEMU of a version writes? These rules apply when a writer was named (check->writer):
 * what its release knows and how it spells things. Whatever follows the machine type is in the
 * other groups, which take the writer's version for types that have none in their name.
 */
#include <string.h>

#include "conformance/check.h"
#include "conformance/loader/loader.h"
#include "stream/vmdesc-write.h"

enum { MACHINE_KNOWN, FEATURE_KNOWN, RAM_NUMBER, PACKAGE_PING, VMDESC_STYLE, RULE_COUNT };

#define OF_WRITERS \
    .level = MIG_LEVEL_CANON, .authority = MIG_AUTHORITY_WRITER, .reaction = MIG_REACTION_SILENT

static const MigRule rules[RULE_COUNT] = {
    [MACHINE_KNOWN] = {
        .id = "WRITER-MACHINE-KNOWN",
        .title = "the writer has the machine type",
        OF_WRITERS,
        .source = "12 Version differences; MachineClass",
        .why = "a binary has no types newer than itself, and drops old ones",
    },
    [FEATURE_KNOWN] = {
        .id = "WRITER-FEATURE-KNOWN",
        .title = "the writer knows every command, flag, iterable and channel that it wrote",
        OF_WRITERS,
        .source = "12 Version differences; mig_era_rows",
        .why = "another release wrote it",
    },
    [RAM_NUMBER] = {
        .id = "WRITER-RAM-NUMBER",
        .title = "on machine none, ram has the section id that the writer gives it",
        OF_WRITERS,
        .source = "12 Version differences; register_savevm_live()",
        .why = "until 9.0 block migration is registered before it",
    },
    [PACKAGE_PING] = {
        .id = "WRITER-PACKAGE-PING",
        .title = "the package has PING 0x42 where the writer sends it",
        OF_WRITERS,
        .source = "2.2 PING values; postcopy_start()",
        .why = "from 10.2 on the source waits for its answer",
    },
    [VMDESC_STYLE] = {
        .id = "WRITER-VMDESC-STYLE",
        .title = "the VMDESCRIPTION is spelled as the writer does",
        OF_WRITERS,
        .source = "9.1 Schema; json_writer_str()",
        .why = "its bytes tell the release: blanks until 5.2, a configuration from 8.2 on",
    },
};

typedef struct Writer {
    uint32_t seen; /* kinds of channels */
    bool package, ping;
    uint64_t package_at;
} Writer;

static void unknown(MigCheck *check, const MigRecord *r, const char *what)
{
    mig_check_find(check, &rules[FEATURE_KNOWN], r->offset, "what the writer knows", "%s", what);
}

static void on_config(MigCheck *check, const MigRecord *r)
{
    const char *name = r->config.machine.text;

    if (name && !mig_loader_has_machine(check->writer->binary, name)) {
        mig_check_find(check, &rules[MACHINE_KNOWN], r->offset + 5,
                       "a machine type that the writer has", "\"%s\"", name);
    }
}

static void on_section(MigCheck *check, const MigRecord *r)
{
    const MigRecordSection *s = &r->section;
    const MigEra *era = check->writer;

    if (s->kind != MIG_ITEM_START) {
        return;
    }
    if ((mig_str_equal(s->idstr, mig_str("block")) && !era->block_migration) ||
        (mig_str_equal(s->idstr, mig_str("dirty-bitmap")) && !era->dirty_bitmaps)) {
        unknown(check, r, s->idstr.text);
    }
    if (mig_str_equal(s->idstr, mig_str("ram")) && check->facts.bare &&
        s->id != era->ram_section_id) {
        g_autofree char *expected = g_strdup_printf("id %u", era->ram_section_id);
        mig_check_find(check, &rules[RAM_NUMBER], r->offset + 1, expected, "id %u", s->id);
    }
}

static void on_command(MigCheck *check, Writer *s, const MigRecord *r)
{
    uint16_t n = r->command.number;

    if (n > check->writer->commands || (n == MIG_CMD_ENABLE_COLO && !check->writer->enable_colo)) {
        unknown(check, r, mig_command_name(n) ? mig_command_name(n) : "a command");
    }
    if (n == MIG_CMD_PACKAGED) {
        s->package = true;
        s->package_at = r->offset;
    }
    s->ping |= n == MIG_CMD_PING && r->command.ping == MIG_PING_LOADED;
}

static void on_flag(MigCheck *check, const MigRecord *r, uint32_t flag, const char *what)
{
    if (!(check->writer->ram_flags & flag)) {
        unknown(check, r, what);
    }
}

static void on_channel(MigCheck *check, Writer *s, const MigRecord *r)
{
    if (s->seen & MIG_ON(MAIN) << check->kind) {
        return;
    }
    s->seen |= MIG_ON(MAIN) << check->kind;
    if ((check->kind == MIG_CHANNEL_MULTIFD && !check->writer->multifd) ||
        (check->kind == MIG_CHANNEL_PREEMPT && !check->writer->preempt)) {
        unknown(check, r, mig_recording_channel_name(check->recording, check->channel));
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    if (!check->writer) {
        return;
    }
    on_channel(check, state, r);
    switch (r->type) {
    case MIG_REC_CONFIG:
        on_config(check, r);
        break;
    case MIG_REC_SECTION:
        on_section(check, r);
        break;
    case MIG_REC_COMMAND:
        on_command(check, state, r);
        break;
    case MIG_REC_RAM_COMPRESS:
        on_flag(check, r, MIG_RAM_FLAG_COMPRESS_PAGE, "a COMPRESS_PAGE record");
        break;
    case MIG_REC_RAM_FLUSH:
        on_flag(check, r, MIG_RAM_FLAG_MULTIFD_FLUSH, "a MULTIFD_FLUSH record");
        break;
    case MIG_REC_VMDESC:
        mig_check_want_payload(check);
        break;
    default:
        break;
    }
}

/* Only the first bytes tell blanks, and the first key or the second whether there is a
 * configuration. */
static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    static const char key[] = "\"configuration\"";

    if (!check->writer || r->type != MIG_REC_VMDESC || r->payload < 2) {
        return;
    }
    MigVersion v = check->writer->binary;
    MigVmdescStyle style = mig_vmdesc_style(MIG_VERSION_MAJOR(v), MIG_VERSION_MINOR(v));
    bool spaced = data[1] == ' ';
    bool configuration = memmem(data, MIN(r->payload, 64), key, sizeof(key) - 1) != NULL;

    if (spaced != style.spaced) {
        mig_check_find(check, &rules[VMDESC_STYLE], r->offset + r->wire + 1,
                       style.spaced ? "blanks in the text" : "no blanks behind brackets", "%s",
                       spaced ? "blanks" : "none");
    } else if (configuration != style.configuration) {
        mig_check_find(check, &rules[VMDESC_STYLE], r->offset + r->wire,
                       style.configuration ? "the configuration's description" : "devices alone",
                       "%s", configuration ? "a configuration" : "none");
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Writer *s = state;

    if (!check->writer) {
        for (unsigned i = 0; i < RULE_COUNT; i++) {
            mig_check_not_applicable(check, &rules[i], "no writer was named");
        }
    } else if (s->package && s->ping != (check->writer->ping_loaded != 0)) {
        mig_check_find(check, &rules[PACKAGE_PING], s->package_at,
                       s->ping ? "no PING 66 in the package" : "PING 66 in the package", "%s",
                       s->ping ? "one" : "none");
    }
}

const MigRuleGroup mig_rules_writer = {
    .layer = "writer",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .state_size = sizeof(Writer),
    .channels = MIG_ON(MAIN) | MIG_ON(MULTIFD) | MIG_ON(PREEMPT),
    .wanted = MIG_WANT(CONFIG) | MIG_WANT(SECTION) | MIG_WANT(COMMAND) | MIG_WANT(RAM_COMPRESS) |
              MIG_WANT(RAM_FLUSH) | MIG_WANT(VMDESC) | MIG_WANT(MULTIFD_INIT) | MIG_WANT(RAM_PAGE) |
              MIG_WANT(RAM_EOS),
    .record = record,
    .payload = payload,
    .finish = finish,
};
