/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of loaders, printed. */
#include "conformance/loader/report.h"

#include <inttypes.h>
#include <string.h>

#include "conformance/output.h"
#include "sim/command.h"

static void json_text(GString *out, const char *key, const char *value)
{
    if (value) {
        mig_json_append_key(out, key);
        mig_json_append_string(out, mig_str(value));
    }
}

static void json_cause(GString *out, const MigLoadCause *c)
{
    if (c->load == MIG_LOAD_ACCEPTS) {
        return;
    }
    json_text(out, "reason", mig_load_reason_name(c->reason));
    json_text(out, "rule", c->rule ? c->rule->id : NULL);
    json_text(out, "channel", c->channel);
    mig_json_append_key(out, "offset");
    g_string_append_printf(out, "%" PRIu64, c->offset);
    json_text(out, "path", c->path);
    json_text(out, "expected", c->expected);
    json_text(out, "found", c->found);
}

static void text_cause(GString *out, const MigLoadCause *c)
{
    if (c->load == MIG_LOAD_ACCEPTS) {
        return;
    }
    if (c->reason) {
        g_string_append_printf(out, "    because of %s (%s)\n", mig_load_reason_text(c->reason),
                               mig_load_reason_name(c->reason));
    }
    g_string_append_printf(out, "    %s, byte %" PRIu64 ", %s: expected %s, found ", c->channel,
                           c->offset, c->path, c->expected);
    mig_text_append(out, mig_str(c->found));
    g_string_append_c(out, '\n');
    if (c->rule) {
        g_string_append_printf(out, "    %s: %s\n", c->rule->id, c->rule->title);
    }
}

static void count(MigLoaderTotals *totals, MigLoad load)
{
    totals->loaded += load <= MIG_LOAD_COMPLAINS;
    totals->unknown += load == MIG_LOAD_UNKNOWN;
    totals->refused += load > MIG_LOAD_UNKNOWN;
}

static void say(GString *out, const char *file, MigVersion version, const MigLoadCause *c,
                bool ndjson)
{
    static const char *const sentences[MIG_LOAD_COUNT] = {
        "loads it",   "loads it with a message", "can't be told",
        "refuses it", "waits for ever",          "crashes"
    };

    if (ndjson) {
        g_string_append(out, "{\"type\":\"load\"");
        json_text(out, "subject", file);
        json_text(out, "load", mig_load_name(c->load));
        json_cause(out, c);
        g_string_append(out, "}\n");
        return;
    }
    g_string_append_printf(out, "%s: QEMU %u.%u %s\n", file, MIG_VERSION_MAJOR(version),
                           MIG_VERSION_MINOR(version), sentences[c->load]);
    text_cause(out, c);
}

void mig_loader_report_begin(GString *out, MigVersion version, const char *machine, bool ndjson)
{
    if (ndjson) {
        g_string_append(out, "{\"type\":\"run\"");
        json_text(out, "schema", MIG_LOADER_SCHEMA);
        g_string_append_printf(out, ",\"loader\":\"%u.%u\"", MIG_VERSION_MAJOR(version),
                               MIG_VERSION_MINOR(version));
        json_text(out, "machine", machine);
        g_string_append(out, "}\n");
    }
}

void mig_loader_report_subject(GString *out, const char *file, MigVersion version,
                               const char *machine, bool ndjson, MigLoaderTotals *totals)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCheck) check = mig_check_new(MIG_PROFILE_STRICT);
    g_autoptr(MigLoader) loader = mig_loader_new(version, machine);
    g_autoptr(MigRecording) recording = mig_recording_open(file, &error);

    totals->subjects++;
    mig_loader_attach(loader, check);
    if (!recording || !mig_check_recording(check, recording, &error)) {
        totals->errors++;
        g_printerr("migbench check: %s\n", error->message);
        return;
    }
    const MigLoadCause *answer = mig_loader_answer(loader, check);
    count(totals, answer->load);
    say(out, file, version, answer, ndjson);
}

void mig_loader_report_end(GString *out, const MigLoaderTotals *totals, bool ndjson)
{
    if (ndjson) {
        g_string_append_printf(out,
                               "{\"type\":\"end\",\"complete\":true,\"subjects\":%u,\"loaded\":%u,"
                               "\"refused\":%u,\"unknown\":%u,\"errors\":%u}\n",
                               totals->subjects, totals->loaded, totals->refused, totals->unknown,
                               totals->errors);
    }
}

int mig_loader_report_status(const MigLoaderTotals *totals)
{
    return totals->errors    ? MIG_EXIT_ENVIRONMENT
           : totals->refused ? MIG_EXIT_FINDING
           : totals->unknown ? MIG_EXIT_INCOMPLETE
                             : MIG_EXIT_OK;
}
