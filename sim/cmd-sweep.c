/* SPDX-License-Identifier: Apache-2.0 */
/* migbench sweep: many simulations, and what can be done with their rows. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/report/sweep-page.h"
#include "sim/sweep/campaign.h"
#include "sim/sweep/output.h"
#include "sim/world/output.h"

static volatile sig_atomic_t interrupted;

typedef struct SweepOptions {
    char *out, *shard, *fraction, *report;
    int threads;
    gint64 seed;
    gboolean resume;
} SweepOptions;

typedef struct SweepWord {
    const char *name, *arguments, *summary;
    const char *options; /* the letters of those that it takes, of option_rows */
    int least, most;     /* arguments; most 0: any number */
    int (*run)(const SweepOptions *o, char **arguments);
} SweepWord;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL); /* how a scheduler takes a node back */
}

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench sweep: %s\n", message);
    return status;
}

/* The exit status of an error: what somebody wrote, or the environment. */
static int complain_error(const GError *error)
{
    bool usage = error->domain == MIG_READER_ERROR || error->domain == MIG_SHARD_ERROR ||
                 error->domain == MIG_ROWS_ERROR;
    bool finding = error->domain == MIG_ROWS_SET_ERROR;
    return complain(finding ? MIG_EXIT_FINDING
                    : usage ? MIG_EXIT_USAGE
                            : MIG_EXIT_ENVIRONMENT,
                    error->message);
}

static unsigned threads_of(const SweepOptions *o)
{
    return o->threads > 0 ? (unsigned)o->threads : g_get_num_processors();
}

/* Rows --------------------------------------------------------------------------------------- */

static int report_missing(const MigRowsSet *rows)
{
    if (rows->missing > 0) {
        fprintf(stderr,
                "migbench sweep: %" G_GUINT64_FORMAT " cells have no row; migbench sweep "
                "missing lists them\n",
                rows->missing);
    }
    return rows->missing > 0 || rows->invalid > 0 ? MIG_EXIT_INCOMPLETE : MIG_EXIT_OK;
}

/* The page of rows that are in |files|. */
static int save_page(char **files, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_path_get_basename(files[0]);
    g_autoptr(MigRowsSet) rows = mig_rows_set_load((const char *const *)files, &error);
    if (!rows || !mig_sweep_page_save(rows, name, path, &error)) {
        return complain_error(error);
    }
    return report_missing(rows);
}

/* Run ---------------------------------------------------------------------------------------- */

static int report_run(const MigCampaignCounts *c, const char *out)
{
    uint64_t missing = c->wanted - c->present - c->ran;
    printf("%" G_GUINT64_FORMAT " cells: %" G_GUINT64_FORMAT " run, %" G_GUINT64_FORMAT
           " there before, %" G_GUINT64_FORMAT " invalid, %" G_GUINT64_FORMAT " missing; %.0f "
           "cells/min\n",
           c->wanted, c->ran, c->present, c->invalid, missing,
           (double)c->ran * 60e6 / (double)(c->elapsed + 1));
    if (c->first_error) {
        fprintf(stderr, "migbench sweep: %" G_GUINT64_FORMAT " cells did not run; the first: %s\n",
                c->failed, c->first_error);
    }
    if (missing > 0) {
        fprintf(stderr, "migbench sweep: %sunfinished; --resume goes on with %s\n",
                interrupted ? "interrupted, " : "", out);
    }
    if (c->invalid > 0) {
        fprintf(stderr,
                "migbench sweep: %" G_GUINT64_FORMAT " cells are no valid scenario; their rows "
                "say why (\"status\":\"" MIG_ROW_INVALID_STATUS "\")\n",
                c->invalid);
    }
    return missing > 0 || c->invalid > 0 ? MIG_EXIT_INCOMPLETE : MIG_EXIT_OK;
}

static const char *get_environment(const char *name)
{
    return g_getenv(name);
}

