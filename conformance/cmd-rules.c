/* SPDX-License-Identifier: Apache-2.0 */
/* migbench rules: the catalogue for people, for programs, and as docs/rules.md. */
#include <string.h>

#include "conformance/commands.h"
#include "conformance/output.h"
#include "conformance/rules/rule.h"
#include "sim/command.h"

static void text_rule(GString *out, const MigRuleGroup *g, const MigRule *r)
{
    g_string_append_printf(out, "%-32s %-6s %s\n", r->id, mig_level_name(r->level), r->title);
}

static void json_text(GString *out, const char *key, const char *value)
{
    mig_json_append_key(out, key);
    if (value) {
        mig_json_append_string(out, mig_str(value));
    } else {
        g_string_append(out, "null");
    }
}

static void json_rule(GString *out, const MigRuleGroup *g, const MigRule *r)
{
    g_string_append_c(out, '{');
    json_text(out, "id", r->id);
    json_text(out, "title", r->title);
    json_text(out, "level", mig_level_name(r->level));
    json_text(out, "layer", g->layer);
    json_text(out, "authority", mig_authority_name(r->authority));
    json_text(out, "source", r->source);
    json_text(out, "since", r->since);
    json_text(out, "until", r->until);
    json_text(out, "reaction", mig_reaction_name(r->reaction));
    json_text(out, "why", r->why);
    json_text(out, "killed-by", r->killed_by);
    g_string_append(out, "}\n");
}

static void markdown_rule(GString *out, const MigRuleGroup *g, const MigRule *r)
{
    g_string_append_printf(out, "### %s\n\n%s.\n\n", r->id, r->title);
    g_string_append_printf(out, "- level %s, by %s; QEMU %s\n", mig_level_name(r->level),
                           mig_authority_name(r->authority), mig_reaction_name(r->reaction));
    if (r->since || r->until) {
        g_string_append_printf(out, "- since %s, until %s\n", r->since ? r->since : "the beginning",
                               r->until ? r->until : "today");
    }
    g_string_append_printf(out, "- source: %s\n- otherwise: %s\n", r->source, r->why);
    g_string_append_printf(out, "- damage that breaks it: %s\n\n",
                           r->killed_by ? r->killed_by : "none yet");
}

typedef void (*Show)(GString *out, const MigRuleGroup *g, const MigRule *r);

static const char markdown_head[] =
    "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
    "# Rules\n\n"
    "This file is written by `migbench rules --format markdown`; a test compares the two.\n\n"
    "Levels: MUST, a destination can't load the stream or loads something else than was saved;\n"
    "SHOULD, no source of QEMU's writes it so; CANON, only the bytes differ from QEMU's. The\n"
    "profile says what counts: `lenient` MUST only; `interop` (the default) SHOULD as warnings;\n"
    "`strict` SHOULD as failures; `canonical` everything. Versions are those of machine types. "
    "What\n"
    "QEMU does with a stream that breaks a rule: rejects, complains (loads it with a message),\n"
    "silent, crashes, varies by version, cannot-see.\n\n";

static void show_all(GString *out, Show show, bool headings)
{
    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        if (headings && (g == mig_catalogue || strcmp(g[-1]->layer, g[0]->layer) != 0)) {
            g_string_append_printf(out, "## %s\n\n", (*g)->layer);
        }
        for (unsigned i = 0; i < (*g)->rule_count; i++) {
            show(out, *g, &(*g)->rules[i]);
        }
    }
}

int mig_cmd_rules(int argc, char **argv)
{
    static const struct {
        const char *name;
        Show show;
    } formats[] = { { "text", text_rule }, { "ndjson", json_rule }, { "markdown", markdown_rule } };
    g_autofree char *format = NULL;
    g_auto(GStrv) rest = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    int status;
    const GOptionEntry entries[] = {
        { "format", 0, 0, G_OPTION_ARG_STRING, &format, "default: text", "text|ndjson|markdown" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, NULL, "Prints the rules that check applies.", 0, 0,
                           &rest, &status)) {
        return status;
    }
    if (rest[0]) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s: no argument is expected", rest[0]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(format ? format : "text", formats[i].name) == 0) {
            bool markdown = formats[i].show == markdown_rule;
            g_string_append(out, markdown ? markdown_head : "");
            show_all(out, formats[i].show, markdown);
            if (markdown) {
                g_string_truncate(out, out->len - 1); /* the last blank line */
            }
            fputs(out->str, stdout);
            return MIG_EXIT_OK;
        }
    }
    return mig_command_fail(argv, MIG_EXIT_USAGE,
                            "--format %s: text, ndjson or markdown is expected", format);
}
