/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMDESCRIPTION of every recorded stream parses and describes its device bodies to the last
 * byte; texts and bodies that are not what they should be get a diagnosis.
 */
#include <glib.h>
#include <string.h>

#include "stream/limits.h"
#include "stream/vmdesc-walk.h"
#include "tests/unit/bodies.h"
#include "tests/unit/traces.h"

typedef MigVmdesc Vmdesc;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vmdesc, mig_vmdesc_free)

/* A visitor that writes one line per event. */
static bool on_enter(void *opaque, const MigVmScope *scope)
{
    g_string_append_printf(opaque, "+%s@%u v%d\n", scope->path, (unsigned)scope->offset,
                           (int)scope->body->version);
    return true;
}

static bool on_leave(void *opaque, const MigVmScope *scope)
{
    g_string_append_printf(opaque, "-%s@%u\n", scope->path, (unsigned)scope->offset);
    return true;
}

static bool on_value(void *opaque, const MigVmValue *value)
{
    g_string_append_printf(opaque, "%s %s @%u+%u ", value->path, value->type,
                           (unsigned)value->offset, (unsigned)value->size);
    if (value->kind == MIG_VM_SIGNED) {
        g_string_append_printf(opaque, "%" G_GINT64_FORMAT, value->i);
    } else if (value->kind == MIG_VM_NULL) {
        g_string_append(opaque, "null");
    } else if (value->kind == MIG_VM_BYTES || value->kind == MIG_VM_TEXT) {
        for (guint64 i = 0; i < MIN(value->size, 8); i++) {
            g_string_append_printf(opaque, "%02x", value->bytes[i]);
        }
    } else {
        g_string_append_printf(opaque, "%" G_GUINT64_FORMAT, value->u);
    }
    g_string_append_c(opaque, '\n');
    return true;
}

static const MigVmVisitor printer = { on_enter, on_value, on_leave };

/* Adds up the values' sizes and checks that they come in order, without gaps but markers. */
typedef struct Tally {
    guint64 end;
    guint64 bytes;
} Tally;

static bool tally_value(void *opaque, const MigVmValue *value)
{
    Tally *tally = opaque;

    g_assert_cmpuint(value->offset, >=, tally->end);
    tally->end = value->offset + value->size;
    tally->bytes += value->size;
    return true;
}

static guint64 headers(const MigVmBody *body)
{
    guint64 n = 0;

    for (const MigVmField *field = body->fields; field; field = field->next) {
        for (const MigVmBody *inner = field->bodies; inner; inner = inner->next) {
            n += field->count * headers(inner);
        }
    }
    for (const MigVmBody *sub = body->subsections; sub; sub = sub->next) {
        n += mig_vmdesc_subsection_header(sub) + headers(sub);
    }
    return n;
}

static void test_real(gconstpointer id)
{
    g_autoptr(GBytes) stream = mig_test_trace_load(id);
    gsize n, from = 0;
    const char *text = mig_test_vmdesc_text(stream, &n);
    const guint8 *data = g_bytes_get_data(stream, NULL);
    MigVmVisitor visitor = { .value = tally_value };
    MigDiagnosis why = { 0 };
    g_autoptr(Vmdesc) desc = NULL;

    if (!text) {
        g_test_skip("this stream has no VMDESCRIPTION");
        return;
    }
    desc = mig_vmdesc_parse(text, n, &why);
    g_assert_cmpstr(why.expected, ==, "");
    g_assert_nonnull(desc);
    g_assert_cmpuint(desc->page_size, >=, 1024);
    /* 7.2 describes the channel subsystem's array of pointers by its first, which is NULL. */
    g_assert_cmpuint(desc->disagreements, ==, g_str_equal(id, "s390x-ccw-7.2") ? 1 : 0);
    for (const MigVmDevice *device = desc->devices; device; device = device->next) {
        Tally tally = { 0, 0 };
        gsize body;

        if (device->unreliable) {
            g_assert_cmpstr(device->name, ==, "s390_css");
            g_assert_cmpuint(mig_vmdesc_device_size(device), ==, G_MAXUINT64);
            continue;
        }
        g_assert_cmpuint(mig_vmdesc_device_size(device), ==, device->size);
        body = mig_test_body(stream, &from, device);
        g_assert_true(mig_vmdesc_find(desc, device->name, device->instance_id) == device);
        if (!mig_vmdesc_walk(device, data + body, device->size, &visitor, &tally, &why)) {
            g_error("%s: expected %s, found %s", why.path, why.expected, why.found);
        }
        g_assert_cmpuint(tally.bytes + headers(device->body), ==, device->size);
        /* One byte less or more is noticed. */
        tally = (Tally){ 0, 0 };
        g_assert_false(
            mig_vmdesc_walk(device, data + body, device->size - 1, &visitor, &tally, &why));
        tally = (Tally){ 0, 0 };
        g_assert_false(
            mig_vmdesc_walk(device, data + body, device->size + 1, &visitor, &tally, &why));
        g_assert_cmpint(why.fault, ==, MIG_FAULT_BODY_LENGTH);
        g_assert_cmpuint(why.offset, ==, device->size);
    }
}

