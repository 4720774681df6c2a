/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device state by descriptor: every kind of field with the description that each era writes of it,
 * and every refusal, on a table made for it.
 */
#include <glib.h>
#include <string.h>

#include "stream/vmstate.h"

typedef MigVmdescWriter Writer;
typedef MigVmBytes Bytes;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Writer, mig_vmdesc_writer_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bytes, mig_vm_bytes_clear)

static void must(bool ok, const MigDiagnosis *why)
{
    if (!ok) {
        g_error("%s, offset %u: expected %s, found %s", why->path, (unsigned)why->offset,
                why->expected, why->found);
    }
}

#define F(name, type, size) "{\"name\": \"" name "\", \"type\": \"" type "\", \"size\": " #size "}"

/* Every kind of field, with the description that each era writes of it. */
typedef struct Inner {
    guint8 v;
} Inner;

typedef struct Sample {
    gboolean with_late;
    guint16 n;
    guint8 list[4];
    Inner fixed[3];
    Inner *pointers[4];
    Inner optional[2];
    guint64 bits[2];
    gint32 at_most;
    guint8 same;
    guint8 late;
    guint8 since2;
    guint8 *buffer;
    gboolean allowed;
} Sample;

static bool always_there(const void *state, int version)
{
    (void)state;
    (void)version;
    return true;
}

static bool has_late(const void *state, int version)
{
    (void)version;
    return ((const Sample *)state)->with_late;
}

static bool is_allowed(const void *state, int version)
{
    (void)version;
    return ((const Sample *)state)->allowed;
}

static const MigVmsd inner_vmsd = {
    .name = "inner",
    .version = 1,
    .minimum = 1,
    .fields = (const MigVmsField[]){ MIG_VMS_FIELD(MIG_VMT_UINT8, v, Inner, guint8), MIG_VMS_END },
};

static const MigVmsd sample_vmsd = {
    .name = "sample",
    .version = 2,
    .minimum = 1,
    .fields =
        (const MigVmsField[]){
            MIG_VMS_FIELD(MIG_VMT_UINT16, n, Sample, guint16),
            { .name = "list",
              .type = MIG_VMT_UINT8,
              .flags = MIG_VMS_COUNT_U16,
              .num = 4,
              .size = 1,
              .offset = offsetof(Sample, list),
              .num_offset = offsetof(Sample, n) },
            { .name = "fixed",
              .type = MIG_VMT_STRUCT,
              .flags = MIG_VMS_ARRAY,
              .num = 3,
              .size = sizeof(Inner),
              .offset = offsetof(Sample, fixed),
              .vmsd = &inner_vmsd },
            { .name = "pointers",
              .type = MIG_VMT_STRUCT,
              .flags = MIG_VMS_ARRAY | MIG_VMS_ARRAY_OF_POINTER,
              .num = 4,
              .size = sizeof(Inner),
              .offset = offsetof(Sample, pointers),
              .vmsd = &inner_vmsd },
            { .name = "optional",
              .type = MIG_VMT_STRUCT,
              .flags = MIG_VMS_ARRAY,
              .num = 2,
              .exists = always_there,
              .size = sizeof(Inner),
              .offset = offsetof(Sample, optional),
              .vmsd = &inner_vmsd },
            { .name = "bits",
              .type = MIG_VMT_BITMAP,
              .size = 70,
              .offset = offsetof(Sample, bits) },
            MIG_VMS_FIELD(MIG_VMT_INT32_LE, at_most, Sample, gint32),
            MIG_VMS_FIELD(MIG_VMT_UINT8_EQUAL, same, Sample, guint8),
            { .name = "late",
              .type = MIG_VMT_UINT8,
              .exists = has_late,
              .size = 1,
              .offset = offsetof(Sample, late) },
            MIG_VMS_FIELD_V(MIG_VMT_UINT8, since2, Sample, guint8, 2),
            { .name = "buffer",
              .type = MIG_VMT_BUFFER,
              .flags = MIG_VMS_POINTER,
              .size = 3,
              .offset = offsetof(Sample, buffer) },
            { .name = "check",
              .type = MIG_VMT_UINT8,
              .flags = MIG_VMS_MUST_EXIST,
              .exists = is_allowed },
            MIG_VMS_FIELD(MIG_VMT_UINT8, same, Sample, guint8),
            MIG_VMS_END,
        },
};

#define SAMPLE_BYTES                                                                             \
    "\0\2\x0a\x0b\1\2\3\x55\x30\x30\x66\7\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x3f\0\0\0\x09\x77" \
    "\x99\x22"                                                                                   \
    "abc\x77"

