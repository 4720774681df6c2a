/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blockers, see blockers.h. Order and presence of blocked-reasons were compared with real QEMU
 * 5.2, 7.2, 10.0 and 11.1 (two unmigratable devices and two blockers of disks).
 *
 * Limits: a reason holds for every mode; the modes of CPR, which have blockers of their own since
 * 8.2, are refused before anybody asks.
 */
#include "sim/engine/blockers.h"

#include <glib.h>
#include <string.h>

#define V MIG_VERSION_OF

struct MigBlockers {
    GPtrArray *devices, *reasons; /* char *, as they came */
    GPtrArray *shown;             /* what mig_blockers_reasons() gave; ends with NULL */
    bool only_migratable;
};

MigBlockers *mig_blockers_new(void)
{
    MigBlockers *b = g_new0(MigBlockers, 1);
    b->devices = g_ptr_array_new_with_free_func(g_free);
    b->reasons = g_ptr_array_new_with_free_func(g_free);
    b->shown = g_ptr_array_new_with_free_func(g_free);
    return b;
}

void mig_blockers_free(MigBlockers *b)
{
    if (b) {
        g_ptr_array_unref(b->devices);
        g_ptr_array_unref(b->reasons);
        g_ptr_array_unref(b->shown);
        g_free(b);
    }
}

static bool are_any(const MigBlockers *b)
{
    return b && b->devices->len + b->reasons->len > 0;
}

/* "device nvme, device ahci, one reason, another": everything that blocks. */
static char *name_all(const MigBlockers *b)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < b->devices->len; i++) {
        g_string_append_printf(text, "%sthe state of device \"%s\" can't be migrated",
                               text->len ? "; " : "", (const char *)b->devices->pdata[i]);
    }
    for (guint i = 0; i < b->reasons->len; i++) {
        g_string_append_printf(text, "%s%s", text->len ? "; " : "",
                               (const char *)b->reasons->pdata[i]);
    }
    return g_string_free(text, FALSE);
}

char *mig_blockers_only_migratable(MigBlockers *b)
{
    b->only_migratable = true;
    if (!are_any(b)) {
        return NULL;
    }
    g_autofree char *all = name_all(b);
    return g_strdup_printf("only-migratable: %s", all);
}

char *mig_blockers_add_device(MigBlockers *b, const char *idstr)
{
    if (b->only_migratable) {
        return g_strdup_printf("device \"%s\" can't be migrated, and only-migratable is on", idstr);
    }
    g_ptr_array_add(b->devices, g_strdup(idstr));
    return NULL;
}

char *mig_blockers_add(MigBlockers *b, const char *reason, MigStatusName status)
{
    if (b->only_migratable) {
        return g_strdup_printf("only-migratable is on: %s", reason);
    }
    if (mig_status_running(status)) {
        return g_strdup_printf("a migration is under way, which can't be blocked any more: %s",
                               reason);
    }
    g_ptr_array_add(b->reasons, g_strdup(reason));
    return NULL;
}

void mig_blockers_remove(MigBlockers *b, const char *reason)
{
    for (guint i = 0; i < b->reasons->len; i++) {
        if (strcmp(b->reasons->pdata[i], reason) == 0) {
            g_ptr_array_remove_index(b->reasons, i);
            return;
        }
    }
}

const char *const *mig_blockers_reasons(MigBlockers *b, MigVersion binary)
{
    g_ptr_array_set_size(b->shown, 0);
    for (guint i = 0; i < b->reasons->len; i++) {
        g_ptr_array_add(b->shown, g_strdup(b->reasons->pdata[i]));
    }
    for (guint i = b->devices->len; i-- > 0;) {
        g_ptr_array_add(b->shown, g_strdup_printf("device \"%s\" can't be migrated",
                                                  (const char *)b->devices->pdata[i]));
    }
    g_ptr_array_add(b->shown, NULL);
    return binary >= V(6, 0) && are_any(b) ? (const char *const *)b->shown->pdata : NULL;
}

/* What capabilities and parameters make impossible together; seen in 10.0 and 11.1. */
static char *settings_refused(MigCapabilitySet set, const MigParameters *p, MigVersion binary)
{
    bool mapped = set & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
    bool multifd = set & MIG_CAP_BIT(MIG_CAP_MULTIFD);
    if (mapped && multifd && p->multifd_compression != MIG_MULTIFD_COMPRESSION_NONE) {
        return g_strdup_printf("mapped-ram excludes compression in QEMU %u.%u: set "
                               "multifd-compression to none",
                               MIG_VERSION_MAJOR(binary), MIG_VERSION_MINOR(binary));
    }
    return NULL;
}

char *mig_migrate_refused(const MigBlockers *b, MigCapabilitySet capabilities,
                          const MigParameters *parameters, MigVersion binary)
{
    if (are_any(b)) {
        g_autofree char *all = name_all(b);
        return g_strdup_printf("this guest can't be migrated: %s", all);
    }
    return settings_refused(capabilities, parameters, binary);
}
