/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings for tests, see recorded.h. */
#include "tests/unit/recorded.h"

#include <glib/gstdio.h>

#include "sim/world/capture-writer.h"
#include "tests/unit/simulated.h"

/* A capture's times are since 1970, where 0 would be none. */
static bool put_chunk(void *opaque, uint32_t channel, int64_t at, const void *data, size_t n,
                      GError **error)
{
    return mig_capture_write_chunk(opaque, channel, (uint64_t)at + 1, data, n);
}

char *recorded_file(const char *scenario)
{
    g_autoptr(GError) error = NULL;
    char *path = NULL;
    int fd = g_file_open_tmp("recorded-XXXXXX", &path, &error);
    g_assert_no_error(error);
    FILE *file = fdopen(fd, "wb");
    g_assert_true(mig_capture_write_head(file) && mig_capture_write_channel(file, "main"));
    const MigSimulateOptions options = { .record = put_chunk, .opaque = file };
    g_auto(Simulated) s = simulated_run(&options, "%s", scenario);
    simulated_expect_fine(&s);
    g_assert_cmpint(fclose(file), ==, 0);
    return path;
}

MigSends *recorded_sends(const char *scenario)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = recorded_file(scenario);
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    g_assert_no_error(error);
    MigSends *sends = mig_sends_read(recording, &error);
    g_assert_no_error(error);
    g_assert_true(sends->completed);
    g_unlink(path);
    return sends;
}
