/* SPDX-License-Identifier: Apache-2.0 */
/* QMP over a unix socket, blocking with a bound; see qmp.h. */
#include "conformance/peers/qmp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_US    2000
#define PIECE       65536u
#define LONGEST     (64u << 20) /* bytes of one answer; QEMU's schema has 0.3 MiB */
#define LOOK_MS     50          /* between two looks at whether the peer lives */
#define WORDS_SHOWN 1000u       /* bytes of a dead peer's last words */

struct MigPeerQmp {
    int fd;
    MigChild *child; /* borrowed */
    GString *in;
    FILE *transcript;
    json_object *greeting;
    bool silent; /* has not answered once: is not asked again */
};

static void set_gone(MigChild *child, GError **error)
{
    g_autofree char *end = mig_child_end_text(child);
    g_autofree char *words = mig_child_words(child, 0);
    gsize n = strlen(words);

    g_set_error(error, MIG_PEER_ERROR, MIG_PEER_GONE, "the %s has ended (%s)%s%s", child->name, end,
                n ? ": " : "", n > WORDS_SHOWN ? words + n - WORDS_SHOWN : words);
}

/* ---- connecting ---- */

static int try_connect(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int mig_peer_connect(const char *path, MigChild *child, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    gint64 end = g_get_monotonic_time() + (gint64)MIG_PEER_PATIENCE * 1000;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
        g_set_error(error, MIG_PEER_ERROR, MIG_PEER_ODD, "%s: too long for the name of a socket",
                    path);
        return -1;
    }
    while (g_get_monotonic_time() < end) {
        int fd = try_connect(&address);
        if (fd >= 0) {
            return fd;
        }
        if (mig_child_ended(child)) {
            set_gone(child, error);
            return -1;
        }
        g_usleep(RETRY_US);
    }
    g_set_error(error, MIG_PEER_ERROR, MIG_PEER_SILENT, "the %s does not listen at %s", child->name,
                path);
    return -1;
}

/* ---- lines ---- */

static void note(MigPeerQmp *q, const char *arrow, const char *line)
{
    if (q->transcript) {
        fprintf(q->transcript, "%s %s %s\n", q->child->name, arrow, line);
    }
}

static void set_silent(const MigPeerQmp *q, GError **error)
{
    g_set_error(error, MIG_PEER_ERROR, MIG_PEER_SILENT, "the %s does not answer", q->child->name);
}

/* One more piece of what it says. */
static bool hear(MigPeerQmp *q, gint64 end, GError **error)
{
    struct pollfd p = { .fd = q->fd, .events = POLLIN };
    char piece[PIECE];

    while (poll(&p, 1, LOOK_MS) <= 0) {
        if (g_get_monotonic_time() >= end) {
            q->silent = true;
            set_silent(q, error);
            return false;
        }
    }
    ssize_t n = read(q->fd, piece, sizeof(piece));
    if (n <= 0) {
        mig_child_wait(q->child, 2000); /* it closes the socket a moment before it ends */
        set_gone(q->child, error);
        return false;
    }
    g_string_append_len(q->in, piece, n);
    return true;
}

/* The next line as JSON; NULL and *error. */
static json_object *next_line(MigPeerQmp *q, gint64 end, GError **error)
{
    char *newline;

    while (!(newline = memchr(q->in->str, '\n', q->in->len))) {
        if (q->in->len > LONGEST) {
            g_set_error(error, MIG_PEER_ERROR, MIG_PEER_ODD, "the %s's answer has no end",
                        q->child->name);
            return NULL;
        }
        if (!hear(q, end, error)) {
            return NULL;
        }
    }
    g_autofree char *line = g_strndup(q->in->str, (gsize)(newline - q->in->str));
    g_string_erase(q->in, 0, (gssize)(newline - q->in->str) + 1);
    g_strchomp(line);
    note(q, "<-", line);
    json_object *o = json_tokener_parse(line);
    if (!json_object_is_type(o, json_type_object)) {
        json_object_put(o);
        g_set_error(error, MIG_PEER_ERROR, MIG_PEER_ODD, "the %s answers with what is no QMP: %s",
                    q->child->name, line);
        return NULL;
    }
    return o;
}

