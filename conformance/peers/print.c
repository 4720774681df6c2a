/* SPDX-License-Identifier: Apache-2.0 */
/* Peers as text and as JSON. */
#include <string.h>

#include "conformance/output.h"
#include "conformance/peers/peers.h"

#define WIDTH 96u /* of a line of text */

static void row(GString *out, const char *key, const char *value)
{
    g_string_append_printf(out, "  %-14s ", key);
    mig_text_append(out, mig_str(value));
    g_string_append_c(out, '\n');
}

/* Words one behind the other, in lines that begin below the first. */
static void words(GString *out, const char *key, const GPtrArray *list)
{
    gsize used = 17;

    if (!list->len) {
        return;
    }
    g_string_append_printf(out, "  %-14s", key);
    for (guint i = 0; i < list->len; i++) {
        gsize n = strlen(list->pdata[i]) + 1;
        if (used + n > WIDTH) {
            g_string_append_printf(out, "\n%17s", "");
            used = 17;
        }
        g_string_append_c(out, ' ');
        mig_text_append(out, mig_str(list->pdata[i]));
        used += n;
    }
    g_string_append_c(out, '\n');
}

static void machines(GString *out, const MigPeer *p)
{
    static const char *const shown[] = { "none", "microvm", "pc", "q35" };
    g_autoptr(GPtrArray) list = g_ptr_array_new();

    for (gsize i = 0; i < G_N_ELEMENTS(shown); i++) {
        if (mig_peer_has(p->machines, shown[i])) {
            g_ptr_array_add(list, (char *)shown[i]);
        }
    }
    g_autofree char *all = g_strdup_printf("(%u in all)", p->machines->len);
    g_ptr_array_add(list, all);
    words(out, "machines", list);
}

static void features(GString *out, const MigPeer *p)
{
    g_autoptr(GPtrArray) fine = g_ptr_array_new();

    for (guint i = 0; i < p->features->len; i++) {
        const MigPeerFeature *f = p->features->pdata[i];
        if (!f->refusal) {
            g_ptr_array_add(fine, f->name);
        }
    }
    words(out, "features", fine);
    for (guint i = 0; i < p->features->len; i++) {
        const MigPeerFeature *f = p->features->pdata[i];
        if (f->refusal) {
            g_autofree char *text = g_strdup_printf("%s: %s", f->name, f->refusal);
            row(out, "refuses alone", text);
        }
    }
}

static void one(GString *out, const MigPeer *p)
{
    const MigPeerFeature *postcopy = mig_peer_feature(p, "postcopy-ram");

    mig_text_append(out, mig_str(p->name));
    g_string_append_c(out, '\n');
    row(out, "command", p->command);
    if (p->error) {
        row(out, "ERROR", p->error);
        return;
    }
    g_autofree char *version = g_strdup_printf("%s%s%s%s", p->version, *p->package ? " (" : "",
                                               p->package, *p->package ? ")" : "");
    row(out, "version", version);
    machines(out, p);
    words(out, "accelerators", p->accelerators);
    words(out, "channels", p->transports);
    row(out, "postcopy",
        !postcopy           ? "unknown to it"
        : postcopy->refusal ? postcopy->refusal
                            : "possible on this host");
    features(out, p);
}

void mig_peers_text(GString *out, const GPtrArray *peers)
{
    for (guint i = 0; i < peers->len; i++) {
        one(out, peers->pdata[i]);
    }
}

/* ---- JSON ---- */

static json_object *strings(const GPtrArray *list)
{
    json_object *out = json_object_new_array();
    for (guint i = 0; i < list->len; i++) {
        json_object_array_add(out, json_object_new_string(list->pdata[i]));
    }
    return out;
}

static json_object *features_json(const MigPeer *p)
{
    json_object *out = json_object_new_array();

    for (guint i = 0; i < p->features->len; i++) {
        const MigPeerFeature *f = p->features->pdata[i];
        json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(f->name));
        json_object_object_add(o, "alone", json_object_new_boolean(!f->refusal));
        if (f->refusal) {
            json_object_object_add(o, "refusal", json_object_new_string(f->refusal));
        }
        json_object_array_add(out, o);
    }
    return out;
}

static json_object *one_json(const MigPeer *p)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string(p->name));
    json_object_object_add(o, "command", json_object_new_string(p->command));
    if (p->error) {
        json_object_object_add(o, "error", json_object_new_string(p->error));
        return o;
    }
    json_object_object_add(o, "version", json_object_new_string(p->version));
    json_object_object_add(o, "package", json_object_new_string(p->package));
    json_object_object_add(o, "machines", strings(p->machines));
    json_object_object_add(o, "accelerators", strings(p->accelerators));
    json_object_object_add(o, "channels", strings(p->transports));
    json_object_object_add(o, "features", features_json(p));
    json_object_object_add(o, "parameters", json_object_get(p->parameters));
    return o;
}

json_object *mig_peers_json(const GPtrArray *peers)
{
    json_object *out = json_object_new_object(), *list = json_object_new_array();

    json_object_object_add(out, "schema", json_object_new_string("migbench-peers-1"));
    for (guint i = 0; i < peers->len; i++) {
        json_object_array_add(list, one_json(peers->pdata[i]));
    }
    json_object_object_add(out, "peers", list);
    return out;
}
