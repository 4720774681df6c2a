/* SPDX-License-Identifier: Apache-2.0 */
/* migbench recode: decode, encode again, and say whether the bytes are the same. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/recode.h"
#include "sim/command.h"

static int report_bad(char **argv, const MigStreamReader *reader)
{
    const MigDiagnosis *g = mig_stream_reader_diagnosis(reader);
    bool limit = mig_fault_is_inconclusive(g->fault);

    return mig_command_fail(argv, limit ? MIG_EXIT_INCOMPLETE : MIG_EXIT_FINDING,
                            "%s: offset %" PRIu64 ", %s: %s: expected %s, found %s (nothing was "
                            "written)",
                            mig_stream_reader_input_name(reader), g->offset, g->path,
                            mig_fault_text(g->fault), g->expected, g->found);
}

/* Compares what was written with the input once more; a pipe can't be read again. */
static int report_difference(char **argv, const char *in, MigOutput *out,
                             const MigRecodeResult *result)
{
    g_autoptr(GError) error = NULL;
    uint64_t first = UINT64_MAX;
    struct stat st;

    if (strcmp(in, "-") == 0 || !out->temporary || stat(in, &st) != 0 || !S_ISREG(st.st_mode)) {
        fprintf(stderr, "%" PRIu64 " bytes written; the input can't be read again to compare\n",
                result->bytes);
        return MIG_EXIT_OK;
    }
    g_autoptr(MigInput) a = mig_input_open(in, &error);
    int fd = open(out->temporary, O_RDONLY | O_CLOEXEC);
    g_autoptr(MigInput) b =
        a && fd >= 0 ? mig_input_file_new(fd, "the output", result->bytes, &error) : NULL;
    if (!a || !b || !mig_recode_compare(a, b, result->bytes, &first, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s",
                                error ? error->message : "can't read the output again");
    }
    if (first != UINT64_MAX) {
        printf("differs first at offset %" PRIu64 "\n", first);
        return MIG_EXIT_FINDING;
    }
    printf("identical: %" PRIu64 " bytes\n", result->bytes);
    return MIG_EXIT_OK;
}

static int recode(char **argv, MigStreamReader *reader, const char *in, const char *to)
{
    g_autoptr(GError) error = NULL;
    MigRecodeResult result;
    g_autoptr(MigOutput) out = mig_output_open(to, &error);

    if (!out || !mig_recode(reader, out->file, &result, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (result.status == MIG_STATUS_BAD) {
        return report_bad(argv, reader);
    }
    fflush(out->file);
    int status = report_difference(argv, in, out, &result);
    if (result.trailing) {
        fprintf(stderr, "%" PRIu64 " bytes behind the stream were left out\n", result.trailing);
        status = MAX(status, MIG_EXIT_FINDING);
    }
    if (!mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return status;
}

int mig_cmd_recode(int argc, char **argv)
{
    g_autofree char *to = NULL;
    g_auto(GStrv) files = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the stream", "OUT" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "IN -o OUT",
                           "Decodes a stream and encodes its records again.", 1, 1, &files,
                           &status)) {
        return status;
    }
    if (!to) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "-o OUT is missing");
    }
    g_autoptr(MigStreamReader) reader = mig_stream_reader_open(files[0], NULL, &error);
    if (!reader) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return recode(argv, reader, files[0], to);
}
