/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a trace's manifest to a scenario, see from-manifest.h. It makes the JSON that
 * somebody would write, so that all of the scenario's checks apply to it.
 *
 * Manifests are files of this project; what does not look like one is refused, but not key by key.
 */
#include "sim/scenario/from-manifest.h"

#include <string.h>

static json_object *get(json_object *o, const char *key)
{
    json_object *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

static const char *get_text(json_object *o, const char *key)
{
    json_object *v = get(o, key);
    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static int64_t get_number(json_object *o, const char *key)
{
    return json_object_get_int64(get(o, key));
}

static size_t length_of(json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static void put(json_object *o, const char *key, json_object *v)
{
    json_object_object_add(o, key, v);
}

static void put_copy(json_object *o, const char *key, json_object *v)
{
    if (v) {
        put(o, key, json_object_get(v));
    }
}

static void put_text(json_object *o, const char *key, const char *text)
{
    put(o, key, json_object_new_string(text));
}

static bool is_block(json_object *fill, const char *name)
{
    const char *block = get_text(fill, "block");
    return block && strcmp(block, name) == 0;
}

/* Does the script say what the block holds? Then its contents, else the trace's image. */
static json_object *contents_of(json_object *manifest, const char *name)
{
    json_object *fills = get(get(manifest, "script"), "initial"), *list = json_object_new_array();
    for (size_t i = 0; i < length_of(fills); i++) {
        json_object *fill = json_object_array_get_idx(fills, i);
        if (!is_block(fill, name)) {
            continue;
        }
        json_object *c = json_object_new_object();
        put(c, "offset", json_object_new_int64(get_number(fill, "first_page") * MIG_SCENARIO_PAGE));
        put(c, "length", json_object_new_int64(get_number(fill, "pages") * MIG_SCENARIO_PAGE));
        put_text(c, "kind", "repeated");
        put_copy(c, "byte", get(fill, "byte"));
        json_object_array_add(list, c);
    }
    if (json_object_array_length(list) == 0) {
        json_object *c = json_object_new_object();
        put_text(c, "kind", "trace");
        put_copy(c, "file", get(manifest, "file"));
        json_object_array_add(list, c);
    }
    return list;
}

static json_object *make_ram(json_object *manifest)
{
    json_object *ram = get(manifest, "ram"), *list = json_object_new_array();
    for (size_t i = 0; i < length_of(ram); i++) {
        json_object *from = json_object_array_get_idx(ram, i), *b = json_object_new_object();
        const char *name = get_text(from, "name");
        put_copy(b, "name", get(from, "name"));
        put_copy(b, "size", get(from, "used_length"));
        put(b, "content", contents_of(manifest, name ? name : ""));
        json_object_array_add(list, b);
    }
    return list;
}

/* What the manifest says, or what the emulator's -S means. */
static const char *run_state_of(json_object *manifest)
{
    json_object *producer = get(manifest, "producer"), *argv = get(producer, "argv");
    const char *state = get_text(get(producer, "guest"), "state");
    for (size_t i = 0; i < length_of(argv) && !state; i++) {
        if (strcmp(json_object_get_string(json_object_array_get_idx(argv, i)), "-S") == 0) {
            state = "prelaunch";
        }
    }
    return state ? state : "running";
}

static json_object *make_guest(json_object *manifest)
{
    json_object *g = json_object_new_object();
    const char *accel = get_text(get(manifest, "producer"), "accel");
    bool kvm = accel && strcmp(accel, "kvm") == 0;
    put_copy(g, "machine", get(get(manifest, "producer"), "machine"));
    put_text(g, "run-state", run_state_of(manifest));
    put_text(g, "dirty-tracking", kvm ? "kvm-manual-clear" : "tcg");
    put_copy(g, "devices", get(manifest, "devices"));
    put(g, "ram", make_ram(manifest));
    return g;
}

static json_object *make_event(json_object *pass, json_object *write)
{
    json_object *e = json_object_new_object(), *a = json_object_new_object();
    int64_t below = get_number(pass, "remaining_below");
    put_copy(e, "after-pass", get(pass, "after_pass"));
    if (below > 0) {
        g_autofree char *when = g_strdup_printf("remaining-below %" G_GINT64_FORMAT, below);
        put_text(e, "when", when);
    }
    put_text(e, "do", "x-write");
    put_copy(a, "block", get(write, "block"));
    put_copy(a, "first-page", get(write, "first_page"));
    put_copy(a, "pages", get(write, "pages"));
    put_copy(a, "byte", get(write, "byte"));
    put(e, "arguments", a);
    return e;
}

static json_object *make_events(json_object *manifest)
{
    json_object *passes = get(get(manifest, "script"), "passes"), *list = json_object_new_array();
    for (size_t i = 0; i < length_of(passes); i++) {
        json_object *pass = json_object_array_get_idx(passes, i), *writes = get(pass, "writes");
        for (size_t j = 0; j < length_of(writes); j++) {
            json_object_array_add(list, make_event(pass, json_object_array_get_idx(writes, j)));
        }
    }
    return list;
}

static json_object *make_capabilities(json_object *manifest)
{
    json_object *names = get(manifest, "capabilities"), *o = json_object_new_object();
    for (size_t i = 0; i < length_of(names); i++) {
        put(o, json_object_get_string(json_object_array_get_idx(names, i)),
            json_object_new_boolean(1));
    }
    return o;
}

json_object *mig_manifest_to_scenario(json_object *manifest, const char *name, GError **error)
{
    const char *schema = get_text(manifest, "schema");
    if (!schema || strcmp(schema, "migbench-trace-1") != 0) {
        g_set_error(error, MIG_READER_ERROR, 0,
                    "%s: schema: expected a manifest (migbench-trace-1)", name);
        return NULL;
    }
    json_object *o = json_object_new_object(), *link = json_object_new_object();
    put_text(o, "schema", MIG_SCENARIO_SCHEMA);
    put_copy(o, "description", get(manifest, "comment"));
    put_copy(o, "qemu", get(get(manifest, "producer"), "qemu"));
    put(o, "guest", make_guest(manifest));
    put_text(link, "bandwidth", "unlimited");
    put_text(link, "framing", "none");
    put_text(link, "latency", "0");
    put(o, "link", link);
    put(o, "capabilities", make_capabilities(manifest));
    put_copy(o, "parameters", get(manifest, "parameters"));
    put(o, "events", make_events(manifest));
    put_text(o, "x-poll", "2ms");
    return o;
}

MigScenario *mig_scenario_from_manifest(const char *path, const char *const *sets, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    json_object *manifest = mig_json_load(path, error);
    json_object *root = manifest ? mig_manifest_to_scenario(manifest, path, error) : NULL;
    bool fine = root != NULL;
    for (; sets && *sets && fine; sets++) {
        fine = mig_scenario_set(root, *sets, error);
    }
    MigScenario *s = fine ? mig_scenario_read(root, path, folder, error) : NULL;
    json_object_put(root);
    json_object_put(manifest);
    return s;
}
