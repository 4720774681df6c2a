/* SPDX-License-Identifier: Apache-2.0 */
/* migbench predict: how a running guest would migrate. */
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/predict/curve.h"
#include "sim/predict/facts.h"
#include "sim/predict/predict.h"
#include "sim/scenario/scenario.h"
#include "sim/simulate/result.h"
#include "sim/world/units.h"

#define PERIODS   "150,250,350,500,700,900,1100,1400,1700,2000,2500,3000"
#define DOWNTIMES "30,100,300,1000"
#define LIMIT     "120s"

typedef struct Options {
    char *qmp, *facts, *save, *bandwidths, *downtimes, *periods, *limit, *format, *scenario;
    char **sets;
} Options;

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench predict: %s\n", message);
    return status;
}

static int complain_error(const GError *error)
{
    bool usage = error->domain == MIG_FACTS_ERROR || error->domain == MIG_READER_ERROR ||
                 error->domain == MIG_UNITS_ERROR;
    return complain(usage ? MIG_EXIT_USAGE : MIG_EXIT_ENVIRONMENT, error->message);
}

static void options_clear(Options *o)
{
    char *texts[] = { o->qmp,     o->facts, o->save,   o->bandwidths, o->downtimes,
                      o->periods, o->limit, o->format, o->scenario };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(texts[i]);
    }
    g_strfreev(o->sets);
}

/* Values ----------------------------------------------------------------------------------- */

static bool read_periods(const char *text, MigFactsWish *wish, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **p = parts; *p; p++) {
        guint64 ms;
        if (!g_ascii_string_to_unsigned(*p, 10, 50, 60000, &ms, error)) {
            g_prefix_error(error, "--periods %s: ", text);
            return false;
        }
        if (wish->count == MIG_FACTS_POINTS) {
            g_set_error(error, MIG_FACTS_ERROR, 0, "--periods: at most %u", MIG_FACTS_POINTS);
            return false;
        }
        wish->periods[wish->count++] = (int64_t)ms;
    }
    return true;
}

static GArray *read_downtimes(const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (char **p = parts; *p; p++) {
        guint64 ms;
        if (!g_ascii_string_to_unsigned(*p, 10, 0, 2000000, &ms, error)) {
            g_prefix_error(error, "--downtime %s: ", text);
            return NULL;
        }
        int64_t value = (int64_t)ms;
        g_array_append_val(list, value);
    }
    return g_steal_pointer(&list);
}

/* The present one and what lies around it, unless something is asked for. */
static GArray *read_bandwidths(const char *text, json_object *scenario, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    json_object *parameters = NULL, *v = NULL;
    if (!text) {
        json_object_object_get_ex(scenario, "parameters", &parameters);
        json_object_object_get_ex(parameters, "max-bandwidth", &v);
        uint64_t present = v && json_object_get_uint64(v) ? json_object_get_uint64(v) : 128u << 20;
        for (uint64_t value = present / 4; value <= present * 4; value *= 2) {
            g_array_append_val(list, value);
        }
        return g_steal_pointer(&list);
    }
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **p = parts; *p; p++) {
        uint64_t value;
        bool bits = strstr(*p, "bit/s") || strstr(*p, "B/s");
        if (!(bits ? mig_parse_rate(*p, &value, error) : mig_parse_size(*p, &value, error))) {
            return NULL;
        }
        value = bits ? value / 8 : value;
        g_array_append_val(list, value);
    }
    return g_steal_pointer(&list);
}

/* The guest -------------------------------------------------------------------------------- */

static void say_measuring(void *opaque, unsigned number, int64_t ms)
{
    const MigFactsWish *wish = opaque;
    fprintf(stderr,
            "migbench predict: measuring the dirty rate over %" G_GINT64_FORMAT " ms (%u of %u)\n",
            ms, number + 1, wish->count);
}

