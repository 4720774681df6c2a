/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a run log. Unknown keys and unknown types of lines are passed over: a later version may
 * add some. Limits: strings end at a NUL; nothing else of a log is lost.
 */
#include "conformance/report/run-log.h"

#include <gio/gio.h>
#include <json-c/json.h>
#include <string.h>

#include "sim/command.h"

static void subject_free(gpointer data)
{
    MigLogSubject *s = data;
    if (s) {
        g_array_unref(s->findings);
        g_array_unref(s->results);
        g_array_unref(s->expectations);
        g_free(s->cell);
        g_free(s);
    }
}

MigRunLog *mig_run_log_new(void)
{
    MigRunLog *log = g_new0(MigRunLog, 1);
    log->subjects = g_ptr_array_new_with_free_func(subject_free);
    log->expectations = g_array_new(FALSE, TRUE, sizeof(MigLogExpectation));
    log->strings = g_string_chunk_new(4096);
    return log;
}

void mig_run_log_free(MigRunLog *log)
{
    if (log) {
        subject_free(log->open);
        g_ptr_array_unref(log->subjects);
        g_array_unref(log->expectations);
        g_string_chunk_free(log->strings);
        g_free(log);
    }
}

static MigLogSubject *open_subject(MigRunLog *log)
{
    if (!log->open) {
        log->open = g_new0(MigLogSubject, 1);
        log->open->findings = g_array_new(FALSE, TRUE, sizeof(MigLogFinding));
        log->open->results = g_array_new(FALSE, TRUE, sizeof(MigLogResult));
        log->open->expectations = g_array_new(FALSE, TRUE, sizeof(MigLogExpectation));
    }
    return log->open;
}

/* ---- values ---- */