#define DEVICE(fields)                                                                          \
    "{\"devices\":[{\"name\":\"d\",\"instance_id\":0,\"vmsd_name\":\"d\",\"version\":3," fields \
    "}]}"
#define FIELD(name, type, size) "{\"name\":\"" name "\",\"type\":\"" type "\",\"size\":" #size "}"

#define BYTES(s) (const guint8 *)(s), sizeof(s) - 1

static const struct {
    const char *name;
    const char *text;
    const guint8 *body;
    gsize n;
    const char *events; /* or, after '!', "fault path offset" */
} walks[] = {
    { "scalars",
      DEVICE("\"fields\":[" FIELD("a", "int16", 2) "," FIELD("b", "uint32", 4) "," FIELD(
          "c", "bool", 1) "," FIELD("t", "timer", 8) "," FIELD("p", "nullptr",
                                                               1) "," FIELD("o", "int32", 2) "]"),
      BYTES("\xff\xfe\1\2\3\4\7\xff\xff\xff\xff\xff\xff\xff\xff\x30\1\2"),
      "+d@0 v3\nd/a int16 @0+2 -2\nd/b uint32 @2+4 16909060\nd/c bool @6+1 1\n"
      "d/t timer @7+8 -1\nd/p nullptr @15+1 null\nd/o int32 @16+2 0102\n-d@18\n" },
    { "array",
      DEVICE("\"fields\":[{\"name\":\"x\",\"array_len\":3,\"type\":\"uint8\",\"size\":1}]"),
      BYTES("\1\2\3"),
      "+d@0 v3\nd/x[0] uint8 @0+1 1\nd/x[1] uint8 @1+1 2\nd/x[2] uint8 @2+1 3\n-d@3\n" },
    { "struct-array",
      DEVICE("\"fields\":[{\"name\":\"s\",\"array_len\":2,\"type\":\"struct\",\"struct\":{"
             "\"vmsd_name\":\"s\",\"version\":1,\"fields\":[" FIELD("v", "uint8",
                                                                    1) "]},\"size\":1}]"),
      BYTES("\5\6"),
      "+d@0 v3\n+d/s[0]@0 v1\nd/s[0]/v uint8 @0+1 5\n-d/s[0]@1\n"
      "+d/s[1]@1 v1\nd/s[1]/v uint8 @1+1 6\n-d/s[1]@2\n-d@2\n" },
    { "index-but-last",
      DEVICE("\"fields\":[{\"name\":\"x\",\"index\":0,\"type\":\"uint8\",\"size\":1}," FIELD(
          "x", "uint8", 1) "," FIELD("y", "uint8", 1) "]"),
      BYTES("\1\2\3"),
      "+d@0 v3\nd/x[0] uint8 @0+1 1\nd/x[1] uint8 @1+1 2\nd/y uint8 @2+1 3\n-d@3\n" },
    { "no-index", DEVICE("\"fields\":[" FIELD("x", "uint8", 1) "," FIELD("x", "uint8", 1) "]"),
      BYTES("\1\2"), "+d@0 v3\nd/x[0] uint8 @0+1 1\nd/x[1] uint8 @1+1 2\n-d@2\n" },
    { "tmp",
      DEVICE("\"fields\":[{\"name\":\"tmp\",\"type\":\"tmp\",\"vmsd_name\":\"t\",\"version\":0,"
             "\"fields\":[" FIELD("m", "uint16", 2) "],\"size\":2}]"),
      BYTES("\1\2"), "+d@0 v3\n+d/tmp@0 v0\nd/tmp/m uint16 @0+2 258\n-d/tmp@2\n-d@2\n" },
    { "qtailq",
      DEVICE("\"fields\":[{\"name\":\"q\",\"type\":\"qtailq\","
             "\"vmsd_name\":\"e\",\"version\":1,\"fields\":[" FIELD(
                 "v", "uint8", 1) "],"
                                  "\"vmsd_name\":\"e\",\"version\":1,\"fields\":[" FIELD(
                                      "v", "uint8", 1) "],\"size\":5}]"),
      BYTES("\1\x11\1\x22\0"),
      "+d@0 v3\n+d/q/element[0]@1 v1\nd/q/element[0]/v uint8 @1+1 17\n-d/q/element[0]@2\n"
      "+d/q/element[1]@3 v1\nd/q/element[1]/v uint8 @3+1 34\n-d/q/element[1]@4\n-d@5\n" },
    { "qtailq-marker-wrong",
      DEVICE(
          "\"fields\":[{\"name\":\"q\",\"type\":\"qtailq\","
          "\"vmsd_name\":\"e\",\"version\":1,\"fields\":[" FIELD("v", "uint8", 1) "],\"size\":3}]"),
      BYTES("\1\x11\1"), "+d@0 v3\nd/q qtailq @0+3 011101\n-d@3\n" },
    { "struct-size-disagrees",
      DEVICE("\"fields\":[{\"name\":\"s\",\"type\":\"struct\",\"struct\":{},\"size\":1}]"),
      BYTES("\x30"), "+d@0 v3\nd/s struct @0+1 30\n-d@1\n" },
    { "subsection",
      DEVICE("\"fields\":[" FIELD("a", "uint8", 1) "],\"subsections\":[{\"vmsd_name\":\"d/s\","
                                                   "\"version\":2,\"fields\":[" FIELD("b", "uint8",
                                                                                      1) "]}]"),
      BYTES("\1\5\3d/s\0\0\0\2\7"),
      "+d@0 v3\nd/a uint8 @0+1 1\n+d/s@1 v2\nd/s/b uint8 @10+1 7\n-d/s@11\n-d@11\n" },
    { "subsection-name",
      DEVICE("\"fields\":[],\"subsections\":[{\"vmsd_name\":\"d/s\",\"version\":2,\"fields\":[]}]"),
      BYTES("\5\3d/t\0\0\0\2"), "!body-description d/s 0" },
    { "subsection-version",
      DEVICE("\"fields\":[],\"subsections\":[{\"vmsd_name\":\"d/s\",\"version\":2,\"fields\":[]}]"),
      BYTES("\5\3d/s\0\0\0\3"), "!body-description d/s 5" },
    { "subsection-cut",
      DEVICE("\"fields\":[],\"subsections\":[{\"vmsd_name\":\"d/s\",\"version\":2,\"fields\":[]}]"),
      BYTES("\5\3d/s\0\0\0"), "!body-length d/s 0" },
    { "short", DEVICE("\"fields\":[" FIELD("a", "uint32", 4) "]"), BYTES("\1\2\3"),
      "!body-length d/a 0" },
    { "long", DEVICE("\"fields\":[" FIELD("a", "uint8", 1) "]"), BYTES("\1\2"),
      "!body-length d 1" },
    { "array-past-end",
      DEVICE("\"fields\":[{\"name\":\"x\",\"array_len\":16777216,\"type\":\"uint8\",\"size\":1}]"),
      BYTES("\1\2\3"), "!body-length d/x 0" },
    { "endless-nothing",
      DEVICE("\"fields\":[{\"name\":\"x\",\"array_len\":16777216,\"type\":\"buffer\",\"size\":0}]"),
      BYTES("\1\2\3"), "!body-description d/x[65548] 0" },
};

