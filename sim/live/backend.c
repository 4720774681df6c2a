/* SPDX-License-Identifier: Apache-2.0 */
/* The table of backends, see backend.h. */
#include "sim/live/backend.h"

#include <string.h>

#include "sim/live/backend-kvm.h"

static const struct {
    const char *name;
    MigBackend *(*make)(const MigScenario *s, bool incoming, GError **error); /* NULL: synthetic */
} rows[] = {
    { "synthetic", NULL },
    { "kvm", mig_backend_kvm_new },
};

bool mig_backend_exists(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

MigBackend *mig_backend_new(const char *name, const MigScenario *s, bool incoming, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return rows[i].make ? rows[i].make(s, incoming, error) : NULL;
        }
    }
    g_set_error(error, MIG_READER_ERROR, 0, "--backend: expected synthetic or kvm");
    return NULL;
}

void mig_backend_free(MigBackend *b)
{
    if (b) {
        b->ops->free(b);
    }
}
