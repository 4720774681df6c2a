/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way between two ends. Sockets go through the relay, a child of ours that records and shapes
 * the line; what goes through `exec:` or a file is its own recording.
 */
#include <gio/gio.h>
#include <string.h>

#include "conformance/matrix/run.h"

/* Where faults hit, in bytes from the source: in the first pass over 2 MiB. */
#define FAULT_AT  "1M"
#define STALL_FOR "300ms"
/* Not 127.0.0.1: who tries a port there that it takes for its own does not find us. */
#define HOST     "127.0.8.1"
#define ANY_PORT "tcp:" HOST ":0"

bool mig_matrix_is_file(const MigCell *cell)
{
    return strcmp(cell->transport, "file") == 0 || strcmp(cell->transport, "exec") == 0;
}

static bool is_tcp(const MigMatrixRun *m)
{
    return strcmp(m->cell->transport, "tcp") == 0;
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
    g_autofree char *listen =
        is_tcp(m) ? g_strdup(ANY_PORT) : g_strdup_printf("unix:%s/relay", m->shared);
    GError *error = NULL;
    g_autofree char *self = g_file_read_link("/proc/self/exe", &error);

    if (!self) {
        return mig_matrix_no(m, "relay", error);
    }
    add(argv, self, "record");
    add(argv, "--listen", listen);
    add(argv, "--connect", m->destination_uri);
    if (m->again_uri) {
        add(argv, "--connect-again", m->again_uri);
    }
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
    } else if (is_tcp(m)) {
        m->destination_uri = g_strdup(ANY_PORT);
    } else {
        m->destination_uri = g_strdup_printf("unix:%s/incoming", m->shared);
        m->again_uri = g_strdup_printf("unix:%s/again", m->shared);
    }
}

/*
 * A destination that was told any port says which one it took. A port that is found to be free
 * beforehand may be somebody else's by the time that it is used.
 */
static bool learn_port(MigMatrixRun *m)
{
    GError *error = NULL;
    json_object *status = mig_end_status(&m->destination, &error);

    if (!status) {
        return mig_matrix_no(m, "destination", error);
    }
    json_object *list = mig_answer_at(status, "socket-address");
    json_object *first =
        json_object_is_type(list, json_type_array) ? json_object_array_get_idx(list, 0) : NULL;
    const char *port = mig_answer_string(first, "port");
    if (port) {
        g_free(m->destination_uri);
        m->destination_uri = g_strdup_printf("tcp:" HOST ":%s", port);
    }
    json_object_put(status);
    if (!port) {
        g_set_error_literal(&error, MIG_PEER_ERROR, MIG_PEER_ODD,
                            "query-migrate has no socket-address: which port did it take?");
    }
    return port || mig_matrix_no(m, "destination", error);
}

static bool listen_and_relay(MigMatrixRun *m)
{
    GError *error = NULL;

    if (!mig_end_say(&m->destination, "migrate-incoming", "uri", m->destination_uri, &error)) {
        return mig_matrix_no(m, "destination", error);
    }
    return (!is_tcp(m) || learn_port(m)) && start_relay(m);
}

bool mig_matrix_connect(MigMatrixRun *m)
{
    GError *error = NULL;

    choose_uris(m);
    m->destination.said = mig_child_said(m->destination.child);
    if (!mig_matrix_is_file(m->cell) && !listen_and_relay(m)) {
        return false;
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