static void test_walk(gconstpointer data)
{
    unsigned k = GPOINTER_TO_UINT(data);
    MigDiagnosis why = { 0 };
    g_autoptr(Vmdesc) desc = mig_vmdesc_parse(walks[k].text, strlen(walks[k].text), &why);
    g_autoptr(GString) events = g_string_new(NULL);
    g_autofree guint8 *body = g_memdup2(walks[k].body, walks[k].n);
    MigVmVisitor silent = { NULL, NULL, NULL };
    bool bad = walks[k].events[0] == '!';

    g_assert_cmpstr(why.expected, ==, "");
    g_assert_nonnull(desc);
    g_assert_true(mig_vmdesc_walk(desc->devices, body, walks[k].n, &printer, events, &why) == !bad);
    if (bad) {
        g_string_printf(events, "!%s %s %u", mig_fault_name(why.fault), why.path,
                        (unsigned)why.offset);
        g_assert_cmpstr(why.expected, !=, "");
        g_assert_cmpstr(why.found, !=, "");
    }
    g_assert_cmpstr(events->str, ==, walks[k].events);
    g_assert_true(mig_vmdesc_walk(desc->devices, body, walks[k].n, &silent, NULL, NULL) == !bad);
}

static bool stop_at_once(void *opaque, const MigVmValue *value)
{
    (void)value;
    ++*(int *)opaque;
    return false;
}

