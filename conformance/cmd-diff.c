/* SPDX-License-Identifier: Apache-2.0 */
/* migbench diff: what differs between two recordings, or two results, and how much of what. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "conformance/commands.h"
#include "conformance/diff-result.h"
#include "conformance/diff.h"
#include "conformance/output.h"
#include "sim/command.h"

typedef struct Show {
    bool json;
    GString *line;
} Show;

static const char *const kinds[] = { "field",  "value",   "bytes", "only-a",
                                     "only-b", "channel", "broken" };

/* ---- text ---- */

static void text_head(GString *out, const MigDifference *d)
{
    mig_text_append(out, mig_str(d->channel));
    g_string_append(out, "  ");
    mig_text_append(out, mig_str(d->path));
    g_string_append(out, "  (");
    if (d->offset_a != UINT64_MAX) {
        g_string_append_printf(out, "a: %" PRIu64 "%s", d->offset_a,
                               d->offset_b != UINT64_MAX ? ", " : "");
    }
    if (d->offset_b != UINT64_MAX) {
        g_string_append_printf(out, "b: %" PRIu64, d->offset_b);
    }
    g_string_append(out, ")");
}

static void text_values(GString *out, const MigDifference *d)
{
    g_string_append_printf(out, "\n    %s: ", d->name);
    mig_text_append(out, mig_str(d->a ? d->a : "(absent)"));
    g_string_append(out, " | ");
    mig_text_append(out, mig_str(d->b ? d->b : "(absent)"));
}

static void text_difference(GString *out, const MigDifference *d)
{
    switch (d->kind) {
    case MIG_DIFF_CHANNEL:
        g_string_append_printf(out, "%s  only in %s", d->channel, d->a ? "a" : "b");
        break;
    case MIG_DIFF_BROKEN:
        g_string_append_printf(out, "%s  %s stops: ", d->channel, d->name);
        mig_text_append(out, mig_str(d->a));
        break;
    case MIG_DIFF_ONLY_A:
    case MIG_DIFF_ONLY_B:
        text_head(out, d);
        g_string_append_printf(out, "\n    only in %s", d->kind == MIG_DIFF_ONLY_A ? "a" : "b");
        break;
    case MIG_DIFF_BYTES:
        text_head(out, d);
        g_string_append_printf(out,
                               "\n    contents: %" PRIu64 " bytes differ, the first is %" PRIu64,
                               d->count, d->at);
        break;
    default:
        text_head(out, d);
        text_values(out, d);
        break;
    }
    g_string_append_c(out, '\n');
}

/* ---- NDJSON ---- */

static void json_string(GString *out, const char *key, const char *value)
{
    mig_json_append_key(out, key);
    if (value) {
        mig_json_append_string(out, mig_str(value));
    } else {
        g_string_append(out, "null");
    }
}

static void json_number(GString *out, const char *key, uint64_t n)
{
    mig_json_append_key(out, key);
    g_string_append_printf(out, "%" PRIu64, n);
}

static void json_difference(GString *out, const MigDifference *d)
{
    g_string_append_printf(out, "{\"type\":\"difference\",\"kind\":\"%s\"", kinds[d->kind]);
    json_string(out, "channel", d->channel);
    json_string(out, "path", d->path);
    if (d->kind < MIG_DIFF_CHANNEL && d->offset_a != UINT64_MAX) {
        json_number(out, "offset-a", d->offset_a);
    }
    if (d->kind < MIG_DIFF_CHANNEL && d->offset_b != UINT64_MAX) {
        json_number(out, "offset-b", d->offset_b);
    }
    if (d->kind == MIG_DIFF_BYTES) {
        json_number(out, "at", d->at);
        json_number(out, "count", d->count);
    } else if (d->name) {
        json_string(out, "name", d->name);
        json_string(out, "a", d->a);
        json_string(out, "b", d->b);
    } else if (d->kind == MIG_DIFF_CHANNEL) {
        json_string(out, "only-in", d->a ? "a" : "b");
    }
    g_string_append(out, "}\n");
}

static void report(void *opaque, const MigDifference *d)
{
    Show *show = opaque;

    g_string_truncate(show->line, 0);
    (show->json ? json_difference : text_difference)(show->line, d);
    fwrite(show->line->str, 1, show->line->len, stdout);
}

/* ---- the table at the end ---- */

static void add_row(GString *out, bool json, const char *key, const MigDiffCount *c)
{
    if (json) {
        g_string_append(out, "{\"type\":\"count\"");
        json_string(out, "records", key);
        json_number(out, "same", c->same);
        json_number(out, "differ", c->differ);
        json_number(out, "only-a", c->only_a);
        json_number(out, "only-b", c->only_b);
        g_string_append(out, "}\n");
    } else if (c->differ || c->only_a || c->only_b) {
        g_string_append_printf(out, "%8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 "  ",
                               c->same, c->differ, c->only_a, c->only_b);
        mig_text_append(out, mig_str(key));
        g_string_append_c(out, '\n');
    }
}

