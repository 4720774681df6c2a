/* SPDX-License-Identifier: Apache-2.0 */
/* Text, JSON and command lines of the commands. */
#include "conformance/output.h"

#include <string.h>

#include "sim/command.h"

void mig_json_append_string(GString *out, MigStr s)
{
    gboolean utf8 = g_utf8_validate(s.text ? s.text : "", (gssize)s.len, NULL);

    g_string_append_c(out, '"');
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.text[i];
        if (ch == '"' || ch == '\\') {
            g_string_append_c(out, '\\');
            g_string_append_c(out, (char)ch);
        } else if (ch < 0x20 || ch == 0x7f || (ch >= 0x80 && !utf8)) {
            g_string_append_printf(out, "\\u%04x", ch);
        } else {
            g_string_append_c(out, (char)ch);
        }
    }
    g_string_append_c(out, '"');
}

void mig_json_append_key(GString *out, const char *key)
{
    if (out->len && out->str[out->len - 1] != '{') {
        g_string_append_c(out, ',');
    }
    mig_json_append_string(out, mig_str(key));
    g_string_append_c(out, ':');
}

void mig_text_append(GString *out, MigStr s)
{
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.text[i];
        if (ch >= 0x20 && ch < 0x7f) {
            g_string_append_c(out, (char)ch);
        } else {
            g_string_append_printf(out, "\\x%02x", ch);
        }
    }
}

/* ---- command lines ---- */

int mig_command_fail(char **argv, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", argv[0], message);
    return status;
}

/* docs/man/migbench.rst says more. */
static const char description[] =
    "Exit status: 0 fine; 1 a finding; 2 a bad command line; 3 incomplete; 4 the environment\n"
    "failed (a file, a socket).";

bool mig_command_parse(int argc, char **argv, const GOptionEntry *entries, const char *parameters,
                       const char *summary, unsigned least, unsigned most, char ***arguments,
                       int *status)
{
    g_autoptr(GOptionContext) context = g_option_context_new(parameters);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) copy = g_strdupv(argv);

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, description);
    g_option_context_set_help_enabled(context, FALSE);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            g_set_prgname(argv[0]);
            g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
            fputs(help, stdout);
            *status = MIG_EXIT_OK;
            return false;
        }
    }
    *status = MIG_EXIT_USAGE;
    if (!g_option_context_parse_strv(context, &copy, &error)) {
        mig_command_fail(argv, 0, "%s (try %s --help)", error->message, argv[0]);
        return false;
    }
    unsigned n = g_strv_length(copy) - 1;
    if (n < least || (most && n > most)) {
        mig_command_fail(argv, 0, "%s (try %s --help)",
                         n < least ? "an argument is missing" : "too many arguments", argv[0]);
        return false;
    }
    *arguments = g_strdupv(copy + 1);
    return true;
}

/* "file:PATH,offset=N" names a file, too. */
static char *file_of(const char *name)
{
    bool uri = g_str_has_prefix(name, "file:");
    const char *path = uri ? name + strlen("file:") : name;
    const char *offset = uri ? g_strrstr(path, ",offset=") : NULL;
    return offset ? g_strndup(path, (gsize)(offset - path)) : g_strdup(path);
}

bool mig_command_keeps(char **argv, const char *to, char **files)
{
    g_autoptr(GError) error = NULL;

    for (; *files; files++) {
        g_autofree char *file = file_of(*files);
        const MigOutputName names[] = { { "FILE", file, true }, { "-o", to, false } };
        if (!mig_output_apart(names, G_N_ELEMENTS(names), &error)) {
            mig_command_fail(argv, 0, "%s", error->message);
            return false;
        }
    }
    return true;
}

int mig_command_tell_cut(char **argv, const MigRecording *recording)
{
    MigDiagnosis why;
    return mig_recording_cut(recording, &why)
               ? mig_command_fail(argv, MIG_EXIT_INCOMPLETE, "%s: expected %s, found %s",
                                  mig_recording_name(recording), why.expected, why.found)
               : MIG_EXIT_OK;
}
