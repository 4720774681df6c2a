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
#include "sim/record/recode-capture.h"

static int report_bad(char **argv, const char *file, const MigDiagnosis *g, const char *hint)
{
    bool limit = mig_fault_is_inconclusive(g->fault);

    return mig_command_fail(argv, limit ? MIG_EXIT_INCOMPLETE : MIG_EXIT_FINDING,
                            "%s: offset %" PRIu64 ", %s: %s: expected %s, found %s (nothing was "
                            "written)%s%s",
                            file, g->offset, g->path, mig_fault_text(g->fault), g->expected,
                            g->found, hint ? "; " : "", hint ? hint : "");
}

static int report_bad_stream(char **argv, MigStreamReader *reader)
{
    g_autoptr(MigRecording) recording = mig_recording_of_reader(reader);
    g_autofree char *hint = mig_recording_hint(recording, 0);
    return report_bad(argv, mig_stream_reader_input_name(reader),
                      mig_stream_reader_diagnosis(reader), hint);
}

/* Compares what was written with the input once more; a pipe can't be read again. */
static int report_difference(char **argv, const char *in, MigOutput *out,
                             const MigRecodeResult *result)
{
    g_autoptr(GError) error = NULL;
    uint64_t first = UINT64_MAX;
    struct stat st;

    bool again = g_str_has_prefix(in, "file:") || (stat(in, &st) == 0 && S_ISREG(st.st_mode));
    if (strcmp(in, "-") == 0 || !out->temporary || !again) {
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

    if (!out || !mig_recode(reader, out->file, NULL, &result, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    if (result.status == MIG_STATUS_BAD) {
        return report_bad_stream(argv, reader);
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

/* ---- several channels ---- */

static int report_channel(char **argv, const char *in, const MigRecodedChannel *ch)
{
    if (ch->bad) {
        g_autofree char *file = g_strdup_printf("%s: %s", in, ch->name);
        return report_bad(argv, file, &ch->why, NULL);
    }
    printf("%-12s ", ch->name);
    if (ch->first != MIG_RECODE_SAME) {
        printf("differs first at offset %" PRIu64 "\n", ch->first);
        return MIG_EXIT_FINDING;
    }
    printf("identical: %" PRIu64 " bytes, %" PRIu64 " records", ch->bytes, ch->records);
    if (ch->rest) {
        printf(", then %" PRIu64 " bytes %s", ch->rest,
               ch->cut ? "of a record that the broken line cut off" : "behind its end");
    }
    printf("\n");
    return ch->rest && !ch->cut ? MIG_EXIT_FINDING : MIG_EXIT_OK;
}

static int recode_capture(char **argv, MigRecording *recording, const char *to, const char *channel)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigOutput) out = mig_output_open(to, &error);
    g_autoptr(GArray) channels =
        out ? mig_recode_capture(recording, out->file, channel, NULL, &error) : NULL;
    int worst = MIG_EXIT_OK;
    bool found = channel == NULL, bad = false;

    if (!channels) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    for (guint i = 0; i < channels->len; i++) {
        const MigRecodedChannel *ch = &g_array_index(channels, MigRecodedChannel, i);
        bool mine = !channel || strcmp(ch->name, channel) == 0;
        found |= mine;
        if (mine) {
            int status = report_channel(argv, mig_recording_name(recording), ch);
            worst = MAX(worst, status);
            bad |= ch->bad;
        }
    }
    if (!found) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--channel %s: no such channel", channel);
    }
    if (!bad && !mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    int cut = mig_command_tell_cut(argv, recording);
    return worst == MIG_EXIT_OK ? cut : worst;
}

/* Which of the two it is shows in its first bytes. */
static int recode_any(char **argv, const char *in, const char *to, const char *channel)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) input = mig_input_open(in, &error);

    if (!input) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    g_autoptr(MigRecording) recording = mig_recording_of_input(&input, in);
    if (recording) {
        return recode_capture(argv, recording, to, channel);
    }
    if (channel && strcmp(channel, "main") != 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--channel %s: this input has only the channel main", channel);
    }
    g_autoptr(MigStreamReader) reader = mig_stream_reader_new(g_steal_pointer(&input), NULL);
    return recode(argv, reader, in, to);
}

int mig_cmd_recode(int argc, char **argv)
{
    g_autofree char *to = NULL, *channel = NULL;
    g_auto(GStrv) files = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the stream", "OUT" },
        { "channel", 0, 0, G_OPTION_ARG_STRING, &channel,
          "of a recording of several: write this one's bytes alone", "NAME" },
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
    if (!mig_command_keeps(argv, to, files)) {
        return MIG_EXIT_USAGE;
    }
    return recode_any(argv, files[0], to, channel);
}
