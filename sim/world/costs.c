/* SPDX-License-Identifier: Apache-2.0 */
/* The host cost model's table, see costs.h. */
#include "sim/world/costs.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
    int64_t value;
} rows[] = {
#define X(field, value, text) { #field, offsetof(MigCosts, field), value },
    MIG_COSTS(X)
#undef X
};

#define ROWS (sizeof(rows) / sizeof(*rows))

MigCosts mig_costs_default(void)
{
    MigCosts c;
    for (size_t i = 0; i < ROWS; i++) {
        *(int64_t *)((char *)&c + rows[i].offset) = rows[i].value;
    }
    return c;
}

MigCosts mig_costs_free(void)
{
    return (MigCosts){ 0 };
}

int64_t *mig_costs_field(MigCosts *c, const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return (int64_t *)((char *)c + rows[i].offset);
        }
    }
    return NULL;
}
