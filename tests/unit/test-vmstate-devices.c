/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that are known by descriptor: what recorded streams hold of them loads and saves back
 * to the same bytes with the same description, and what no QEMU would send is refused.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "stream/vmdesc.h"
#include "stream/vmstate-devices.h"
#include "tests/unit/bodies.h"
#include "tests/unit/traces.h"

typedef MigVmdescWriter Writer;
typedef MigVmdesc Vmdesc;
typedef MigVmBytes Bytes;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Writer, mig_vmdesc_writer_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vmdesc, mig_vmdesc_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bytes, mig_vm_bytes_clear)

typedef union Any {
    MigTimerState timer;
    MigGlobalState global;
    MigCpuCommon cpu;
    MigConfiguration config;
} Any;

static const struct {
    const char *name;
    const MigVmsd *(*vmsd)(unsigned major, unsigned minor);
} devices[] = {
    { "timer", mig_vmsd_timer },
    { "globalstate", mig_vmsd_globalstate },
    { "cpu_common", mig_vmsd_cpu_common },
};

static void must(bool ok, const MigDiagnosis *why)
{
    if (!ok) {
        g_error("%s, offset %u: expected %s, found %s", why->path, (unsigned)why->offset,
                why->expected, why->found);
    }
}

/* The release at the end of a trace's name. */
static void release_of(const char *id, unsigned *major, unsigned *minor)
{
    const char *dash = strrchr(id, '-');

    g_assert_nonnull(dash);
    g_assert_cmpint(sscanf(dash, "-%u.%u", major, minor), ==, 2);
}

/* Loads a body, saves it again into desc, and wants the same bytes. */
static void round_trip(const MigVmsd *vmsd, const guint8 *body, gsize n, int version, Writer *desc)
{
    g_autofree Any *state = g_new0(Any, 1);
    g_auto(Bytes) out = { 0 };
    MigDiagnosis why = { 0 };

    must(mig_vmstate_load_body(vmsd, state, version, body, n, &why), &why);
    must(mig_vmstate_save(vmsd, state, version, &out, desc, &why), &why);
    g_assert_cmpmem(out.data, out.n, body, n);
}

static const MigVmsd *known_device(const char *name, unsigned major, unsigned minor)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        if (g_str_equal(devices[i].name, name)) {
            return devices[i].vmsd(major, minor);
        }
    }
    return NULL;
}

/* The configuration section stands behind the header; its end is that of its own fields. */
static void describe_configuration(Writer *writer, GBytes *stream, unsigned major, unsigned minor)
{
    const guint8 *data = g_bytes_get_data(stream, NULL);
    gsize size = g_bytes_get_size(stream), used;
    g_autofree MigConfiguration *config = g_new0(MigConfiguration, 1);
    const MigVmsd *vmsd = mig_vmsd_configuration(major, minor);
    g_auto(Bytes) out = { 0 };
    MigDiagnosis why = { 0 };

    g_assert_cmpuint(data[8], ==, 7);
    must(mig_vmstate_load(vmsd, config, 1, data + 9, size - 9, &used, &why), &why);
    if (mig_vmdesc_writer_style(writer)->configuration) {
        mig_vmdesc_writer_begin(writer, "configuration", '{');
    }
    must(mig_vmstate_save(vmsd, config, 1, &out,
                          mig_vmdesc_writer_style(writer)->configuration ? writer : NULL, &why),
         &why);
    if (mig_vmdesc_writer_style(writer)->configuration) {
        mig_vmdesc_writer_end(writer, '}');
    }
    g_assert_cmpmem(out.data, out.n, data + 9, used);
}

