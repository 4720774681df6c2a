/* SPDX-License-Identifier: Apache-2.0 */
/*
 * human-monitor-command: the HMP words of a migration. Each word has a row: its options, the types
 * of its arguments, and the QMP command that it becomes. What goes wrong is text, as in QEMU, where
 * human-monitor-command itself never fails. A `migrate` without -d can't wait, because a QMP client
 * can't be held up; up to 10.0 QEMU says so, and goes on detached.
 *
 * Limits: `help` lists our words only. Old `info migrate_cache_size` is not there.
 */
#include <string.h>

#include "sim/monitor/monitor-internal.h"
#include "sim/world/units.h"

#define V        MIG_VERSION_OF
#define MAX_ARGS 3

typedef struct Words {
    const char *option; /* letters that were given */
    char *args[MAX_ARGS];
    size_t count;
} Words;

typedef bool HmpFn(MigMonitor *m, const Words *w, GString *out, GError **error);

typedef struct HmpWord {
    const char *name;
    const char *options; /* letters allowed behind '-' */
    size_t least, most;  /* arguments */
    HmpFn *run;
    MigVersion since, until; /* 0 until: for ever */
    bool rest;               /* the last argument is the rest of the line */
} HmpWord;

/* Runs a QMP command, taking |arguments|. */
static bool run_with(MigMonitor *m, const char *command, json_object *arguments, GError **error)
{
    json_object *result = mig_monitor_execute(m, command, arguments, error);
    json_object_put(arguments);
    json_object_put(result);
    return result != NULL;
}

/* The same with one argument at most, taking |v|. */
static bool run(MigMonitor *m, const char *command, const char *key, json_object *v, GError **error)
{
    json_object *o = json_object_new_object();
    if (key) {
        json_object_object_add(o, key, v);
    }
    return run_with(m, command, o, error);
}

static json_object *text(const char *s)
{
    return json_object_new_string(s);
}

static bool hmp_migrate(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "uri", text(w->args[0]));
    if (strchr(w->option, 'r')) {
        json_object_object_add(o, "resume", json_object_new_boolean(true));
    }
    bool fine = run_with(m, "migrate", o, error);
    if (fine && !strchr(w->option, 'd') && mig_monitor_binary(m) < V(11, 0)) {
        g_string_append(out, "This client can't wait; the migration goes on without it.\r\n");
    }
    return fine;
}

static bool hmp_set_capability(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    if (strcmp(w->args[1], "on") != 0 && strcmp(w->args[1], "off") != 0) {
        g_string_append(out, "migrate_set_capability: expected on or off\r\n");
        return true;
    }
    json_object *list = json_object_new_array(), *o = json_object_new_object();
    json_object_object_add(o, "capability", text(w->args[0]));
    json_object_object_add(o, "state", json_object_new_boolean(strcmp(w->args[1], "on") == 0));
    json_object_array_add(list, o);
    return run(m, "migrate-set-capabilities", "capabilities", list, error);
}

static bool hmp_set_parameter(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    (void)out;
    return mig_settings_from_text(m, w->args[0], w->args[1], error);
}

/* A size without a unit is in MiB. */
static bool hmp_set_speed(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    (void)out;
    return mig_settings_from_text(m, "max-bandwidth", w->args[0], error);
}

static bool hmp_set_downtime(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    char *end;
    double seconds = g_ascii_strtod(w->args[0], &end);
    (void)out;
    if (end == w->args[0] || *end) {
        return mig_monitor_fail(error, "expected a number of seconds, found %s", w->args[0]);
    }
    return run(m, "migrate_set_downtime", "value", json_object_new_double(seconds), error);
}

static bool hmp_set_cache_size(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    (void)out;
    return mig_settings_from_text(m, "xbzrle-cache-size", w->args[0], error);
}

#define PLAIN(function, command)                                                      \
    static bool function(MigMonitor *m, const Words *w, GString *out, GError **error) \
    {                                                                                 \
        (void)w, (void)out;                                                           \
        return run(m, command, NULL, NULL, error);                                    \
    }
PLAIN(hmp_cancel, "migrate_cancel")
PLAIN(hmp_start_postcopy, "migrate-start-postcopy")
PLAIN(hmp_pause, "migrate-pause")
PLAIN(hmp_stop, "stop")
PLAIN(hmp_cont, "cont")
PLAIN(hmp_quit, "quit")

static bool hmp_continue(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    (void)out;
    return run(m, "migrate-continue", "state", text(w->args[0]), error);
}

