/* SPDX-License-Identifier: Apache-2.0 */
/* The host cost model's table, see costs.h. */
#include "sim/world/costs.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
    int64_t value;
    const char *text;
} rows[] = {
#define X(field, value, text) { #field, offsetof(MigCosts, field), value, text },
    MIG_COSTS(X)
#undef X
};

#define DEFAULT_NOISE 100 /* thousandths */
#define ONE           (1ll << 16)

#define ROWS (sizeof(rows) / sizeof(*rows))

static int64_t *field_at(MigCosts *c, size_t i)
{
    return (int64_t *)((char *)c + rows[i].offset);
}

MigCosts mig_costs_default(void)
{
    MigCosts c;
    for (size_t i = 0; i < ROWS; i++) {
        *field_at(&c, i) = rows[i].value;
    }
    return c;
}

const char *mig_costs_name(unsigned i)
{
    return i < ROWS ? rows[i].name : NULL;
}

const char *mig_costs_unit(unsigned i)
{
    static const char *const units[] = { "ps", "ns" };
    for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
        if (i < ROWS && strncmp(rows[i].text, units[u], 2) == 0 && rows[i].text[2] == ',') {
            return units[u];
        }
    }
    return "";
}

MigCosts mig_costs_noise(void)
{
    MigCosts c;
    for (unsigned i = 0; i < ROWS; i++) {
        *field_at(&c, i) = *mig_costs_unit(i) ? DEFAULT_NOISE : 0;
    }
    return c;
}

/* Normal, near enough: the sum of 12 uniform draws has variance 1 (times ONE squared), mean 6. */
static int64_t deviation(MigPrng *p)
{
    int64_t sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += (int64_t)mig_prng_below(p, ONE);
    }
    return sum - 6 * ONE;
}

MigCosts mig_costs_draw(const MigCosts *costs, const MigCosts *noise, MigPrng *p)
{
    MigCosts c = *costs, n = *noise;
    for (size_t i = 0; i < ROWS; i++) {
        int64_t mean = *field_at(&c, i), least = mean / 4;
        __int128 move = (__int128)mean * *field_at(&n, i) * deviation(p) / (1000 * ONE);
        int64_t drawn = mean + (int64_t)move;
        *field_at(&c, i) = drawn < least ? least : drawn;
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
            return field_at(c, i);
        }
    }
    return NULL;
}
