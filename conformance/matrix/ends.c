/* SPDX-License-Identifier: Apache-2.0 */
/* Starting ends and talking to them; see ends.h. */
#include "conformance/matrix/ends.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/matrix/scenario.h"
#include "sim/world/prng.h"

#define PAGE 4096u

static const char *role(const MigEnd *end)
{
    return end->is_source ? "source" : "destination";
}

static char *in_folder(const char *folder, const MigEnd *end, const char *suffix)
{
    return g_strdup_printf("%s/%s%s", folder, role(end), suffix);
}

/* ---- memory ---- */

/* The first half: every page is 64 random bytes, repeated (so that recordings stay small). */
guint8 *mig_matrix_image(void)
{
    guint8 *bytes = g_malloc0(MIG_MATRIX_RAM);

    for (guint64 page = 0; page < MIG_MATRIX_RAM / PAGE / 2; page++) {
        MigPrng random = mig_prng(8, "matrix memory", page);
        guint8 *start = bytes + page * PAGE;
        for (guint i = 0; i < 64; i++) {
            start[i] = (guint8)mig_prng_next(&random);
        }
        for (guint i = 64; i < PAGE; i += 64) {
            memcpy(start + i, start, 64);
        }
    }
    return bytes;
}

/* ---- starting ---- */

static char **peer_argv(MigEnd *end, const MigEndPlace *p, const char *qmp, GError **error)
{
    g_autofree char *qtest = in_folder(p->shared, end, ".qtest");
    MigPeerPlace place = { role(end), p->cell->machine, end->memory, qmp, MIG_MATRIX_RAM };

    if (end->is_source && end->memory &&
        !g_file_set_contents(end->memory, (const char *)p->image, MIG_MATRIX_RAM, error)) {
        return NULL;
    }
    char **argv = mig_peer_fill(end->peer, &place);
    if (end->peer->is_template || !end->is_source || strcmp(p->cell->workload, "idle") == 0) {
        return argv;
    }
    guint n = g_strv_length(argv);
    argv = g_renew(char *, argv, n + 5);
    argv[n] = g_strdup("-qtest");
    argv[n + 1] = g_strdup_printf("unix:%s,server=on,wait=off", qtest);
    argv[n + 2] = g_strdup("-qtest-log");
    argv[n + 3] = g_strdup("/dev/null");
    argv[n + 4] = NULL;
    return argv;
}

static char **own_argv(MigEnd *end, const MigEndPlace *p, const char *qmp, GError **error)
{
    g_autofree char *scenario = in_folder(p->folder, end, "-scenario.json");
    g_autofree char *result = in_folder(p->folder, end, "-result.json");
    g_autofree char *self = g_file_read_link("/proc/self/exe", error);

    if (!self || !mig_matrix_write_scenario(p->cell, end->is_source,
                                            p->other ? p->other->qmp : NULL, scenario, error)) {
        return NULL;
    }
    g_autoptr(GPtrArray) out = g_ptr_array_new();
    g_ptr_array_add(out, g_steal_pointer(&self));
    g_ptr_array_add(out, g_strdup(end->is_source ? "source" : "dest"));
    g_ptr_array_add(out, g_strdup("--scenario"));
    g_ptr_array_add(out, g_steal_pointer(&scenario));
    g_ptr_array_add(out, g_strdup("--result"));
    g_ptr_array_add(out, g_steal_pointer(&result));
    g_ptr_array_add(out, g_strdup("--qmp"));
    g_ptr_array_add(out, g_strdup_printf("unix:%s", qmp));
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_steal(out, NULL);
}

/* "source-command": how it was started, for a shell. */
static void keep_command(const MigEnd *end, const MigEndPlace *p, char **argv)
{
    g_autofree char *path = in_folder(p->folder, end, "-command");
    g_autoptr(GString) line = g_string_new(NULL);

    for (; *argv; argv++) {
        g_autofree char *quoted = g_shell_quote(*argv);
        g_string_append_printf(line, "%s%s", line->len ? " " : "", quoted);
    }
    g_string_append_c(line, '\n');
    g_file_set_contents(path, line->str, (gssize)line->len, NULL);
}

static bool connect_qtest(MigEnd *end, const MigEndPlace *p, GError **error)
{
    g_autofree char *path = in_folder(p->shared, end, ".qtest");

    end->qtest = mig_peer_connect(path, end->child, error);
    return end->qtest >= 0;
}

bool mig_end_start(MigEnd *end, const MigEndPlace *p, bool is_source, GError **error)
{
    g_autofree char *qmp = NULL, *log = NULL;

    *end = (MigEnd){ .peer = is_source ? p->cell->source : p->cell->destination,
                     .is_source = is_source,
                     .qtest = -1 };
    qmp = in_folder(p->shared, end, ".qmp");
    log = in_folder(p->folder, end, ".log");
    bool file =
        end->peer->command && (!end->peer->is_template || strstr(end->peer->command, "{memory}"));
    if (file) {
        end->memory = p->same_file ? g_strdup(p->same_file) : in_folder(p->shared, end, ".memory");
    }
    g_auto(GStrv) argv =
        end->peer->command ? peer_argv(end, p, qmp, error) : own_argv(end, p, qmp, error);
    if (!argv) {
        return false;
    }
    bool with_qtest = g_strv_contains((const char *const *)argv, "-qtest");
    keep_command(end, p, argv);
    end->child = mig_child_spawn(role(end), argv, log, error);
    end->qmp = end->child ? mig_peer_qmp_new(qmp, end->child, p->transcript, error) : NULL;
    return end->qmp && (!with_qtest || connect_qtest(end, p, error));
}

