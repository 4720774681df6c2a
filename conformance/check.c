/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run of all rules over one stream.
 *
 * Payload is skipped unless a rule wants it, and then it is at most MIG_LIMIT_VMDESC bytes (every
 * payload that rules look at is bounded by the decoder below that). Memory does not grow with the
 * stream: findings are kept to a number per rule, and page maps have a cap.
 */
#include "conformance/check.h"

#include <stdarg.h>
#include <string.h>

#include "stream/bytes.h"
#include "stream/limits.h"

/* ---- names ---- */

const char *mig_verdict_name(MigVerdict verdict)
{
    static const char *const names[] = { "none", "not-applicable", "pass", "inconclusive",
                                         "warn", "fail",           "error" };
    return names[verdict];
}

static const char *const profiles[MIG_PROFILE_COUNT] = { "lenient", "interop", "strict",
                                                         "canonical" };

const char *mig_profile_name(MigProfile profile)
{
    return profiles[profile];
}

bool mig_profile_parse(const char *text, MigProfile *profile)
{
    for (int i = 0; i < MIG_PROFILE_COUNT; i++) {
        if (strcmp(text, profiles[i]) == 0) {
            *profile = (MigProfile)i;
            return true;
        }
    }
    return false;
}

/* ---- life ---- */

static void finding_clear(gpointer data)
{
    MigFinding *f = data;
    g_free(f->path);
    g_free(f->expected);
    g_free(f->found);
    g_clear_pointer(&f->context, g_bytes_unref);
}

MigCheck *mig_check_new(MigProfile profile)
{
    MigCheck *check = g_new0(MigCheck, 1);
    unsigned n = 0, groups = 0;

    check->profile = profile;
    check->findings = g_array_new(FALSE, TRUE, sizeof(MigFinding));
    g_array_set_clear_func(check->findings, finding_clear);
    check->result_count = mig_catalogue_rule_count();
    check->names = g_ptr_array_new_with_free_func(g_free);
    check->results = g_new0(MigRuleResult, check->result_count);
    while (mig_catalogue[groups]) {
        groups++;
    }
    check->states = g_new0(void *, groups);
    for (unsigned g = 0; g < groups; g++) {
        check->states[g] = g_malloc0(mig_catalogue[g]->state_size + 1);
        for (unsigned i = 0; i < mig_catalogue[g]->rule_count; i++) {
            check->results[n++].rule = &mig_catalogue[g]->rules[i];
        }
    }
    return check;
}

void mig_check_free(MigCheck *check)
{
    if (!check) {
        return;
    }
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->clear) {
            mig_catalogue[g]->clear(check->states[g]);
        }
        g_free(check->states[g]);
    }
    g_free(check->states);
    g_free(check->results);
    g_array_unref(check->findings);
    g_ptr_array_unref(check->names);
    g_free(check->hint);
    g_free(check);
}

/* ---- what rules say ---- */

MigRuleResult *mig_check_result(MigCheck *check, const MigRule *rule)
{
    for (unsigned i = 0; i < check->result_count; i++) {
        if (check->results[i].rule == rule) {
            return &check->results[i];
        }
    }
    g_assert_not_reached();
}

static void worsen(MigRuleResult *result, MigVerdict verdict, const char *reason)
{
    if (verdict > result->verdict) {
        result->verdict = verdict;
        result->reason = reason;
    }
}

/* How much a broken rule counts; NONE: not in this profile. */
static MigVerdict severity(MigProfile profile, MigLevel level)
{
    static const MigVerdict table[MIG_PROFILE_COUNT][4] = {
        [MIG_PROFILE_LENIENT] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL },
        [MIG_PROFILE_INTEROP] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL,
                                  [MIG_LEVEL_SHOULD] = MIG_VERDICT_WARN },
        [MIG_PROFILE_STRICT] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL,
                                 [MIG_LEVEL_SHOULD] = MIG_VERDICT_FAIL },
        [MIG_PROFILE_CANONICAL] = { [MIG_LEVEL_MUST] = MIG_VERDICT_FAIL,
                                    [MIG_LEVEL_SHOULD] = MIG_VERDICT_FAIL,
                                    [MIG_LEVEL_CANON] = MIG_VERDICT_FAIL,
                                    [MIG_LEVEL_INFO] = MIG_VERDICT_WARN },
    };
    return table[profile][level];
}