static void test_visitor_stops(void)
{
    const char *text = walks[1].text;
    g_autoptr(Vmdesc) desc = mig_vmdesc_parse(text, strlen(text), NULL);
    MigVmVisitor visitor = { .value = stop_at_once };
    int calls = 0;

    g_assert_true(
        mig_vmdesc_walk(desc->devices, (const guint8 *)"\1\2\3", 3, &visitor, &calls, NULL));
    g_assert_cmpint(calls, ==, 1);
}

static const struct {
    const char *name;
    const char *text;
    guint64 offset;
    const char *path;
} bad_texts[] = {
    { "empty", "", 0, "" },
    { "no-object", "[]", 0, "" },
    { "no-devices", "{\"page_size\":4096}", 18, "" },
    { "behind", "{\"devices\":[]} x", 15, "" },
    { "nul-behind", "{\"devices\":[]}\0", 14, "" },
    { "page-size-negative", "{\"page_size\":-1}", 13, "" },
    { "page-size-fraction", "{\"page_size\":1.5}", 13, "" },
    { "page-size-huge", "{\"page_size\":99999999999999999999}", 13, "" },
    { "devices-twice", "{\"devices\":[{\"name\":\"a\",\"instance_id\":0}],\"devices\":[]}", 52,
      "" },
    { "device-no-name", "{\"devices\":[{\"instance_id\":0}]}", 29, "devices[0]" },
    { "device-no-instance", "{\"devices\":[{\"name\":\"a\"}]}", 24, "devices[0]" },
    { "device-no-comma", "{\"devices\":[{\"name\":\"a\" \"instance_id\":0}]}", 24, "devices[0]" },
    { "field-no-size", DEVICE("\"fields\":[{\"name\":\"a\",\"type\":\"b\"}]"), 101,
      "devices[0]/fields[0]" },
    { "fields-twice", DEVICE("\"fields\":[" FIELD("a", "b", 1) "],\"fields\":[]"), 121,
      "devices[0]" },
    { "size-huge", DEVICE("\"fields\":[" FIELD("a", "b", 4294967297) "]"), 108,
      "devices[0]/fields[0]" },
    { "size-product",
      DEVICE("\"fields\":[{\"name\":\"a\",\"array_len\":16777216,\"type\":\"b\",\"size\":257}]"),
      133, "devices[0]/fields[0]" },
    { "array-huge", DEVICE("\"fields\":[{\"name\":\"a\",\"array_len\":16777217}]"), 102,
      "devices[0]/fields[0]" },
    { "subsection-no-name", DEVICE("\"subsections\":[{\"fields\":[]}]"), 96,
      "devices[0]/subsections[0]" },
    { "escape", "{\"devices\":[{\"name\":\"\\x\"", 23, "devices[0]" },
    { "escape-nul", "{\"devices\":[{\"name\":\"\\u0000\"", 27, "devices[0]" },
    { "surrogate-alone", "{\"devices\":[{\"name\":\"\\ud800\"", 27, "devices[0]" },
    { "control", "{\"devices\":[{\"name\":\"a\nb\"", 22, "devices[0]" },
    { "string-open", "{\"devices\":[{\"name\":\"a", 22, "devices[0]" },
};

