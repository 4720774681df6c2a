/* SPDX-License-Identifier: Apache-2.0 */
/* migbench predict: how a running guest would migrate, or a recorded one could have. */
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/fit/fit.h"
#include "sim/predict/facts.h"
#include "sim/predict/guest.h"
#include "sim/predict/predict.h"
#include "sim/scenario/scenario.h"
#include "sim/simulate/result.h"
#include "sim/world/units.h"

#define PERIODS   "150,250,350,500,700,900,1100,1400,1700,2000,2500,3000"
#define DOWNTIMES "30,100,300,1000"
#define DOWNTIME  300 /* ms: QEMU's default */
#define LIMIT     "120s"

typedef struct Options {
    char *qmp, *facts, *recording, *save, *bandwidths, *downtimes, *periods, *limit, *format;
    char *scenario, *host;
    char **sets, **recorded, **what_ifs;
} Options;

/* What a recording is asked, unless the command line asks something. */
static const char *const usual_questions[] = {
    "capabilities.multifd=true,parameters.multifd-channels=2",
    "capabilities.multifd=true,parameters.multifd-channels=4",
    "capabilities.multifd=true,parameters.multifd-compression=zstd",
    "capabilities.xbzrle=true",
    "capabilities.auto-converge=true",
};

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench predict: %s\n", message);
    return status;
}

static int complain_error(const GError *error)
{
    bool usage = error->domain == MIG_FACTS_ERROR || error->domain == MIG_READER_ERROR ||
                 error->domain == MIG_UNITS_ERROR || error->domain == MIG_FIT_ERROR;
    return complain(usage ? MIG_EXIT_USAGE : MIG_EXIT_ENVIRONMENT, error->message);
}

static void options_clear(Options *o)
{
    char *texts[] = { o->qmp,     o->facts, o->recording, o->save,     o->bandwidths, o->downtimes,
                      o->periods, o->limit, o->format,    o->scenario, o->host };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(texts[i]);
    }
    g_strfreev(o->sets);
    g_strfreev(o->recorded);
    g_strfreev(o->what_ifs);
}

/* Values ----------------------------------------------------------------------------------- */

static bool read_ms(const char *option, const char *text, uint64_t least, uint64_t most,
                    uint64_t *ms, GError **error)
{
    if (!mig_parse_ms(text, ms, error)) {
        g_prefix_error(error, "%s: ", option);
        return false;
    }
    if (*ms < least || *ms > most) {
        g_set_error(error, MIG_UNITS_ERROR, MIG_UNITS_ERROR_RANGE,
                    "%s: %s is not from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " ms", option,
                    text, least, most);
        return false;
    }
    return true;
}

static bool read_periods(const char *text, MigFactsWish *wish, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **p = parts; *p; p++) {
        uint64_t ms;
        if (!read_ms("--periods", *p, 50, 60000, &ms, error)) {
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

static GArray *list_of_one(gsize size, const void *value)
{
    GArray *list = g_array_new(FALSE, FALSE, (guint)size);
    g_array_append_vals(list, value, 1);
    return list;
}

static int64_t present_downtime(const MigPredictGuest *g)
{
    return (int64_t)mig_predict_guest_parameter(g, "downtime-limit", DOWNTIME);
}

static uint64_t present_bandwidth(const MigPredictGuest *g)
{
    return mig_predict_guest_parameter(g, "max-bandwidth", 128u << 20);
}

static GArray *read_downtimes(const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (char **p = parts; *p; p++) {
        uint64_t ms;
        if (!read_ms("--downtime", *p, 0, 2000000, &ms, error)) {
            return NULL;
        }
        int64_t value = (int64_t)ms;
        g_array_append_val(list, value);
    }
    return g_steal_pointer(&list);
}

static GArray *read_bandwidths(const char *text, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **p = parts; *p; p++) {
        uint64_t value;
        if (!mig_parse_bandwidth(*p, &value, error)) {
            g_prefix_error(error, "--bandwidth: ");
            return NULL;
        }
        g_array_append_val(list, value);
    }
    return g_steal_pointer(&list);
}

/* The present one and what lies around it. */
static GArray *bandwidths_around(uint64_t present)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (uint64_t value = present / 4; value <= present * 4; value *= 2) {
        g_array_append_val(list, value);
    }
    return list;
}

/* Questions -------------------------------------------------------------------------------- */

/* As asked; or all around the present one, but of a recording that one. */
static GArray *choose_bandwidths(const Options *o, const MigPredictGuest *g, GError **error)
{
    uint64_t present = present_bandwidth(g);
    return o->bandwidths ? read_bandwidths(o->bandwidths, error)
           : g->recorded ? list_of_one(sizeof(present), &present)
                         : bandwidths_around(present);
}

static GArray *choose_downtimes(const Options *o, const MigPredictGuest *g, GError **error)
{
    int64_t present = present_downtime(g);
    return !o->downtimes && g->recorded
               ? list_of_one(sizeof(present), &present)
               : read_downtimes(o->downtimes ? o->downtimes : DOWNTIMES, error);
}

