/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots, see plot.h: what is remaining, bandwidth, dirty pages (and the throttle, when it was used)
 * over one axis of time.
 */
#include "sim/report/plot.h"

#include <gio/gio.h>

#include "sim/world/output.h"

typedef struct Format {
    const char *ending, *terminal;
} Format;

static const Format formats[] = {
    { ".svg", "svg size 800,760 font 'sans,11' background rgb 'white'" },
    { ".pdf", "pdfcairo size 16cm,15cm font 'sans,9'" },
    { ".png", "pngcairo size 1200,1140 font 'sans,13'" },
};

typedef struct Panel {
    const char *label, *scale; /* of the y axis; what gnuplot does to a value */
    const char *column;        /* in |columns| */
    const char *style;
    bool optional; /* only when something isn't 0 */
} Panel;

static const Panel panels[] = {
    { "remaining (MiB)", "/ 1048576", "remaining", "lines lw 1.5 lc rgb '#2f6fae'", false },
    { "sent (Mbit/s)", "", "bandwidth", "steps lw 1.2 lc rgb '#4d8f54'", false },
    { "dirty (pages/s)", "", "dirty-pages-rate", "steps lw 1.5 lc rgb '#c7702b'", true },
    { "throttle (%)", "", "cpu-throttle-percentage", "steps lw 1.5 lc rgb '#8a5a9e'", true },
};

static const Format *format_of(const char *path, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (g_str_has_suffix(path, formats[i].ending)) {
            return &formats[i];
        }
    }
    g_set_error(error, MIG_PLOT_ERROR, MIG_PLOT_ERROR_FORMAT,
                "--plot %s: expected a name that ends in .svg, .pdf or .png", path);
    return NULL;
}

static char *find_gnuplot(GError **error)
{
    char *program = g_find_program_in_path("gnuplot");
    if (!program) {
        g_set_error_literal(error, MIG_PLOT_ERROR, MIG_PLOT_ERROR_GNUPLOT,
                            "--plot needs gnuplot, which is not on PATH; install gnuplot-nox, or "
                            "take --report, which needs nothing");
    }
    return program;
}

bool mig_plot_check(const char *path, GError **error)
{
    g_autofree char *program = NULL;
    return format_of(path, error) && (program = find_gnuplot(error)) != NULL;
}

/* The script -------------------------------------------------------------------------------- */