static void test_bad_text(gconstpointer data)
{
    unsigned k = GPOINTER_TO_UINT(data);
    size_t n = strlen(bad_texts[k].text) + g_str_equal(bad_texts[k].name, "nul-behind");
    g_autofree char *text = g_memdup2(bad_texts[k].text, n ? n : 1);
    MigDiagnosis why = { 0 };

    g_assert_null(mig_vmdesc_parse(text, n, &why));
    g_assert_cmpint(why.fault, ==, MIG_FAULT_VMDESC_JSON);
    g_test_message("%s: expected %s, found %s", why.path, why.expected, why.found);
    g_assert_cmpuint(why.offset, ==, bad_texts[k].offset);
    g_assert_cmpstr(why.path, ==, bad_texts[k].path);
    g_assert_null(mig_vmdesc_parse(text, n, NULL));
}

static void test_strings(void)
{
    const char *text = "{\"x\":[{\"a\":[1,2.5,\"]}\",null]}],\"devices\":[{\"name\":"
                       "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\\"\\\\\\n\",\"instance_id\":-1,"
                       "\"later\":{\"key\":[{}]},\"size\":0,\"fields\":[]}]}";
    g_autoptr(Vmdesc) desc = mig_vmdesc_parse(text, strlen(text), NULL);

    g_assert_nonnull(desc);
    g_assert_cmpstr(desc->devices->name, ==, "A\303\251\342\202\254\360\237\230\200\"\\\n");
    g_assert_cmpuint(desc->devices->instance_id, ==, G_MAXUINT32);
    g_assert_true(desc->devices->opaque);
}

/* Every beginning of a real text is bad, and is said to be so at its end or before. */
static void test_cut_anywhere(void)
{
    g_autoptr(GBytes) stream = mig_test_trace_load("none-idle-10.0");
    gsize n;
    const char *text = mig_test_vmdesc_text(stream, &n);

    for (gsize cut = 0; cut < n; cut++) {
        g_autofree char *copy = g_memdup2(text, cut ? cut : 1);
        MigDiagnosis why = { 0 };

        g_assert_null(mig_vmdesc_parse(copy, cut, &why));
        g_assert_cmpuint(why.offset, <=, cut);
    }
}

static void test_doubles(void)
{
    const char *text = "{\"devices\":[{\"name\":\"a\",\"instance_id\":0},"
                       "{\"name\":\"b\",\"instance_id\":0},{\"name\":\"a\",\"instance_id\":0},"
                       "{\"name\":\"a\",\"instance_id\":1}]}";
    g_autoptr(Vmdesc) desc = mig_vmdesc_parse(text, strlen(text), NULL);
    const MigVmDevice *first = desc->devices, *third = first->next->next;

    g_assert_true(mig_vmdesc_find(desc, "a", 0) == first);
    g_assert_true(mig_vmdesc_find(desc, "a", 0) == third);
    g_assert_true(mig_vmdesc_find(desc, "a", 0) == first);
    g_assert_true(mig_vmdesc_find(desc, "a", 1) == third->next);
    g_assert_null(mig_vmdesc_find(desc, "b", 1));
    g_assert_true(mig_vmdesc_find(desc, "b", 0) == first->next);
}

