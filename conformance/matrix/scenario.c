/* SPDX-License-Identifier: Apache-2.0 */
/* See scenario.h. What a scenario can say is in docs/scenario.md. */
#include "conformance/matrix/scenario.h"

#include <string.h>

static void put_text(json_object *o, const char *key, const char *value)
{
    json_object_object_add(o, key, json_object_new_string(value));
}

static void put_number(json_object *o, const char *key, gint64 value)
{
    json_object_object_add(o, key, json_object_new_int64(value));
}

static json_object *block(const char *name, guint64 used, guint64 longest)
{
    json_object *o = json_object_new_object();

    put_text(o, "name", name);
    put_number(o, "size", (gint64)used);
    if (longest > used) {
        put_number(o, "max-size", (gint64)longest);
    }
    return o;
}

/* "pc.bios 4 KiB 0x... 0x40000 0x40000": a line of HMP's `info ramblock`; NULL: another one. */
static json_object *block_of_line(const char *line)
{
    char name[256];
    guint64 page, offset, used, longest;
    char unit[8];
    int n = sscanf(line,
                   " %255s %" G_GUINT64_FORMAT " %7s 0x%" G_GINT64_MODIFIER
                   "x 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x",
                   name, &page, unit, &offset, &used, &longest);
    return n == 6 ? block(name, used, longest) : NULL;
}

static json_object *blocks_of(MigPeerQmp *source)
{
    json_object *arguments = json_object_new_object(), *list = json_object_new_array();

    put_text(arguments, "command-line", "info ramblock");
    json_object *answer = mig_peer_qmp_execute(source, "human-monitor-command", arguments, NULL);
    g_auto(GStrv) lines = g_strsplit(answer ? json_object_get_string(answer) : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        json_object *b = block_of_line(*line);
        if (b) {
            json_object_array_add(list, b);
        }
    }
    json_object_put(answer);
    return list;
}

static json_object *content(void)
{
    json_object *list = json_object_new_array(), *o = json_object_new_object();

    put_number(o, "offset", 0);
    put_number(o, "length", (gint64)(MIG_MATRIX_RAM / 2));
    put_text(o, "kind", "text");
    json_object_array_add(list, o);
    return list;
}

/* Pages get contents, become zero, and get contents again. */
static json_object *workload(void)
{
    static const char *const writes[] = { "page", "zero", "counter" };
    json_object *list = json_object_new_array();

    for (gsize i = 0; i < G_N_ELEMENTS(writes); i++) {
        json_object *o = json_object_new_object();
        put_text(o, "block", "ram");
        put_number(o, "offset", (gint64)(MIG_MATRIX_RAM / 4));
        put_number(o, "length", (gint64)(MIG_MATRIX_RAM / 4));
        put_text(o, "pattern", "random");
        put_number(o, "rate", 5000);
        put_text(o, "pace", "clock");
        put_text(o, "write", writes[i]);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *guest(const MigCell *cell, bool is_source, MigPeerQmp *source)
{
    json_object *o = json_object_new_object(), *ram = source ? blocks_of(source) : NULL;

    if (!ram || !json_object_array_length(ram)) {
        json_object_put(ram);
        ram = json_object_new_array();
        json_object_array_add(ram, block("ram", MIG_MATRIX_RAM, 0));
    }
    if (mig_cell_has(cell, "x-ignore-shared")) { /* the peer's memory is, so ours has to be */
        json_object_object_add(json_object_array_get_idx(ram, 0), "shared",
                               json_object_new_boolean(true));
    }
    put_text(o, "machine", cell->machine);
    json_object_object_add(o, "ram", ram);
    if (is_source) {
        json_object_object_add(json_object_array_get_idx(ram, 0), "content", content());
    }
    if (is_source && strcmp(cell->workload, "idle") != 0) {
        json_object_object_add(o, "workload", workload());
    }
    return o;
}

bool mig_matrix_write_scenario(const MigCell *cell, bool is_source, MigPeerQmp *source,
                               const char *path, GError **error)
{
    const MigPeer *met = is_source ? cell->destination : cell->source;
    g_autofree char *series = mig_peer_series(met);
    json_object *o = json_object_new_object();

    put_text(o, "schema", "migbench-scenario-1");
    put_text(o, "qemu", series);
    put_number(o, "seed", 8);
    json_object_object_add(o, "guest", guest(cell, is_source, is_source ? NULL : source));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
    bool fine = g_file_set_contents(path, text, -1, error);
    json_object_put(o);
    return fine;
}
