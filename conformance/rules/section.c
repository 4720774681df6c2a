/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections: started once, ended once, in the order in which a source sends them. A destination
 * accepts nearly every disorder (docs/format, section header rules), so these are the rules that
 * only a checker sees.
 */
#include <string.h>

#include "conformance/check.h"

enum {
    IDSTR_PRESENT,
    ID_STARTED,
    COUNT_SANE,
    FOOTER_PRESENT,
    FOOTER_ID,
    BODY_LENGTH,
    ITERABLE_RECORD,
    START_ONCE,
    ID_UNIQUE,
    START_FIRST,
    PART_LIVE,
    END_ONCE,
    END_PRESENT,
    FULL_ONCE,
    FULL_LAST,
    KIND_ITERABLE,
    RAM_PRESENT,
    RAM_INSTANCE,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [IDSTR_PRESENT] = {
        .id = "SECTION-IDSTR-PRESENT",
        .title = "START and FULL carry a name",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.5 Section header rules; qemu_loadvm_section_start_full()",
        .why = "the destination says \"Unable to read ID string\" and stops",
        .killed_by = "section-idstr-empty",
    },
    [ID_STARTED] = {
        .id = "SECTION-ID-STARTED",
        .title = "PART and END carry the id of a section that was started",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.5 Section header rules; qemu_loadvm_section_part_end()",
        .why = "the destination doesn't know whose data these are",
        .killed_by = "part-id-unknown part-id-0 start-dropped",
    },
    [COUNT_SANE] = {
        .id = "SECTION-COUNT-SANE",
        .title = "a stream has no more sections than a machine has devices",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_OURS,
        .reaction = MIG_REACTION_CANNOT_SEE,
        .source = "stream/limits.h",
        .why = "memory must not grow with a stranger's stream",
    },
    [FOOTER_PRESENT] = {
        .id = "SECTION-FOOTER-PRESENT",
        .title = "every body is followed by a footer",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.6 Footers; check_section_footer()",
        .since = "2.4",
        .why = "a body of a wrong length shows itself here",
        .killed_by = "footer-dropped footer-dropped-device footer-mark",
    },
    [FOOTER_ID] = {
        .id = "SECTION-FOOTER-ID",
        .title = "a footer repeats the id of the section that it closes",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "1.6 Footers; check_section_footer()",
        .since = "2.4",
        .why = "a mis-sized body desynchronises everything behind it",
        .killed_by = "footer-id footer-id-device",
    },
    [BODY_LENGTH] = {
        .id = "SECTION-BODY-LENGTH",
        .title = "a body ends where its description says",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "9.2 How to decode with it; vmstate_load_state()",
        .why = "the destination reads fields, and meets the footer too early or too late",
    },
    [ITERABLE_RECORD] = {
        .id = "SECTION-ITERABLE-RECORD",
        .title = "records of other iterables are well formed",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "8 Other streams and iterables",
        .why = "they have no length by which one could skip them",
    },
    [START_ONCE] = {
        .id = "SECTION-START-ONCE",
        .title = "a section is started once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.5 Section header rules; qemu_savevm_state_setup()",
        .why = "a second START is loaded again, and one with a new id makes the old id unknown",
        .killed_by = "start-twice",
    },
    [ID_UNIQUE] = {
        .id = "SECTION-ID-UNIQUE",
        .title = "two sections don't share an id",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.5 Section header rules; register_savevm_live()",
        .why = "the footer can't tell them apart",
        .killed_by = "section-id-shared",
    },
    [START_FIRST] = {
        .id = "SECTION-START-FIRST",
        .title = "every START comes before the first PART and END",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; qemu_savevm_state_setup()",
        .why = "setup comes before iteration",
        .killed_by = "start-late",
    },
    [PART_LIVE] = {
        .id = "SECTION-PART-LIVE",
        .title = "no PART follows the END of its section",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; qemu_savevm_state_iterate()",
        .why = "END is the last of it",
        .killed_by = "part-after-end",
    },
    [END_ONCE] = {
        .id = "SECTION-END-ONCE",
        .title = "a section is ended once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; qemu_savevm_state_complete_precopy_iterable()",
        .why = "END is the last of it",
        .killed_by = "end-twice",
    },
    [END_PRESENT] = {
        .id = "SECTION-END-PRESENT",
        .title = "every section that was started is ended",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; qemu_savevm_state_complete_precopy_iterable()",
        .why = "the last dirty pages stand in END; without it memory may be stale",
        .killed_by = "end-dropped",
    },
    [FULL_ONCE] = {
        .id = "SECTION-FULL-ONCE",
        .title = "a device is saved once",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; "
                  "qemu_savevm_state_complete_precopy_non_iterable()",
        .why = "the second one overwrites the first",
        .killed_by = "full-twice",
    },
    [FULL_LAST] = {
        .id = "SECTION-FULL-LAST",
        .title = "devices are saved behind the END of memory",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.8 Order of items; qemu_savevm_state_complete_precopy()",
        .why = "a device that is loaded may look at memory; early-setup devices are the exception",
        .killed_by = "full-early full-first",
    },
    [KIND_ITERABLE] = {
        .id = "SECTION-KIND-ITERABLE",
        .title = "memory comes as START, PART and END, a device as FULL",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.5 Section header rules; save_section_header()",
        .why = "a destination doesn't look, but other readers do",
        .killed_by = "ram-as-full",
    },
    [RAM_PRESENT] = {
        .id = "SECTION-RAM-PRESENT",
        .title = "there is a section `ram`",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "1.5 Section header rules; ram_mig_init()",
        .why = "the destination starts with whatever its own memory holds",
        .killed_by = "ram-dropped",
    },
    [RAM_INSTANCE] = {
        .id = "SECTION-RAM-INSTANCE",
        .title = "`ram` is instance 0",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "3 The RAM section; ram_mig_init()",
        .why = "the destination says \"Unknown savevm section or instance\" and stops",
        .killed_by = "ram-instance",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_SECTION_IDSTR, IDSTR_PRESENT }, { MIG_FAULT_SECTION_UNKNOWN, ID_STARTED },
    { MIG_FAULT_SECTION_LIMIT, COUNT_SANE },    { MIG_FAULT_FOOTER_MISSING, FOOTER_PRESENT },
    { MIG_FAULT_FOOTER_ID, FOOTER_ID },         { MIG_FAULT_BODY_LENGTH, BODY_LENGTH },
    { MIG_FAULT_ITERABLE, ITERABLE_RECORD },
};