static int run_sweep(const SweepOptions *o, char **arguments)
{
    g_autoptr(GError) error = NULL;
    MigShard shard = { .k = 1, .n = 1 };
    MigCampaignCounts counts = { 0 };
    if (!o->out || strcmp(o->out, "-") == 0) {
        return complain(MIG_EXIT_USAGE, "expected -o FILE: rows are appended to it");
    }
    if (o->shard && !mig_shard_parse(o->shard, get_environment, &shard, &error)) {
        return complain_error(error);
    }
    const MigOutputName names[] = { { "SPEC", arguments[0], true },
                                    { "-o", o->out, false },
                                    { "--report", o->report, false } };
    if (!mig_output_apart(names, G_N_ELEMENTS(names), &error)) {
        return complain(MIG_EXIT_USAGE, error->message);
    }
    g_autoptr(MigSweep) s = mig_sweep_load(arguments[0], &error);
    if (!s) {
        return complain_error(error);
    }
    catch_interrupts();
    MigCampaign c = { .sweep = s, .threads = threads_of(o), .interrupted = &interrupted };
    bool fine = mig_campaign_run(&c, shard, o->out, o->resume, &counts, &error);
    int status = fine ? report_run(&counts, o->out) : complain_error(error);
    if (fine && o->report) {
        char *files[] = { o->out, NULL };
        status = MAX(status, save_page(files, o->report));
    }
    g_free(counts.first_error);
    return status;
}

/* Expand and missing -------------------------------------------------------------------------- */

/* The cells of the share that |rows| (may be NULL) lacks, as lines. */
static bool write_cells(const MigSweep *s, MigShard shard, const MigRowsSet *rows, const char *out,
                        uint64_t *count, GError **error)
{
    g_autoptr(MigSweepOutput) file = mig_sweep_output_open(out ? out : "-", error);
    for (uint64_t i = shard.k - 1; file && i < s->cells; i += shard.n) {
        if (rows && mig_rows_set_find(rows, i)) {
            continue;
        }
        MigSweepCell cell = mig_sweep_cell(s, i);
        json_object *o = mig_sweep_cell_to_json(&cell);
        const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE);
        mig_sweep_output_write(file, text, strlen(text));
        mig_sweep_output_write(file, "\n", 1);
        json_object_put(o);
        mig_sweep_cell_clear(&cell);
        ++*count;
    }
    return file && mig_sweep_output_close(file, error);
}

static int run_expand(const SweepOptions *o, char **arguments)
{
    g_autoptr(GError) error = NULL;
    MigShard shard = { .k = 1, .n = 1 };
    uint64_t count = 0;
    if (o->shard && !mig_shard_parse(o->shard, get_environment, &shard, &error)) {
        return complain_error(error);
    }
    g_autoptr(MigSweep) s = mig_sweep_load(arguments[0], &error);
    return s && write_cells(s, shard, NULL, o->out, &count, &error) ? MIG_EXIT_OK
                                                                    : complain_error(error);
}

/* The rows in |files|, when they are |s|'s. */
static MigRowsSet *load_rows_of(const MigSweep *s, char **files, GError **error)
{
    g_autoptr(MigRowsSet) rows = mig_rows_set_load((const char *const *)files, error);
    if (!rows) {
        return NULL;
    }
    const MigRowsHeader *header = mig_rows_set_header(rows);
    const MigRowsHeader mine = { .spec = s->hash, .build = header->build };
    return mig_rows_same(header, files[0], &mine, s->name, error) ? g_steal_pointer(&rows) : NULL;
}

static int run_missing(const SweepOptions *o, char **arguments)
{
    g_autoptr(GError) error = NULL;
    uint64_t count = 0;
    g_autoptr(MigSweep) s = mig_sweep_load(arguments[0], &error);
    g_autoptr(MigRowsSet) rows = s ? load_rows_of(s, arguments + 1, &error) : NULL;
    MigShard all = { .k = 1, .n = 1 };
    if (!rows || !write_cells(s, all, rows, o->out, &count, &error)) {
        return complain_error(error);
    }
    return count > 0 ? MIG_EXIT_INCOMPLETE : MIG_EXIT_OK;
}

/* Merge, csv, verify -------------------------------------------------------------------------- */

static int run_merge(const SweepOptions *o, char **arguments)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *hash = NULL;
    if (!o->out) {
        return complain(MIG_EXIT_USAGE, "merge: expected -o FILE (- for standard output)");
    }
    g_autoptr(MigRowsSet) rows = mig_rows_set_load((const char *const *)arguments, &error);
    if (!rows || !mig_rows_set_merge(rows, o->out, &hash, &error)) {
        return complain_error(error);
    }
    fprintf(strcmp(o->out, "-") == 0 ? stderr : stdout, "%u rows, sha256 %s\n", rows->lines->len,
            hash);
    return report_missing(rows);
}