static Inner five = { 0x55 }, six = { 0x66 };
static guint8 abc[3] = { 'a', 'b', 'c' };

static Sample sample(void)
{
    return (Sample){ .with_late = true,
                     .n = 2,
                     .list = { 10, 11, 12, 13 },
                     .fixed = { { 1 }, { 2 }, { 3 } },
                     .pointers = { &five, NULL, NULL, &six },
                     .optional = { { 7 }, { 8 } },
                     .bits = { 5, 0x3f },
                     .at_most = 9,
                     .same = 0x77,
                     .late = 0x99,
                     .since2 = 0x22,
                     .buffer = abc,
                     .allowed = true };
}

#define V F("v", "uint8", 1)
#define INNER \
    "\"struct\": {\"vmsd_name\": \"inner\", \"version\": 1, \"fields\": [" V "]}, \"size\": 1}"
#define ELEMENT(name, which) "{\"name\": \"" name "\", " which "\"type\": \"struct\", " INNER

static const struct {
    const char *name;
    unsigned major, minor;
    const char *pointers, *optional;
} eras[] = {
    { "7.2", 7, 2, ELEMENT("pointers", "\"array_len\": 4, "),
      ELEMENT("optional", "\"index\": 0, ") ", " ELEMENT("optional", "\"index\": 1, ") },
    { "10.0", 10, 0,
      ELEMENT("pointers",
              "\"array_len\": 4, ") ", {\"name\": \"pointers\", \"array_len\": 2, \"type\": "
                                    "\"nullptr\", \"size\": 1}, " ELEMENT("pointers", ""),
      ELEMENT("optional", "\"index\": 0, ") ", " ELEMENT("optional", "") },
    { "11.1", 11, 1,
      /* The last pointer is alone in its run, and QEMU forgets it. */
      ELEMENT("pointers", "\"array_len\": 4, ") ", {\"name\": \"pointers\", \"array_len\": 2, "
                                                "\"type\": \"ptr-marker\", \"size\": 1}",
      ELEMENT("optional", "") ", " ELEMENT("optional", "") },
};

static void test_fields(gconstpointer data)
{
    unsigned k = GPOINTER_TO_UINT(data);
    MigVmdescStyle style = mig_vmdesc_style(eras[k].major, eras[k].minor);
    g_autoptr(Writer) writer = mig_vmdesc_writer_new(&style);
    g_autofree char *expected = NULL;
    g_auto(Bytes) out = { 0 };
    Sample state = sample();
    MigDiagnosis why = { 0 };
    gsize n;

    mig_vmdesc_writer_begin_document(writer);
    mig_vmdesc_writer_begin_devices(writer, 4096);
    mig_vmdesc_writer_begin(writer, NULL, '{');
    must(mig_vmstate_save(&sample_vmsd, &state, 2, &out, writer, &why), &why);
    mig_vmdesc_writer_end(writer, '}');
    g_assert_cmpmem(out.data, out.n, SAMPLE_BYTES, sizeof(SAMPLE_BYTES) - 1);
    expected = g_strconcat(
        "{\"page_size\": 4096, \"devices\": [{\"vmsd_name\": \"sample\", \"version\": 2, "
        "\"fields\": [",
        F("n", "uint16", 2), ", ",
        "{\"name\": \"list\", \"array_len\": 2, \"type\": \"uint8\", \"size\": 1}, ",
        ELEMENT("fixed", "\"array_len\": 3, "), ", ", eras[k].pointers, ", ", eras[k].optional,
        ", ", F("bits", "bitmap", 16), ", ", F("at_most", "int32 le", 4), ", ",
        F("same[0]", "uint8 equal", 1), ", ", F("late", "uint8", 1), ", ", F("since2", "uint8", 1),
        ", ", F("buffer", "buffer", 3), ", ", F("same[1]", "uint8", 1), "]}]}", NULL);
    g_assert_cmpstr(mig_vmdesc_writer_finish(writer, &n), ==, expected);
}