typedef struct Entry {
    char *name; /* idstr, '\n', instance */
    uint32_t id;
    bool started, ended, full;
} Entry;

typedef struct Sections {
    GHashTable *by_name; /* name -> Entry; bounded: stops at LIMIT */
    GHashTable *by_id;   /* id -> Entry, the newest */
    Entry *last;         /* of the last PART or END: usually the next one too */
    bool parts;          /* a PART or END was seen */
    bool ram;
    bool early; /* a device came before the END of memory: where */
    uint64_t early_at;
    char early_path[MIG_DIAGNOSIS_TEXT];
} Sections;

#define LIMIT 65536u

static void entry_free(gpointer data)
{
    Entry *e = data;
    g_free(e->name);
    g_free(e);
}

static void prepare(Sections *s)
{
    if (!s->by_name) {
        s->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, entry_free);
        s->by_id = g_hash_table_new(g_direct_hash, g_direct_equal);
    }
}

static Entry *entry_of(Sections *s, const MigRecordSection *sec)
{
    g_autofree char *name =
        g_strdup_printf("%.*s\n%u", (int)sec->idstr.len, sec->idstr.text, sec->instance);
    Entry *e = g_hash_table_lookup(s->by_name, name);

    if (!e && g_hash_table_size(s->by_name) < LIMIT) {
        e = g_new0(Entry, 1);
        e->name = g_steal_pointer(&name);
        e->id = sec->id;
        g_hash_table_insert(s->by_name, e->name, e);
    }
    return e;
}

static bool is_iterable(MigStr idstr)
{
    static const char *const names[] = { "ram", "block", "dirty-bitmap", "s390-storage_attributes",
                                         "spapr/htab" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (mig_str_equal(idstr, mig_str(names[i]))) {
            return true;
        }
    }
    return idstr.len > 5 && memcmp(idstr.text + idstr.len - 5, "/vfio", 5) == 0;
}

/* Devices with neither bus path nor iterations on any machine. */
static bool is_device(MigStr idstr)
{
    return mig_str_equal(idstr, mig_str("timer")) || mig_str_equal(idstr, mig_str("globalstate")) ||
           mig_str_equal(idstr, mig_str("cpu")) || mig_str_equal(idstr, mig_str("cpu_common"));
}

/* Saved during setup: sections whose vmsd has early_setup. */
static bool is_early(MigStr idstr)
{
    static const char word[] = "-early";
    return idstr.len > sizeof(word) - 1 &&
           memcmp(idstr.text + idstr.len - (sizeof(word) - 1), word, sizeof(word) - 1) == 0;
}

static void check_id(MigCheck *check, Sections *s, Entry *e, const MigRecord *r)
{
    gpointer key = GUINT_TO_POINTER(r->section.id);
    Entry *other = g_hash_table_lookup(s->by_id, key);

    if (other && other != e) {
        mig_check_find(check, &rules[ID_UNIQUE], r->offset + 1, "an id of its own",
                       "id %u, which another section has", r->section.id);
    }
    g_hash_table_insert(s->by_id, key, e);
}