/* All changes for each bandwidth and each downtime limit. */
static bool ask_asked(const Options *o, const MigPredictGuest *g, const char *limit, GArray *rows,
                      GError **error)
{
    g_autoptr(GArray) bandwidths = choose_bandwidths(o, g, error);
    g_autoptr(GArray) downtimes = bandwidths ? choose_downtimes(o, g, error) : NULL;
    MigPredictGrid grid = { bandwidths, downtimes, NULL, limit };
    bool fine = downtimes && mig_predict(g->scenario, &grid, rows, error);
    for (char **what_if = o->what_ifs; fine && what_if && *what_if; what_if++) {
        grid.what_if = *what_if;
        fine = mig_predict(g->scenario, &grid, rows, error);
    }
    return fine;
}

/* One change at a time to what was recorded; those that its version doesn't know are left out. */
static bool ask_usual(const MigPredictGuest *g, const char *limit, GArray *rows, GError **error)
{
    uint64_t bandwidth = present_bandwidth(g);
    int64_t downtime = present_downtime(g);
    g_autoptr(GArray) around = bandwidths_around(bandwidth);
    g_autoptr(GArray) same_bandwidth = list_of_one(sizeof(bandwidth), &bandwidth);
    g_autoptr(GArray) same_downtime = list_of_one(sizeof(downtime), &downtime);
    g_autoptr(GArray) downtimes = read_downtimes(DOWNTIMES, error);
    for (guint i = downtimes->len; i-- > 0;) {
        if (g_array_index(downtimes, int64_t, i) == downtime) {
            g_array_remove_index(downtimes, i);
        }
    }
    const MigPredictGrid first = { around, same_downtime, NULL, limit };
    const MigPredictGrid second = { same_bandwidth, downtimes, NULL, limit };
    bool fine = mig_predict(g->scenario, &first, rows, error) &&
                mig_predict(g->scenario, &second, rows, error);
    for (guint i = 0; fine && i < G_N_ELEMENTS(usual_questions); i++) {
        const MigPredictGrid grid = { same_bandwidth, same_downtime, usual_questions[i], limit };
        g_autoptr(GError) why = NULL;
        fine = mig_predict(g->scenario, &grid, rows, &why) || why->domain == MIG_READER_ERROR;
        if (!fine) {
            g_propagate_error(error, g_steal_pointer(&why));
        }
    }
    return fine;
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

static MigPredictGuest *load_guest(const Options *o, GError **error)
{
    if (o->recording) {
        g_autoptr(GString) found = g_string_new(NULL);
        MigPredictGuest *g = mig_predict_guest_of_recording(
            o->recording, (const char *const *)o->recorded, found, error);
        fputs(found->str, stderr);
        return g;
    }
    json_object *facts = load_facts(o, error);
    bool fine = facts && (!o->save || mig_json_save(facts, o->save, error));
    MigPredictGuest *g = fine ? mig_predict_guest_of_facts(facts, error) : NULL;
    if (fine && !g && o->facts) {
        g_prefix_error(error, "%s: ", o->facts);
    }
    json_object_put(facts);
    return g;
}

static bool set_host(json_object *scenario, const char *host, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(host, NULL);
    return mig_scenario_set_value(scenario, "host", json_object_new_string(path), error) &&
           mig_scenario_set_value(scenario, "destination-host", json_object_new_string(path),
                                  error);
}

static bool change(const Options *o, MigPredictGuest *g, GError **error)
{
    if (o->host) {
        g_clear_pointer(&g->assumption, g_free);
        if (!set_host(g->scenario, o->host, error)) {
            return false;
        }
    }
    for (char **set = o->sets; set && *set; set++) {
        if (!mig_scenario_set(g->scenario, *set, error)) {
            return false;
        }
    }
    return !o->scenario || mig_json_save(g->scenario, o->scenario, error);
}

static bool print(const Options *o, const MigPredictGuest *g, const GArray *rows)
{
    const MigPredicted p = { g->writers, rows, g->recorded ? &g->recording : NULL, g->assumption };
    if (o->format && strcmp(o->format, "json") == 0) {
        json_object *out = mig_predict_to_json(&p);
        puts(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PRETTY |
                                                     JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(out);
    } else {
        g_autoptr(GString) text = g_string_new(NULL);
        mig_predict_to_text(&p, text);
        fputs(text->str, stdout);
    }
    return fflush(stdout) == 0;
}

/* What was asked makes sense: to be found out before anything is measured for seconds. */
static bool check_lists(const Options *o, GError **error)
{
    int64_t limit;
    g_autoptr(GArray) bandwidths = o->bandwidths ? read_bandwidths(o->bandwidths, error) : NULL;
    g_autoptr(GArray) downtimes = o->downtimes ? read_downtimes(o->downtimes, error) : NULL;
    return (bandwidths || !o->bandwidths) && (downtimes || !o->downtimes) &&
           (!o->limit || mig_parse_time(o->limit, &limit, error));
}

static bool predict(const Options *o, GError **error)
{
    const char *limit = o->limit ? o->limit : LIMIT;
    bool asked = o->bandwidths || o->downtimes || o->what_ifs;
    g_autoptr(GArray) rows = mig_predictions_new();
    if (!check_lists(o, error)) {
        return false;
    }
    g_autoptr(MigPredictGuest) g = load_guest(o, error);
    if (!g || !change(o, g, error) ||
        !(g->recorded && !asked ? ask_usual(g, limit, rows, error)
                                : ask_asked(o, g, limit, rows, error))) {
        return false;
    }
    return print(o, g, rows);
}

static int run(const Options *o)
{
    g_autoptr(GError) error = NULL;
    if ((o->qmp != NULL) + (o->facts != NULL) + (o->recording != NULL) != 1) {
        return complain(MIG_EXIT_USAGE,
                        "expected --qmp SOCKET, --facts FILE or --recording FILE; see --help");
    }
    if (o->recorded && !o->recording) {
        return complain(MIG_EXIT_USAGE, "--recorded goes with --recording");
    }
    if (o->save && o->recording) {
        return complain(MIG_EXIT_USAGE, "--save-facts goes with --qmp and --facts");
    }
    if (o->format && strcmp(o->format, "text") != 0 && strcmp(o->format, "json") != 0) {
        return complain(MIG_EXIT_USAGE, "--format: text or json is expected");
    }
    return predict(o, &error) ? MIG_EXIT_OK : error ? complain_error(error) : MIG_EXIT_ENVIRONMENT;
}

int mig_cmd_predict(int argc, char **argv)
{
    Options o = { 0 };
    const GOptionEntry entries[] = {
        { "qmp", 0, 0, G_OPTION_ARG_STRING, &o.qmp, "the monitor of a running QEMU",
          "unix:PATH|tcp:HOST:PORT" },
        { "facts", 0, 0, G_OPTION_ARG_FILENAME, &o.facts,
          "instead: what was saved of one (see docs/scenario.md)", "FILE" },
        { "recording", 0, 0, G_OPTION_ARG_FILENAME, &o.recording,
          "instead: a recorded migration of the guest; without --bandwidth, --downtime and "
          "--what-if one thing at a time is changed of how it was made",
          "FILE" },
        { "recorded", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.recorded,
          "with --recording: how it was made, where QEMU's defaults and the measured bandwidth "
          "are not it",
          "PATH=VALUE" },
        { "save-facts", 0, 0, G_OPTION_ARG_FILENAME, &o.save, "keep what QEMU said", "FILE" },
        { "bandwidth", 0, 0, G_OPTION_ARG_STRING, &o.bandwidths,
          "max-bandwidth, bytes/s or with a unit (default: around the present one)", "LIST" },
        { "downtime", 0, 0, G_OPTION_ARG_STRING, &o.downtimes,
          "downtime-limit, ms or with a unit (default: " DOWNTIMES ")", "LIST" },
        { "periods", 0, 0, G_OPTION_ARG_STRING, &o.periods,
          "of calc-dirty-rate, ms or with a unit (default: " PERIODS ")", "LIST" },
        { "limit", 0, 0, G_OPTION_ARG_STRING, &o.limit,
          "what takes longer doesn't converge (default: " LIMIT ")", "TIME" },
        { "what-if", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.what_ifs,
          "more rows, with these values of the guest's scenario changed; may be repeated",
          "PATH=VALUE,..." },
        { "host", 0, 0, G_OPTION_ARG_FILENAME, &o.host,
          "a profile that migbench calibrate wrote, for both ends", "FILE" },
        { "set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.sets,
          "change the guest's scenario: link, capabilities, host costs", "PATH=VALUE" },
        { "scenario-out", 0, 0, G_OPTION_ARG_FILENAME, &o.scenario,
          "write the guest's scenario, for sim, sweep and tune", "FILE" },
        { "format", 0, 0, G_OPTION_ARG_STRING, &o.format, "text (default) or json", "text|json" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(
        context,
        "Asks a running QEMU for its memory, dirty rate, capabilities and parameters, or a\n"
        "recorded migration, and simulates the guest's migration for several bandwidths,\n"
        "downtime limits, and whatever else is asked.");
    g_option_context_set_description(
        context,
        "Nothing is migrated and nothing changed. Exit status: 0 predicted; 2 bad command\n"
        "line, facts or recording; 4 QEMU can't be reached, or refuses.");
    g_option_context_add_main_entries(context, entries, NULL);
    int status =
        g_option_context_parse(context, &argc, &argv, &error)
            ? argc > 1 ? complain(MIG_EXIT_USAGE, "no arguments are expected; see --help") : run(&o)
            : complain(MIG_EXIT_USAGE, error->message);
    options_clear(&o);
    return status;
}