static const char *text(MigRunLog *log, json_object *o, const char *key)
{
    json_object *value;
    if (!json_object_object_get_ex(o, key, &value) ||
        !json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    return g_string_chunk_insert_const(log->strings, json_object_get_string(value));
}

static const char *text_or(MigRunLog *log, json_object *o, const char *key, const char *otherwise)
{
    const char *value = text(log, o, key);
    return value ? value : otherwise;
}

static uint64_t number(json_object *o, const char *key)
{
    json_object *value;
    return json_object_object_get_ex(o, key, &value) ? json_object_get_uint64(value) : 0;
}

static bool truth(json_object *o, const char *key)
{
    json_object *value;
    return json_object_object_get_ex(o, key, &value) && json_object_get_boolean(value);
}

/* ---- lines ---- */

void mig_run_log_next(MigRunLog *log)
{
    log->broken |= !log->complete;
    log->complete = false;
    log->next = log->several = true;
}

static void add_run(MigRunLog *log, json_object *o)
{
    log->announced += number(o, "subjects");
    log->next = false;
    if (log->begun) { /* a further log: the first one says how the run was started */
        return;
    }
    log->begun = true;
    log->version = text_or(log, o, "version", "unknown");
    log->profile = text_or(log, o, "profile", "unknown");
    log->catalogue = text_or(log, o, "catalogue", "unknown");
    log->argv = text_or(log, o, "argv", "");
    log->rules = number(o, "rules");
}

static void add_finding(MigRunLog *log, json_object *o)
{
    MigLogFinding f = {
        .rule = text_or(log, o, "rule", ""),
        .title = text_or(log, o, "title", ""),
        .why = text_or(log, o, "why", ""),
        .verdict = text_or(log, o, "verdict", "fail"),
        .level = text_or(log, o, "level", ""),
        .channel = text_or(log, o, "channel", ""),
        .path = text_or(log, o, "path", ""),
        .expected = text_or(log, o, "expected", ""),
        .found = text_or(log, o, "found", ""),
        .repro = text_or(log, o, "repro", ""),
        .context = text(log, o, "context"),
        .offset = number(o, "offset"),
        .context_offset = number(o, "context-offset"),
    };
    const char *subject = text_or(log, o, "subject", "");
    if (open_subject(log)->cell) { /* its file is a cell's */
        g_autofree char *again = g_strdup_printf("sh cells/%s/repro.sh", subject);
        f.repro = g_string_chunk_insert_const(log->strings, again);
    }
    g_array_append_val(open_subject(log)->findings, f);
}

static void add_expectation(MigRunLog *log, json_object *o)
{
    MigLogExpectation e = {
        .rule = text_or(log, o, "rule", ""),
        .outcome = text_or(log, o, "outcome", "unexpected"),
        .reference = text_or(log, o, "reference", ""),
        .message = text_or(log, o, "message", ""),
    };
    bool of_subject = text(log, o, "subject") != NULL;
    g_array_append_val(of_subject ? open_subject(log)->expectations : log->expectations, e);
}

static void add_cell(MigRunLog *log, json_object *o)
{
    MigLogSubject *s = open_subject(log);

    if (!s->cell) {
        s->cell = g_new0(MigLogCell, 1);
    }
    *s->cell = (MigLogCell){
        .source = text_or(log, o, "source", ""),
        .destination = text_or(log, o, "destination", ""),
        .machine = text_or(log, o, "machine", ""),
        .transport = text_or(log, o, "transport", ""),
        .features = text_or(log, o, "features", ""),
        .workload = text_or(log, o, "workload", ""),
        .fault = text_or(log, o, "fault", ""),
        .outcome = text_or(log, o, "outcome", "inconclusive"),
        .words = text_or(log, o, "words", ""),
        .sanity = truth(o, "sanity"),
    };
}

static void add_results(MigRunLog *log, MigLogSubject *s, json_object *o)
{
    json_object *results, *reasons = NULL;

    if (!json_object_object_get_ex(o, "results", &results)) {
        return;
    }
    json_object_object_get_ex(o, "reasons", &reasons);
    json_object_object_foreach(results, rule, verdict)
    {
        MigLogResult r = {
            .rule = g_string_chunk_insert_const(log->strings, rule),
            .verdict = g_string_chunk_insert_const(log->strings, json_object_get_string(verdict)),
            .reason = reasons ? text(log, reasons, rule) : NULL,
        };
        g_array_append_val(s->results, r);
    }
}

static void mark_known(MigLogSubject *s)
{
    for (guint i = 0; i < s->findings->len; i++) {
        MigLogFinding *f = &g_array_index(s->findings, MigLogFinding, i);
        for (guint k = 0; k < s->expectations->len; k++) {
            const MigLogExpectation *e = &g_array_index(s->expectations, MigLogExpectation, k);
            if (strcmp(e->rule, f->rule) == 0 && strcmp(e->outcome, "expected") == 0) {
                f->known = true;
                f->reference = e->reference;
            }
        }
    }
}

static unsigned *counter(MigRunLog *log, const MigLogSubject *s)
{
    return s->as_expected || strcmp(s->verdict, "conformant") == 0 ? &log->conformant
           : strcmp(s->verdict, "nonconformant") == 0              ? &log->nonconformant
           : strcmp(s->verdict, "inconclusive") == 0               ? &log->inconclusive
           : strcmp(s->verdict, "refused") == 0                    ? &log->refused
                                                                   : &log->errors;
}

static void count(MigRunLog *log, const MigLogSubject *s)
{
    log->findings += (unsigned)s->finding_count;
    ++*counter(log, s);
}

/* A cell that was run before, in another log: what came of it then is forgotten. */
static void forget(MigRunLog *log, const MigLogSubject *now)
{
    for (guint i = 0; log->several && now->cell && i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        if (s->cell && !s->cell->sanity && strcmp(s->name, now->name) == 0) {
            log->findings -= (unsigned)s->finding_count;
            --*counter(log, s);
            log->announced--;
            g_ptr_array_remove_index(log->subjects, i);
            return;
        }
    }
}

static const MigLogSubject *add_subject(MigRunLog *log, json_object *o)
{
    MigLogSubject *s = open_subject(log);

    s->name = text_or(log, o, "subject", "");
    s->verdict = text_or(log, o, "verdict", "error");
    s->message = text(log, o, "message");
    s->stopped = text(log, o, "stopped-text");
    s->stopped_path = text_or(log, o, "stopped-path", "");
    s->hint = text(log, o, "hint");
    s->bytes = number(o, "bytes");
    s->finding_count = number(o, "findings");
    s->stopped_offset = number(o, "stopped-offset");
    s->several = truth(o, "several");
    s->as_expected = truth(o, "as-expected");
    add_results(log, s, o);
    mark_known(s);
    forget(log, s);
    count(log, s);
    g_ptr_array_add(log->subjects, s);
    log->open = NULL;
    return s;
}

static bool fail(GError **error, const char *message)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s; a log that migbench check --format ndjson wrote is expected", message);
    return false;
}

