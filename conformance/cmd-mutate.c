/* SPDX-License-Identifier: Apache-2.0 */
/* migbench mutate: write mutants of a stream with a manifest, or shrink one. */
#include <errno.h>
#include <gio/gio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance/commands.h"
#include "conformance/mutate/mutate.h"
#include "conformance/output.h"
#include "sim/command.h"

typedef struct Options {
    char *to, *rule;
    gint64 seed;
    gint64 count;
    gboolean shrink;
} Options;

/* ---- mutants ---- */

static void text(GString *out, const char *key, const char *value)
{
    mig_json_append_key(out, key);
    if (value) {
        mig_json_append_string(out, mig_str(value));
    } else {
        g_string_append(out, "null");
    }
}

static void number(GString *out, const char *key, uint64_t value)
{
    mig_json_append_key(out, key);
    g_string_append_printf(out, "%" PRIu64, value);
}

static void manifest_line(GString *out, const MigMutateSource *s, const MigMutant *m,
                          const char *name)
{
    g_string_append(out, "{\"type\":\"mutant\"");
    text(out, "mutant", name);
    text(out, "mutator", m->mutator->name);
    text(out, "operation", mig_mutate_op_name(m->op));
    text(out, "path", mig_site(s, m->site)->path);
    if (m->op < MIG_OP_VALUES) {
        number(out, "value", m->value);
    }
    number(out, "offset", m->offset);
    number(out, "bytes", m->bytes->len);
    text(out, "breaks", m->mutator->rule);
    text(out, "profile", mig_profile_name(mig_mutator_profile(m->mutator)));
    text(out, "proof", m->proof == MIG_PROOF_DECODED ? "decoded" : "stopped");
    g_string_append(out, "}\n");
}

static bool write_mutant(const char *folder, const char *name, const GByteArray *bytes,
                         GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_set_contents(path, (const char *)bytes->data, (gssize)bytes->len, error);
}

/* False: *error. A mutant that isn't proved is an error of this program. */
static bool write_all(const MigMutatePlan *plan, const Options *o, GString *manifest,
                      GError **error)
{
    for (gint64 i = 0; i < o->count; i++) {
        g_autoptr(MigMutant) m = mig_mutate_make(plan, (uint64_t)i);
        if (m->proof == MIG_PROOF_NONE) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "mutant %" G_GINT64_FORMAT " (%s) did not do what it says", i,
                        m->mutator->name);
            return false;
        }
        g_autofree char *name =
            g_strdup_printf("%06" G_GINT64_FORMAT "-%s.mig", i, m->mutator->name);
        if (!write_mutant(o->to, name, m->bytes, error)) {
            return false;
        }
        manifest_line(manifest, plan->source, m, name);
    }
    return true;
}

static int mutate(char **argv, const Options *o, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigMutateSource) source = mig_mutate_source_open(file, &error);
    g_autoptr(GString) manifest =
        g_string_new("{\"type\":\"run\",\"schema\":\"migbench-mutants-1\"");

    if (!source) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    g_autoptr(MigMutatePlan) plan = mig_mutate_plan(source, (uint64_t)o->seed, o->rule);
    if (!plan->strata->len) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "%s: no mutator %s%s applies to it", file,
                                o->rule ? "of rule " : "", o->rule ? o->rule : "");
    }
    text(manifest, "source", file);
    number(manifest, "seed", (uint64_t)o->seed);
    number(manifest, "count", (uint64_t)o->count);
    g_string_append(manifest, "}\n");
    if (g_mkdir_with_parents(o->to, 0777) < 0) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s: %s", o->to, g_strerror(errno));
    }
    g_autofree char *path = g_build_filename(o->to, "manifest.ndjson", NULL);
    if (!write_all(plan, o, manifest, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    g_string_append(manifest, "{\"type\":\"end\",\"complete\":true}\n");
    if (!g_file_set_contents(path, manifest->str, (gssize)manifest->len, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    printf("%s: %" PRId64 " mutants of %u kinds\n", path, o->count, plan->strata->len);
    return MIG_EXIT_OK;
}

/* ---- shrinking ---- */

/* A mutant can't be read to its end: take its bytes as they are. */
static GByteArray *read_bytes(const char *file, GError **error)
{
    g_autoptr(MigInput) in = mig_input_open(file, error);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    const uint8_t *data;
    size_t n = 0;

    while (in && bytes->len < MIG_MUTATE_LIMIT && mig_input_next(in, &data, &n, error)) {
        if (n == 0) {
            return g_steal_pointer(&bytes);
        }
        g_byte_array_append(bytes, data, (guint)n);
    }
    if (bytes->len >= MIG_MUTATE_LIMIT) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "%s: more than %u bytes", file,
                    MIG_MUTATE_LIMIT);
    }
    return NULL;
}

static int shrink(char **argv, const Options *o, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) bytes = read_bytes(file, &error);

    if (!bytes) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    g_autoptr(GByteArray) small = mig_mutate_shrink(bytes->data, bytes->len, o->rule, &error);
    if (!small && !error) {
        return mig_command_fail(argv, MIG_EXIT_FINDING, "%s does not break %s", file, o->rule);
    }
    g_autoptr(MigOutput) out = small ? mig_output_open(o->to, &error) : NULL;
    if (out) {
        fwrite(small->data, 1, small->len, out->file);
    }
    if (!out || !mig_output_commit(out, &error)) {
        return mig_command_fail(argv, MIG_EXIT_ENVIRONMENT, "%s", error->message);
    }
    fprintf(stderr, "%s: %u bytes of %u still break %s\n", o->to, small->len, bytes->len, o->rule);
    return MIG_EXIT_OK;
}

/* ---- command ---- */

static int run(char **argv, const Options *o, const char *file)
{
    if (!o->to) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "-o is missing: where to write?");
    }
    if (o->count < 0 || o->count > 1000000) {
        return mig_command_fail(argv, MIG_EXIT_USAGE, "--count: 0 to 1000000 is expected");
    }
    bool known =
        o->rule && (mig_catalogue_find(o->rule) || (!o->shrink && strcmp(o->rule, "none") == 0));
    if (o->rule && !known) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--rule %s: there is no such rule; migbench rules lists them",
                                o->rule);
    }
    if (o->shrink && !o->rule) {
        return mig_command_fail(argv, MIG_EXIT_USAGE,
                                "--shrink: --rule says which rule must stay broken");
    }
    return o->shrink ? shrink(argv, o, file) : mutate(argv, o, file);
}

int mig_cmd_mutate(int argc, char **argv)
{
    Options o = { .seed = 1, .count = 100 };
    g_auto(GStrv) files = NULL;
    int status;
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o.to,
          "folder for mutants and manifest.ndjson; with --shrink a file", "OUT" },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &o.seed, "which mutants (default 1)", "N" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &o.count, "how many (default 100)", "N" },
        { "rule", 0, 0, G_OPTION_ARG_STRING, &o.rule, "only those that break it, or 'none'", "ID" },
        { "shrink", 0, 0, G_OPTION_ARG_NONE, &o.shrink, "make FILE as small as --rule allows",
          NULL },
        { NULL },
    };

    if (mig_command_parse(argc, argv, entries, "FILE",
                          "Writes streams that differ from a good one in one thing, and says which "
                          "rule each breaks.",
                          1, 1, &files, &status)) {
        status = run(argv, &o, files[0]);
    }
    g_free(o.to);
    g_free(o.rule);
    return status;
}
