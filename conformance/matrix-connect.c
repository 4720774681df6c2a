/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way between two ends. Sockets go through the relay, a child of ours that records and shapes
 * the line; what goes through `exec:` or a file is its own recording.
 */
#include <gio/gio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/matrix-run.h"

/* Where faults hit, in bytes from the source: in the first pass over 2 MiB. */
#define FAULT_AT  "1M"
#define STALL_FOR "300ms"

bool mig_matrix_is_file(const MigCell *cell)
{
    return strcmp(cell->transport, "file") == 0 || strcmp(cell->transport, "exec") == 0;
}

/* A port that is free now; the relay takes one by itself, a destination has to be told. */
static guint free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    bool fine = fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 &&
                getsockname(fd, (struct sockaddr *)&a, &n) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return fine ? ntohs(a.sin_port) : 0;
}

static char *listener(MigMatrixRun *m, const char *name)
{
    if (strcmp(m->cell->transport, "tcp") == 0) {
        return g_strdup_printf("tcp:127.0.0.1:%u", free_port());
    }
    return g_strdup_printf("unix:%s/%s", m->shared, name);
}

/* ---- the relay ---- */

static void add(GPtrArray *argv, const char *option, const char *value)
{
    g_ptr_array_add(argv, g_strdup(option));
    g_ptr_array_add(argv, g_strdup(value));
}

static void add_fault(GPtrArray *argv, const MigCell *cell)
{
    if (strcmp(cell->fault, "cut") == 0) {
        add(argv, "--cut-at", FAULT_AT);
    } else if (strcmp(cell->fault, "stall") == 0) {
        add(argv, "--stall-at", FAULT_AT);
        add(argv, "--stall-for", STALL_FOR);
    }
}

/* Waits for "listening on ADDRESS"; owned by the caller. */
static char *relay_address(MigMatrixRun *m)
{
    gint64 end = g_get_monotonic_time() + (gint64)MIG_PEER_PATIENCE * 1000;

    while (g_get_monotonic_time() < end) {
        g_autofree char *words = mig_child_words(m->relay, 0);
        const char *line = strstr(words, "listening on ");
        if (line && strchr(line, '\n')) {
            line += strlen("listening on ");
            return g_strndup(line, strcspn(line, "\n"));
        }
        if (line) {
            return g_strdup(line + strlen("listening on "));
        }
        if (mig_child_ended(m->relay)) {
            return NULL;
        }
        g_usleep(2000);
    }
    return NULL;
}

static bool start_relay(MigMatrixRun *m)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *log = g_build_filename(m->r->folder, "relay.log", NULL);
    g_autofree char *listen = strcmp(m->cell->transport, "tcp") == 0
                                  ? g_strdup("tcp:127.0.0.1:0")
                                  : g_strdup_printf("unix:%s/relay", m->shared);
    GError *error = NULL;
    g_autofree char *self = g_file_read_link("/proc/self/exe", &error);

    if (!self) {
        return mig_matrix_no(m, "relay", error);
    }
    add(argv, self, "record");
    add(argv, "--listen", listen);
    add(argv, "--connect", m->destination_uri);
    add(argv, "--connect-again", m->again_uri);
    add(argv, "-o", m->r->recording);
    add_fault(argv, m->cell);
    g_ptr_array_add(argv, NULL);
    m->relay = mig_child_spawn("relay", (char **)argv->pdata, log, &error);
    if (!m->relay) {
        return mig_matrix_no(m, "relay", error);
    }
    m->source_uri = relay_address(m);
    m->relay_sockets = mig_child_sockets(m->relay);
    if (!m->source_uri) {
        g_autofree char *words = mig_child_words(m->relay, 0);
        g_set_error(&error, MIG_PEER_ERROR, MIG_PEER_GONE, "does not listen: %s", words);
        return mig_matrix_no(m, "relay", error);
    }
    return true;
}

/* What went through a file is the recording. */
static void keep_file(MigMatrixRun *m)
{
    g_autofree char *bytes = NULL;
    gsize n = 0;

    if (mig_matrix_is_file(m->cell) && g_file_get_contents(m->file, &bytes, &n, NULL)) {
        g_file_set_contents(m->r->recording, bytes, (gssize)n, NULL);
    }
}

void mig_matrix_disconnect(MigMatrixRun *m)
{
    if (m->relay && !mig_child_wait(m->relay, 3000)) {
        mig_child_interrupt(m->relay);
        mig_child_wait(m->relay, 3000);
    }
    g_clear_pointer(&m->relay, mig_child_free);
    keep_file(m);
}

/* ---- files ---- */

static char *through_file(const MigEnd *end, const char *path)
{
    bool by_itself = !end->peer->command || mig_peer_has(end->peer->transports, "file");

    return by_itself        ? g_strdup_printf("file:%s", path)
           : end->is_source ? g_strdup_printf("exec:cat > %s", path)
                            : g_strdup_printf("exec:cat %s", path);
}

bool mig_matrix_load_file(MigMatrixRun *m)
{
    GError *error = NULL;
    bool exec = strcmp(m->cell->transport, "exec") == 0;
    char *uri =
        exec ? g_strdup_printf("exec:cat %s", m->file) : through_file(&m->destination, m->file);

    m->destination_uri = uri;
    return mig_end_say(&m->destination, "migrate-incoming", "uri", uri, &error) ||
           mig_matrix_no(m, "destination", error);
}

/* ---- both ---- */

static void choose_uris(MigMatrixRun *m)
{
    if (strcmp(m->cell->transport, "exec") == 0) {
        m->source_uri = g_strdup_printf("exec:cat > %s", m->file);
    } else if (strcmp(m->cell->transport, "file") == 0) {
        m->source_uri = through_file(&m->source, m->file);
    } else {
        m->destination_uri = listener(m, "incoming");
        m->again_uri = listener(m, "again");
    }
}

bool mig_matrix_connect(MigMatrixRun *m)
{
    GError *error = NULL;

    choose_uris(m);
    m->destination.said = mig_child_said(m->destination.child);
    if (!mig_matrix_is_file(m->cell)) {
        if (!mig_end_say(&m->destination, "migrate-incoming", "uri", m->destination_uri, &error)) {
            return mig_matrix_no(m, "destination", error);
        }
        if (!start_relay(m)) {
            return false;
        }
    }
    return mig_end_say(&m->source, "migrate", "uri", m->source_uri, &error) ||
           mig_matrix_no(m, "source", error);
}

static bool keep(char **where, const GError *error)
{
    g_free(*where);
    *where = g_strdup(error->message);
    return false;
}

bool mig_matrix_listen_again(MigMatrixRun *m)
{
    g_autoptr(GError) error = NULL;

    return mig_end_say(&m->destination, "migrate-recover", "uri", m->again_uri, &error) ||
           keep(&m->r->destination_error, error);
}

bool mig_matrix_resume(MigMatrixRun *m)
{
    g_autoptr(GError) error = NULL;
    json_object *arguments = json_object_new_object();

    json_object_object_add(arguments, "uri", json_object_new_string(m->source_uri));
    json_object_object_add(arguments, "resume", json_object_new_boolean(true));
    return mig_peer_qmp_do(m->source.qmp, "migrate", arguments, &error) ||
           keep(&m->r->source_error, error);
}