static void print_end(const MigDiff *diff, bool json)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GList) keys = g_hash_table_get_keys(diff->counts);

    keys = g_list_sort(keys, (GCompareFunc)strcmp);
    if (!json && diff->differences) {
        g_string_append_printf(out, "\n%8s %8s %8s %8s  records\n", "same", "differ", "only a",
                               "only b");
    }
    for (GList *l = keys; l; l = l->next) {
        add_row(out, json, l->data, g_hash_table_lookup(diff->counts, l->data));
    }
    if (json) {
        g_string_append(out, "{\"type\":\"end\"");
        json_number(out, "differences", diff->differences);
        g_string_append(out, "}\n");
    } else if (diff->differences) {
        g_string_append_printf(out, "%" PRIu64 " differences\n", diff->differences);
    } else {
        g_string_append(out, diff->inconclusive ? "the same as far as both can be read\n"
                                                : "the same\n");
    }
    fwrite(out->str, 1, out->len, stdout);
}

/* ---- results ---- */

static void text_json(GString *out, json_object *o)
{
    const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : "(absent)";
    mig_text_append(out, mig_str(text));
}

static void result_text(GString *out, const char *path, json_object *a, json_object *b)
{
    double percent = mig_diff_percent(a, b);
    mig_text_append(out, mig_str(path));
    g_string_append(out, ": ");
    text_json(out, a);
    g_string_append(out, " | ");
    text_json(out, b);
    if (!isnan(percent)) {
        g_string_append_printf(out, "  %+.2f %%", percent);
    }
    g_string_append_c(out, '\n');
}

static void result_json(GString *out, const char *path, json_object *a, json_object *b)
{
    json_object *row = json_object_new_object();
    json_object_object_add(row, "type", json_object_new_string("difference"));
    json_object_object_add(row, "kind", json_object_new_string("result"));
    json_object_object_add(row, "path", json_object_new_string(path));
    json_object_object_add(row, "a", json_object_get(a));
    json_object_object_add(row, "b", json_object_get(b));
    g_string_append(out, json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    g_string_append_c(out, '\n');
    json_object_put(row);
}

static void report_result(void *opaque, const char *path, json_object *a, json_object *b)
{
    Show *show = opaque;
    g_string_truncate(show->line, 0);
    (show->json ? result_json : result_text)(show->line, path, a, b);
    fwrite(show->line->str, 1, show->line->len, stdout);
}

static int diff_results(Show *show, double within, json_object *a, json_object *b)
{
    MigResultDiff diff = { .within = within, .report = report_result, .opaque = show };
    mig_diff_results(&diff, a, b);
    if (show->json) {
        printf("{\"type\":\"end\",\"differences\":%" PRIu64 "}\n", diff.differences);
    } else if (diff.differences) {
        printf("%" PRIu64 " differences, %" PRIu64 " values are the same\n", diff.differences,
               diff.same);
    } else {
        puts(within > 0 ? "the same within what was allowed" : "the same");
    }
    return diff.differences ? MIG_EXIT_FINDING : MIG_EXIT_OK;
}

static int no_result(char **argv, const char *result, const char *other)
{
    return strcmp(other, "-") != 0 && access(other, R_OK) != 0
               ? mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s: %s", other, g_strerror(errno))
               : mig_command_fail(argv, MIG_EXIT_USAGE, "%s is a result, %s is none", result,
                                  other);
}

int mig_cmd_diff(int argc, char **argv)
{
    g_autofree char *format = NULL, *ignore = NULL, *word = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) line = g_string_new(NULL);
    g_auto(GStrv) files = NULL;
    Show show = { .line = line };
    MigDiff diff = { .report = report, .opaque = &show };
    double within = 0;
    int status;
    const GOptionEntry entries[] = {
        { "within", 0, 0, G_OPTION_ARG_DOUBLE, &within,
          "results: percent by which numbers may differ (default: 0)", "PERCENT" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &format, "default: text", "text|ndjson" },
        { "ignore", 0, 0, G_OPTION_ARG_STRING, &ignore,
          "section-ids, part-boundaries, device-bodies: any of them, with commas", "WHAT" },
        { NULL },
    };

    if (!mig_command_parse(argc, argv, entries, "A B",
                           "Says what differs between two recordings, by record and field, or\n"
                           "between two results, value by value.",
                           2, 2, &files, &status)) {
        return status;
    }
    show.json = g_strcmp0(format, "ndjson") == 0;
    if (format && !show.json && strcmp(format, "text") != 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--format %s: text or ndjson is expected",
                                format);
    }
    if (!mig_diff_parse_ignore(ignore, &diff.ignore, &word)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--ignore %s: section-ids, part-boundaries or device-bodies is "
                                "expected",
                                word);
    }
    if (strcmp(files[0], "-") == 0 && strcmp(files[1], "-") == 0) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "- and -: there is one standard input");
    }
    if (!(within >= 0)) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--within: 0 or more percent is expected");
    }
    json_object *a = mig_diff_load_result(files[0]), *b = mig_diff_load_result(files[1]);
    if (a || b) {
        status = a && b ? diff_results(&show, within, a, b)
                        : no_result(argv, files[a ? 0 : 1], files[a ? 1 : 0]);
        json_object_put(a);
        json_object_put(b);
        return status;
    }
    bool good = mig_diff(&diff, files[0], files[1], &error);
    if (good) {
        print_end(&diff, show.json);
        status = diff.differences    ? MIG_EXIT_FINDING
                 : diff.inconclusive ? MIG_EXIT_INCOMPLETE
                                     : MIG_EXIT_OK;
    } else {
        status = mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    g_clear_pointer(&diff.counts, g_hash_table_unref);
    return status;
}
