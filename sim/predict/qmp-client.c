/* SPDX-License-Identifier: Apache-2.0 */
/* The client, see qmp-client.h: lines of JSON over a GSocket, waited for without a limit. */
#include "sim/predict/qmp-client.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

struct MigQmpClient {
    GSocketConnection *connection;
    GDataInputStream *lines;
};

static GSocketConnectable *target_of(const char *address, GError **error)
{
    if (g_str_has_prefix(address, "tcp:")) {
        return g_network_address_parse(address + 4, 0, error);
    }
    const char *path = g_str_has_prefix(address, "unix:") ? address + 5 : address;
    return G_SOCKET_CONNECTABLE(g_unix_socket_address_new(path));
}

static bool fail(GError **error, MigQmpError code, const char *what, const char *found)
{
    g_set_error(error, MIG_QMP_ERROR, (gint)code, "%s: %s", what, found);
    return false;
}

/* The next message that isn't an event. */
static json_object *receive(MigQmpClient *c, const char *what, GError **error)
{
    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(c->lines, NULL, NULL, error);
        if (!line) {
            if (error && !*error) {
                fail(error, MIG_QMP_ERROR_PEER, what, "QEMU closed the connection");
            }
            return NULL;
        }
        json_object *o = json_tokener_parse(line);
        if (!json_object_is_type(o, json_type_object)) {
            json_object_put(o);
            fail(error, MIG_QMP_ERROR_PEER, what, "expected a line of QMP, found something else");
            return NULL;
        }
        if (!json_object_object_get_ex(o, "event", NULL)) {
            return o;
        }
        json_object_put(o);
    }
}

json_object *mig_qmp_client_ask(MigQmpClient *c, const char *command, json_object *arguments,
                                GError **error)
{
    json_object *o = json_object_new_object(), *answer, *value = NULL;
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(c->connection));
    json_object_object_add(o, "execute", json_object_new_string(command));
    if (arguments) {
        json_object_object_add(o, "arguments", arguments);
    }
    g_autofree char *line = g_strconcat(json_object_to_json_string(o), "\n", NULL);
    json_object_put(o);
    if (!g_output_stream_write_all(out, line, strlen(line), NULL, NULL, error) ||
        !(answer = receive(c, command, error))) {
        return NULL;
    }
    if (json_object_object_get_ex(answer, "return", &value)) {
        json_object_get(value);
    } else {
        json_object *why = NULL, *desc = NULL;
        json_object_object_get_ex(answer, "error", &why);
        json_object_object_get_ex(why, "desc", &desc);
        fail(error, MIG_QMP_ERROR_REFUSED, command,
             desc ? json_object_get_string(desc) : "an answer without return and error");
    }
    json_object_put(answer);
    return value;
}

MigQmpClient *mig_qmp_client_new(const char *address, GError **error)
{
    g_autoptr(GSocketConnectable) target = target_of(address, error);
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(MigQmpClient) c = g_new0(MigQmpClient, 1);
    c->connection = target ? g_socket_client_connect(client, target, NULL, error) : NULL;
    if (!c->connection) {
        g_prefix_error(error, "%s: ", address);
        return NULL;
    }
    c->lines = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(c->connection)));
    json_object *greeting = receive(c, address, error);
    json_object *done = greeting ? mig_qmp_client_ask(c, "qmp_capabilities", NULL, error) : NULL;
    bool fine = done != NULL;
    json_object_put(greeting);
    json_object_put(done);
    return fine ? g_steal_pointer(&c) : NULL;
}

void mig_qmp_client_free(MigQmpClient *c)
{
    if (c) {
        g_clear_object(&c->lines);
        g_clear_object(&c->connection);
        g_free(c);
    }
}

int mig_qmp_client_pid(const MigQmpClient *c)
{
    struct ucred who = { 0 };
    socklen_t n = sizeof(who);
    int fd = g_socket_get_fd(g_socket_connection_get_socket(c->connection));
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 ? (int)who.pid : 0;
}