/* The whole text of a stream with nothing but known devices is written byte for byte. */
static void test_whole_text(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    const guint8 *data = g_bytes_get_data(stream, NULL);
    unsigned major, minor;
    gsize n, ours, from = 0;
    const char *text = mig_test_vmdesc_text(stream, &n);
    g_autoptr(Vmdesc) desc = mig_vmdesc_parse(text, n, NULL);
    g_autoptr(Writer) writer = NULL;
    g_autofree char *whole = NULL;
    MigVmdescStyle style;

    release_of(id, &major, &minor);
    style = mig_vmdesc_style(major, minor);
    writer = mig_vmdesc_writer_new(&style);
    mig_vmdesc_writer_begin_document(writer);
    describe_configuration(writer, stream, major, minor);
    mig_vmdesc_writer_begin_devices(writer, desc->page_size);
    for (const MigVmDevice *device = desc->devices; device; device = device->next) {
        gsize body = mig_test_body(stream, &from, device);
        const MigVmsd *vmsd = known_device(device->name, major, minor);

        g_assert_nonnull(vmsd);
        mig_vmdesc_writer_begin_device(writer, device->name, device->instance_id);
        round_trip(vmsd, data + body, device->size, device->body->version, writer);
        mig_vmdesc_writer_end_device(writer);
    }
    whole = g_strndup(text, n);
    g_assert_cmpstr(mig_vmdesc_writer_finish(writer, &ours), ==, whole);
    g_assert_cmpuint(ours, ==, n);
}

/* In any stream: each known device's bytes, and its description as a part of the text. */
static void test_known_devices(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    const guint8 *data = g_bytes_get_data(stream, NULL);
    unsigned major, minor, known = 0;
    gsize n, from = 0;
    const char *text = mig_test_vmdesc_text(stream, &n);
    g_autoptr(Vmdesc) desc = text ? mig_vmdesc_parse(text, n, NULL) : NULL;

    if (!text) {
        g_test_skip("this stream has no VMDESCRIPTION");
        return;
    }
    release_of(id, &major, &minor);
    for (const MigVmDevice *device = desc->devices; device; device = device->next) {
        const MigVmsd *vmsd = known_device(device->name, major, minor);
        gsize body, ours;
        MigVmdescStyle style = mig_vmdesc_style(major, minor);
        g_autoptr(Writer) writer = mig_vmdesc_writer_new(&style);
        g_autofree char *whole = g_strndup(text, n);
        g_autofree char *part = NULL;
        const char *closed;

        if (!vmsd) {
            continue;
        }
        known++;
        body = mig_test_body(stream, &from, device);
        mig_vmdesc_writer_begin_device(writer, device->name, device->instance_id);
        round_trip(vmsd, data + body, device->size, device->body->version, writer);
        mig_vmdesc_writer_end_device(writer);
        /* finish() closes two brackets that are not open: "]}" or " ] }". */
        closed = mig_vmdesc_writer_finish(writer, &ours);
        part = g_strndup(closed, ours - (style.spaced ? 4 : 2));
        g_assert_nonnull(strstr(whole, part));
    }
    g_assert_cmpuint(known, >=, 1);
}

/*
 * The timer of a machine with -icount shift=auto, as 5.2, 7.2, 10.0 and 11.1 describe it: the only
 * one with all its subsections.
 */
#define F(name, type, size) "{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " #size "}"

/* Offsets at which a body may end: in front of each subsection. */
static bool may_end(const Bytes *whole, gsize cut)
{
    return cut == 24 || (cut > 24 && whole->data[cut] == 5 && cut + 2 < whole->n &&
                         memcmp(whole->data + cut + 2, "timer/", 6) == 0);
}

static void check_cuts(const MigVmsd *vmsd, const Bytes *whole)
{
    for (gsize cut = 0; cut < whole->n; cut++) {
        g_autofree guint8 *bytes = g_memdup2(whole->data, cut ? cut : 1);
        MigTimerState timer = { 0 };
        MigDiagnosis why;

        g_assert_true(mig_vmstate_load_body(vmsd, &timer, 2, bytes, cut, &why) ==
                      may_end(whole, cut));
    }
}