static void add_context(MigCheck *check, MigFinding *f, unsigned channel)
{
    uint8_t bytes[2 * MIG_HEX_CONTEXT];

    f->context_offset = f->offset < MIG_HEX_CONTEXT ? 0 : f->offset - MIG_HEX_CONTEXT;
    size_t want = (size_t)(f->offset - f->context_offset) + MIG_HEX_CONTEXT;
    size_t n = mig_recording_peek(check->recording, channel, f->context_offset, bytes, want);
    f->context = n ? g_bytes_new(bytes, n) : NULL;
}

/* The name of a channel, kept for findings. */
static const char *channel_name(MigCheck *check, unsigned channel)
{
    while (check->names->len <= channel) {
        const char *name = mig_recording_channel_name(check->recording, check->names->len);
        g_ptr_array_add(check->names, g_strdup(name));
    }
    return check->names->pdata[channel];
}

static void record_finding(MigCheck *check, const MigRule *rule, unsigned channel, uint64_t offset,
                           const char *path, const char *expected, char *found)
{
    MigVerdict verdict = severity(check->profile, rule->level);
    MigRuleResult *result = mig_check_result(check, rule);

    if (verdict == MIG_VERDICT_NONE || result->findings++ >= MIG_FINDINGS_PER_RULE) {
        g_free(found);
        return;
    }
    worsen(result, verdict, NULL);
    MigFinding f = {
        .rule = rule,
        .verdict = verdict,
        .channel = channel_name(check, channel),
        .offset = offset,
        .path = g_strdup(path),
        .expected = g_strdup(expected),
        .found = found,
    };
    add_context(check, &f, channel);
    g_array_append_val(check->findings, f);
}

void mig_check_find(MigCheck *check, const MigRule *rule, uint64_t offset, const char *expected,
                    const char *found_format, ...)
{
    char path[MIG_DIAGNOSIS_TEXT];
    va_list args;

    mig_decoder_path(check->decoder, path, sizeof(path));
    va_start(args, found_format);
    char *found = g_strdup_vprintf(found_format, args);
    va_end(args);
    record_finding(check, rule, check->channel, offset, check->path ? check->path : path, expected,
                   found);
}

void mig_check_find_in(MigCheck *check, const MigRule *rule, unsigned channel, uint64_t offset,
                       const char *expected, const char *found_format, ...)
{
    char path[MIG_DIAGNOSIS_TEXT] = "end";
    const MigDecoder *d = mig_recording_decoder(check->recording, channel);
    va_list args;

    if (d) {
        mig_decoder_path(d, path, sizeof(path));
    }
    va_start(args, found_format);
    char *found = g_strdup_vprintf(found_format, args);
    va_end(args);
    record_finding(check, rule, channel, offset, path, expected, found);
}

void mig_check_not_applicable(MigCheck *check, const MigRule *rule, const char *reason)
{
    worsen(mig_check_result(check, rule), MIG_VERDICT_NOT_APPLICABLE, reason);
}

void mig_check_inconclusive(MigCheck *check, const MigRule *rule, const char *reason)
{
    worsen(mig_check_result(check, rule), MIG_VERDICT_INCONCLUSIVE, reason);
}

void mig_check_want_payload(MigCheck *check)
{
    check->want_payload = true;
}

