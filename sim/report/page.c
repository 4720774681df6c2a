/* SPDX-License-Identifier: Apache-2.0 */
/* Pages, see page.h. The template says where each part goes: @NAME@. */
#include "sim/report/page.h"

#include <gio/gio.h>
#include <string.h>

#include "sim/report/report-resources.h"
#include "sim/world/output.h"

#define FOLDER "/migbench/report/"

static const char *const scripts[] = {
    [MIG_PAGE_RESULT] = FOLDER "result.js",
    [MIG_PAGE_SWEEP] = FOLDER "sweep.js",
    [MIG_PAGE_RUNS] = FOLDER "runs.js",
};

static GBytes *part(const char *path)
{
    static gsize registered; /* a static library's constructors are not called by themselves */
    if (g_once_init_enter(&registered)) {
        mig_report_register_resource();
        g_once_init_leave(&registered, 1);
    }
    GBytes *bytes =
        g_resource_lookup_data(mig_report_get_resource(), path, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
    g_assert(bytes); /* they are compiled in */
    return bytes;
}

static void put_part(GString *out, const char *path)
{
    g_autoptr(GBytes) bytes = part(path);
    g_string_append_len(out, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes));
}

/* Text of a script element: nothing in it may look like markup. */
static void put_data(GString *out, json_object *data)
{
    const char *text = json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    for (; *text; text++) {
        if (*text == '<') {
            g_string_append(out, "\\u003c");
        } else {
            g_string_append_c(out, *text);
        }
    }
}

static void put(GString *out, const char *key, MigPageKind kind, const char *title,
                json_object *data)
{
    if (strcmp(key, "TITLE") == 0) {
        g_autofree char *text = g_markup_escape_text(title, -1);
        g_string_append(out, text);
    } else if (strcmp(key, "DATA") == 0) {
        put_data(out, data);
    } else if (strcmp(key, "SCRIPT") == 0) {
        put_part(out, scripts[kind]);
    } else {
        g_autofree char *path = g_strconcat(FOLDER, key, NULL);
        put_part(out, path);
    }
}

GString *mig_page_make(MigPageKind kind, const char *title, json_object *data, GError **error)
{
    g_autoptr(GBytes) library = part(FOLDER "chart.min.js");
    if (g_bytes_get_size(library) == 0) {
        g_set_error_literal(error, MIG_PAGE_ERROR, 0,
                            "this migbench was built without a chart library; install "
                            "libjs-chart.js (or set -Dchart_js=PATH to a chart.min.js of version "
                            "3), set up the build folder again, and build");
        return NULL;
    }
    g_autoptr(GBytes) template = part(FOLDER "page.html");
    GString *out = g_string_new(NULL);
    g_auto(GStrv) parts = g_strsplit(g_bytes_get_data(template, NULL), "@", -1);
    for (guint i = 0; parts[i]; i++) {
        if (i % 2) {
            put(out, parts[i], kind, title, data);
        } else {
            g_string_append(out, parts[i]);
        }
    }
    return out;
}

bool mig_page_save(MigPageKind kind, const char *title, json_object *data, const char *path,
                   GError **error)
{
    GString *text = mig_page_make(kind, title, data, error);
    bool fine = text && mig_output_save(path, text->str, (gssize)text->len, error);
    if (text) {
        g_string_free(text, TRUE);
    }
    return fine;
}
