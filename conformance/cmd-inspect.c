/* SPDX-License-Identifier: Apache-2.0 */
/* migbench inspect: what is in a stream. */
#include <inttypes.h>
#include <string.h>

#include "conformance/channel-table.h"
#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/record-fields.h"
#include "conformance/summary.h"
#include "sim/command.h"
#include "sim/fit/passes.h"
#include "sim/world/recording.h"
#include "stream/limits.h"
#include "stream/vmdesc-walk.h"

#define SHOWN 256u /* bytes of a buffer that are shown as text; ndjson has all of them */

typedef struct Inspect {
    char *format, *channel;
    gboolean summary, passes;
    bool json;
    MigRecording *recording;
    unsigned at;               /* the channel of the current record */
    const MigDecoder *decoder; /* its decoder */
    MigSummary *counts;        /* of the main channel */
    GArray *table;
    int worst;
    GString *line;
    GByteArray *body; /* of the device being read */
    char device[256];
    uint32_t instance;
} Inspect;

/* ---- one line per record ---- */

static void text_field(void *opaque, const MigField *f)
{
    GString *out = opaque;

    g_string_append_printf(out, "  %s=", f->name);
    switch (f->kind) {
    case MIG_FIELD_NUMBER:
        g_string_append_printf(out, "%" PRIu64, f->number);
        break;
    case MIG_FIELD_HEX:
        g_string_append_printf(out, "0x%" PRIx64, f->number);
        break;
    case MIG_FIELD_BOOL:
        g_string_append(out, f->number ? "yes" : "no");
        break;
    case MIG_FIELD_TEXT:
        mig_text_append(out, f->text);
        break;
    case MIG_FIELD_BYTES:
        for (uint32_t i = 0; i < f->text.len; i++) {
            g_string_append_printf(out, "%02x", (unsigned char)f->text.text[i]);
        }
        break;
    }
}

static void json_field(void *opaque, const MigField *f)
{
    GString *out = opaque;

    mig_json_append_key(out, f->name);
    switch (f->kind) {
    case MIG_FIELD_NUMBER:
    case MIG_FIELD_HEX:
        g_string_append_printf(out, "%" PRIu64, f->number);
        break;
    case MIG_FIELD_BOOL:
        g_string_append(out, f->number ? "true" : "false");
        break;
    case MIG_FIELD_TEXT:
        mig_json_append_string(out, f->text);
        break;
    case MIG_FIELD_BYTES:
        g_string_append_c(out, '"');
        for (uint32_t i = 0; i < f->text.len; i++) {
            g_string_append_printf(out, "%02x", (unsigned char)f->text.text[i]);
        }
        g_string_append_c(out, '"');
        break;
    }
}

/* Only where there are several. */
static void text_channel(Inspect *in)
{
    if (mig_recording_is_capture(in->recording)) {
        gsize at = in->line->len;
        mig_text_append(in->line, mig_str(mig_recording_channel_name(in->recording, in->at)));
        g_string_append_c(in->line, ' ');
        while (in->line->len < at + 10) {
            g_string_append_c(in->line, ' ');
        }
    }
}

static void json_channel(Inspect *in)
{
    if (mig_recording_is_capture(in->recording)) {
        mig_json_append_key(in->line, "channel");
        mig_json_append_string(in->line,
                               mig_str(mig_recording_channel_name(in->recording, in->at)));
    }
}

static void print_text(Inspect *in, const MigRecord *r, const char *path)
{
    static const char blanks[] = "    ";
    bool inside = strchr(path, '/') && r->type != MIG_REC_SECTION;

    text_channel(in);
    g_string_append_printf(in->line, "%10" PRIu64 "  %s%-*s", r->offset, blanks + (inside ? 2 : 4),
                           inside ? 34 : 36, path);
    mig_record_fields(r, text_field, in->line);
    if (r->payload) {
        g_string_append_printf(in->line, "  (+%" PRIu64 " bytes)", r->payload);
    }
    g_string_append_c(in->line, '\n');
}

static void print_json(Inspect *in, const MigRecord *r, const char *path)
{
    g_string_append(in->line, "{\"type\":\"record\",\"record\":");
    mig_json_append_string(in->line, mig_str(mig_record_name(r->type)));
    json_channel(in);
    mig_json_append_key(in->line, "path");
    mig_json_append_string(in->line, mig_str(path));
    g_string_append_printf(in->line,
                           ",\"offset\":%" PRIu64 ",\"bytes\":%u,\"payload\":%" PRIu64
                           ",\"depth\":%u,\"fields\":{",
                           r->offset, r->wire, r->payload, r->depth);
    mig_record_fields(r, json_field, in->line);
    g_string_append(in->line, "}}\n");
}