static void test_icount(gconstpointer data)
{
    bool old = data != NULL;
    MigVmdescStyle style = mig_vmdesc_style(7, 2);
    g_autoptr(Writer) writer = mig_vmdesc_writer_new(&style);
    MigTimerState timer = { .cpu_ticks_offset = -1,
                            .cpu_clock_offset = 2,
                            .icount = true,
                            .qemu_icount_bias = 3,
                            .qemu_icount = 4,
                            .warp_timer = true,
                            .vm_clock_warp_start = 5,
                            .icount_warp_timer = -1,
                            .adjust_timers = true,
                            .icount_rt_timer = 6,
                            .icount_vm_timer = 7,
                            .shift = true,
                            .icount_time_shift = -8,
                            .last_delta = 9 };
    const MigVmsd *vmsd = old ? mig_vmsd_timer(5, 2) : mig_vmsd_timer(6, 0);
    MigTimerState loaded = { .cpu_clock_offset = 99 };
    g_auto(Bytes) out = { 0 };
    g_autofree char *expected = NULL;
    MigDiagnosis why = { 0 };
    gsize n;

    mig_vmdesc_writer_begin_document(writer);
    mig_vmdesc_writer_begin_devices(writer, 4096);
    mig_vmdesc_writer_begin_device(writer, "timer", 0);
    must(mig_vmstate_save(vmsd, &timer, 2, &out, writer, &why), &why);
    mig_vmdesc_writer_end_device(writer);
    expected = g_strconcat(
        "{\"page_size\": 4096, \"devices\": [{\"name\": \"timer\", \"instance_id\": 0, "
        "\"vmsd_name\": \"timer\", \"version\": 2, \"fields\": [",
        F("cpu_ticks_offset", "int64", 8), ", ", F("unused", "unused_buffer", 8), ", ",
        F("cpu_clock_offset", "int64", 8),
        "], \"subsections\": [{\"vmsd_name\": \"timer/icount\", \"version\": 1, \"fields\": [",
        F("qemu_icount_bias", "int64", 8), ", ", F("qemu_icount", "int64", 8),
        "], \"subsections\": [{\"vmsd_name\": \"timer/icount/warp_timer\", \"version\": 1, "
        "\"fields\": [",
        F("vm_clock_warp_start", "int64", 8), ", ", F("icount_warp_timer", "timer", 8),
        "]}, {\"vmsd_name\": \"timer/icount/timers\", \"version\": 1, \"fields\": [",
        F("icount_rt_timer", "timer", 8), ", ", F("icount_vm_timer", "timer", 8),
        "]}, {\"vmsd_name\": \"timer/icount/shift\", \"version\": ", old ? "1" : "2",
        ", \"fields\": [", F("icount_time_shift", "int16", 2), old ? "" : ", ",
        old ? "" : F("last_delta", "int64", 8), "]}]}]}]}", NULL);
    g_assert_cmpstr(mig_vmdesc_writer_finish(writer, &n), ==, expected);
    must(mig_vmstate_load_body(vmsd, &loaded, 2, out.data, out.n, &why), &why);
    timer.last_delta = old ? 0 : timer.last_delta;
    g_assert_true(loaded.icount && loaded.warp_timer && loaded.adjust_timers && loaded.shift);
    g_assert_cmpint(loaded.cpu_ticks_offset, ==, timer.cpu_ticks_offset);
    g_assert_cmpint(loaded.icount_vm_timer, ==, timer.icount_vm_timer);
    g_assert_cmpint(loaded.icount_time_shift, ==, timer.icount_time_shift);
    g_assert_cmpint(loaded.last_delta, ==, timer.last_delta);
    check_cuts(vmsd, &out);
}

