/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timelines, see timeline.h.
 *
 * Limits. The time of sending is the time of the migration's thread: what multifd's channels and
 * the socket do behind its back is not on it.
 */
#include "sim/report/timeline.h"

#include <glib.h>
#include <string.h>

/* Process and thread numbers of the trace. */
enum { PID_SOURCE = 1, PID_DESTINATION = 2 };
enum { TID_STATUS = 1, TID_PASS, TID_THREAD, TID_GUEST, TID_VCPU = 10 };

typedef struct Slice {
    const char *name; /* of an operation; of a fault: the block's */
    int64_t from, to; /* ns */
    uint64_t page;    /* faults */
    uint32_t vcpu;    /* faults: number + 1; else 0 */
} Slice;

struct MigTimeline {
    GArray *slices;
    uint64_t left_out;
    gint last; /* the migration thread's last slice, -1: none */
};

/* What the thread does; NULL: nothing that takes time. */
static const char *const names[] = {
    [MIG_OP_CONNECT] = "connect",
    [MIG_OP_SEND] = "send",
    [MIG_OP_SEND_PAGES] = "pages",
    [MIG_OP_SEND_PAGE] = "pages",
    [MIG_OP_SEND_RUN] = "pages",
    [MIG_OP_FLUSH] = "flush",
    [MIG_OP_LOG_START] = "log start",
    [MIG_OP_SYNC] = "sync",
    [MIG_OP_CLEAR] = "clear",
    [MIG_OP_STOP_GUEST] = "stop",
    [MIG_OP_START_GUEST] = "start",
    [MIG_OP_DEVICES] = "devices",
    [MIG_OP_SLEEP] = "sleep (rate limit)",
    [MIG_OP_WAIT_RETURN] = "wait for return path",
    [MIG_OP_DRAIN] = "drain",
    [MIG_OP_TRANSPORT_SYNC] = "transport sync",
    [MIG_OP_DISK_READ] = "read disks",
    [MIG_OP_WAIT_CONTINUE] = "wait for continue",
    [MIG_OP_MULTIFD_SEND] = "multifd send",
    [MIG_OP_MULTIFD_SYNC] = "multifd sync",
    [MIG_OP_PROTECT] = "protect",
    [MIG_OP_PLACE] = "place",
    [MIG_OP_COMPRESS_FLUSH] = "compress flush",
    [MIG_OP_WAIT_RECOVER] = "wait for recover",
};

MigTimeline *mig_timeline_new(void)
{
    MigTimeline *t = g_new0(MigTimeline, 1);
    t->slices = g_array_new(FALSE, FALSE, sizeof(Slice));
    t->last = -1;
    return t;
}

void mig_timeline_free(MigTimeline *t)
{
    if (t) {
        g_array_unref(t->slices);
        g_free(t);
    }
}

static bool add(MigTimeline *t, const Slice *slice)
{
    bool fits = t->slices->len < MIG_TIMELINE_SLICES;
    if (fits) {
        g_array_append_val(t->slices, *slice);
    }
    t->left_out += !fits;
    return fits;
}

void mig_timeline_op(MigTimeline *t, const MigOp *op, int64_t from, int64_t to)
{
    const char *name = op->kind < G_N_ELEMENTS(names) ? names[op->kind] : NULL;
    Slice *last = t->last < 0 ? NULL : &g_array_index(t->slices, Slice, t->last);
    const Slice slice = { .name = name, .from = from, .to = to };
    if (!name || to <= from) {
        return;
    }
    if (last && last->name == name && last->to == from) {
        last->to = to;
    } else if (add(t, &slice)) {
        t->last = (gint)t->slices->len - 1;
    }
}

void mig_timeline_fault(MigTimeline *t, uint32_t vcpu, const char *block, uint64_t page,
                        int64_t from, int64_t to)
{
    const Slice slice = {
        .name = block,
        .from = from,
        .to = to,
        .page = page,
        .vcpu = vcpu + 1,
    };
    add(t, &slice);
}

/* Trace events ------------------------------------------------------------------------------ */

static json_object *event(json_object *list, const char *phase, int pid, int tid, const char *name)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "ph", json_object_new_string(phase));
    json_object_object_add(o, "pid", json_object_new_int(pid));
    json_object_object_add(o, "tid", json_object_new_int(tid));
    json_object_object_add(o, "name", json_object_new_string(name));
    json_object_array_add(list, o);
    return o;
}

/* |ns| as microseconds, exactly. */
static void put_time(json_object *o, const char *key, int64_t ns)
{
    char text[32];
    g_snprintf(text, sizeof(text), "%" G_GINT64_FORMAT ".%03d", ns / 1000, (int)(ns % 1000));
    json_object_object_add(o, key, json_object_new_double_s((double)ns / 1000, text));
}

static json_object *put_slice(json_object *list, int pid, int tid, const char *name, int64_t from,
                              int64_t to)
{
    json_object *o = event(list, "X", pid, tid, name);
    put_time(o, "ts", from);
    put_time(o, "dur", MAX(to - from, 0));
    return o;
}

static void put_args(json_object *slice, const char *key, json_object *value)
{
    json_object *args = json_object_new_object();
    json_object_object_add(args, key, value);
    json_object_object_add(slice, "args", args);
}

static void put_name(json_object *list, int pid, int tid, const char *name)
{
    json_object *o = event(list, "M", pid, tid, tid ? "thread_name" : "process_name");
    put_args(o, "name", json_object_new_string(name));
}

