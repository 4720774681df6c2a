/* SPDX-License-Identifier: Apache-2.0 */
/* migbench scrub: a recording without the guest's secrets. */
#include <inttypes.h>
#include <string.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/recode.h"
#include "sim/command.h"
#include "sim/record/scrub.h"
#include "sim/world/units.h"

/* What stopped the decoder is passed on as noise: its reader will stop at the same place. */
static int tell_stop(char **argv, const char *name, const MigDiagnosis *g)
{
    return mig_command_fail(argv, MIG_EXIT_FINDING,
                            "%s: offset %" PRIu64 ", %s: %s: expected %s, found %s; what is behind "
                            "it is noise",
                            name, g->offset, g->path, mig_fault_text(g->fault), g->expected,
                            g->found);
}

/* Bytes from |at| on, which no record holds. |in| is read again. */
static bool put_rest(const char *in, uint64_t at, const MigRecodeHook *hook, FILE *out,
                     GError **error)
{
    g_autoptr(MigInput) input = mig_input_open(in, error);
    const uint8_t *data;
    size_t n;
    while (input && mig_input_next(input, &data, &n, error) && n) {
        size_t passed = (size_t)MIN(at, n);
        at -= passed;
        g_autofree uint8_t *rest = g_memdup2(data + passed, n - passed);
        if (n > passed) {
            hook->rest(hook->opaque, 0, rest, n - passed);
            fwrite(rest, 1, n - passed, out); /* the commit looks at the file's errors */
        }
    }
    return !error || !*error;
}

static int scrub_stream(char **argv, const char *in, MigScrub *scrub, MigInput *input,
                        MigOutput *out)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigStreamReader) reader = mig_stream_reader_new(input, NULL);
    const MigRecodeHook *hook = mig_scrub_hook(scrub);
    MigRecodeResult result;
    uint64_t start = mig_decoder_offset(mig_stream_reader_decoder(reader));
    for (uint64_t i = 0; i < start; i++) { /* places in a mapped-ram file count from its start */
        putc(0, out->file);
    }
    if (start && out->path) {
        fprintf(stderr, "to be read as file:%s,offset=%" PRIu64 "\n", out->path, start);
    }
    mig_scrub_describe(scrub, mig_stream_reader_vmdesc(reader));
    if (!mig_recode(reader, out->file, hook, &result, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    bool bad = result.status == MIG_STATUS_BAD;
    const MigDiagnosis *why = bad ? mig_stream_reader_diagnosis(reader) : NULL;
    hook->over(hook->opaque, 0, why);
    if (bad || result.trailing) {
        if (strcmp(in, "-") == 0) {
            return mig_command_fail(argv, MIG_EXIT_USAGE,
                                    "the stream has bytes that are no records, for which it must "
                                    "be read twice: give a file, not standard input");
        }
        if (!put_rest(in, result.bytes, hook, out->file, &error)) {
            return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
        }
    }
    return bad ? tell_stop(argv, in, why) : MIG_EXIT_OK;
}

static int scrub_capture(char **argv, MigScrub *scrub, MigRecording *recording, MigOutput *out)
{
    g_autoptr(GError) error = NULL;
    int status = MIG_EXIT_OK;
    mig_scrub_describe(scrub, mig_recording_vmdesc(recording));
    g_autoptr(GArray) channels =
        mig_recode_capture(recording, out->file, NULL, mig_scrub_hook(scrub), &error);
    if (!channels) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    for (guint i = 0; i < channels->len; i++) {
        const MigRecodedChannel *ch = &g_array_index(channels, MigRecodedChannel, i);
        if (ch->bad) {
            g_autofree char *name =
                g_strdup_printf("%s: %s", mig_recording_name(recording), ch->name);
            status = tell_stop(argv, name, &ch->why);
        }
    }
    mig_command_tell_cut(argv,
                         recording); /* the packets that are there are scrubbed all the same */
    return status;
}

static int summarize(char **argv, const MigScrub *scrub, int status)
{
    const MigScrubCounts *c = mig_scrub_counts(scrub);
    g_autofree char *size = mig_format_size(c->bytes);
    fprintf(stderr, "scrubbed     %s\n", size);
    if (c->undisguised) {
        int incomplete =
            mig_command_fail(argv, MIG_EXIT_INCOMPLETE,
                             "%" PRIu64 " compressed payloads are too short to be disguised: they "
                             "are blanked, and decompress no more",
                             c->undisguised);
        return MAX(status, incomplete);
    }
    return status;
}

static int scrub_any(char **argv, const char *in, const char *to, const char *key)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigInput) input = mig_input_open(in, &error);
    g_autoptr(MigScrub) scrub = mig_scrub_new(key);
    g_autoptr(MigOutput) out = input ? mig_output_open(to, &error) : NULL;
    if (!out) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    g_autoptr(MigRecording) recording = mig_recording_of_input(&input, in);
    int status = recording ? scrub_capture(argv, scrub, recording, out)
                           : scrub_stream(argv, in, scrub, g_steal_pointer(&input), out);
    if (status <= MIG_EXIT_FINDING && !mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    status = status <= MIG_EXIT_FINDING ? summarize(argv, scrub, status) : status;
    int cut = recording ? mig_command_tell_cut(argv, recording) : MIG_EXIT_OK;
    return status == MIG_EXIT_OK ? cut : status;
}

int mig_cmd_scrub(int argc, char **argv)
{
    g_autofree char *to = NULL, *key = NULL;
    g_auto(GStrv) files = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write the recording", "OUT" },
        { "key", 0, 0, G_OPTION_ARG_STRING, &key,
          "the same key makes the same noise; who has it can undo it (default: one that nobody "
          "knows)",
          "TEXT" },
        { NULL },
    };
    if (!mig_command_parse(
            argc, argv, entries, "IN -o OUT",
            "Replaces what a guest had in memory, disks and devices by noise of the "
            "same length. Records, times, zeros and repeats stay, and with them what "
            "check and inspect say. Of a libvirt image the stream alone is kept; "
            "what stands in front of a stream (file:PATH,offset=N) becomes zeros.",
            1, 1, &files, &status)) {
        return status;
    }
    if (!to) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "-o OUT is missing");
    }
    if (!mig_command_keeps(argv, to, files)) {
        return MIG_EXIT_USAGE;
    }
    return scrub_any(argv, files[0], to, key);
}
