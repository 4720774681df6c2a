/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a peer what it can do. It is started as a destination without a guest, because some
 * capabilities (postcopy-ram) look at the host only there. Each capability is switched on alone,
 * and off again: what it refuses, it refuses with its own words. Values of parameters are taken
 * from the schema, whose names are numbers: types are followed from the command on.
 */
#include <string.h>

#include "conformance/peers/peers.h"

#define PROBE_SIZE (UINT64_C(4) << 20)

typedef struct Probe {
    MigPeer *peer;
    MigPeerQmp *qmp;
    GHashTable *schema; /* name -> json_object *, borrowed from |entries| */
    json_object *entries;
} Probe;

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_feature(gconstpointer a, gconstpointer b)
{
    const MigPeerFeature *const *one = a, *const *two = b;
    return strcmp((*one)->name, (*two)->name);
}

/* An answer, or NULL where the command isn't known. */
static json_object *ask(Probe *p, const char *command)
{
    return mig_peer_qmp_execute(p->qmp, command, NULL, NULL);
}

/* ---- lists ---- */

static void list_machines(Probe *p)
{
    json_object *list = ask(p, "query-machines");

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        json_object *m = json_object_array_get_idx(list, i);
        const char *name = mig_answer_string(m, "name"), *alias = mig_answer_string(m, "alias");
        g_ptr_array_add(p->peer->machines, g_strdup(name ? name : ""));
        if (alias) {
            g_ptr_array_add(p->peer->machines, g_strdup(alias));
        }
    }
    json_object_put(list);
    g_ptr_array_sort(p->peer->machines, by_text);
}

static void list_accelerators(Probe *p)
{
    json_object *arguments = json_object_new_object();
    json_object_object_add(arguments, "implements", json_object_new_string("accel"));
    json_object *list = mig_peer_qmp_execute(p->qmp, "qom-list-types", arguments, NULL);

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        const char *name = mig_answer_string(json_object_array_get_idx(list, i), "name");
        if (name && g_str_has_suffix(name, "-accel")) {
            g_ptr_array_add(p->peer->accelerators, g_strndup(name, strlen(name) - 6));
        }
    }
    json_object_put(list);
    g_ptr_array_sort(p->peer->accelerators, by_text);
}

/* ---- the schema ---- */

static void read_schema(Probe *p)
{
    p->entries = ask(p, "query-qmp-schema");
    p->schema = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; p->entries && i < json_object_array_length(p->entries); i++) {
        json_object *entry = json_object_array_get_idx(p->entries, i);
        const char *name = mig_answer_string(entry, "name");
        if (name) {
            g_hash_table_insert(p->schema, (gpointer)name, entry);
        }
    }
}

static json_object *type_named(Probe *p, const char *name)
{
    return name ? g_hash_table_lookup(p->schema, name) : NULL;
}

/* The type of |object|'s member |name|; NULL: there is none. */
static json_object *member(Probe *p, json_object *object, const char *name)
{
    json_object *members = mig_answer_at(object, "members");

    for (size_t i = 0; members && i < json_object_array_length(members); i++) {
        json_object *m = json_object_array_get_idx(members, i);
        if (g_strcmp0(mig_answer_string(m, "name"), name) == 0) {
            json_object *type = type_named(p, mig_answer_string(m, "type"));
            const char *element = mig_answer_string(type, "element-type");
            return element ? type_named(p, element) : type;
        }
    }
    return NULL;
}

static json_object *argument(Probe *p, const char *command, const char *name)
{
    json_object *entry = type_named(p, command);
    return member(p, type_named(p, mig_answer_string(entry, "arg-type")), name);
}

static void list_transports(Probe *p)
{
    json_object *address = member(p, argument(p, "migrate", "channels"), "addr");
    json_object *variants = mig_answer_at(address, "variants");

    for (size_t i = 0; variants && i < json_object_array_length(variants); i++) {
        const char *name = mig_answer_string(json_object_array_get_idx(variants, i), "case");
        g_ptr_array_add(p->peer->transports, g_strdup(name ? name : ""));
    }
    g_ptr_array_sort(p->peer->transports, by_text);
}

/* ---- features ---- */

static void add_feature(Probe *p, char *name, char *refusal)
{
    MigPeerFeature *f = g_new0(MigPeerFeature, 1);
    f->name = name;
    f->refusal = refusal;
    g_ptr_array_add(p->peer->features, f);
}