static json_object *get(json_object *o, const char *key)
{
    json_object *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

static int64_t at(json_object *list, size_t i)
{
    return json_object_get_int64(json_object_array_get_idx(list, i));
}

/* Over how long bandwidth is averaged, ns: QEMU's 100 ms, or less of a short run. Below that socket
 * buffers that fill at once would look like bandwidth. */
static int64_t window(json_object *result)
{
    int64_t period = json_object_get_int64(get(get(result, "samples"), "period-ns"));
    int64_t end = json_object_get_int64(get(result, "end-ns"));
    return MAX(period, MIN(100000000, end / 10));
}

/* Mbit/s from sample |from| to |to|. */
static double bandwidth(json_object *samples, size_t from, size_t to)
{
    json_object *times = get(samples, "time-ns"), *sent = get(samples, "transferred");
    int64_t ns = at(times, to) - at(times, from);
    return ns > 0 ? (double)(at(sent, to) - at(sent, from)) * 8000.0 / (double)ns : 0;
}

/* A block of lines "seconds value". */
static void put_column(GString *out, json_object *result, const Panel *p, size_t number)
{
    json_object *samples = get(result, "samples");
    json_object *times = get(samples, "time-ns"), *column = get(samples, p->column);
    char value[G_ASCII_DTOSTR_BUF_SIZE], time[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append_printf(out, "$d%u << EOD\n", (unsigned)number);
    for (size_t i = 0, last = 0; i < json_object_array_length(times); i++) {
        if (!column && (i == 0 || at(times, i) - at(times, last) < window(result))) {
            continue;
        }
        double v = column ? (double)at(column, i) : bandwidth(samples, last, i);
        g_ascii_dtostr(time, sizeof(time), (double)at(times, i) / 1e9);
        g_string_append_printf(out, "%s %s\n", time, g_ascii_dtostr(value, sizeof(value), v));
        last = i;
    }
    g_string_append(out, "EOD\n");
}

static bool is_used(json_object *samples, const Panel *p)
{
    json_object *column = get(samples, p->column);
    bool used = !p->optional;
    for (size_t i = 0; column && i < json_object_array_length(column); i++) {
        used |= at(column, i) != 0;
    }
    return used;
}

/* Text between single quotes of gnuplot. */
static void put_quoted(GString *out, const char *text)
{
    g_string_append_c(out, '\'');
    for (; *text; text++) {
        g_string_append(out, *text == '\'' ? "''" : (char[]){ *text, '\0' });
    }
    g_string_append_c(out, '\'');
}

static void put_head(GString *out, const Format *format, const char *file, json_object *result,
                     unsigned count)
{
    json_object *scenario = get(result, "scenario");
    g_autofree char *name =
        g_path_get_basename(scenario ? json_object_get_string(scenario) : "migration");
    char end[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_dtostr(end, sizeof(end),
                   (double)MAX(json_object_get_int64(get(result, "end-ns")), 1) / 1e9);
    g_string_append_printf(out, "set terminal %s\nset output ", format->terminal);
    put_quoted(out, file);
    g_string_append_printf(out, "\nset multiplot layout %u,1 title ", count);
    put_quoted(out, name);
    g_string_append_printf(out,
                           " noenhanced\nset xrange [0:%s]\nset yrange [0:*]\nset grid lc rgb "
                           "'#dddddd'\nset lmargin 12\nset border 3\nset tics nomirror\n"
                           "set key off\n",
                           end);
}

GString *mig_plot_script(json_object *result, const char *path, const char *out, GError **error)
{
    json_object *samples = get(result, "samples");
    const Format *format = format_of(path, error);
    unsigned count = 0, used = 0;
    if (!format) {
        return NULL;
    }
    if (!samples) {
        g_set_error_literal(error, MIG_PLOT_ERROR, MIG_PLOT_ERROR_FORMAT,
                            "the result has no \"samples\" to plot; those of migbench sim and "
                            "source have");
        return NULL;
    }
    GString *script = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(panels); i++) {
        count += is_used(samples, &panels[i]);
        put_column(script, result, &panels[i], i);
    }
    put_head(script, format, out, result, count);
    for (size_t i = 0; i < G_N_ELEMENTS(panels); i++) {
        if (is_used(samples, &panels[i])) {
            used++;
            g_string_append_printf(script, "set ylabel '%s'\n%splot $d%u using 1:($2 %s) with %s\n",
                                   panels[i].label, used == count ? "set xlabel 'time (s)'\n" : "",
                                   (unsigned)i, panels[i].scale, panels[i].style);
        }
    }
    g_string_append(script, "unset multiplot\n");
    return script;
}

/* Drawing ----------------------------------------------------------------------------------- */

static bool draw(const char *program, const char *script, GError **error)
{
    const char *const argv[] = { program, "-", NULL };
    g_autofree char *complaint = NULL;
    g_autoptr(GSubprocess) process = g_subprocess_newv(
        argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, error);
    if (!process ||
        !g_subprocess_communicate_utf8(process, script, NULL, NULL, &complaint, error)) {
        return false;
    }
    if (!g_subprocess_get_successful(process)) {
        g_set_error(error, MIG_PLOT_ERROR, MIG_PLOT_ERROR_GNUPLOT, "gnuplot failed: %s",
                    g_strstrip(complaint));
        return false;
    }
    return true;
}

bool mig_plot_save(json_object *result, const char *path, GError **error)
{
    g_autofree char *program = find_gnuplot(error);
    /* gnuplot opens it a second time, and would draw on standard output where it can't. */
    g_autoptr(MigOutput) out = program ? mig_output_open(path, error) : NULL;
    if (!out) {
        return false;
    }
    GString *script =
        mig_plot_script(result, path, out->temporary ? out->temporary : out->path, error);
    bool fine = script && draw(program, script->str, error) && mig_output_commit(out, error);
    if (script) {
        g_string_free(script, TRUE);
    }
    return fine;
}