static bool hmp_recover(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    (void)out;
    return run(m, "migrate-recover", "uri", text(w->args[0]), error);
}

/* A failed load does not end the process, from 9.1 on. */
static bool hmp_incoming(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    json_object *o = json_object_new_object();
    (void)out;
    json_object_object_add(o, "uri", text(w->args[0]));
    if (mig_monitor_binary(m) >= V(9, 1)) {
        json_object_object_add(o, "exit-on-error", json_object_new_boolean(false));
    }
    return run_with(m, "migrate-incoming", o, error);
}

/* Dirty rates and limits; of a word that is no number the QMP command would say less. */

static bool add_number(json_object *o, const char *key, const char *word, GError **error)
{
    gint64 n = 0;
    if (word && !g_ascii_string_to_signed(word, 10, G_MININT64, G_MAXINT64, &n, NULL)) {
        mig_monitor_fail(error, "%s: expected a number, found %s", key, word);
        json_object_put(o);
        return false;
    }
    if (word) {
        json_object_object_add(o, key, json_object_new_int64(n));
    }
    return true;
}

static bool hmp_calc_dirty_rate(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    bool ring = strchr(w->option, 'r') != NULL, bitmap = strchr(w->option, 'b') != NULL;
    json_object *o = json_object_new_object();
    if (ring && bitmap) {
        json_object_put(o);
        return mig_monitor_fail(error, "-r and -b exclude each other") != NULL;
    }
    if (ring || bitmap) {
        json_object_object_add(o, "mode", text(ring ? "dirty-ring" : "dirty-bitmap"));
    }
    if (!add_number(o, "calc-time", w->args[0], error) ||
        !add_number(o, "sample-pages", w->args[1], error) ||
        !run_with(m, "calc-dirty-rate", o, error)) {
        return false;
    }
    g_string_append_printf(out, "measuring for %s s; see info dirty_rate\r\n", w->args[0]);
    return true;
}

static bool hmp_set_dirty_limit(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    json_object *o = json_object_new_object();
    (void)out;
    return add_number(o, "dirty-rate", w->args[0], error) &&
           add_number(o, "cpu-index", w->args[1], error) &&
           run_with(m, "set-vcpu-dirty-limit", o, error);
}

static bool hmp_cancel_dirty_limit(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    json_object *o = json_object_new_object();
    (void)out;
    return add_number(o, "cpu-index", w->args[0], error) &&
           run_with(m, "cancel-vcpu-dirty-limit", o, error);
}

static void info_status(MigMonitor *m, GString *out)
{
    const char *state = m->target.run_state(m->target.opaque);
    bool running = strcmp(state, "running") == 0;
    bool plain = running || strcmp(state, "paused") == 0;
    g_string_append_printf(out, "VM status: %s%s%s%s\r\n", running ? "running" : "paused",
                           plain ? "" : " (", plain ? "" : state, plain ? "" : ")");
}

static void info_capabilities(MigMonitor *m, GString *out)
{
    mig_settings_print_capabilities(m, out);
}

static void info_parameters(MigMonitor *m, GString *out)
{
    mig_settings_print_parameters(m, out);
}

static bool hmp_info(MigMonitor *m, const Words *w, GString *out, GError **error)
{
    static const struct {
        const char *name;
        void (*print)(MigMonitor *, GString *);
        MigVersion since;
    } rows[] = {
        { "dirty_rate", mig_info_dirty_rate, V(6, 1) },
        { "migrate", mig_info_migrate },
        { "migrate_capabilities", info_capabilities },
        { "migrate_parameters", info_parameters },
        { "status", info_status },
        { "vcpu_dirty_limit", mig_info_dirty_limit, V(7, 1) },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].name, w->args[0]) == 0 && rows[i].since <= mig_monitor_binary(m)) {
            rows[i].print(m, out);
            return true;
        }
    }
    (void)error;
    g_string_append_printf(out, "unknown command: info %s\r\n", w->args[0]);
    return true;
}