/* Rows that somebody would be sorry for. (merge gives them back, in order.) */
static bool keeps_rows(const SweepOptions *o, char **files)
{
    g_autoptr(GError) error = NULL;
    for (; *files; files++) {
        const MigOutputName names[] = { { "ROWS", *files, true }, { "-o", o->out, false } };
        if (!mig_output_apart(names, G_N_ELEMENTS(names), &error)) {
            complain(0, error->message);
            return false;
        }
    }
    return true;
}

static int run_csv(const SweepOptions *o, char **arguments)
{
    g_autoptr(GError) error = NULL;
    if (!keeps_rows(o, arguments)) {
        return MIG_EXIT_USAGE;
    }
    g_autoptr(MigRowsSet) rows = mig_rows_set_load((const char *const *)arguments, &error);
    if (!rows || !mig_rows_set_csv(rows, o->out ? o->out : "-", &error)) {
        return complain_error(error);
    }
    return report_missing(rows);
}

static int run_report(const SweepOptions *o, char **arguments)
{
    if (!o->out) {
        return complain(MIG_EXIT_USAGE, "report: expected -o FILE, for a page (HTML)");
    }
    return keeps_rows(o, arguments) ? save_page(arguments, o->out) : MIG_EXIT_USAGE;
}

/* "0.01" or "1%" to millionths; 0: neither. */
static uint64_t parse_fraction(const char *text)
{
    char *end;
    double value = g_ascii_strtod(text, &end);
    value = strcmp(end, "%") == 0 ? value / 100 : *end ? 0 : value;
    return value > 0 && value <= 1 ? MAX((uint64_t)(value * 1e6 + 0.5), 1) : 0;
}

static int report_verify(const MigCampaignCounts *c)
{
    printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " rows run again, %" G_GUINT64_FORMAT
           " differ\n",
           c->ran, c->wanted, c->differs);
    if (c->first_error) {
        complain(0, c->first_error);
    }
    return c->ran < c->wanted ? MIG_EXIT_INCOMPLETE
           : c->differs > 0   ? MIG_EXIT_FINDING
                              : MIG_EXIT_OK;
}

static int run_verify(const SweepOptions *o, char **arguments)
{
    g_autoptr(GError) error = NULL;
    MigCampaignCounts counts = { 0 };
    uint64_t millionths = parse_fraction(o->fraction ? o->fraction : "0.01");
    if (millionths == 0) {
        return complain(MIG_EXIT_USAGE, "--fraction: expected a part above 0 up to 1, such as "
                                        "0.01 or 1%");
    }
    g_autoptr(MigSweep) s = mig_sweep_load(arguments[0], &error);
    g_autoptr(MigRowsSet) rows = s ? load_rows_of(s, arguments + 1, &error) : NULL;
    if (!rows) {
        return complain_error(error);
    }
    if (rows->lines->len == 0) {
        return complain(MIG_EXIT_INCOMPLETE, "there are no rows");
    }
    catch_interrupts();
    MigCampaign c = { .sweep = s, .threads = threads_of(o), .interrupted = &interrupted };
    bool fine = mig_campaign_verify(&c, rows, millionths, (uint64_t)o->seed, &counts, &error);
    int status = fine ? report_verify(&counts) : complain_error(error);
    g_free(counts.first_error);
    return status;
}

/* The command line ---------------------------------------------------------------------------- */

static const SweepWord words[] = {
    { "run", "SPEC", "runs the cells of a sweep and appends their rows to a file", "josrR", 1, 1,
      run_sweep },
    { "expand", "SPEC", "prints the cells as lines of JSON", "os", 1, 1, run_expand },
    { "merge", "ROWS...", "writes the rows of several files as one, by index", "o", 1, 0,
      run_merge },
    { "missing", "SPEC ROWS...", "prints the cells that have no row", "o", 2, 0, run_missing },
    { "verify", "SPEC ROWS...", "runs some of the rows again and compares", "jfS", 2, 0,
      run_verify },
    { "csv", "ROWS...", "writes rows as CSV", "o", 1, 0, run_csv },
    { "report", "ROWS...", "draws rows as a page: response curves, Pareto front", "o", 1, 0,
      run_report },
};