static void print_record(Inspect *in, const MigRecord *r)
{
    char path[MIG_DIAGNOSIS_TEXT];

    mig_decoder_path(in->decoder, path, sizeof(path));
    g_string_truncate(in->line, 0);
    (in->json ? print_json : print_text)(in, r, path);
    fwrite(in->line->str, 1, in->line->len, stdout);
}

/* ---- device bodies along their description ---- */

static void append_value(GString *out, const MigVmValue *v, bool json)
{
    switch (v->kind) {
    case MIG_VM_SIGNED:
        g_string_append_printf(out, "%" PRId64, v->i);
        break;
    case MIG_VM_UNSIGNED:
        g_string_append_printf(out, json ? "%" PRIu64 : "0x%" PRIx64, v->u);
        break;
    case MIG_VM_BOOL:
        g_string_append(out, v->u ? "true" : "false");
        break;
    case MIG_VM_NULL:
        g_string_append(out, "null");
        break;
    default: {
        uint64_t shown = json ? v->size : MIN(v->size, SHOWN);
        g_string_append(out, json ? "\"" : "");
        for (uint64_t i = 0; i < shown; i++) {
            g_string_append_printf(out, "%02x", v->bytes[i]);
        }
        g_string_append(out, json ? "\"" : shown < v->size ? "..." : "");
    }
    }
}

static bool show_value(void *opaque, const MigVmValue *v)
{
    Inspect *in = opaque;
    uint64_t offset = mig_decoder_offset(in->decoder) - in->body->len + v->offset;

    g_string_truncate(in->line, 0);
    if (in->json) {
        g_string_append(in->line, "{\"type\":\"value\",\"path\":");
        mig_json_append_string(in->line, mig_str(v->path));
        mig_json_append_key(in->line, "field-type");
        mig_json_append_string(in->line, mig_str(v->type));
        g_string_append_printf(
            in->line, ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"value\":", offset, v->size);
        append_value(in->line, v, true);
        g_string_append(in->line, "}\n");
    } else {
        text_channel(in);
        g_string_append_printf(in->line, "%10" PRIu64 "      ", offset);
        mig_text_append(in->line, mig_str(v->path));
        g_string_append(in->line, " = ");
        append_value(in->line, v, false);
        g_string_append(in->line, "  (");
        mig_text_append(in->line, mig_str(v->type));
        g_string_append(in->line, ")\n");
    }
    fwrite(in->line->str, 1, in->line->len, stdout);
    return true;
}

/* A device, a struct in it, an element of an array or a subsection begins. */
static bool show_scope(void *opaque, const MigVmScope *scope)
{
    static const char *const kinds[] = { "device", "struct", "subsection" };
    Inspect *in = opaque;
    uint64_t offset = mig_decoder_offset(in->decoder) - in->body->len + scope->offset;
    const char *vmsd = scope->body && scope->body->name ? scope->body->name : "";
    int version = scope->body ? scope->body->version : 0;

    g_string_truncate(in->line, 0);
    if (in->json) {
        g_string_append_printf(in->line, "{\"type\":\"scope\",\"kind\":\"%s\"", kinds[scope->kind]);
        mig_json_append_key(in->line, "path");
        mig_json_append_string(in->line, mig_str(scope->path));
        mig_json_append_key(in->line, "vmsd");
        mig_json_append_string(in->line, mig_str(vmsd));
        g_string_append_printf(in->line, ",\"version\":%d,\"offset\":%" PRIu64 "}\n", version,
                               offset);
    } else {
        text_channel(in);
        g_string_append_printf(in->line, "%10" PRIu64 "      ", offset);
        mig_text_append(in->line, mig_str(scope->path));
        g_string_append_printf(in->line, "  (%s ", kinds[scope->kind]);
        mig_text_append(in->line, mig_str(vmsd));
        g_string_append_printf(in->line, ", version %d)\n", version);
    }
    fwrite(in->line->str, 1, in->line->len, stdout);
    return true;
}

static const MigVmDevice *described(Inspect *in)
{
    const MigVmdesc *desc = mig_recording_vmdesc(in->recording);
    const MigVmDevice *d = desc ? desc->devices : NULL;
    while (d && (strcmp(d->name, in->device) != 0 || d->instance_id != in->instance)) {
        d = d->next;
    }
    return d;
}

static bool is_shown(const Inspect *in)
{
    return !in->channel ||
           strcmp(in->channel, mig_recording_channel_name(in->recording, in->at)) == 0;
}

static bool is_main(const Inspect *in)
{
    return mig_recording_channel_kind(in->recording, in->at) == MIG_CHANNEL_MAIN;
}