uint32_t mig_check_block(const MigCheck *check, MigStr name)
{
    for (uint32_t i = 0; i < mig_decoder_block_count(check->main); i++) {
        if (mig_str_equal(mig_decoder_block(check->main, i)->name, name)) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint32_t mig_check_packet_block(const MigCheck *check, const MigRecordMultifd *packet)
{
    MigStr name = { packet->name, (uint32_t)strnlen(packet->name, sizeof(packet->name)) };
    return mig_check_block(check, name);
}

/* ---- the run ---- */

static void learn_command(MigFacts *facts, const MigRecordCommand *c)
{
    facts->advised |= c->number == MIG_CMD_POSTCOPY_ADVISE;
    facts->advised_ram |= c->number == MIG_CMD_POSTCOPY_ADVISE && c->length > 0;
    facts->discarded |= c->number == MIG_CMD_POSTCOPY_RAM_DISCARD;
    facts->listening |= c->number == MIG_CMD_POSTCOPY_LISTEN;
    facts->running |= c->number == MIG_CMD_POSTCOPY_RUN;
    facts->switchover |= c->number == MIG_CMD_SWITCHOVER_START;
    facts->opened |= c->number == MIG_CMD_OPEN_RETURN_PATH;
}

static void learn(MigCheck *check, const MigRecord *r)
{
    MigFacts *facts = &check->facts;

    switch (r->type) {
    case MIG_REC_CONFIG:
        facts->configured = true;
        facts->machine_version = mig_machine_version(r->config.machine.text);
        facts->modern = facts->machine_version == 0;
        facts->bare = mig_str_equal(r->config.machine, mig_str("none"));
        if (check->writer && facts->modern) {
            facts->machine_version = check->writer->binary;
        }
        break;
    case MIG_REC_CONFIG_CAPABILITIES:
        for (uint32_t i = 0; i < r->capabilities.count; i++) {
            facts->ignore_shared |=
                mig_str_equal(r->capabilities.names[i], mig_str("x-ignore-shared"));
            facts->mapped_ram |= mig_str_equal(r->capabilities.names[i], mig_str("mapped-ram"));
        }
        break;
    case MIG_REC_COMMAND:
        learn_command(facts, &r->command);
        break;
    case MIG_REC_VMDESC:
        facts->vmdesc = true;
        break;
    case MIG_REC_COLO:
        facts->colo = true;
        break;
    case MIG_REC_RAM_EOS:
        facts->eos += check->kind == MIG_CHANNEL_MAIN;
        break;
    case MIG_REC_RAM_FLUSH:
        facts->flushes += check->kind == MIG_CHANNEL_MAIN;
        break;
    default:
        break;
    }
    facts->page_size = mig_decoder_page_size(check->decoder);
}

static bool sees(const MigRuleGroup *g, MigChannel kind)
{
    return (g->channels ? g->channels : MIG_ON(MAIN)) & UINT32_C(1) << kind;
}

static void show_record(MigCheck *check, const MigRecord *r)
{
    uint64_t bit = UINT64_C(1) << r->type;

    check->want_payload = false;
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->wanted & bit && sees(mig_catalogue[g], check->kind)) {
            mig_catalogue[g]->record(check, check->states[g], r);
        }
    }
    if (check->observe) {
        check->observe(check->observer, check, r);
    }
    if (!(bit & (MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO)))) {
        learn(check, r);
    }
}

static void show_payload(MigCheck *check, const MigRecord *r, const uint8_t *data)
{
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->payload && sees(mig_catalogue[g], check->kind)) {
            mig_catalogue[g]->payload(check, check->states[g], r, data);
        }
    }
}

/*
 * Two faults show themselves late. A configuration section that is missing makes the first footer a
 * stray byte; a missing EOS makes the footer look like a page record.
 */