static bool say(MigPeerQmp *q, const char *line, GError **error)
{
    g_autofree char *whole = g_strconcat(line, "\n", NULL);
    gsize n = strlen(whole);

    note(q, "->", line);
    for (gsize at = 0; at < n;) {
        ssize_t sent = send(q->fd, whole + at, n - at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            mig_child_wait(q->child, 2000);
            set_gone(q->child, error);
            return false;
        }
        at += (gsize)sent;
    }
    return true;
}

/* ---- commands ---- */

static json_object *take(json_object *line, const char *key)
{
    json_object *value = json_object_get(mig_answer_at(line, key));
    json_object_put(line);
    return value;
}

static json_object *answer(MigPeerQmp *q, GError **error)
{
    gint64 end = g_get_monotonic_time() + (gint64)MIG_PEER_PATIENCE * 1000;
    json_object *line;

    while ((line = next_line(q, end, error))) {
        if (mig_answer_at(line, "return")) {
            return take(line, "return");
        }
        json_object *problem = mig_answer_at(line, "error");
        if (problem) {
            const char *words = mig_answer_string(problem, "desc");
            g_set_error_literal(error, MIG_PEER_ERROR, MIG_PEER_SAID_NO,
                                words ? words : "(no reason given)");
            json_object_put(line);
            return NULL;
        }
        json_object_put(line); /* an event */
    }
    return NULL;
}

json_object *mig_peer_qmp_execute(MigPeerQmp *q, const char *command, json_object *arguments,
                                  GError **error)
{
    if (q->silent) {
        json_object_put(arguments);
        set_silent(q, error);
        return NULL;
    }
    json_object *message = json_object_new_object();

    json_object_object_add(message, "execute", json_object_new_string(command));
    if (arguments) {
        json_object_object_add(message, "arguments", arguments);
    }
    bool said = say(q, json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN), error);
    json_object_put(message);
    return said ? answer(q, error) : NULL;
}

bool mig_peer_qmp_do(MigPeerQmp *q, const char *command, json_object *arguments, GError **error)
{
    json_object *value = mig_peer_qmp_execute(q, command, arguments, error);
    json_object_put(value);
    return value != NULL;
}

MigPeerQmp *mig_peer_qmp_new(const char *path, MigChild *child, FILE *transcript, GError **error)
{
    gint64 end = g_get_monotonic_time() + (gint64)MIG_PEER_PATIENCE * 1000;
    int fd = mig_peer_connect(path, child, error);

    if (fd < 0) {
        return NULL;
    }
    g_autoptr(MigPeerQmp) q = g_new0(MigPeerQmp, 1);
    *q = (MigPeerQmp){ fd, child, g_string_new(NULL), transcript, NULL };
    json_object *line = next_line(q, end, error);
    if (!line) {
        return NULL;
    }
    q->greeting = take(line, "QMP");
    if (!q->greeting) {
        g_set_error(error, MIG_PEER_ERROR, MIG_PEER_ODD, "the %s does not greet as QMP does",
                    child->name);
        return NULL;
    }
    return mig_peer_qmp_do(q, "qmp_capabilities", NULL, error) ? g_steal_pointer(&q) : NULL;
}

void mig_peer_qmp_free(MigPeerQmp *q)
{
    if (q) {
        close(q->fd);
        json_object_put(q->greeting);
        g_string_free(q->in, TRUE);
        g_free(q);
    }
}

json_object *mig_peer_qmp_greeting(MigPeerQmp *q)
{
    return q->greeting;
}

/* ---- values ---- */

json_object *mig_answer_at(json_object *o, const char *key)
{
    json_object *value;
    return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &value)
               ? value
               : NULL;
}

const char *mig_answer_string(json_object *o, const char *key)
{
    json_object *value = mig_answer_at(o, key);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

gint64 mig_answer_number(json_object *o, const char *key)
{
    json_object *value = mig_answer_at(o, key);
    return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
}