static void test_subsections(void)
{
    static const struct {
        const char *bytes;
        gsize n;
        bool ok;
        unsigned used;
    } rows[] = {
        { "\5\x19"
          "cpu_common/crash_occurred\0\0\0\1\1",
          32, true, 40 },
        { "\5\x19"
          "cpu_common/crash_occurred\0\0\0\2\1",
          32, false, 0 },
        { "\5\x19"
          "cpu_common/crash_occurreD\0\0\0\1\1",
          32, false, 0 },
        { "\5\x19"
          "cpu_commoN/crash_occurred\0\0\0\1\1",
          32, true, 8 }, /* not of this level */
        { "\5\x0a"
          "cpu_common\0\0\0\1",
          16, true, 8 }, /* no longer than the prefix */
        { "\5\x0b"
          "cpu_common/\0\0\0\1",
          17, false, 0 },
        { "\5\x19"
          "cpu_common/crash_occurred\0\0\0",
          30, false, 0 },
        { "\5", 1, true, 8 },
    };
    const MigVmsd *vmsd = mig_vmsd_cpu_common(7, 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree guint8 *bytes = g_malloc0(8 + rows[i].n);
        MigCpuCommon cpu = { .exception_index = 5 };
        MigDiagnosis why;
        gsize used;

        memcpy(bytes, "\0\0\0\1\0\0\0\3", 8);
        memcpy(bytes + 8, rows[i].bytes, rows[i].n);
        g_assert_true(mig_vmstate_load(vmsd, &cpu, 1, bytes, 8 + rows[i].n, &used, &why) ==
                      rows[i].ok);
        g_assert_cmpint(cpu.exception_index, ==, -1);
        if (rows[i].ok) {
            g_assert_cmpuint(used, ==, rows[i].used);
            g_assert_cmpuint(cpu.interrupt_request, ==, 2);
            g_assert_true(cpu.crash_occurred == (used == 40));
        }
    }
}

static void test_globalstate(void)
{
    static const struct {
        const char *name;
        bool ok;
    } rows[] = { { "running", true }, { "colo", true }, { "", false }, { "runninG", false } };
    MigDiagnosis why;

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (unsigned major = 8; major <= 9; major++) {
            guint8 body[104] = { 0 };
            MigGlobalState global;

            memcpy(body + 4, rows[i].name, strlen(rows[i].name));
            g_assert_true(mig_vmstate_load_body(mig_vmsd_globalstate(major, 0), &global, 1, body,
                                                sizeof(body), &why) == rows[i].ok);
            memset(body + 4, 'x', 100);
            g_assert_false(mig_vmstate_load_body(mig_vmsd_globalstate(major, 0), &global, 1, body,
                                                 sizeof(body), &why));
        }
    }
}

/* An opaque device, and the spaces of 5.2 in an empty list. */
static void test_opaque_device(void)
{
    MigVmdescStyle old = mig_vmdesc_style(5, 2);
    g_autoptr(Writer) writer = mig_vmdesc_writer_new(&old);
    gsize n;

    mig_vmdesc_writer_begin_document(writer);
    mig_vmdesc_writer_begin_devices(writer, 4096);
    mig_vmdesc_writer_opaque_device(writer, "slirp", 0, 131);
    g_assert_cmpstr(mig_vmdesc_writer_finish(writer, &n), ==,
                    "{ \"page_size\" : 4096, \"devices\" : [ { \"name\" : \"slirp\", "
                    "\"instance_id\" : 0, \"size\" : 131, \"fields\" : [ { \"name\" : \"data\", "
                    "\"size\" : 131, \"type\" : \"buffer\" } ] } ] }");
}

static void add_traces(GPtrArray *ids)
{
    for (unsigned i = 0; i < ids->len; i++) {
        const char *id = ids->pdata[i];
        g_autofree char *path = g_strdup_printf("/stream/vmstate/devices-of/%s", id);

        g_test_add_data_func(path, id, test_known_devices);
        if (g_str_has_prefix(id, "none-idle-") || g_str_has_prefix(id, "none-stopped-")) {
            g_autofree char *whole = g_strdup_printf("/stream/vmstate/whole-text/%s", id);

            g_test_add_data_func(whole, id, test_whole_text);
        }
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) ids = NULL;

    g_test_init(&argc, &argv, NULL);
    ids = mig_test_trace_ids("raw");
    add_traces(ids);
    g_test_add_data_func("/stream/vmstate/icount/5.2", "old", test_icount);
    g_test_add_data_func("/stream/vmstate/icount/7.2", NULL, test_icount);
    g_test_add_func("/stream/vmstate/subsections", test_subsections);
    g_test_add_func("/stream/vmstate/globalstate", test_globalstate);
    g_test_add_func("/stream/vmstate/opaque-device", test_opaque_device);
    return g_test_run();
}