static const HmpWord words[] = {
    { "migrate", "drbi", 1, 1, hmp_migrate, .rest = true },
    { "migrate_cancel", "", 0, 0, hmp_cancel },
    { "migrate_continue", "", 1, 1, hmp_continue, V(2, 11) },
    { "migrate_incoming", "", 1, 1, hmp_incoming, V(2, 3), .rest = true },
    { "migrate_pause", "", 0, 0, hmp_pause, V(3, 0) },
    { "migrate_recover", "", 1, 1, hmp_recover, V(3, 0), .rest = true },
    { "migrate_start_postcopy", "", 0, 0, hmp_start_postcopy, V(2, 5) },
    { "migrate_set_capability", "", 2, 2, hmp_set_capability },
    { "migrate_set_parameter", "", 2, 2, hmp_set_parameter, V(2, 4), .rest = true },
    { "migrate_set_speed", "", 1, 1, hmp_set_speed, 0, V(6, 0) },
    { "migrate_set_downtime", "", 1, 1, hmp_set_downtime, 0, V(6, 0) },
    { "migrate_set_cache_size", "", 1, 1, hmp_set_cache_size, 0, V(6, 0) },
    { "calc_dirty_rate", "", 1, 2, hmp_calc_dirty_rate, V(6, 1), V(6, 2) },
    { "calc_dirty_rate", "rb", 1, 2, hmp_calc_dirty_rate, V(6, 2) },
    { "set_vcpu_dirty_limit", "", 1, 2, hmp_set_dirty_limit, V(7, 1) },
    { "cancel_vcpu_dirty_limit", "", 0, 1, hmp_cancel_dirty_limit, V(7, 1) },
    { "info", "", 1, 1, hmp_info },
    { "stop", "", 0, 0, hmp_stop },
    { "s", "", 0, 0, hmp_stop },
    { "cont", "", 0, 0, hmp_cont },
    { "c", "", 0, 0, hmp_cont },
    { "quit", "", 0, 0, hmp_quit },
    { "q", "", 0, 0, hmp_quit },
};

static const HmpWord *find_word(const MigMonitor *m, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        const HmpWord *w = &words[i];
        MigVersion binary = mig_monitor_binary(m);
        if (strcmp(w->name, name) == 0 && w->since <= binary && (!w->until || binary < w->until)) {
            return w;
        }
    }
    return NULL;
}

/* The next word of *line, which moves behind it; NULL: none. A word may stand in quotes. */
static char *next_word(char **line)
{
    char *begin = *line + strspn(*line, " \t"), *end;
    if (!*begin) {
        return NULL;
    }
    if (*begin == '"' && (end = strchr(begin + 1, '"'))) {
        begin++;
    } else {
        end = begin + strcspn(begin, " \t");
    }
    *line = *end ? end + 1 : end;
    *end = '\0';
    return begin;
}

/* The rest of the line as one argument (a URI may hold spaces), or one word where it is quoted. */
static char *next_argument(const HmpWord *word, size_t index, char **line)
{
    char *begin = *line + strspn(*line, " \t");
    if (!word->rest || index + 1 != word->most || !*begin || *begin == '"') {
        return next_word(line);
    }
    *line = begin + strlen(begin);
    return g_strchomp(begin);
}

/* Cuts |line| into options and arguments; false when it does not fit the row. */
static bool read_words(const HmpWord *word, char *line, GString *options, Words *w, GString *out)
{
    line += strspn(line, " \t");
    while (line[0] == '-' && line[1]) {
        const char *option = next_word(&line) + 1;
        if (strspn(option, word->options) != strlen(option)) {
            g_string_append_printf(out, "%s: there is no option -%s\r\n", word->name, option);
            return false;
        }
        g_string_append(options, option);
        line += strspn(line, " \t");
    }
    while (w->count < word->most && (w->args[w->count] = next_argument(word, w->count, &line))) {
        w->count++;
    }
    bool too_many = next_word(&line) != NULL;
    if (w->count < word->least || too_many) {
        g_string_append_printf(out, "%s: %s\r\n", word->name,
                               too_many ? "too many arguments" : "an argument is missing");
    }
    w->option = options->str;
    return w->count >= word->least && !too_many;
}

json_object *mig_command_hmp(MigMonitor *m, json_object *arguments, GError **unused)
{
    g_autofree char *copy = g_strdup(mig_argument_string(arguments, "command-line"));
    g_autoptr(GError) error = NULL;
    GString *out = g_string_new(NULL), *options = g_string_new(NULL);
    char *line = copy;
    const char *name = next_word(&line);
    const HmpWord *word = name ? find_word(m, name) : NULL;
    Words w = { 0 };
    (void)unused;
    if (name && !word) {
        g_string_append_printf(out, "unknown command: %s\r\n", name);
    } else if (word && read_words(word, line, options, &w, out) && !word->run(m, &w, out, &error)) {
        g_string_append_printf(out, "Error: %s\r\n", error->message);
    }
    json_object *result = json_object_new_string(out->str);
    g_string_free(options, TRUE);
    g_string_free(out, TRUE);
    return result;
}
