/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the monitor, see server.h. A client is watched for input while its session wants some
 * and for room while it has output. One that closes its sending side (socat at the end of its
 * input) still gets its answers.
 */
#include "sim/monitor/server.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/monitor/qmp.h"

struct MigMonitorServer {
    MigMonitor *monitor;
    GSocket *listener;
    int epoll;          /* of the listener (its data: the server) and the clients */
    GPtrArray *clients; /* Client */
    char *address;
    char *path; /* of the socket to be removed in the end; NULL: none */
};

typedef struct Client {
    MigMonitorServer *server;
    GSocket *socket;
    MigQmp *qmp;
    uint32_t watched; /* EPOLLIN, EPOLLOUT; 0: not in the set */
    bool ended;       /* it sends no more */
    bool closing;     /* freed when nobody up the stack uses it */
} Client;

/* Asks for |wanted|. Without any it is not in the set: a hang-up would be told again and again. */
static void want(Client *c, uint32_t wanted)
{
    struct epoll_event e = { .events = wanted, .data.ptr = c };
    int op = !wanted ? EPOLL_CTL_DEL : c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (wanted != c->watched) {
        epoll_ctl(c->server->epoll, op, g_socket_get_fd(c->socket), &e);
        c->watched = wanted;
    }
}

static void client_free(gpointer data)
{
    Client *c = data;
    want(c, 0);
    mig_qmp_free(c->qmp);
    g_socket_close(c->socket, NULL);
    g_object_unref(c->socket);
    g_free(c);
}

static void close_soon(Client *c)
{
    want(c, 0);
    c->closing = true;
}

static void watch(Client *c)
{
    size_t n;
    mig_qmp_output(c->qmp, &n);
    if (c->closing) {
        return;
    }
    bool more = mig_qmp_wants_input(c->qmp);
    if (c->ended && more && n == 0) {
        close_soon(c);
    } else {
        want(c, (!c->ended && more ? EPOLLIN : 0) | (n > 0 ? EPOLLOUT : 0));
    }
}

static void on_output(void *opaque)
{
    Client *c = opaque;
    if (c->qmp) { /* not yet while it greets */
        watch(c);
    }
}

/* Writes what can be written now; false: the client is gone. */
static bool write_some(Client *c)
{
    size_t n;
    const char *out;
    while (out = mig_qmp_output(c->qmp, &n), n > 0) {
        g_autoptr(GError) error = NULL;
        gssize sent = g_socket_send_with_blocking(c->socket, out, n, FALSE, NULL, &error);
        if (sent < 0) {
            return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
        }
        mig_qmp_written(c->qmp, (size_t)sent);
    }
    return true;
}

/* Reads once; false: the client is gone. */
static bool read_some(Client *c)
{
    char buffer[4096];
    g_autoptr(GError) error = NULL;
    gssize n =
        g_socket_receive_with_blocking(c->socket, buffer, sizeof(buffer), FALSE, NULL, &error);
    if (n > 0) {
        mig_qmp_feed(c->qmp, buffer, (size_t)n);
    }
    c->ended = c->ended || n == 0;
    return n >= 0 || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static void serve_client(Client *c, uint32_t ready)
{
    bool reads = c->watched & EPOLLIN && ready & (EPOLLIN | EPOLLHUP | EPOLLERR);
    if ((reads && !read_some(c)) || !write_some(c)) {
        close_soon(c);
    }
    watch(c);
}

static void accept_client(MigMonitorServer *s)
{
    GSocket *socket = g_socket_accept(s->listener, NULL, NULL);
    if (!socket || s->clients->len >= MIG_MONITOR_MAX_CLIENTS) {
        g_clear_object(&socket);
        return;
    }
    Client *c = g_new0(Client, 1);
    c->server = s;
    c->socket = socket;
    g_ptr_array_add(s->clients, c);
    c->qmp = mig_qmp_new(s->monitor, on_output, c);
    watch(c);
}

int mig_monitor_server_descriptor(const MigMonitorServer *s)
{
    return s->epoll;
}

static void sweep(MigMonitorServer *s)
{
    for (guint i = s->clients->len; i-- > 0;) {
        Client *c = s->clients->pdata[i];
        if (c->closing) {
            g_ptr_array_remove_index(s->clients, i);
        }
    }
}

void mig_monitor_server_work(MigMonitorServer *s, int timeout)
{
    struct epoll_event ready[MIG_MONITOR_MAX_CLIENTS + 1];
    int n = epoll_wait(s->epoll, ready, G_N_ELEMENTS(ready), timeout);
    for (int i = 0; i < n; i++) {
        if (ready[i].data.ptr == s) {
            accept_client(s);
        } else if (!((Client *)ready[i].data.ptr)->closing) {
            serve_client(ready[i].data.ptr, ready[i].events);
        }
    }
    sweep(s);
}

/* Listening ---------------------------------------------------------------------------------- */

static void *bad_address(GError **error, const char *address)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "monitor address \"%s\": expected unix:PATH or tcp:HOST:PORT", address);
    return NULL;
}