static const MigRule *rule_behind(MigCheck *check, const MigDiagnosis *g, uint64_t *offset)
{
    const MigRule *rule = mig_catalogue_fault(g->fault);
    uint8_t b[5] = { 0 };
    uint64_t word = g->fault == MIG_FAULT_RAM_BLOCK_UNKNOWN ? g->offset - 8 : g->offset;

    *offset = g->offset;
    mig_recording_peek(check->recording, check->channel, word, b, sizeof(b));
    if (b[0] != MIG_ITEM_FOOTER) {
        return rule;
    }
    if (g->fault == MIG_FAULT_ITEM_TYPE && !check->facts.configured) {
        *offset = 8;
        return mig_catalogue_find("CONFIG-SECTION-PRESENT");
    }
    if (g->fault == MIG_FAULT_RAM_FLAGS || g->fault == MIG_FAULT_RAM_OFFSET ||
        g->fault == MIG_FAULT_RAM_BLOCK_UNKNOWN || g->fault == MIG_FAULT_RAM_NO_BLOCK) {
        *offset = word;
        return mig_catalogue_find("RAM-BODY-EOS");
    }
    return rule;
}

/* A channel ends inside a record because the line broke there, and another took its place. */
static bool just_cut(MigCheck *check)
{
    const MigDiagnosis *g = mig_decoder_diagnosis(check->decoder);
    if (g->fault != MIG_FAULT_TRUNCATED ||
        !mig_recording_was_cut(check->recording, check->channel)) {
        return false;
    }
    check->facts.broken = true;
    return true;
}

static void decoder_gave_up(MigCheck *check)
{
    uint64_t offset;
    check->stopped = true;
    check->diagnosis = *mig_decoder_diagnosis(check->decoder);
    if (!check->hint) {
        check->hint = mig_recording_hint(check->recording, check->channel);
    }

    const MigDiagnosis *g = &check->diagnosis;
    const MigRule *rule =
        mig_fault_is_inconclusive(g->fault) ? NULL : rule_behind(check, g, &offset);
    if (rule) {
        record_finding(check, rule, check->channel, offset, g->path, g->expected,
                       g_strdup(g->found));
    }
}

/* A recording can be cut off where each of its channels might have ended. */
static void look_for_cut(MigCheck *check)
{
    if (!check->stopped && mig_recording_cut(check->recording, &check->diagnosis)) {
        check->stopped = true;
        check->hint = mig_recording_hint(check->recording, check->channel);
    }
}

/* What ends the migration: the last main channel. */
static void select_last_main(MigCheck *check)
{
    MigRecording *m = check->recording;

    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        MigChannel kind = mig_recording_channel_kind(m, i);
        if (mig_recording_decoder(m, i) &&
            (kind == MIG_CHANNEL_MAIN || kind == MIG_CHANNEL_RECOVERY)) {
            check->channel = i;
            check->kind = kind;
            check->decoder = mig_recording_decoder(m, i);
        }
    }
    check->end = check->decoder ? mig_decoder_offset(check->decoder) : 0;
}

static void finish(MigCheck *check)
{
    for (unsigned g = 0; mig_catalogue[g]; g++) {
        if (mig_catalogue[g]->finish) {
            mig_catalogue[g]->finish(check, check->states[g], check->end);
        }
    }
}

static void settle(MigCheck *check)
{
    for (unsigned i = 0; i < check->result_count; i++) {
        MigRuleResult *result = &check->results[i];
        if (check->stopped) {
            worsen(result, MIG_VERDICT_INCONCLUSIVE, "the stream can't be read to its end");
        } else if (severity(check->profile, result->rule->level) == MIG_VERDICT_NONE) {
            worsen(result, MIG_VERDICT_NOT_APPLICABLE, "not in this profile");
        }
        if (result->verdict == MIG_VERDICT_NONE) {
            result->verdict = MIG_VERDICT_PASS;
        }
    }
}

/* One channel's payload: several may be under way at once. */
typedef struct Pending {
    GByteArray *bytes;
    MigRecord r;
    uint64_t words[MIG_MULTIFD_PACKET_BYTES / 1024]; /* offsets of a packet, for 1 KiB pages */
} Pending;

static void pending_free(gpointer data)
{
    Pending *p = data;
    g_byte_array_unref(p->bytes);
    g_free(p);
}