static void on_start(MigCheck *check, Sections *s, Entry *e, const MigRecord *r)
{
    if (is_device(r->section.idstr)) {
        mig_check_find(check, &rules[KIND_ITERABLE], r->offset, "04 (FULL) for a device",
                       "01 (START)");
    }
    if (e->started) {
        mig_check_find(check, &rules[START_ONCE], r->offset, "one START of a section",
                       "a second one");
    }
    if (s->parts) {
        mig_check_find(check, &rules[START_FIRST], r->offset, "START before the first PART",
                       "it behind a PART or END");
    }
    check->facts.sections += !e->started;
    e->started = true;
}

/* Whether that was too early shows at the next END: a background snapshot has none. */
static void note_early(MigCheck *check, Sections *s, const MigRecord *r)
{
    if (!s->early) {
        s->early = true;
        s->early_at = r->offset;
        mig_decoder_path(check->decoder, s->early_path, sizeof(s->early_path));
    }
}

static void judge_early(MigCheck *check, Sections *s)
{
    if (s->early) {
        check->path = s->early_path;
        mig_check_find(check, &rules[FULL_LAST], s->early_at, "devices behind the END of memory",
                       "one before it");
        check->path = NULL;
        s->early = false;
    }
}

static void on_full(MigCheck *check, Sections *s, Entry *e, const MigRecord *r)
{
    bool live = check->facts.sections > 0 && !check->facts.ended && r->depth == 0;

    if (is_iterable(r->section.idstr)) {
        mig_check_find(check, &rules[KIND_ITERABLE], r->offset, "01 (START) for an iterable",
                       "04 (FULL)");
    }
    if (e->full) {
        mig_check_find(check, &rules[FULL_ONCE], r->offset, "each device once", "it a second time");
    }
    if ((live || (check->facts.sections == 0 && !s->ram && r->depth == 0)) &&
        !is_early(r->section.idstr) && !is_iterable(r->section.idstr)) {
        note_early(check, s, r);
    }
    e->full = true;
}

static void on_part(MigCheck *check, Sections *s, const MigRecord *r)
{
    Entry *e = s->last;
    bool end = r->section.kind == MIG_ITEM_END;

    if (!e || e->id != r->section.id) {
        e = entry_of(s, &r->section);
        s->last = e;
    }
    s->parts = true;
    if (!e) {
        return;
    }
    if (e->ended && end && check->facts.listening && !check->facts.advised_ram) {
        return; /* 11.1 ends ram in front of the package, and again when the bitmaps are through */
    }
    if (e->ended) {
        mig_check_find(check, &rules[end ? END_ONCE : PART_LIVE], r->offset,
                       "nothing more of a section behind its END", end ? "a second END" : "a PART");
    } else if (end) {
        judge_early(check, s);
        e->ended = true;
        check->facts.ended = true;
        check->facts.sections -= check->facts.sections > 0;
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Sections *s = state;
    bool full = r->section.kind == MIG_ITEM_FULL;

    prepare(s);
    if (check->facts.colo) {
        return; /* each checkpoint has an END and the devices again: see COLO-CYCLE-ORDER */
    }
    if (r->section.kind == MIG_ITEM_PART || r->section.kind == MIG_ITEM_END) {
        on_part(check, s, r);
        return;
    }
    Entry *e = entry_of(s, &r->section);
    if (!e) {
        return;
    }
    check_id(check, s, e, r);
    (full ? on_full : on_start)(check, s, e, r);
    e->id = r->section.id;
    if (mig_str_equal(r->section.idstr, mig_str("ram"))) {
        s->ram = true;
        if (r->section.instance != 0) {
            mig_check_find(check, &rules[RAM_INSTANCE], r->offset + 9, "instance 0", "instance %u",
                           r->section.instance);
        }
    }
}

/* A background snapshot sends every page once and no END; nothing in it says what it is. */
static bool maybe_snapshot(const MigCheck *check)
{
    const MigFacts *facts = &check->facts;
    return !facts->ended && !facts->switchover && !facts->repeated && !facts->advised;
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Sections *s = state;
    GHashTableIter iter;
    gpointer value;

    prepare(s);
    if (!s->ram) {
        mig_check_find(check, &rules[RAM_PRESENT], end, "a section ram", "none in the stream");
    }
    if (maybe_snapshot(check)) {
        mig_check_not_applicable(check, &rules[END_PRESENT], "maybe a background snapshot");
        return;
    }
    g_hash_table_iter_init(&iter, s->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Entry *e = value;
        if (e->started && !e->ended) {
            mig_check_find(check, &rules[END_PRESENT], end, "END of every section started",
                           "none of section %u", e->id);
        }
    }
}

static void clear(void *state)
{
    Sections *s = state;
    g_clear_pointer(&s->by_name, g_hash_table_unref);
    g_clear_pointer(&s->by_id, g_hash_table_unref);
}

const MigRuleGroup mig_rules_section = {
    .layer = "section",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Sections),
    .channels = MIG_ON(MAIN) | MIG_ON(RECOVERY),
    .wanted = MIG_WANT(SECTION),
    .record = record,
    .finish = finish,
    .clear = clear,
};