static void test_load_fields(void)
{
    guint8 room[3] = { 0 };
    Inner first = { 0 }, last = { 0 };
    Sample state = { .pointers = { &first, NULL, NULL, &last },
                     .at_most = 9,
                     .same = 0x77,
                     .with_late = true,
                     .allowed = true,
                     .buffer = room };
    MigDiagnosis why = { 0 };

    must(mig_vmstate_load_body(&sample_vmsd, &state, 2, (const guint8 *)SAMPLE_BYTES,
                               sizeof(SAMPLE_BYTES) - 1, &why),
         &why);
    g_assert_cmpuint(state.list[1], ==, 11);
    g_assert_cmpuint(state.fixed[2].v, ==, 3);
    g_assert_cmpuint(first.v, ==, 0x55);
    g_assert_cmpuint(last.v, ==, 0x66);
    g_assert_cmpuint(state.optional[1].v, ==, 8);
    g_assert_cmpuint(state.bits[0], ==, 5);
    g_assert_cmpuint(state.bits[1], ==, 0x3f);
    g_assert_cmpuint(state.late, ==, 0x99);
    g_assert_cmpmem(room, 3, "abc", 3);
}

/* One byte of the sample changed, or something else about it: refused, and where. */
static const struct {
    const char *name;
    int at; /* -1: none */
    guint8 value;
    int version;
    int cut; /* bytes left out at the end; negative: added */
    MigFault fault;
    const char *path;
    unsigned offset;
} refusals[] = {
    { "count-too-great", 1, 5, 2, 0, MIG_FAULT_DEVICE_STATE, "sample/list", 2 },
    { "null-marker", 8, 0x31, 2, 0, MIG_FAULT_DEVICE_STATE, "sample/pointers[1]", 8 },
    { "le", 32, 10, 2, 0, MIG_FAULT_DEVICE_STATE, "sample/at_most", 29 },
    { "le-negative", 29, 0x80, 2, 0, MIG_FAULT_DEVICE_STATE, "sample/at_most", 29 },
    { "equal", 33, 0x78, 2, 0, MIG_FAULT_DEVICE_STATE, "sample/same", 33 },
    { "version-too-new", -1, 0, 3, 0, MIG_FAULT_DEVICE_STATE, "sample", 0 },
    { "version-too-old", -1, 0, 0, 0, MIG_FAULT_DEVICE_STATE, "sample", 0 },
    { "version-without-field", -1, 0, 1, 0, MIG_FAULT_BODY_LENGTH, "sample", 39 },
    { "short", -1, 0, 2, 1, MIG_FAULT_TRUNCATED, "sample/same", 39 },
    { "long", -1, 0, 2, -1, MIG_FAULT_BODY_LENGTH, "sample", 40 },
};

static void test_refusal(gconstpointer data)
{
    unsigned k = GPOINTER_TO_UINT(data);
    gsize n = (gsize)((int)sizeof(SAMPLE_BYTES) - 1 - refusals[k].cut);
    g_autofree guint8 *bytes = g_malloc0(n);
    guint8 room[3];
    Inner first, last;
    Sample state = { .pointers = { &first, NULL, NULL, &last },
                     .at_most = 9,
                     .same = 0x77,
                     .with_late = true,
                     .allowed = true,
                     .buffer = room };
    MigDiagnosis why = { 0 };

    memcpy(bytes, SAMPLE_BYTES, MIN(n, sizeof(SAMPLE_BYTES) - 1));
    if (refusals[k].at >= 0) {
        bytes[refusals[k].at] = refusals[k].value;
    }
    g_assert_false(
        mig_vmstate_load_body(&sample_vmsd, &state, refusals[k].version, bytes, n, &why));
    g_assert_cmpstr(mig_fault_name(why.fault), ==, mig_fault_name(refusals[k].fault));
    g_assert_cmpstr(why.path, ==, refusals[k].path);
    g_assert_cmpuint(why.offset, ==, refusals[k].offset);
    g_assert_cmpstr(why.expected, !=, "");
    g_assert_cmpstr(why.found, !=, "");
}

static void test_must_exist(void)
{
    Sample state = sample();
    g_auto(Bytes) out = { 0 };
    MigDiagnosis why = { 0 };

    state.allowed = false;
    g_assert_false(mig_vmstate_save(&sample_vmsd, &state, 2, &out, NULL, &why));
    g_assert_cmpstr(why.path, ==, "sample/check");
    g_assert_false(mig_vmstate_load_body(&sample_vmsd, &state, 2, (const guint8 *)SAMPLE_BYTES,
                                         sizeof(SAMPLE_BYTES) - 1, &why));
    g_assert_cmpstr(why.path, ==, "sample/check");
}

static void add_rows(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(eras); i++) {
        g_autofree char *path = g_strdup_printf("/stream/vmstate/fields/%s", eras[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_fields);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *path = g_strdup_printf("/stream/vmstate/refuse/%s", refusals[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_refusal);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_rows();
    g_test_add_func("/stream/vmstate/load-fields", test_load_fields);
    g_test_add_func("/stream/vmstate/must-exist", test_must_exist);
    return g_test_run();
}