/* A text of `head`, n times `part`, and `tail`. */
static char *repeat(const char *head, const char *part, unsigned n, const char *tail)
{
    GString *text = g_string_new(head);

    for (unsigned i = 0; i < n; i++) {
        g_string_append(text, part);
    }
    g_string_append(text, tail);
    return g_string_free(text, FALSE);
}

static void check_limit(char *text, bool good)
{
    g_autofree char *owned = text;
    g_autoptr(Vmdesc) desc = mig_vmdesc_parse(owned, strlen(owned), NULL);

    g_assert_true((desc != NULL) == good);
    if (desc) {
        g_assert_cmpuint(desc->memory, <=, MIG_VMDESC_MEMORY);
    }
}

static void test_limits(void)
{
    const char *head = "{\"devices\":[{\"name\":\"d\",\"instance_id\":0,\"fields\":[";
    const char *deep = "{\"struct\":{\"fields\":[";
    g_autofree char *name = g_strnfill(256, 'n');
    g_autofree char *huge = g_malloc0(MIG_LIMIT_VMDESC + 1);
    MigDiagnosis why;

    check_limit(repeat(head, deep, 100000, ""), false);
    check_limit(repeat("{\"x\":", "[", 200000, ""), false);
    check_limit(g_strdup_printf("{\"devices\":[{\"name\":\"%s\",\"instance_id\":0}]}", name),
                false);
    check_limit(g_strdup_printf("{\"devices\":[{\"name\":\"%s\",\"instance_id\":0}]}", name + 1),
                true);
    check_limit(repeat("{\"devices\":[{\"name\":\"d\",\"instance_id\":0}",
                       ",{\"name\":\"d\",\"instance_id\":0}", MIG_LIMIT_SECTIONS - 1, "]}"),
                true);
    check_limit(repeat("{\"devices\":[{\"name\":\"d\",\"instance_id\":0}",
                       ",{\"name\":\"d\",\"instance_id\":0}", MIG_LIMIT_SECTIONS, "]}"),
                false);
    check_limit(repeat(head, "{\"name\":\"\",\"type\":\"\",\"size\":0},", 400000, ""), false);
    memset(huge, ' ', MIG_LIMIT_VMDESC + 1);
    g_assert_null(mig_vmdesc_parse(huge, MIG_LIMIT_VMDESC + 1, &why));
    g_assert_cmpuint(why.offset, ==, 0);
}

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) ids = NULL;

    g_test_init(&argc, &argv, NULL);
    ids = mig_test_trace_ids("raw");
    for (unsigned i = 0; i < ids->len; i++) {
        g_autofree char *path =
            g_strdup_printf("/stream/vmdesc/real/%s", (const char *)ids->pdata[i]);

        g_test_add_data_func(path, ids->pdata[i], test_real);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(walks); i++) {
        g_autofree char *path = g_strdup_printf("/stream/vmdesc/walk/%s", walks[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_walk);
    }
    g_test_add_func("/stream/vmdesc/walk/visitor-stops", test_visitor_stops);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_texts); i++) {
        g_autofree char *path = g_strdup_printf("/stream/vmdesc/bad/%s", bad_texts[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_bad_text);
    }
    g_test_add_func("/stream/vmdesc/strings", test_strings);
    g_test_add_func("/stream/vmdesc/cut-anywhere", test_cut_anywhere);
    g_test_add_func("/stream/vmdesc/doubles", test_doubles);
    g_test_add_func("/stream/vmdesc/limits", test_limits);
    return g_test_run();
}
