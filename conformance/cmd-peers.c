/* SPDX-License-Identifier: Apache-2.0 */
/* migbench peers: which real QEMUs are here, and what each can do. */
#include <string.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/peers/peers.h"
#include "sim/command.h"

static int print(char **argv, const GPtrArray *peers, bool as_json, const char *to)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(MigOutput) out = mig_output_open(to ? to : "-", &error);

    if (as_json) {
        json_object *o = mig_peers_json(peers);
        g_string_append(text, json_object_to_json_string_ext(
                                  o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
        g_string_append_c(text, '\n');
        json_object_put(o);
    } else {
        mig_peers_text(text, peers);
    }
    if (out) {
        fwrite(text->str, 1, text->len, out->file);
    }
    if (!out || !mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    return MIG_EXIT_OK;
}

/* The worst of them: one that was asked for and doesn't answer. */
static int status_of(char **argv, const GPtrArray *peers)
{
    if (!peers->len) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT,
                                "no qemu-system-x86_64 on PATH, and ./run peers installed none; "
                                "--peer names one");
    }
    for (guint i = 0; i < peers->len; i++) {
        if (((const MigPeer *)peers->pdata[i])->error) {
            return MIG_EXIT_ENVIRONMENT;
        }
    }
    return MIG_EXIT_OK;
}

int mig_cmd_peers(int argc, char **argv)
{
    g_autoptr(GPtrArray) peers = g_ptr_array_new_with_free_func((GDestroyNotify)mig_peer_free);
    g_auto(GStrv) rest = NULL, named = NULL;
    g_autofree char *format = NULL, *to = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "peer", 0, 0, G_OPTION_ARG_STRING_ARRAY, &named,
          "this one instead of those found; may be given several times", "[NAME=]COMMAND" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &format, "default: text", "text|json" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &to, "where to write that", "OUT" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "",
                           "Finds QEMUs (on PATH, and those that ./run peers made) and asks each "
                           "over QMP what it can do.",
                           0, 0, &rest, &status)) {
        return status;
    }
    if (*rest || (format && strcmp(format, "text") != 0 && strcmp(format, "json") != 0)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s: %s", *rest ? *rest : format,
                                *rest ? "unexpected argument" : "text or json is expected");
    }
    for (char **text = named; text && *text; text++) {
        MigPeer *p = mig_peer_new(*text, &error);
        if (!p) {
            return mig_command_fail(argv, MIG_EXIT_USAGE, "%s", error->message);
        }
        g_ptr_array_add(peers, p);
    }
    if (!named) {
        mig_peers_find(peers);
    }
    mig_peers_probe(peers);
    status = print(argv, peers, format && strcmp(format, "json") == 0, to);
    int worst = status_of(argv, peers);
    return MAX(status, worst);
}
