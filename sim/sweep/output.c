/* SPDX-License-Identifier: Apache-2.0 */
/* See output.h. */
#include "sim/sweep/output.h"

#include "sim/world/output.h"

struct MigSweepOutput {
    MigOutput *out;
    GChecksum *sum;
};

MigSweepOutput *mig_sweep_output_open(const char *path, GError **error)
{
    MigOutput *out = mig_output_open(path, error);
    if (!out) {
        return NULL;
    }
    MigSweepOutput *o = g_new0(MigSweepOutput, 1);
    o->out = out;
    o->sum = g_checksum_new(G_CHECKSUM_SHA256);
    return o;
}

void mig_sweep_output_write(MigSweepOutput *o, const char *data, gsize n)
{
    g_checksum_update(o->sum, (const guchar *)data, (gssize)n);
    fwrite(data, 1, n, o->out->file); /* commit() looks at ferror() */
}

const char *mig_sweep_output_hash(MigSweepOutput *o)
{
    return g_checksum_get_string(o->sum);
}

bool mig_sweep_output_close(MigSweepOutput *o, GError **error)
{
    return mig_output_commit(o->out, error);
}

void mig_sweep_output_free(MigSweepOutput *o)
{
    if (!o) {
        return;
    }
    mig_output_free(o->out);
    g_checksum_free(o->sum);
    g_free(o);
}