static void on_record(Inspect *in, const MigRecord *r)
{
    mig_channel_table_record(in->table, in->at, r);
    if (is_main(in)) {
        mig_summary_record(in->counts, r);
    }
    if (in->summary || !is_shown(in)) {
        return;
    }
    print_record(in, r);
    if (r->type == MIG_REC_SECTION) {
        g_snprintf(in->device, sizeof(in->device), "%.*s", (int)r->section.idstr.len,
                   r->section.idstr.text);
        in->instance = r->section.instance;
    } else if (r->type == MIG_REC_BODY && is_main(in) && r->payload &&
               r->payload <= MIG_LIMIT_BODY && described(in)) {
        g_byte_array_set_size(in->body, (guint)r->payload);
        mig_recording_payload_into(in->recording, in->at, in->body->data);
    }
}

static void on_body(Inspect *in)
{
    static const MigVmVisitor visitor = { show_scope, show_value, NULL };
    MigDiagnosis why;

    if (!mig_vmdesc_walk(described(in), in->body->data, in->body->len, &visitor, in, &why)) {
        g_printerr("%s: described differently: expected %s, found %s\n", why.path, why.expected,
                   why.found);
    }
}

/* ---- the end ---- */

static void json_diagnosis(Inspect *in, const MigDiagnosis *g, const char *hint)
{
    g_string_append(in->line, "{\"type\":\"diagnosis\",\"fault\":");
    mig_json_append_string(in->line, mig_str(mig_fault_name(g->fault)));
    json_channel(in);
    g_string_append_printf(in->line, ",\"offset\":%" PRIu64, g->offset);
    mig_json_append_key(in->line, "path");
    mig_json_append_string(in->line, mig_str(g->path));
    mig_json_append_key(in->line, "expected");
    mig_json_append_string(in->line, mig_str(g->expected));
    mig_json_append_key(in->line, "found");
    mig_json_append_string(in->line, mig_str(g->found));
    if (hint) {
        mig_json_append_key(in->line, "hint");
        mig_json_append_string(in->line, mig_str(hint));
    }
    g_string_append(in->line, "}\n");
}

static void text_diagnosis(Inspect *in, const MigDiagnosis *g, const char *hint)
{
    g_string_append_c(in->line, '\n');
    text_channel(in);
    g_string_append_printf(in->line,
                           "stopped at offset %" PRIu64 ", %s: %s\n  expected: %s\n"
                           "  found:    ",
                           g->offset, g->path, mig_fault_text(g->fault), g->expected);
    mig_text_append(in->line, mig_str(g->found));
    if (hint) {
        g_string_append_printf(in->line, "\n  try:      %s", hint);
    }
    g_string_append_c(in->line, '\n');
}

/* A channel whose line broke ends anywhere: that is said, but is nobody's fault. */
static void on_bad(Inspect *in)
{
    const MigDiagnosis *g = mig_decoder_diagnosis(in->decoder);
    bool cut = g->fault == MIG_FAULT_TRUNCATED && mig_recording_was_cut(in->recording, in->at);
    g_autofree char *hint = mig_recording_hint(in->recording, in->at);
    bool limit = mig_fault_is_inconclusive(g->fault);

    mig_channel_table_bad(in->table, in->at, cut);
    if (!cut) {
        in->worst = MAX(in->worst, limit ? MIG_EXIT_INCOMPLETE : MIG_EXIT_FINDING);
    }
    if (is_shown(in)) {
        g_string_truncate(in->line, 0);
        (in->json ? json_diagnosis : text_diagnosis)(in, g, hint);
        fwrite(in->line->str, 1, in->line->len, stdout);
    }
}

/* What was around the stream, where that says something. */
static void append_image(GString *out, const MigLibvirtInfo *image, bool json)
{
    if (json) {
        g_string_append(out, "{\"type\":\"libvirt-image\",\"compression\":");
        mig_json_append_string(out, mig_str(image->compression_name));
        mig_json_append_key(out, "domain");
        mig_json_append_string(out, mig_str(image->name));
        g_string_append_printf(out, ",\"was-running\":%s,\"xml-bytes\":%u}\n",
                               image->was_running ? "true" : "false", image->xml_bytes);
    } else {
        g_string_append_printf(out, "image      libvirt save image, compression %s, domain ",
                               image->compression_name);
        mig_text_append(out, mig_str(image->name));
        g_string_append(out, image->was_running ? ", was running\n" : ", was paused\n");
    }
}

static void print_summary(Inspect *in)
{
    const MigDecoder *main = mig_recording_main(in->recording);
    const MigLibvirtInfo *image = mig_input_libvirt(mig_recording_input(in->recording));

    g_string_truncate(in->line, 0);
    if (image) {
        append_image(in->line, image, in->json);
    }
    mig_channel_table_end(in->table, in->recording);
    if (mig_recording_is_capture(in->recording)) {
        (in->json ? mig_channel_table_json : mig_channel_table_text)(in->table, in->recording,
                                                                     in->channel, in->line);
        if (!in->json) {
            g_string_append_c(in->line, '\n');
        }
    }
    if (main && (!in->channel || strcmp(in->channel, "main") == 0)) {
        mig_summary_end(in->counts, main);
        (in->json ? mig_summary_json : mig_summary_text)(in->counts, main, in->line);
    }
    fwrite(in->line->str, 1, in->line->len, stdout);
}

