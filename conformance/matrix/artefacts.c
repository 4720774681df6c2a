/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of a cell, in a folder named like it:
 *
 *     stream.pcapng.zst (or stream.mig.zst)   everything that went by
 *     qmp.log                                 what both monitors heard and said
 *     source.log destination.log relay.log    what the programs printed
 *     source-command destination-command      how they were started
 *     source-scenario.json source-result.json (and of the destination) where that is our own end
 *     repro.sh                                runs the cell again
 */
#include "conformance/matrix/artefacts.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 3

char *mig_cell_folder(const char *out, const MigCell *cell, GError **error)
{
    g_autofree char *path = g_build_filename(out, "cells", cell->name, NULL);
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *inside = g_build_filename(path, name, NULL);
        g_unlink(inside); /* of an earlier run; cells lie below no cell */
    }
    g_clear_pointer(&dir, g_dir_close);
    if (g_mkdir_with_parents(path, 0777) != 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "%s: %s", path,
                    g_strerror(errno));
        return NULL;
    }
    return g_steal_pointer(&path);
}

static void add_peer(GString *out, const char *option, const MigPeer *p)
{
    if (p->command) {
        g_autofree char *text = g_strdup_printf("%s=%s", p->name, p->command);
        g_autofree char *quoted = g_shell_quote(text);
        g_string_append_printf(out, " \\\n    %s %s", option, quoted);
    }
}

bool mig_cell_write_repro(const MigCell *cell, const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "repro.sh", NULL);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *program = g_shell_quote(self ? self : "migbench");
    g_autofree char *name = g_shell_quote(cell->name);
    g_autoptr(GString) text = g_string_new("#!/bin/sh\n");

    g_string_append_printf(text,
                           "# Runs this cell again. repro.sh [FOLDER]: artefacts go there "
                           "(default: again); exit status: 0 pass, 1 fail.\n"
                           "# MIGBENCH names another program than the one that ran it.\n"
                           "[ -n \"${MIGBENCH:-}\" ] || MIGBENCH=%s\n"
                           "exec \"$MIGBENCH\" matrix -o \"${1:-again}\" --no-sanity",
                           program);
    add_peer(text, "--peer", cell->source);
    if (cell->destination != cell->source) {
        add_peer(text, "--peer", cell->destination);
    }
    g_string_append_printf(text, " \\\n    --only %s\n", name);
    return g_file_set_contents_full(path, text->str, (gssize)text->len,
                                    G_FILE_SET_CONTENTS_CONSISTENT, 0755, error);
}

bool mig_cell_pack(const MigCellRun *run, GError **error)
{
    g_autofree char *path = g_strconcat(run->recording, ".zst", NULL);
    g_autofree char *bytes = NULL;
    gsize n = 0;

    if (!g_file_get_contents(run->recording, &bytes, &n, NULL)) {
        return true; /* nothing went by */
    }
    size_t room = ZSTD_compressBound(n);
    g_autofree char *packed = g_malloc(room);
    size_t used = ZSTD_compress(packed, room, bytes, n, LEVEL);
    if (ZSTD_isError(used) || !g_file_set_contents(path, packed, (gssize)used, error)) {
        return false;
    }
    g_unlink(run->recording);
    return true;
}

char *mig_cell_report(const MigCellRun *run, MigOutcome outcome, const char *words)
{
    const MigCell *c = run->cell;
    json_object *o = json_object_new_object();
    g_autofree char *features = mig_cell_features(c);
    const char *const pairs[][2] = {
        { "type", "cell" },
        { "subject", c->name },
        { "source", c->source->name },
        { "destination", c->destination->name },
        { "machine", c->machine },
        { "transport", c->transport },
        { "features", features },
        { "workload", c->workload },
        { "fault", c->fault },
        { "outcome", mig_outcome_name(outcome) },
        { "words", words },
        { "source-status", run->source_status },
        { "destination-status", run->destination_status },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (pairs[i][1]) {
            g_autofree char *valid = g_utf8_make_valid(pairs[i][1], -1);
            json_object_object_add(o, pairs[i][0], json_object_new_string(valid));
        }
    }
    json_object_object_add(o, "sanity", json_object_new_boolean(c->sanity));
    json_object_object_add(o, "passes", json_object_new_int64((gint64)run->passes));
    json_object_object_add(o, "compared", json_object_new_boolean(run->compared));
    char *line = g_strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
    return line;
}
