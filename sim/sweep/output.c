/* SPDX-License-Identifier: Apache-2.0 */
/* See output.h. */
#include "sim/sweep/output.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct MigSweepOutput {
    FILE *file; /* NULL: closed */
    char *path, *temporary;
    GChecksum *sum;
    int error; /* errno of the first failure */
};

static bool fail(GError **error, const char *path, int code)
{
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "cannot write %s: %s", path,
                g_strerror(code));
    return false;
}

MigSweepOutput *mig_sweep_output_open(const char *path, GError **error)
{
    g_autoptr(MigSweepOutput) o = g_new0(MigSweepOutput, 1);
    o->sum = g_checksum_new(G_CHECKSUM_SHA256);
    o->path = g_strdup(path);
    if (strcmp(path, "-") == 0) {
        o->file = stdout;
        return g_steal_pointer(&o);
    }
    o->temporary = g_strconcat(path, ".XXXXXX", NULL);
    int fd = g_mkstemp_full(o->temporary, 02 /* O_RDWR */, 0666);
    if (fd < 0) {
        fail(error, path, errno);
        g_clear_pointer(&o->temporary, g_free);
        return NULL;
    }
    o->file = fdopen(fd, "wb");
    return g_steal_pointer(&o);
}

void mig_sweep_output_write(MigSweepOutput *o, const char *data, gsize n)
{
    g_checksum_update(o->sum, (const guchar *)data, (gssize)n);
    if (!o->error && fwrite(data, 1, n, o->file) != n) {
        o->error = errno;
    }
}

const char *mig_sweep_output_hash(MigSweepOutput *o)
{
    return g_checksum_get_string(o->sum);
}

bool mig_sweep_output_close(MigSweepOutput *o, GError **error)
{
    FILE *file = g_steal_pointer(&o->file);
    int flushed = fflush(file);
    bool fine = flushed == 0 && !o->error;
    int code = o->error ? o->error : errno;
    if (o->temporary) {
        fine = (fclose(file) == 0) && fine && rename(o->temporary, o->path) == 0;
        code = o->error ? o->error : errno;
    }
    if (fine) {
        g_clear_pointer(&o->temporary, g_free);
    }
    return fine || fail(error, o->path, code);
}

void mig_sweep_output_free(MigSweepOutput *o)
{
    if (!o) {
        return;
    }
    if (o->file && o->file != stdout) {
        fclose(o->file);
    }
    if (o->temporary) {
        g_unlink(o->temporary);
    }
    g_checksum_free(o->sum);
    g_free(o->temporary);
    g_free(o->path);
    g_free(o);
}
