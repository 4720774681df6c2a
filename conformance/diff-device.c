/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/diff-device.h"

#include <inttypes.h>
#include <string.h>

#include "stream/vmdesc-walk.h"

typedef struct Values {
    GPtrArray *names, *texts;
    GHashTable *by_name; /* name -> text, the last of that name */
} Values;

static const MigVmDevice *find(const MigVmdesc *desc, const char *device, uint32_t instance)
{
    const MigVmDevice *d = desc ? desc->devices : NULL;
    while (d && (strcmp(d->name, device) != 0 || d->instance_id != instance)) {
        d = d->next;
    }
    return d;
}

static char *value_text(const MigVmValue *v)
{
    switch (v->kind) {
    case MIG_VM_SIGNED:
        return g_strdup_printf("%" PRId64, v->i);
    case MIG_VM_UNSIGNED:
        return g_strdup_printf("0x%" PRIx64, v->u);
    case MIG_VM_BOOL:
        return g_strdup(v->u ? "true" : "false");
    case MIG_VM_NULL:
        return g_strdup("null");
    default: {
        GString *hex = g_string_new(NULL);
        for (uint64_t i = 0; i < v->size; i++) {
            g_string_append_printf(hex, "%02x", v->bytes[i]);
        }
        return g_string_free(hex, FALSE);
    }
    }
}

static bool keep(void *opaque, const MigVmValue *v)
{
    Values *values = opaque;
    char *name = g_strdup(v->path), *text = value_text(v);

    g_ptr_array_add(values->names, name);
    g_ptr_array_add(values->texts, text);
    g_hash_table_insert(values->by_name, name, text);
    return true;
}

static bool walk(const MigVmDevice *device, const GByteArray *body, Values *values)
{
    static const MigVmVisitor visitor = { NULL, keep, NULL };

    values->names = g_ptr_array_new_with_free_func(g_free);
    values->texts = g_ptr_array_new_with_free_func(g_free);
    values->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    return mig_vmdesc_walk(device, body->data, body->len, &visitor, values, NULL);
}

static void values_clear(Values *values)
{
    g_clear_pointer(&values->by_name, g_hash_table_unref);
    g_clear_pointer(&values->names, g_ptr_array_unref);
    g_clear_pointer(&values->texts, g_ptr_array_unref);
}

static guint compare(const Values *x, const Values *y, MigValueDiffers differs, void *opaque)
{
    guint n = 0;

    for (guint i = 0; i < x->names->len; i++) {
        const char *other = g_hash_table_lookup(y->by_name, x->names->pdata[i]);
        if (g_strcmp0(x->texts->pdata[i], other) != 0) {
            differs(opaque, x->names->pdata[i], x->texts->pdata[i], other);
            n++;
        }
    }
    for (guint i = 0; i < y->names->len; i++) {
        if (!g_hash_table_contains(x->by_name, y->names->pdata[i])) {
            differs(opaque, y->names->pdata[i], NULL, y->texts->pdata[i]);
            n++;
        }
    }
    return n;
}

bool mig_diff_device(const MigVmdesc *desc_a, const MigVmdesc *desc_b, const char *device,
                     uint32_t instance, const GByteArray *a, const GByteArray *b,
                     MigValueDiffers differs, void *opaque)
{
    const MigVmDevice *da = find(desc_a, device, instance), *db = find(desc_b, device, instance);
    Values x = { 0 }, y = { 0 };

    bool good =
        da && db && walk(da, a, &x) && walk(db, b, &y) && compare(&x, &y, differs, opaque) > 0;
    values_clear(&x);
    values_clear(&y);
    return good;
}