static bool switch_capability(Probe *p, const char *name, bool on, GError **error)
{
    json_object *arguments = json_object_new_object(), *list = json_object_new_array();
    json_object *one = json_object_new_object();

    json_object_object_add(one, "capability", json_object_new_string(name));
    json_object_object_add(one, "state", json_object_new_boolean(on));
    json_object_array_add(list, one);
    json_object_object_add(arguments, "capabilities", list);
    return mig_peer_qmp_do(p->qmp, "migrate-set-capabilities", arguments, error);
}

static void try_capability(Probe *p, const char *name)
{
    g_autoptr(GError) error = NULL;
    bool on = switch_capability(p, name, true, &error);

    add_feature(p, g_strdup(name), on ? NULL : g_strdup(error->message));
    if (on) {
        switch_capability(p, name, false, NULL);
    }
}

static void list_capabilities(Probe *p)
{
    json_object *list = ask(p, "query-migrate-capabilities");

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        const char *name = mig_answer_string(json_object_array_get_idx(list, i), "capability");
        if (name) {
            try_capability(p, name);
        }
    }
    json_object_put(list);
}

static bool set_parameter(Probe *p, const char *name, const char *value, GError **error)
{
    json_object *arguments = json_object_new_object();
    json_object_object_add(arguments, name, json_object_new_string(value));
    return mig_peer_qmp_do(p->qmp, "migrate-set-parameters", arguments, error);
}

/* The values of a parameter that is an enumeration, but for the one that it has now. */
static void list_values(Probe *p, const char *name)
{
    g_autofree char *now = g_strdup(mig_answer_string(p->peer->parameters, name));
    json_object *values = mig_answer_at(argument(p, "migrate-set-parameters", name), "values");

    for (size_t i = 0; values && i < json_object_array_length(values); i++) {
        const char *value = json_object_get_string(json_object_array_get_idx(values, i));
        g_autoptr(GError) error = NULL;
        if (g_strcmp0(value, now) != 0) {
            bool on = set_parameter(p, name, value, &error);
            add_feature(p, g_strdup_printf("%s=%s", name, value),
                        on ? NULL : g_strdup(error->message));
        }
    }
    if (now && values) {
        set_parameter(p, name, now, NULL);
    }
}

/* ---- all of it ---- */

static void read_version(Probe *p)
{
    json_object *version = mig_answer_at(mig_peer_qmp_greeting(p->qmp), "version");
    json_object *qemu = mig_answer_at(version, "qemu");
    const char *package = mig_answer_string(version, "package");

    g_free(p->peer->version);
    p->peer->version = qemu ? g_strdup_printf("%d.%d.%d", (int)mig_answer_number(qemu, "major"),
                                              (int)mig_answer_number(qemu, "minor"),
                                              (int)mig_answer_number(qemu, "micro"))
                            : g_strdup("");
    g_free(p->peer->package);
    p->peer->package = g_strdup(package ? package : "");
}

static void ask_all(Probe *p)
{
    read_version(p);
    read_schema(p);
    list_machines(p);
    list_accelerators(p);
    list_transports(p);
    list_capabilities(p);
    p->peer->parameters = ask(p, "query-migrate-parameters");
    list_values(p, "multifd-compression");
    list_values(p, "zero-page-detection");
    g_ptr_array_sort(p->peer->features, by_feature);
    mig_peer_qmp_do(p->qmp, "quit", NULL, NULL);
    g_hash_table_unref(p->schema);
    json_object_put(p->entries);
}

static bool probe_in(MigPeer *peer, const char *folder, GError **error)
{
    g_autofree char *qmp = g_build_filename(folder, "qmp", NULL);
    g_autofree char *log = g_build_filename(folder, "log", NULL);
    g_autofree char *memory = g_build_filename(folder, "memory", NULL);
    /* QEMU needs no memory for this; a template may want a file. */
    MigPeerPlace place = { "destination", "none", peer->is_template ? memory : NULL, qmp,
                           PROBE_SIZE };
    g_auto(GStrv) argv = mig_peer_fill(peer, &place);
    g_autoptr(MigChild) child = mig_child_spawn("peer", argv, log, error);
    g_autoptr(MigPeerQmp) client = child ? mig_peer_qmp_new(qmp, child, NULL, error) : NULL;

    if (!client) {
        return false;
    }
    Probe p = { .peer = peer, .qmp = client };
    ask_all(&p);
    mig_child_wait(child, 5000);
    return true;
}

void mig_peer_probe(MigPeer *peer)
{
    g_autoptr(GError) error = NULL;

    if (!peer->command) {
        return; /* our own */
    }
    g_autofree char *folder = mig_peer_folder(&error);
    if (!folder || !probe_in(peer, folder, &error)) {
        peer->error = g_strdup(error->message);
    }
    mig_remove_folder(folder);
}