static const char description[] =
    "SPEC is JSON (schema migbench-sweep-1, docs/sweep.md): a scenario, axes over its paths,\n"
    "replicates. Words: run (also without saying so), expand, merge, missing, verify, csv,\n"
    "report; each has its --help. Exit status: 0 fine, whatever became of the migrations;\n"
    "1 merge or verify found rows that differ; 2 bad sweep or command line, or rows of another\n"
    "one; 3 cells did not run; 4 the environment failed.";

static const SweepWord *find_word(const char *name)
{
    for (size_t i = 0; name && i < G_N_ELEMENTS(words); i++) {
        if (strcmp(words[i].name, name) == 0) {
            return &words[i];
        }
    }
    return NULL;
}

static int check_and_run(const SweepWord *word, const SweepOptions *o, int argc, char **argv)
{
    if (argc - 1 < word->least || (word->most && argc - 1 > word->most)) {
        g_autofree char *text = g_strdup_printf("%s: expected %s; see migbench sweep %s --help",
                                                word->name, word->arguments, word->name);
        return complain(MIG_EXIT_USAGE, text);
    }
    return word->run(o, argv + 1);
}

static int parse_and_run(const SweepWord *word, int argc, char **argv)
{
    SweepOptions o = { .seed = 1 };
    const GOptionEntry rows[] = {
        { "jobs", 'j', 0, G_OPTION_ARG_INT, &o.threads, "threads (default: processors)", "N" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o.out, "where to write", "FILE" },
        { "shard", 's', 0, G_OPTION_ARG_STRING, &o.shard,
          "the share K of N; auto or auto/N: from the scheduler's variables", "K/N" },
        { "resume", 'r', 0, G_OPTION_ARG_NONE, &o.resume, "go on with the rows that FILE has",
          NULL },
        { "report", 'R', 0, G_OPTION_ARG_FILENAME, &o.report,
          "then draw what is in FILE of -o as a page (HTML)", "FILE" },
        { "fraction", 'f', 0, G_OPTION_ARG_STRING, &o.fraction,
          "how many rows (default 0.01, one at least)", "PART" },
        { "seed", 'S', 0, G_OPTION_ARG_INT64, &o.seed, "chooses which", "N" },
    };
    GOptionEntry entries[G_N_ELEMENTS(rows) + 1] = { 0 };
    for (size_t i = 0, n = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strchr(word->options, rows[i].short_name)) {
            entries[n++] = rows[i];
        }
    }
    g_autoptr(GOptionContext) context = g_option_context_new(word->arguments);
    g_autoptr(GError) error = NULL;
    g_autofree char *summary = g_strdup_printf("migbench sweep %s %s.", word->name, word->summary);
    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, description);
    g_option_context_add_main_entries(context, entries, NULL);
    int status = MIG_EXIT_USAGE;
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        complain(status, error->message);
    } else if (o.threads < 0 || o.threads > 1024) {
        complain(status, "-j: expected 0 (all processors) to 1024");
    } else {
        status = check_and_run(word, &o, argc, argv);
    }
    g_free(o.out);
    g_free(o.shard);
    g_free(o.fraction);
    g_free(o.report);
    return status;
}

/* |argv| with "-j2" as "-j" "2", which GOption does not know. Its strings belong to |strings|. */
static char **split_jobs(int argc, char **argv, int *count, GPtrArray *strings)
{
    GPtrArray *out = g_ptr_array_new();
    for (int i = 0; i < argc; i++) {
        bool glued = g_str_has_prefix(argv[i], "-j") && g_ascii_isdigit(argv[i][2]);
        if (glued) {
            g_ptr_array_add(strings, g_strdup("-j"));
            g_ptr_array_add(out, strings->pdata[strings->len - 1]);
        }
        g_ptr_array_add(out, glued ? argv[i] + 2 : argv[i]);
    }
    *count = (int)out->len;
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_free(out, FALSE);
}

int mig_cmd_sweep(int argc, char **argv)
{
    const SweepWord *word = find_word(argv[1]);
    g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *name = g_strconcat("migbench sweep ", word ? word->name : "run", NULL);
    if (word) {
        g_set_prgname(name);
        argv[1] = name;
        argc--;
        argv++;
    }
    g_autofree char **split = split_jobs(argc, argv, &argc, strings);
    return parse_and_run(word ? word : &words[0], argc, split);
}
