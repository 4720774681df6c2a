/* SPDX-License-Identifier: Apache-2.0 */
/* migbench tune: how little is enough. */
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/scenario/scenario.h"
#include "sim/tune/tune.h"

#define STEPS 9

static volatile sig_atomic_t interrupted;

typedef struct Options {
    char **knobs, **goals, **sets;
    char *format;
    double probability, close;
    int runs, threads, steps;
} Options;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench tune: %s\n", message);
    return status;
}

static bool read_knobs(MigTune *t, const Options *o, GError **error)
{
    for (char **text = o->knobs; *text; text++) {
        MigKnob *k = mig_knob_parse(*text, (unsigned)o->steps, error);
        if (!k) {
            return false;
        }
        g_ptr_array_add(t->knobs, k);
    }
    for (char **text = o->goals; *text; text++) {
        MigGoal *g = mig_goal_parse(*text, error);
        if (!g) {
            return false;
        }
        g_ptr_array_add(t->goals, g);
    }
    return true;
}

static int print(const MigTune *t, const GArray *points, const Options *o)
{
    bool found = false;
    if (g_strcmp0(o->format, "json") == 0) {
        json_object *out = mig_tune_to_json(t, points);
        puts(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PRETTY |
                                                     JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(out);
    } else {
        g_autoptr(GString) text = g_string_new(NULL);
        mig_tune_to_text(t, points, text);
        fputs(text->str, stdout);
    }
    for (guint i = 0; i < points->len; i++) {
        found |= g_array_index(points, MigTunePoint, i).front;
    }
    return interrupted ? MIG_EXIT_INCOMPLETE : found ? MIG_EXIT_OK : MIG_EXIT_FINDING;
}

static bool apply_sets(json_object *scenario, char **sets, GError **error)
{
    for (; sets && *sets; sets++) {
        if (!mig_scenario_set(scenario, *sets, error)) {
            return false;
        }
    }
    return true;
}

static int run(MigTune *t, const Options *o, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GArray) points = NULL;
    json_object *scenario = mig_json_load(path, &error);
    t->scenario = scenario;
    t->name = path;
    t->folder = folder;
    bool fine = scenario && apply_sets(scenario, o->sets, &error) && read_knobs(t, o, &error) &&
                (points = mig_tune(t, &error));
    int status = fine ? print(t, points, o) : MIG_EXIT_USAGE;
    if (!fine) {
        status = error->domain == G_FILE_ERROR ? MIG_EXIT_ENVIRONMENT : MIG_EXIT_USAGE;
        complain(status, error->message);
    }
    json_object_put(scenario);
    return status;
}

static int check_and_run(const Options *o, int argc, char **argv)
{
    MigTune t = { .probability = o->probability, .runs = (unsigned)o->runs, .close = o->close };
    struct sigaction action = { .sa_handler = on_interrupt };
    if (argc != 2 || !o->knobs || !o->goals) {
        return complain(MIG_EXIT_USAGE, "expected SCENARIO, --knob and --goal; see --help");
    }
    bool right = o->probability > 0 && o->probability <= 1 && o->close > 1; /* of no NaN */
    if (!right || o->runs < 1 || o->steps < 2 || o->steps > (int)MIG_TUNE_VALUES) {
        return complain(MIG_EXIT_USAGE,
                        "--probability is above 0 and at most 1, --runs at least 1, "
                        "--close above 1, --steps 2 to 64");
    }
    if (o->format && strcmp(o->format, "text") != 0 && strcmp(o->format, "json") != 0) {
        return complain(MIG_EXIT_USAGE, "--format: text or json is expected");
    }
    sigaction(SIGINT, &action, NULL);
    t.threads = o->threads > 0 ? (unsigned)o->threads : g_get_num_processors();
    t.interrupted = &interrupted;
    t.knobs = g_ptr_array_new_with_free_func((GDestroyNotify)mig_knob_free);
    t.goals = g_ptr_array_new_with_free_func((GDestroyNotify)mig_goal_free);
    int status = run(&t, o, argv[1]);
    g_ptr_array_unref(t.knobs);
    g_ptr_array_unref(t.goals);
    return status;
}

int mig_cmd_tune(int argc, char **argv)
{
    Options o = { .probability = 0.95, .close = 1.02, .runs = 20, .steps = STEPS };
    const GOptionEntry entries[] = {
        { "knob", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.knobs,
          "what may be turned, the less the better; several times for a front",
          "PATH=FROM..TO|A,B,C" },
        { "goal", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.goals,
          "what must come of it, beside that it completes; several times", "METRIC<=VALUE" },
        { "probability", 'p', 0, G_OPTION_ARG_DOUBLE, &o.probability,
          "share of the runs that must meet all goals (default: 0.95)", "P" },
        { "runs", 0, 0, G_OPTION_ARG_INT, &o.runs, "seeds for each point (default: 20)", "N" },
        { "steps", 0, 0, G_OPTION_ARG_INT, &o.steps, "values of a range (default: 9)", "N" },
        { "close", 0, 0, G_OPTION_ARG_DOUBLE, &o.close,
          "a single range is refined to this ratio (default: 1.02)", "X" },
        { "jobs", 'j', 0, G_OPTION_ARG_INT, &o.threads, "threads (default: processors)", "N" },
        { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.sets, "change the scenario first",
          "PATH=VALUE" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &o.format, "text (default) or json", "text|json" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("SCENARIO");
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(
        context,
        "Finds how little bandwidth, downtime limit, throttle or channels meet the goals,\n"
        "by simulation over seeds.");
    g_option_context_set_description(
        context,
        "  migbench tune guest.json --knob parameters.max-bandwidth=8M..256M \\\n"
        "      --goal 'total-time<=30s' --goal 'downtime<=300ms' -p 0.95\n"
        "With several knobs it prints the front: what no other point undercuts in all of them.\n"
        "Exit status: 0 found; 1 nothing in these ranges is enough; 2 bad command line or\n"
        "scenario; 3 interrupted; 4 a file can't be read.");
    g_option_context_add_main_entries(context, entries, NULL);
    int status = g_option_context_parse(context, &argc, &argv, &error)
                     ? check_and_run(&o, argc, argv)
                     : complain(MIG_EXIT_USAGE, error->message);
    g_strfreev(o.knobs);
    g_strfreev(o.goals);
    g_strfreev(o.sets);
    g_free(o.format);
    return status;
}
