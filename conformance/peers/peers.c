/* SPDX-License-Identifier: Apache-2.0 */
/* Finding peers, naming them, starting them; see peers.h, and probe.c for asking them. */
#include "conformance/peers/peers.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#include "sim/simulate/result.h"

#define PROGRAM "qemu-system-x86_64"

static void feature_free(gpointer data)
{
    MigPeerFeature *f = data;
    g_free(f->name);
    g_free(f->refusal);
    g_free(f);
}

static MigPeer *blank(void)
{
    MigPeer *p = g_new0(MigPeer, 1);
    p->machines = g_ptr_array_new_with_free_func(g_free);
    p->accelerators = g_ptr_array_new_with_free_func(g_free);
    p->transports = g_ptr_array_new_with_free_func(g_free);
    p->features = g_ptr_array_new_with_free_func(feature_free);
    p->version = g_strdup("");
    p->package = g_strdup("");
    return p;
}

void mig_peer_free(MigPeer *p)
{
    if (p) {
        g_ptr_array_unref(p->machines);
        g_ptr_array_unref(p->accelerators);
        g_ptr_array_unref(p->transports);
        g_ptr_array_unref(p->features);
        json_object_put(p->parameters);
        g_free(p->name);
        g_free(p->command);
        g_strfreev(p->argv);
        g_free(p->error);
        g_free(p->version);
        g_free(p->package);
        g_free(p);
    }
}

/* The length of NAME in "NAME=COMMAND"; 0: there is none. */
static gsize name_length(const char *text)
{
    gsize n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return text[n] == '=' ? n : 0;
}

MigPeer *mig_peer_new(const char *text, GError **error)
{
    g_autoptr(MigPeer) p = blank();
    gsize n = name_length(text);

    p->name = n ? g_strndup(text, n) : NULL;
    p->command = g_strdup(n ? text + n + 1 : text);
    if (!g_shell_parse_argv(p->command, NULL, &p->argv, error)) {
        g_prefix_error(error, "peer '%s': ", text);
        return NULL;
    }
    p->is_template = strstr(p->command, "{qmp}") != NULL;
    return g_steal_pointer(&p);
}

MigPeer *mig_peer_own(void)
{
    MigPeer *p = blank();
    p->name = g_strdup("migbench");
    g_free(p->version);
    p->version = g_strdup(mig_program_version());
    return p;
}

/* ---- finding ---- */

static void add_path(GPtrArray *peers, const char *path)
{
    g_autofree char *quoted = g_shell_quote(path);
    /* A plain path reads better; only an odd one needs its quotes. */
    bool plain = strpbrk(path, " \t'\"\\$`=*?[{") == NULL;
    MigPeer *p = mig_peer_new(plain ? path : quoted, NULL);

    if (p) {
        g_ptr_array_add(peers, p);
    }
}

static int by_version(gconstpointer a, gconstpointer b)
{
    const char *const *one = a, *const *two = b;
    const char *v = strrchr(*one, '-'), *w = strrchr(*two, '-');
    double x = v ? g_ascii_strtod(v + 1, NULL) : 0, y = w ? g_ascii_strtod(w + 1, NULL) : 0;
    return x < y ? -1 : x > y ? 1 : strcmp(*one, *two);
}

/* Where traces/gen/peers.sh puts its wrappers. */
static char *installed_folder(void)
{
    const char *given = g_getenv("MIGBENCH_PEERS");
    return given ? g_build_filename(given, "bin", NULL)
                 : g_build_filename(g_get_user_cache_dir(), "migbench", "peers", "bin", NULL);
}

void mig_peers_find(GPtrArray *peers)
{
    g_autofree char *folder = installed_folder();
    g_autofree char *on_path = g_find_program_in_path(PROGRAM);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_prefix(name, PROGRAM "-")) {
            g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
        }
    }
    g_clear_pointer(&dir, g_dir_close);
    g_ptr_array_sort(paths, by_version);
    if (on_path) {
        add_path(peers, on_path);
    }
    for (guint i = 0; i < paths->len; i++) {
        add_path(peers, paths->pdata[i]);
    }
}

/* ---- names ---- */

char *mig_peer_series(const MigPeer *p)
{
    g_auto(GStrv) parts = g_strsplit(p->version, ".", 3);
    return g_strv_length(parts) < 2 ? g_strdup(p->version)
                                    : g_strdup_printf("%s.%s", parts[0], parts[1]);
}

static bool taken(const GPtrArray *peers, guint before, const char *name)
{
    for (guint i = 0; i < before; i++) {
        if (g_strcmp0(((const MigPeer *)peers->pdata[i])->name, name) == 0) {
            return true;
        }
    }
    return strcmp(name, "migbench") == 0;
}

