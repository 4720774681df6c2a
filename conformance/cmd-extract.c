/* SPDX-License-Identifier: Apache-2.0 */
/* migbench extract: a block's memory image, or the list of blocks. */
#include <inttypes.h>
#include <string.h>

#include "conformance/commands.h"
#include "conformance/extract.h"
#include "conformance/output.h"
#include "sim/command.h"

static int report_bad(char **argv, const MigStreamReader *reader)
{
    const MigDiagnosis *g = mig_stream_reader_diagnosis(reader);
    return mig_command_fail(
        argv, mig_fault_is_inconclusive(g->fault) ? MIG_EXIT_INCOMPLETE : MIG_EXIT_FINDING,
        "%s: offset %" PRIu64 ", %s: %s: expected %s, found %s (nothing was written)",
        mig_stream_reader_input_name(reader), g->offset, g->path, mig_fault_text(g->fault),
        g->expected, g->found);
}

static int list(char **argv, MigStreamReader *reader)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) line = g_string_new(NULL);
    MigRecord r;
    MigStatus status;

    while ((status = mig_stream_reader_next(reader, &r, &error)) == MIG_STATUS_RECORD) {
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
        return report_bad(argv, reader);
    }
    return status == MIG_STATUS_END
               ? MIG_EXIT_OK
               : mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
}

static int extract(char **argv, MigStreamReader *reader, const char *block, const char *to)
{
    g_autoptr(GError) error = NULL;
    MigExtractResult result;

    if (strcmp(to, "-") == 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "-o -: an image needs a file with holes");
    }
    g_autoptr(MigOutput) out = mig_output_open(to, &error);
    if (!out || !mig_extract(reader, block, fileno(out->file), &result, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (result.bad_page) {
        return mig_command_fail(argv, MIG_EXIT_FINDING,
                                "the page at offset %" PRIu64 " can't be applied: %s (nothing was "
                                "written)",
                                result.bad_offset, result.bad_why);
    }
    if (result.status == MIG_STATUS_BAD) {
        return report_bad(argv, reader);
    }
    if (!result.found) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--block %s: no such block; extract --list shows them", block);
    }
    if (!mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    printf("%s: %" PRIu64 " bytes from %" PRIu64 " page records\n", to, result.length,
           result.pages);
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
    if (!only_list && (!block || !to)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--block NAME and -o OUT are needed, or "
                                "--list");
    }
    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(files[0], NULL, &error);
    if (!reader) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return only_list ? list(argv, reader) : extract(argv, reader, block, to);
}