static json_object *load_facts(const Options *o, GError **error)
{
    MigFactsWish wish = { .measuring = say_measuring, .opaque = &wish };
    if (o->facts) {
        return mig_json_load(o->facts, error);
    }
    if (!read_periods(o->periods ? o->periods : PERIODS, &wish, error)) {
        return NULL;
    }
    g_autoptr(MigQmpClient) c = mig_qmp_client_new(o->qmp, error);
    return c ? mig_facts_ask(c, &wish, error) : NULL;
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

static bool print(const Options *o, const GArray *rows, const GArray *writers)
{
    if (o->format && strcmp(o->format, "json") == 0) {
        json_object *out = mig_predict_to_json(rows, writers);
        puts(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PRETTY |
                                                     JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(out);
    } else {
        g_autoptr(GString) text = g_string_new(NULL);
        mig_predict_to_text(rows, writers, text);
        fputs(text->str, stdout);
    }
    return fflush(stdout) == 0;
}

static bool predict(const Options *o, json_object *facts, GError **error)
{
    g_autoptr(GArray) points = mig_facts_points(facts, error);
    g_autoptr(GArray) writers = points ? mig_curve_fit(points) : NULL;
    json_object *scenario = writers ? mig_facts_scenario(facts, writers, error) : NULL;
    g_autoptr(GArray) bandwidths = NULL, downtimes = NULL, rows = NULL;
    bool fine = scenario && apply_sets(scenario, o->sets, error) &&
                (!o->scenario || mig_json_save(scenario, o->scenario, error)) &&
                (bandwidths = read_bandwidths(o->bandwidths, scenario, error)) &&
                (downtimes = read_downtimes(o->downtimes ? o->downtimes : DOWNTIMES, error));
    if (fine) {
        MigPredictGrid grid = { bandwidths, downtimes, o->limit ? o->limit : LIMIT };
        rows = mig_predict(scenario, &grid, error);
    }
    json_object_put(scenario);
    return rows && print(o, rows, writers);
}

static int run(const Options *o)
{
    g_autoptr(GError) error = NULL;
    if (!o->qmp == !o->facts) {
        return complain(MIG_EXIT_USAGE, "expected --qmp SOCKET or --facts FILE; see --help");
    }
    if (o->format && strcmp(o->format, "text") != 0 && strcmp(o->format, "json") != 0) {
        return complain(MIG_EXIT_USAGE, "--format: text or json is expected");
    }
    json_object *facts = load_facts(o, &error);
    bool fine =
        facts && (!o->save || mig_json_save(facts, o->save, &error)) && predict(o, facts, &error);
    json_object_put(facts);
    return fine ? MIG_EXIT_OK : error ? complain_error(error) : MIG_EXIT_ENVIRONMENT;
}

int mig_cmd_predict(int argc, char **argv)
{
    Options o = { 0 };
    const GOptionEntry entries[] = {
        { "qmp", 0, 0, G_OPTION_ARG_STRING, &o.qmp, "the monitor of a running QEMU",
          "unix:PATH|tcp:HOST:PORT" },
        { "facts", 0, 0, G_OPTION_ARG_FILENAME, &o.facts,
          "instead: what was saved of one (see docs/scenario.md)", "FILE" },
        { "save-facts", 0, 0, G_OPTION_ARG_FILENAME, &o.save, "keep what QEMU said", "FILE" },
        { "bandwidth", 0, 0, G_OPTION_ARG_STRING, &o.bandwidths,
          "max-bandwidth, bytes/s or with a unit (default: around the present one)", "LIST" },
        { "downtime", 0, 0, G_OPTION_ARG_STRING, &o.downtimes,
          "downtime-limit, ms (default: " DOWNTIMES ")", "LIST" },
        { "periods", 0, 0, G_OPTION_ARG_STRING, &o.periods,
          "of calc-dirty-rate, ms (default: " PERIODS ")", "LIST" },
        { "limit", 0, 0, G_OPTION_ARG_STRING, &o.limit,
          "what takes longer doesn't converge (default: " LIMIT ")", "TIME" },
        { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.sets,
          "change the guest's scenario: link, capabilities, host costs", "PATH=VALUE" },
        { "scenario-out", 0, 0, G_OPTION_ARG_FILENAME, &o.scenario,
          "write the guest's scenario, for sim, sweep and tune", "FILE" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &o.format, "text (default) or json", "FORMAT" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(
        context,
        "Asks a running QEMU for its memory, dirty rate, capabilities and parameters, and\n"
        "simulates its migration for several bandwidths and downtime limits.");
    g_option_context_set_description(
        context,
        "Nothing is migrated and nothing changed. Exit status: 0 predicted; 2 bad command\n"
        "line or facts; 4 QEMU can't be reached, or refuses.");
    g_option_context_add_main_entries(context, entries, NULL);
    int status =
        g_option_context_parse(context, &argc, &argv, &error)
            ? argc > 1 ? complain(MIG_EXIT_USAGE, "no arguments are expected; see --help") : run(&o)
            : complain(MIG_EXIT_USAGE, error->message);
    options_clear(&o);
    return status;
}