static bool add(MigRunLog *log, json_object *o, const MigLogSubject **subject, GError **error)
{
    const char *type = text_or(log, o, "type", "");

    if (strcmp(type, "run") == 0) {
        if (log->begun && !log->next) {
            return fail(error, "a second run begins");
        }
        if (g_strcmp0(text(log, o, "schema"), MIG_RUN_LOG_SCHEMA) != 0) {
            return fail(error, "the schema is not " MIG_RUN_LOG_SCHEMA);
        }
        add_run(log, o);
    } else if (!log->begun || log->complete || log->next) {
        return fail(error, log->complete ? "something stands behind the end of the run"
                                         : "the first line does not begin a run");
    } else if (strcmp(type, "finding") == 0) {
        add_finding(log, o);
    } else if (strcmp(type, "expectation") == 0) {
        add_expectation(log, o);
    } else if (strcmp(type, "cell") == 0) {
        add_cell(log, o);
    } else if (strcmp(type, "subject") == 0) {
        *subject = add_subject(log, o);
    } else if (strcmp(type, "end") == 0) {
        log->complete =
            truth(o, "complete") && log->subjects->len == log->announced && !log->broken;
    }
    return true;
}

bool mig_run_log_line(MigRunLog *log, const char *line, gsize n, const MigLogSubject **subject,
                      GError **error)
{
    const MigLogSubject *none;
    json_tokener *parser = json_tokener_new();
    json_object *o = json_tokener_parse_ex(parser, line, (int)MIN(n, G_MAXINT - 1));
    bool fine;

    subject = subject ? subject : &none;
    *subject = NULL;
    fine = json_object_is_type(o, json_type_object) ? add(log, o, subject, error)
                                                    : fail(error, "a line is no JSON object");
    json_object_put(o);
    json_tokener_free(parser);
    return fine;
}

/* ---- as a whole ---- */

int mig_run_log_status(const MigRunLog *log)
{
    int status = log->nonconformant || log->expectations->len ? MIG_EXIT_FINDING : MIG_EXIT_OK;

    for (guint i = 0; i < log->subjects->len; i++) {
        const MigLogSubject *s = log->subjects->pdata[i];
        for (guint k = 0; k < s->expectations->len; k++) {
            const MigLogExpectation *e = &g_array_index(s->expectations, MigLogExpectation, k);
            if (strcmp(e->outcome, "expected") != 0) {
                status = MIG_EXIT_FINDING;
            }
        }
    }
    if (!log->complete || log->inconclusive) {
        status = MIG_EXIT_INCOMPLETE;
    }
    return log->errors ? MIG_EXIT_ENVIRONMENT : status;
}

char *mig_run_log_aborted(const MigRunLog *log)
{
    return g_strdup_printf("the run was aborted: %u of %" G_GUINT64_FORMAT
                           " subjects were judged, and there is no end of the log",
                           log->subjects->len, log->announced);
}