static GSocketAddress *tcp_address(const char *address, GError **error)
{
    const char *host = address + strlen("tcp:"), *colon = strrchr(host, ':');
    guint64 port;
    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL)) {
        return bad_address(error, address);
    }
    g_autofree char *name = g_strndup(host, (size_t)(colon - host));
    size_t n = strlen(name);
    if (n > 2 && name[0] == '[' && name[n - 1] == ']') {
        memmove(name, name + 1, n - 2);
        name[n - 2] = '\0';
    }
    const char *numeric = strcmp(name, "localhost") == 0 ? "127.0.0.1" : *name ? name : "0.0.0.0";
    GSocketAddress *result = g_inet_socket_address_new_from_string(numeric, (guint)port);
    return result ? result : bad_address(error, address);
}

static GSocketAddress *parse_address(const char *address, char **path, GError **error)
{
    if (g_str_has_prefix(address, "unix:") && address[strlen("unix:")]) {
        *path = g_strdup(address + strlen("unix:"));
        return g_unix_socket_address_new(*path);
    }
    return g_str_has_prefix(address, "tcp:") ? tcp_address(address, error)
                                             : bad_address(error, address);
}

/* A socket that nobody listens at any more is in the way. */
static void remove_stale(const char *path, GSocketAddress *address)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }
    g_autoptr(GSocket) probe =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
    if (probe && !g_socket_connect(probe, address, NULL, NULL)) {
        unlink(path);
    }
}

static char *describe(GSocket *listener, const char *path)
{
    if (path) {
        return g_strconcat("unix:", path, NULL);
    }
    g_autoptr(GSocketAddress) local = g_socket_get_local_address(listener, NULL);
    GInetSocketAddress *inet = G_INET_SOCKET_ADDRESS(local);
    g_autofree char *host = g_inet_address_to_string(g_inet_socket_address_get_address(inet));
    bool six = strchr(host, ':') != NULL;
    return g_strdup_printf("tcp:%s%s%s:%u", six ? "[" : "", host, six ? "]" : "",
                           g_inet_socket_address_get_port(inet));
}

static GSocket *listen_at(GSocketAddress *address, GError **error)
{
    g_autoptr(GSocket) socket =
        g_socket_new(g_socket_address_get_family(address), G_SOCKET_TYPE_STREAM,
                     G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!socket || !g_socket_bind(socket, address, TRUE, error) ||
        !g_socket_listen(socket, error)) {
        return NULL;
    }
    return g_steal_pointer(&socket);
}

static void watch_listener(MigMonitorServer *s)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, g_socket_get_fd(s->listener), &e);
    g_socket_set_blocking(s->listener, FALSE);
}

MigMonitorServer *mig_monitor_server_new(MigMonitor *m, const char *address, GError **error)
{
    g_autofree char *path = NULL;
    g_autoptr(GSocketAddress) where = parse_address(address, &path, error);
    if (where && path) {
        remove_stale(path, where);
    }
    GSocket *listener = where ? listen_at(where, error) : NULL;
    if (!listener) {
        g_prefix_error(error, "cannot serve QMP at %s: ", address);
        return NULL;
    }
    MigMonitorServer *s = g_new0(MigMonitorServer, 1);
    s->monitor = m;
    s->listener = listener;
    s->clients = g_ptr_array_new_with_free_func(client_free);
    s->address = describe(listener, path);
    s->path = g_steal_pointer(&path);
    watch_listener(s);
    return s;
}

const char *mig_monitor_server_address(const MigMonitorServer *s)
{
    return s->address;
}

void mig_monitor_server_flush(MigMonitorServer *s)
{
    for (guint i = 0; i < s->clients->len; i++) {
        Client *c = s->clients->pdata[i];
        if (!c->closing && !write_some(c)) {
            close_soon(c);
        }
    }
}

/* Whoever does not read within a second loses what is left. */
static void say_goodbye(Client *c)
{
    size_t n;
    const char *out;
    g_socket_set_timeout(c->socket, 1);
    while (out = mig_qmp_output(c->qmp, &n), n > 0) {
        gssize sent = g_socket_send_with_blocking(c->socket, out, n, TRUE, NULL, NULL);
        if (sent <= 0) {
            return;
        }
        mig_qmp_written(c->qmp, (size_t)sent);
    }
    g_socket_shutdown(c->socket, FALSE, TRUE, NULL);
}

void mig_monitor_server_free(MigMonitorServer *s)
{
    if (!s) {
        return;
    }
    g_socket_close(s->listener, NULL);
    g_object_unref(s->listener);
    for (guint i = 0; i < s->clients->len; i++) {
        say_goodbye(s->clients->pdata[i]);
    }
    g_ptr_array_unref(s->clients);
    close(s->epoll);
    if (s->path) {
        unlink(s->path);
    }
    g_free(s->path);
    g_free(s->address);
    g_free(s);
}
