/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where `migrate` and `migrate-incoming` go: a URI, or a list with one MigrationChannel, whose
 * address is QAPI's MigrationAddress. The latter becomes the URI that says the same, so that
 * everything behind it knows one form only. Mirrors migrate_uri_parse() and its readers
 * (migration/migration.c, 10.0) the other way round.
 */
#include <string.h>

#include "sim/monitor/monitor-internal.h"

#define SINCE MIG_VERSION_OF(8, 2) /* of channels; their members have stayed what they are */

static const MigArgument inet[] = {
    { "transport", MIG_ARGUMENT_STRING },
    { "type", MIG_ARGUMENT_STRING },
    { "host", MIG_ARGUMENT_STRING },
    { "port", MIG_ARGUMENT_STRING },
    { "ipv4", MIG_ARGUMENT_BOOL, true },
    { "ipv6", MIG_ARGUMENT_BOOL, true },
    { "numeric", MIG_ARGUMENT_BOOL, true },
    { "to", MIG_ARGUMENT_INT, true },
    { "keep-alive", MIG_ARGUMENT_BOOL, true },
    { "mptcp", MIG_ARGUMENT_BOOL, true },
    { NULL },
};
static const MigArgument local[] = {
    { "transport", MIG_ARGUMENT_STRING }, { "type", MIG_ARGUMENT_STRING },
    { "path", MIG_ARGUMENT_STRING },      { "abstract", MIG_ARGUMENT_BOOL, true },
    { "tight", MIG_ARGUMENT_BOOL, true }, { NULL },
};
static const MigArgument vsock[] = {
    { "transport", MIG_ARGUMENT_STRING },
    { "type", MIG_ARGUMENT_STRING },
    { "cid", MIG_ARGUMENT_STRING },
    { "port", MIG_ARGUMENT_STRING },
    { NULL },
};
static const MigArgument fd[] = {
    { "transport", MIG_ARGUMENT_STRING },
    { "type", MIG_ARGUMENT_STRING },
    { "str", MIG_ARGUMENT_STRING },
    { NULL },
};
static const MigArgument exec[] = {
    { "transport", MIG_ARGUMENT_STRING },
    { "args", MIG_ARGUMENT_ARRAY },
    { NULL },
};
static const MigArgument file[] = {
    { "transport", MIG_ARGUMENT_STRING },
    { "filename", MIG_ARGUMENT_STRING },
    { "offset", MIG_ARGUMENT_UINT },
    { NULL },
};
static const MigArgument rdma[] = {
    { "transport", MIG_ARGUMENT_STRING },
    { "host", MIG_ARGUMENT_STRING },
    { "port", MIG_ARGUMENT_STRING },
    { NULL },
};

static const char *text_of(json_object *o, const char *key)
{
    return json_object_get_string(json_object_object_get(o, key));
}

/* An address with a colon in it has to stand in brackets. */
static char *host_and_port(const char *scheme, json_object *o)
{
    const char *host = text_of(o, "host");
    bool six = strchr(host, ':') != NULL;
    return g_strdup_printf("%s:%s%s%s:%s", scheme, six ? "[" : "", host, six ? "]" : "",
                           text_of(o, "port"));
}

static char *inet_to_uri(json_object *o)
{
    GString *uri = g_string_new(NULL);
    g_autofree char *plain = host_and_port("tcp", o);
    g_string_append(uri, plain);
    static const char *const families[] = { "ipv4", "ipv6" };
    for (size_t i = 0; i < G_N_ELEMENTS(families); i++) {
        json_object *on;
        if (json_object_object_get_ex(o, families[i], &on)) {
            g_string_append_printf(uri, ",%s=%s", families[i],
                                   json_object_get_boolean(on) ? "on" : "off");
        }
    }
    return g_string_free(uri, FALSE);
}

static char *local_to_uri(json_object *o)
{
    return g_strconcat("unix:", text_of(o, "path"), NULL);
}

static char *vsock_to_uri(json_object *o)
{
    return g_strdup_printf("vsock:%s:%s", text_of(o, "cid"), text_of(o, "port"));
}

static char *fd_to_uri(json_object *o)
{
    return g_strconcat("fd:", text_of(o, "str"), NULL);
}

/* A program and its arguments: quoted, a shell understands them so. */
static char *exec_to_uri(json_object *o)
{
    GString *uri = g_string_new("exec:");
    json_object *args = json_object_object_get(o, "args");
    for (size_t i = 0; i < json_object_array_length(args); i++) {
        json_object *arg = json_object_array_get_idx(args, i);
        g_autofree char *quoted = g_shell_quote(json_object_get_string(arg));
        g_string_append_printf(uri, "%s%s", i ? " " : "exec ", quoted);
    }
    return g_string_free(uri, FALSE);
}

static char *file_to_uri(json_object *o)
{
    return g_strdup_printf("file:%s,offset=%" G_GUINT64_FORMAT, text_of(o, "filename"),
                           mig_argument_uint(o, "offset", 0));
}

static char *rdma_to_uri(json_object *o)
{
    return host_and_port("rdma", o);
}

static const struct {
    const char *transport, *type; /* the latter NULL: there is none */
    const MigArgument *members;
    char *(*to_uri)(json_object *);
} kinds[] = {
    { "socket", "inet", inet, inet_to_uri },    { "socket", "unix", local, local_to_uri },
    { "socket", "vsock", vsock, vsock_to_uri }, { "socket", "fd", fd, fd_to_uri },
    { "exec", NULL, exec, exec_to_uri },        { "file", NULL, file, file_to_uri },
    { "rdma", NULL, rdma, rdma_to_uri },
};

static bool is_text(json_object *o, const char *key, const char *text)
{
    json_object *v;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) &&
           strcmp(json_object_get_string(v), text) == 0;
}

static bool texts_only(json_object *o, GError **error)
{
    json_object *args = json_object_object_get(o, "args");
    size_t n = args ? json_object_array_length(args) : 1;
    for (size_t i = 0; args && i < n; i++) {
        if (!json_object_is_type(json_object_array_get_idx(args, i), json_type_string)) {
            mig_monitor_fail(error, "args[%zu]: expected a string", i);
            return false;
        }
    }
    if (n == 0) {
        mig_monitor_fail(error, "args: expected a program");
    }
    return n > 0;
}

char *mig_monitor_address_to_uri(json_object *address, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (is_text(address, "transport", kinds[i].transport) &&
            (!kinds[i].type || is_text(address, "type", kinds[i].type))) {
            bool fine = mig_arguments_check(kinds[i].members, SINCE, address, error) &&
                        texts_only(address, error);
            return fine ? kinds[i].to_uri(address) : NULL;
        }
    }
    return mig_monitor_fail(error, "addr: there is no such transport, or type of a socket");
}

MigUri *mig_monitor_where(const MigMonitorMigrate *how, GError **error)
{
    if (how->uri) {
        return mig_uri_parse(how->uri, error);
    }
    json_object *channel = json_object_array_get_idx(how->channels, 0);
    g_autofree char *uri =
        mig_monitor_address_to_uri(json_object_object_get(channel, "addr"), error);
    return uri ? mig_uri_parse(uri, error) : NULL;
}
