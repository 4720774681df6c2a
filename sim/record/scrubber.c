/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrubbing on the way, see scrubber.h. The thread reads its pipe to the end whatever happens, as
 * nobody else would.
 */
#include "sim/record/scrubber.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sim/record/scrub.h"

struct MigScrubber {
    FILE *pipe, *out;
    int from;
    GThread *thread;
    GError *error; /* the thread's; to be read after it */
};

static gpointer work(gpointer opaque)
{
    MigScrubber *s = opaque;
    g_autoptr(MigScrub) scrub = mig_scrub_new(NULL);
    int again = dup(s->from);
    g_autoptr(MigRecording) recording =
        mig_recording_of_capture(mig_capture_new(mig_input_pipe_new(s->from, "the line")), NULL);
    /* What the channels came to is counted by whoever records. */
    GArray *channels =
        mig_recode_capture(recording, s->out, NULL, mig_scrub_hook(scrub), &s->error);
    g_clear_pointer(&channels, g_array_unref);
    char rest[4096];
    while (again >= 0 && read(again, rest, sizeof(rest)) > 0) {
    }
    if (again >= 0) {
        close(again);
    }
    return NULL;
}

MigScrubber *mig_scrubber_begin(FILE *out, GError **error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        int code = errno;
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "no pipe: %s",
                    g_strerror(code));
        return NULL;
    }
    MigScrubber *s = g_new0(MigScrubber, 1);
    s->out = out;
    s->from = ends[0];
    s->pipe = fdopen(ends[1], "wb");
    s->thread = g_thread_new("scrub", work, s);
    return s;
}

FILE *mig_scrubber_file(const MigScrubber *s)
{
    return s->pipe;
}

bool mig_scrubber_end(MigScrubber *s, GError **error)
{
    fclose(s->pipe);
    g_thread_join(s->thread);
    GError *why = s->error;
    g_free(s);
    if (why) {
        g_propagate_error(error, why);
    }
    return !why;
}