static void give_name(const GPtrArray *peers, guint index)
{
    MigPeer *p = peers->pdata[index];
    g_autofree char *series = mig_peer_series(p);
    char *wanted = p->name       ? g_strdup(p->name)
                   : *p->version ? g_strdup_printf("qemu-%s", series)
                                 : g_path_get_basename(p->argv[0]);
    char *name = g_strdup(wanted);

    for (unsigned n = 2; p->command && taken(peers, index, name); n++) {
        g_free(name);
        name = g_strdup_printf("%s-%u", wanted, n);
    }
    g_free(wanted);
    g_free(p->name);
    p->name = name;
}

void mig_peers_probe(GPtrArray *peers)
{
    for (guint i = 0; i < peers->len; i++) {
        mig_peer_probe(peers->pdata[i]);
        give_name(peers, i);
    }
}

bool mig_peer_has(const GPtrArray *strings, const char *text)
{
    for (guint i = 0; i < strings->len; i++) {
        if (strcmp(strings->pdata[i], text) == 0) {
            return true;
        }
    }
    return false;
}

const MigPeerFeature *mig_peer_feature(const MigPeer *p, const char *name)
{
    for (guint i = 0; i < p->features->len; i++) {
        const MigPeerFeature *f = p->features->pdata[i];
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

/* ---- starting ---- */

static void append(GPtrArray *out, const char *text)
{
    g_ptr_array_add(out, g_strdup(text));
}

/* QEMU's own arguments for the place. */
static void append_qemu(GPtrArray *out, const MigPeerPlace *p)
{
    static const char *const quiet[] = {
        "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-net",
        "none",        "-accel",          "tcg",      "-S"
    };

    for (gsize i = 0; i < G_N_ELEMENTS(quiet); i++) {
        append(out, quiet[i]);
    }
    append(out, "-M");
    if (p->memory) {
        g_ptr_array_add(out, g_strdup_printf("%s,memory-backend=ram", p->machine));
        append(out, "-m");
        g_ptr_array_add(out, g_strdup_printf("size=%" G_GUINT64_FORMAT "B", p->size));
        append(out, "-object");
        g_ptr_array_add(
            out, g_strdup_printf("memory-backend-file,id=ram,share=on,size=%" G_GUINT64_FORMAT
                                 ",mem-path=%s",
                                 p->size, p->memory));
    } else {
        append(out, p->machine);
    }
    append(out, "-qmp");
    g_ptr_array_add(out, g_strdup_printf("unix:%s,server=on,wait=off", p->qmp));
    if (strcmp(p->role, "destination") == 0) {
        append(out, "-incoming");
        append(out, "defer");
    }
}

static char *filled(const char *word, const MigPeerPlace *p)
{
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, p->size);
    GString *out = g_string_new(word);

    g_string_replace(out, "{qmp}", p->qmp, 0);
    g_string_replace(out, "{role}", p->role, 0);
    g_string_replace(out, "{machine}", p->machine, 0);
    g_string_replace(out, "{size}", size, 0);
    g_string_replace(out, "{memory}", p->memory ? p->memory : "", 0);
    return g_string_free(out, FALSE);
}

char **mig_peer_fill(const MigPeer *peer, const MigPeerPlace *place)
{
    g_autoptr(GPtrArray) out = g_ptr_array_new();

    for (char **word = peer->argv; *word; word++) {
        g_ptr_array_add(out, peer->is_template ? filled(*word, place) : g_strdup(*word));
    }
    if (!peer->is_template) {
        append_qemu(out, place);
    }
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_steal(out, NULL);
}

/* ---- folders ---- */

char *mig_peer_folder(GError **error)
{
    const char *run = g_getenv("MIGBENCH_RUNDIR");
    g_autofree char *top = g_strdup(run ? run : "/dev/shm");
    char *path = g_build_filename(top, "migbench-XXXXXX", NULL);

    if (run) {
        g_mkdir_with_parents(run, 0777);
    }
    if (!g_mkdtemp(path)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "%s: can't make a folder there; MIGBENCH_RUNDIR names another place", top);
        g_free(path);
        return NULL;
    }
    return path;
}

void mig_remove_folder(const char *path)
{
    GDir *dir = path ? g_dir_open(path, 0, NULL) : NULL;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *inside = g_build_filename(path, name, NULL);
        g_unlink(inside);
    }
    if (dir) {
        g_dir_close(dir);
        g_rmdir(path);
    }
}
