/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol, see qmp.h. Model: bytes are collected until brackets and quotation marks say that a
 * value is complete, then it is parsed as a whole. (json-c 0.16 could parse piece by piece, but
 * refuses a number that is cut behind its minus sign, and takes keys that stand twice.) Mirrors
 * qmp_dispatch() (qapi/qmp-dispatch.c, 10.0) for what is wrong first.
 *
 * Limits: strings in single quotes, which QEMU reads, are refused. A broken line gives one error
 * where QEMU may give several. Integers beyond 64 bits become the largest one (json-c) where QEMU
 * makes them doubles.
 */
#include "sim/monitor/qmp.h"

#include <string.h>

#include "sim/monitor/monitor-internal.h"
#include "sim/scenario/json-reader.h"

struct MigQmp {
    MigMonitor *monitor;
    void (*ready)(void *opaque);
    void *opaque;
    GString *text;  /* of the value being read */
    unsigned depth; /* open brackets in it */
    bool in_string, escaped;
    GString *out;
    GByteArray *held; /* input that came behind an x-advance that is under way */
    bool negotiated;
    bool skipping; /* to the end of the line, after an error */
};

/* Output ------------------------------------------------------------------------------------- */

static void put_line(MigQmp *q, const char *line)
{
    g_string_append(q->out, line);
    g_string_append(q->out, "\r\n");
    if (q->ready) {
        q->ready(q->opaque);
    }
}

void mig_qmp_send(MigQmp *q, json_object *message)
{
    put_line(q, json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(message);
}

void mig_qmp_tell_event(MigQmp *q, const char *line)
{
    if (q->negotiated && q->out->len < MIG_QMP_MAX_OUTPUT) {
        put_line(q, line);
    }
}

/* An id is echoed whatever it is; null is one, too. */
static void answer(MigQmp *q, MigQmpId id, const char *what, json_object *value)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, what, value);
    if (id.given) {
        json_object_object_add(o, "id", json_object_get(id.value));
    }
    mig_qmp_send(q, o);
}

static const char *const classes[] = {
    [MIG_MONITOR_GENERIC] = "GenericError",
    [MIG_MONITOR_COMMAND_NOT_FOUND] = "CommandNotFound",
};

static void answer_error(MigQmp *q, MigQmpId id, const GError *error)
{
    bool ours = error->domain == MIG_MONITOR_ERROR;
    json_object *e = json_object_new_object();
    json_object_object_add(
        e, "class", json_object_new_string(classes[ours ? error->code : MIG_MONITOR_GENERIC]));
    json_object_object_add(e, "desc", json_object_new_string(error->message));
    answer(q, id, "error", e);
}

static void greet(MigQmp *q)
{
    json_object *hello = json_object_new_object(), *o = json_object_new_object();
    json_object_object_add(o, "version",
                           mig_monitor_execute(q->monitor, "query-version", NULL, NULL));
    json_object_object_add(o, "capabilities", json_object_new_array());
    json_object_object_add(hello, "QMP", o);
    mig_qmp_send(q, hello);
}

/* Commands ----------------------------------------------------------------------------------- */

/* The name of the command in |v|, or NULL: what is no command at all. */
static const char *check_shape(json_object *v, GError **error)
{
    const char *name = NULL;
    if (!json_object_is_type(v, json_type_object)) {
        return mig_monitor_fail(error, "expected a JSON object: {\"execute\": COMMAND}");
    }
    json_object_object_foreach(v, key, value)
    {
        if (strcmp(key, "execute") == 0) {
            if (!json_object_is_type(value, json_type_string)) {
                return mig_monitor_fail(error, "\"execute\": expected the name of a command");
            }
            name = json_object_get_string(value);
        } else if (strcmp(key, "arguments") == 0) {
            if (!json_object_is_type(value, json_type_object)) {
                return mig_monitor_fail(error, "\"arguments\": expected an object");
            }
        } else if (strcmp(key, "id") != 0) {
            return mig_monitor_fail(error,
                                    "\"%s\" has no place here; known are execute, "
                                    "arguments, id",
                                    key);
        }
    }
    return name ? name : mig_monitor_fail(error, "\"execute\" is missing");
}

static json_object *negotiate(MigQmp *q, const char *name, json_object *arguments, GError **error)
{
    json_object *enable;
    static const MigArgument rows[] = { { "enable", MIG_ARGUMENT_ARRAY, true }, { NULL } };
    if (strcmp(name, "qmp_capabilities") != 0) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_COMMAND_NOT_FOUND,
                    "begin with qmp_capabilities");
        return NULL;
    }
    if (!mig_arguments_check(rows, mig_monitor_binary(q->monitor), arguments, error)) {
        return NULL;
    }
    if (json_object_object_get_ex(arguments, "enable", &enable) &&
        json_object_array_length(enable) > 0) {
        return mig_monitor_fail(error, "\"enable\": none of these capabilities was offered");
    }
    q->negotiated = true;
    return mig_monitor_empty();
}

static json_object *execute(MigQmp *q, const char *name, json_object *arguments, GError **error)
{
    if (!q->negotiated) {
        return negotiate(q, name, arguments, error);
    }
    if (strcmp(name, "qmp_capabilities") == 0) {
        g_set_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_COMMAND_NOT_FOUND,
                    "qmp_capabilities was done already");
        return NULL;
    }
    return mig_monitor_execute(q->monitor, name, arguments, error);
}