static Pending *pending_of(GPtrArray *pending, unsigned channel)
{
    while (pending->len <= channel) {
        Pending *p = g_new0(Pending, 1);
        p->bytes = g_byte_array_new();
        g_ptr_array_add(pending, p);
    }
    return pending->pdata[channel];
}

static void select_channel(MigCheck *check, unsigned channel)
{
    MigRecording *m = check->recording;
    if (check->decoder && check->channel == channel) {
        return;
    }
    check->channel = channel;
    check->kind = mig_recording_channel_kind(m, channel);
    check->decoder = mig_recording_decoder(m, channel);
    check->main = mig_recording_main(m);
    check->facts.multifd |= check->kind == MIG_CHANNEL_MULTIFD;
    check->facts.return_path |= check->kind == MIG_CHANNEL_RETURN_PATH;
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        check->facts.preempt |= mig_recording_channel_kind(m, i) == MIG_CHANNEL_PREEMPT;
    }
    check->facts.broken |= mig_recording_channel_generation(m, channel) > 0;
}

static void want(MigCheck *check, Pending *p, const MigRecord *r)
{
    g_byte_array_set_size(p->bytes, (guint)r->payload);
    mig_recording_payload_into(check->recording, check->channel, p->bytes->data);
    p->r = *r;
    if (r->type == MIG_REC_MULTIFD_PACKET) { /* its array goes with the next record */
        p->r.multifd.page_count = MIN(r->multifd.page_count, G_N_ELEMENTS(p->words));
        memcpy(p->words, r->multifd.offsets, p->r.multifd.page_count * sizeof(*p->words));
        p->r.multifd.offsets = p->words;
    }
}

static MigStatus read_all(MigCheck *check, GPtrArray *pending, GError **error)
{
    MigStatus status;
    unsigned channel;
    MigRecord r;

    while ((status = mig_recording_next(check->recording, &channel, &r, error)) != MIG_STATUS_END &&
           status != MIG_STATUS_MORE) {
        select_channel(check, channel);
        if (status == MIG_STATUS_BAD) {
            if (!just_cut(check)) {
                decoder_gave_up(check);
            }
            continue;
        }
        if (status == MIG_STATUS_PAYLOAD) {
            Pending *p = pending_of(pending, channel);
            show_payload(check, &p->r, p->bytes->data);
            continue;
        }
        show_record(check, &r);
        if (G_UNLIKELY(check->want_payload) && r.payload && r.payload <= MIG_LIMIT_VMDESC) {
            want(check, pending_of(pending, channel), &r);
        }
    }
    return status;
}

bool mig_check_recording(MigCheck *check, MigRecording *recording, GError **error)
{
    g_autoptr(GPtrArray) pending = g_ptr_array_new_with_free_func(pending_free);

    check->recording = recording;
    check->main = mig_recording_main(recording);
    check->several = mig_recording_is_capture(recording);
    check->decoder = check->several ? NULL : check->main;
    MigStatus status = read_all(check, pending, error);
    check->main = mig_recording_main(recording);
    select_last_main(check);
    if (status == MIG_STATUS_END) {
        look_for_cut(check);
    }
    if (status == MIG_STATUS_END && !check->stopped && check->main) {
        finish(check);
    }
    settle(check);
    check->recording = NULL;
    check->main = check->decoder = NULL;
    return status != MIG_STATUS_MORE;
}

bool mig_check_run(MigCheck *check, MigStreamReader *reader, GError **error)
{
    g_autoptr(MigRecording) recording = mig_recording_of_reader(reader);
    return mig_check_recording(check, recording, error);
}

MigVerdict mig_check_verdict(const MigCheck *check)
{
    MigVerdict worst = check->stopped ? MIG_VERDICT_INCONCLUSIVE : MIG_VERDICT_PASS;
    for (unsigned i = 0; i < check->result_count; i++) {
        worst = MAX(worst, check->results[i].verdict);
    }
    return worst;
}