void mig_end_clear(MigEnd *end)
{
    if (end->qmp && !mig_child_ended(end->child)) {
        mig_peer_qmp_do(end->qmp, "quit", NULL, NULL);
        mig_child_wait(end->child, 5000);
    }
    g_clear_pointer(&end->qmp, mig_peer_qmp_free);
    g_clear_pointer(&end->child, mig_child_free);
    if (end->qtest >= 0) {
        close(end->qtest);
    }
    end->qtest = -1;
    g_clear_pointer(&end->memory, g_free);
}

/* ---- talking ---- */

bool mig_end_say(MigEnd *end, const char *command, const char *key, const char *value,
                 GError **error)
{
    json_object *arguments = key ? json_object_new_object() : NULL;

    if (key) {
        json_object_object_add(arguments, key, json_object_new_string(value));
    }
    return mig_peer_qmp_do(end->qmp, command, arguments, error);
}

bool mig_end_set_number(MigEnd *end, const char *parameter, gint64 value, GError **error)
{
    json_object *arguments = json_object_new_object();
    json_object_object_add(arguments, parameter, json_object_new_int64(value));
    return mig_peer_qmp_do(end->qmp, "migrate-set-parameters", arguments, error);
}

json_object *mig_end_status(MigEnd *end, GError **error)
{
    return mig_peer_qmp_execute(end->qmp, "query-migrate", NULL, error);
}

static json_object *capabilities(const MigCell *cell)
{
    json_object *arguments = json_object_new_object(), *list = json_object_new_array();

    for (char **f = cell->features; *f; f++) {
        if (!strchr(*f, '=')) {
            json_object *one = json_object_new_object();
            json_object_object_add(one, "capability", json_object_new_string(*f));
            json_object_object_add(one, "state", json_object_new_boolean(true));
            json_object_array_add(list, one);
        }
    }
    json_object_object_add(arguments, "capabilities", list);
    return arguments;
}

bool mig_end_set_up(MigEnd *end, const MigCell *cell, GError **error)
{
    for (char **f = cell->features; *f; f++) {
        g_auto(GStrv) parts = g_strsplit(*f, "=", 2);
        if (parts[1] && !mig_end_say(end, "migrate-set-parameters", parts[0], parts[1], error)) {
            return false;
        }
    }
    json_object *arguments = capabilities(cell);
    if (!json_object_array_length(mig_answer_at(arguments, "capabilities"))) {
        json_object_put(arguments);
        return true;
    }
    return mig_peer_qmp_do(end->qmp, "migrate-set-capabilities", arguments, error);
}

/* ---- qtest ---- */

bool mig_end_fill(MigEnd *end, guint64 first, guint64 pages, guint8 byte)
{
    g_autofree char *line =
        g_strdup_printf("memset 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x 0x%x\n",
                        first * PAGE, pages * PAGE, byte);
    char answer[64] = "";
    gsize n = strlen(line), have = 0;

    if (end->qtest < 0 || send(end->qtest, line, n, MSG_NOSIGNAL) != (gssize)n) {
        return false;
    }
    while (!memchr(answer, '\n', have)) {
        ssize_t got = recv(end->qtest, answer + have, sizeof(answer) - have, 0);
        if (got <= 0 || (have += (gsize)got) == sizeof(answer)) {
            return false;
        }
    }
    return g_str_has_prefix(answer, "OK");
}

/* ---- its memory ---- */

static bool save_memory(MigEnd *end, const MigEndPlace *p, GError **error)
{
    json_object *arguments = json_object_new_object();

    if (!end->memory) {
        end->memory = in_folder(p->shared, end, ".saved");
    }
    json_object_object_add(arguments, "val", json_object_new_int64(0));
    json_object_object_add(arguments, "size", json_object_new_int64((gint64)MIG_MATRIX_RAM));
    json_object_object_add(arguments, "filename", json_object_new_string(end->memory));
    return mig_peer_qmp_do(end->qmp, "pmemsave", arguments, error);
}

GBytes *mig_end_memory(MigEnd *end, const MigEndPlace *p, GError **error)
{
    bool mapped =
        end->peer->command && (!end->peer->is_template || strstr(end->peer->command, "{memory}"));
    char *bytes = NULL;
    gsize n = 0;

    if ((!mapped && !save_memory(end, p, error)) ||
        !g_file_get_contents(end->memory, &bytes, &n, error)) {
        return NULL;
    }
    return g_bytes_new_take(bytes, n);
}