static void take_command(MigQmp *q, json_object *v)
{
    MigMonitor *m = q->monitor;
    json_object *arguments = NULL, *result = NULL;
    MigQmpId id = { 0 };
    g_autoptr(GError) error = NULL;
    const char *name = check_shape(v, &error);
    if (json_object_is_type(v, json_type_object)) {
        id.given = json_object_object_get_ex(v, "id", &id.value);
        json_object_object_get_ex(v, "arguments", &arguments);
    }
    if (name) {
        m->executing = q;
        result = execute(q, name, arguments, &error);
        m->executing = NULL;
    }
    if (error) {
        answer_error(q, id, error);
    } else if (m->deferred) {
        m->deferred = false;
        m->advance_id = (MigQmpId){ json_object_get(id.value), id.given };
        json_object_put(result);
    } else {
        answer(q, id, "return", result);
    }
    if (m->event_behind) {
        mig_monitor_event(m, g_steal_pointer(&m->event_behind), NULL, 0);
    }
}

/* Input -------------------------------------------------------------------------------------- */

static void refuse(MigQmp *q, const char *why)
{
    g_autoptr(GError) error = NULL;
    mig_monitor_fail(&error, "%s", why);
    answer_error(q, (MigQmpId){ 0 }, error);
}

/* The value in q->text is complete. */
static void take_value(MigQmp *q)
{
    g_autoptr(GError) error = NULL;
    json_object *v = NULL;
    if (q->text->str[0] == '{') {
        v = mig_json_parse(q->text->str, q->text->len, "command", &error);
    } else {
        mig_monitor_fail(&error, "expected a JSON object: {\"execute\": COMMAND}");
    }
    q->skipping = strchr("{[\"", q->text->str[0]) == NULL; /* a word: more may follow */
    g_string_truncate(q->text, 0);
    if (error) {
        answer_error(q, (MigQmpId){ 0 }, error);
    } else {
        take_command(q, v);
    }
    json_object_put(v);
}

/* Why the value can't go on with |c|, or NULL; looks at brackets and quotation marks only. */
static const char *step(MigQmp *q, unsigned char c)
{
    if (q->in_string) {
        q->in_string = q->escaped || c != '"';
        q->escaped = !q->escaped && c == '\\';
        return c < 0x20 ? "this is no JSON: a control character in a string" : NULL;
    }
    if (c == '"') {
        q->in_string = true;
    } else if (c == '{' || c == '[') {
        q->depth++;
        return q->depth > MIG_QMP_MAX_DEPTH ? "this command is nested too deep" : NULL;
    } else if (c == '}' || c == ']') {
        return q->depth-- == 0 ? "this is no JSON: a bracket closes nothing" : NULL;
    }
    return NULL;
}

static bool ends_value(const MigQmp *q, unsigned char c)
{
    if (q->depth > 0 || q->in_string) {
        return false;
    }
    return c == '}' || c == ']' || c == '"' || g_ascii_isspace(c);
}

static void take_byte(MigQmp *q, char c)
{
    if (q->skipping) {
        q->skipping = c != '\n';
        return;
    }
    if (q->text->len == 0 && g_ascii_isspace(c)) {
        return;
    }
    const char *why = step(q, (unsigned char)c);
    if (!why && q->text->len == MIG_QMP_MAX_COMMAND) {
        why = "this command is longer than 1 MiB";
    }
    if (why) {
        refuse(q, why);
        q->depth = 0;
        q->in_string = q->escaped = false;
        g_string_truncate(q->text, 0);
        q->skipping = c != '\n';
        return;
    }
    g_string_append_c(q->text, c);
    if (ends_value(q, (unsigned char)c)) {
        take_value(q);
        q->skipping = q->skipping && c != '\n';
    }
}

void mig_qmp_feed(MigQmp *q, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0 && q->monitor->advancing != q) {
        take_byte(q, *p++);
        n--;
    }
    g_byte_array_append(q->held, (const guint8 *)p, (guint)n);
}

void mig_qmp_answer_later(MigQmp *q, MigQmpId id, json_object *value)
{
    answer(q, id, "return", value);
    json_object_put(id.value);
    GByteArray *held = g_steal_pointer(&q->held);
    q->held = g_byte_array_new();
    mig_qmp_feed(q, held->data, held->len);
    g_byte_array_unref(held);
}

/* Making it ---------------------------------------------------------------------------------- */

MigQmp *mig_qmp_new(MigMonitor *m, void (*ready)(void *opaque), void *opaque)
{
    MigQmp *q = g_new0(MigQmp, 1);
    q->monitor = m;
    q->ready = ready;
    q->opaque = opaque;
    q->text = g_string_new(NULL);
    q->out = g_string_new(NULL);
    q->held = g_byte_array_new();
    g_ptr_array_add(m->clients, q);
    greet(q);
    return q;
}

void mig_qmp_free(MigQmp *q)
{
    if (!q) {
        return;
    }
    MigMonitor *m = q->monitor;
    g_ptr_array_remove(m->clients, q);
    if (m->advancing == q) {
        m->advancing = NULL;
        json_object_put(m->advance_id.value);
        m->advance_id = (MigQmpId){ 0 };
    }
    g_string_free(q->text, TRUE);
    g_string_free(q->out, TRUE);
    g_byte_array_unref(q->held);
    g_free(q);
}

const char *mig_qmp_output(const MigQmp *q, size_t *n)
{
    *n = q->out->len;
    return q->out->str;
}

void mig_qmp_written(MigQmp *q, size_t n)
{
    g_string_erase(q->out, 0, (gssize)n);
}

bool mig_qmp_wants_input(const MigQmp *q)
{
    return q->out->len < MIG_QMP_MAX_OUTPUT && q->monitor->advancing != q;
}