static bool print_trailing(Inspect *in, GError **error)
{
    uint64_t trailing = 0;
    const MigDecoder *main = mig_recording_main(in->recording);

    if (!mig_recording_trailing(in->recording, &trailing, error)) {
        return false;
    }
    if (trailing && in->json) {
        printf("{\"type\":\"trailing\",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
               mig_decoder_offset(main), trailing);
    } else if (trailing) {
        printf("\n%" PRIu64 " bytes behind the end of the stream, at offset %" PRIu64 "\n",
               trailing, mig_decoder_offset(main));
    }
    return true;
}

static bool has_channel(const Inspect *in)
{
    for (unsigned i = 0; in->channel && i < mig_recording_channel_count(in->recording); i++) {
        if (strcmp(in->channel, mig_recording_channel_name(in->recording, i)) == 0) {
            return true;
        }
    }
    return !in->channel;
}

static int inspect(Inspect *in, char **argv)
{
    g_autoptr(GError) error = NULL;
    MigRecord r;
    MigStatus status;

    while ((status = mig_recording_next(in->recording, &in->at, &r, &error)) != MIG_STATUS_END) {
        if (status == MIG_STATUS_MORE) {
            return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
        }
        in->decoder = mig_recording_decoder(in->recording, in->at);
        if (status == MIG_STATUS_PAYLOAD) {
            on_body(in);
        } else if (status == MIG_STATUS_BAD) {
            on_bad(in);
        } else {
            on_record(in, &r);
        }
    }
    if (!has_channel(in)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--channel %s: no such channel; inspect --summary shows them",
                                in->channel);
    }
    if (in->summary) {
        print_summary(in);
    }
    if (in->worst == MIG_EXIT_OK) {
        in->worst = mig_command_tell_cut(argv, in->recording);
    }
    if (in->worst == MIG_EXIT_OK && !print_trailing(in, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return in->worst;
}

/* Rounds, pages that were sent again, heat: needs all of the recording before it says anything. */
static int inspect_passes(Inspect *in, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigSends) sends = mig_sends_read(in->recording, &error);
    if (!sends) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (in->json) {
        json_object *o = mig_passes_to_json(sends);
        json_object_object_add(o, "type", json_object_new_string("passes"));
        puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
    } else {
        mig_passes_to_text(sends, in->line);
        fwrite(in->line->str, 1, in->line->len, stdout);
    }
    return mig_command_tell_cut(argv, in->recording);
}

static bool options_make_sense(Inspect *in, char **argv)
{
    in->json = g_strcmp0(in->format, "ndjson") == 0;
    if (in->format && !in->json && strcmp(in->format, "text") != 0) {
        mig_command_fail(argv, 0, "--format %s: text or ndjson is expected", in->format);
        return false;
    }
    return true;
}

static void inspect_clear(Inspect *in)
{
    g_free(in->format);
    g_free(in->channel);
    mig_recording_free(in->recording);
    mig_summary_free(in->counts);
    if (in->line) {
        g_string_free(in->line, TRUE);
        g_array_unref(in->table);
        g_byte_array_unref(in->body);
    }
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Inspect, inspect_clear)

int mig_cmd_inspect(int argc, char **argv)
{
    g_auto(Inspect) in = { 0 };
    g_auto(GStrv) files = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "format", 0, 0, G_OPTION_ARG_STRING, &in.format, "default: text", "text|ndjson" },
        { "summary", 0, 0, G_OPTION_ARG_NONE, &in.summary, "numbers instead of records", NULL },
        { "passes", 0, 0, G_OPTION_ARG_NONE, &in.passes,
          "how pages were sent, round by round: again, unchanged, how fast; in ndjson with a heat "
          "map",
          NULL },
        { "channel", 0, 0, G_OPTION_ARG_STRING, &in.channel, "which channel to show", "NAME" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "FILE", "Says what is in a migration stream.", 1, 1,
                           &files, &status)) {
        return status;
    }
    if (!options_make_sense(&in, argv)) {
        return MIG_EXIT_USAGE;
    }
    in.recording = mig_recording_open(files[0], &error);
    if (!in.recording) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    in.table = g_array_new(FALSE, TRUE, sizeof(MigChannelCounts));
    in.counts = mig_summary_new();
    in.line = g_string_sized_new(512);
    in.body = g_byte_array_new();
    return in.passes ? inspect_passes(&in, argv) : inspect(&in, argv);
}
