/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor with one client and a fake target, which has a status and a run state and writes down
 * what it was told; and transcripts: a client's line, and what it gets. Answers are compared as
 * text; of errors their class, because the words are ours to change.
 */
#ifndef MIG_TESTS_FAKE_MONITOR_H
#define MIG_TESTS_FAKE_MONITOR_H

#include <glib.h>

#include "sim/monitor/qmp.h"

typedef struct FakeMonitor {
    MigMonitor *monitor;
    MigQmp *client;
    const char *status, *run_state;
    GString *calls;
    MigParameters parameters; /* the last ones told */
    bool refuses;
} FakeMonitor;

void fake_monitor_begin(FakeMonitor *f, const char *version, bool incoming);
void fake_monitor_end(FakeMonitor *f);

/* All output so far, lines separated by "|"; an error is "error CLASS", and its id. g_free(). */
char *fake_monitor_take(MigQmp *q);
void fake_monitor_say(FakeMonitor *f, const char *text);
void fake_monitor_negotiate(FakeMonitor *f);

#define OK        "{\"return\":{}}"
#define GE        "error GenericError"
#define NF        "error CommandNotFound"
#define CMD(c)    "{\"execute\":\"" c "\"}"
#define ARG(c, a) "{\"execute\":\"" c "\",\"arguments\":{" a "}}"
#define HMP(line) ARG("human-monitor-command", "\"command-line\":\"" line "\"")

#define STATUS           "{\"return\":{\"status\":\"running\",\"running\":true}"
#define CAP(name, state) "{\"capability\":\"" name "\",\"state\":" state "}"
#define CAPS(list)       ARG("migrate-set-capabilities", "\"capabilities\":[" list "]")
#define PARAM(p)         ARG("migrate-set-parameters", p)

#define MIGRATE ARG("migrate", "\"uri\":\"tcp:a:1\"")
#define RESUME  ARG("migrate", "\"uri\":\"tcp:a:1\",\"resume\":true")
#define GO_ON   ARG("migrate-continue", "\"state\":\"pre-switchover\"")
#define RECOVER ARG("migrate-recover", "\"uri\":\"tcp:a:1\"")

typedef struct FakeMonitorRow {
    const char *in, *out;
} FakeMonitorRow;

/* Says every line and compares what comes. */
void fake_monitor_rows(FakeMonitor *f, const FakeMonitorRow *rows, size_t count);

#endif
