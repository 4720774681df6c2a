/* SPDX-License-Identifier: Apache-2.0 */
/* migbench extract: a block's memory image, or the list of blocks. */
#include <inttypes.h>
#include <string.h>

#include "conformance/commands.h"
#include "conformance/extract.h"
#include "conformance/output.h"
#include "sim/command.h"

static int report_bad(char **argv, const MigRecording *recording, const char *channel,
                      const MigDiagnosis *g, const char *hint)
{
    return mig_command_fail(
        argv, mig_fault_is_inconclusive(g->fault) ? MIG_EXIT_INCOMPLETE : MIG_EXIT_FINDING,
        "%s: %s: offset %" PRIu64 ", %s: expected %s, found %s (nothing was written)%s%s",
        mig_recording_name(recording), channel, g->offset, g->path, g->expected, g->found,
        hint ? "; " : "", hint ? hint : "");
}

static int list_bad(char **argv, MigRecording *recording, unsigned channel)
{
    g_autofree char *hint = mig_recording_hint(recording, channel);
    return report_bad(argv, recording, mig_recording_channel_name(recording, channel),
                      mig_decoder_diagnosis(mig_recording_decoder(recording, channel)), hint);
}

static int list(char **argv, MigRecording *recording)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) line = g_string_new(NULL);
    MigRecord r;
    MigStatus status;
    unsigned channel;

    while ((status = mig_recording_next(recording, &channel, &r, &error)) == MIG_STATUS_RECORD) {
        if (r.type == MIG_REC_RAM_BLOCK) {
            g_string_truncate(line, 0);
            mig_text_append(line, r.block.name);
            printf("%12" PRIu64 "  %s\n", r.block.used_length, line->str);
        }
        if (r.type == MIG_REC_RAM_EOS) {
            return MIG_EXIT_OK; /* the list stands in START */
        }
    }
    if (status == MIG_STATUS_BAD) {
        return list_bad(argv, recording, channel);
    }
    return status == MIG_STATUS_END
               ? MIG_EXIT_OK
               : mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
}

static int extract(char **argv, MigRecording *recording, const char *block, const char *to)
{
    g_autoptr(GError) error = NULL;
    g_auto(MigExtractResult) result = { 0 };

    if (strcmp(to, "-") == 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "-o -: an image needs a file with holes");
    }
    g_autoptr(MigOutput) out = mig_output_open(to, &error);
    if (!out || !mig_extract(recording, block, fileno(out->file), &result, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (result.bad) {
        return report_bad(argv, recording, result.channel, &result.why, result.hint);
    }
    if (!result.found) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--block %s: no such block; extract --list shows them", block);
    }
    if (result.left_out) {
        return mig_command_fail(argv, MIG_EXIT_INCOMPLETE,
                                "--block %s: x-ignore-shared leaves it out: the stream has none of "
                                "its pages, both ends share its file (nothing was written)",
                                block);
    }
    if (!mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    printf("%s: %" PRIu64 " bytes from %" PRIu64 " pages\n", to, result.length, result.pages);
    return MIG_EXIT_OK;
}

int mig_cmd_extract(int argc, char **argv)
{
    g_autofree char *to = NULL, *block = NULL;
    gboolean only_list = FALSE;
    g_auto(GStrv) files = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "block", 0, 0, G_OPTION_ARG_STRING, &block, "which RAM block", "NAME" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the image", "OUT" },
        { "list", 0, 0, G_OPTION_ARG_NONE, &only_list, "only list the blocks and their sizes",
          NULL },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "FILE --block NAME -o OUT",
                           "Writes the memory that a destination would end with.", 1, 1, &files,
                           &status)) {
        return status;
    }
    if (!mig_command_keeps(argv, to, files)) {
        return MIG_EXIT_USAGE;
    }
    if (!only_list && (!block || !to)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--block NAME and -o OUT are needed, or "
                                "--list");
    }
    g_autoptr(MigRecording) recording = mig_recording_open(files[0], &error);
    if (!recording) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return only_list ? list(argv, recording) : extract(argv, recording, block, to);
}