static void put_names(json_object *list, uint32_t vcpus)
{
    put_name(list, PID_SOURCE, 0, "source");
    put_name(list, PID_SOURCE, TID_STATUS, "status");
    put_name(list, PID_SOURCE, TID_PASS, "pass");
    put_name(list, PID_SOURCE, TID_THREAD, "migration thread");
    put_name(list, PID_SOURCE, TID_GUEST, "guest");
    if (vcpus > 0) {
        put_name(list, PID_DESTINATION, 0, "destination");
    }
    for (uint32_t i = 0; i < vcpus; i++) {
        g_autofree char *name = g_strdup_printf("vCPU %u", i);
        put_name(list, PID_DESTINATION, TID_VCPU + (int)i, name);
    }
}

static json_object *get(json_object *o, const char *key)
{
    json_object *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

static int64_t get_int(json_object *o, const char *key)
{
    return json_object_get_int64(get(o, key));
}

/* Slices from one event of a kind to the next; the last ends with the run. */
typedef struct Lane {
    int tid;
    char *name; /* NULL: nothing has begun */
    int64_t from;
} Lane;

static void turn(json_object *list, Lane *lane, const char *name, int64_t at)
{
    if (lane->name) {
        put_slice(list, PID_SOURCE, lane->tid, lane->name, lane->from, at);
    }
    g_free(lane->name);
    lane->name = g_strdup(name);
    lane->from = at;
}

static void put_event(json_object *list, json_object *e, Lane *status, Lane *pass, Lane *guest)
{
    const char *name = json_object_get_string(get(e, "event"));
    json_object *data = get(e, "data");
    int64_t at = get_int(e, "time-ns");
    if (strcmp(name, "MIGRATION") == 0) {
        turn(list, status, json_object_get_string(get(data, "status")), at);
    } else if (strcmp(name, "MIGRATION_PASS") == 0) {
        g_autofree char *text = g_strdup_printf("pass %" G_GINT64_FORMAT, get_int(data, "pass"));
        turn(list, pass, text, at);
    } else if (strcmp(name, "STOP") == 0) {
        turn(list, guest, "stopped", at);
    } else if (strcmp(name, "RESUME") == 0) {
        turn(list, guest, "running", at);
    } else {
        json_object *instant = event(list, "i", PID_SOURCE, TID_GUEST, name);
        put_time(instant, "ts", at);
        json_object_object_add(instant, "s", json_object_new_string("p"));
        if (data) {
            json_object_object_add(instant, "args", json_object_get(data));
        }
    }
}

static void put_events(json_object *list, json_object *result)
{
    Lane status = { TID_STATUS, NULL, 0 }, pass = { TID_PASS, NULL, 0 };
    Lane guest = { TID_GUEST, g_strdup("running"), 0 };
    json_object *events = get(result, "events");
    int64_t end = get_int(result, "end-ns");
    for (size_t i = 0; events && i < json_object_array_length(events); i++) {
        put_event(list, json_object_array_get_idx(events, i), &status, &pass, &guest);
    }
    turn(list, &status, NULL, end);
    turn(list, &pass, NULL, end);
    turn(list, &guest, NULL, end);
}

static void put_counters(json_object *list, json_object *result)
{
    static const char *const names_of[] = { "remaining", "transferred", "dirty-pages-rate",
                                            "cpu-throttle-percentage" };
    json_object *samples = get(result, "samples"), *times = get(samples, "time-ns");
    for (size_t k = 0; times && k < G_N_ELEMENTS(names_of); k++) {
        json_object *column = get(samples, names_of[k]);
        for (size_t i = 0; i < json_object_array_length(times); i++) {
            json_object *o = event(list, "C", PID_SOURCE, 0, names_of[k]);
            put_time(o, "ts", json_object_get_int64(json_object_array_get_idx(times, i)));
            put_args(o, names_of[k], json_object_get(json_object_array_get_idx(column, i)));
        }
    }
}

static uint32_t put_slices(json_object *list, const MigTimeline *t)
{
    uint32_t vcpus = 0;
    for (guint i = 0; i < t->slices->len; i++) {
        const Slice *s = &g_array_index(t->slices, Slice, i);
        if (s->vcpu) {
            json_object *o = put_slice(list, PID_DESTINATION, TID_VCPU + (int)s->vcpu - 1, "fault",
                                       s->from, s->to);
            put_args(o, s->name, json_object_new_uint64(s->page));
            vcpus = MAX(vcpus, s->vcpu);
        } else {
            put_slice(list, PID_SOURCE, TID_THREAD, s->name, s->from, s->to);
        }
    }
    return vcpus;
}

json_object *mig_timeline_to_json(const MigTimeline *t, json_object *result)
{
    json_object *o = json_object_new_object(), *list = json_object_new_array();
    json_object *other = json_object_new_object();
    put_events(list, result);
    put_names(list, put_slices(list, t));
    put_counters(list, result);
    json_object_object_add(other, "scenario", json_object_get(get(result, "scenario")));
    json_object_object_add(other, "left-out", json_object_new_uint64(t->left_out));
    json_object_object_add(o, "displayTimeUnit", json_object_new_string("ms"));
    json_object_object_add(o, "otherData", other);
    json_object_object_add(o, "traceEvents", list);
    return o;
}
