/* SPDX-License-Identifier: Apache-2.0 */
/* Units, see units.h. A number is kept as digits and a count of decimals until it meets its unit.
 */
#include "sim/world/units.h"

#include <string.h>

typedef struct Unit {
    const char *name;
    uint64_t factor;
} Unit;

#define KI 1024ull
#define MI (KI * KI)
#define GI (KI * MI)
#define TI (KI * GI)
#define K  1000ull
#define M  (K * K)
#define G  (K * M)
#define T  (K * G)

static const Unit size_units[] = {
    { "", 1 },     { "B", 1 },    { "k", KI },   { "K", KI },   { "M", MI },   { "G", GI },
    { "T", TI },   { "kB", KI },  { "KB", KI },  { "MB", MI },  { "GB", GI },  { "TB", TI },
    { "KiB", KI }, { "kiB", KI }, { "MiB", MI }, { "GiB", GI }, { "TiB", TI }, { NULL, 0 },
};

static const Unit rate_units[] = {
    { "bit/s", 1 },      { "kbit/s", K },     { "Mbit/s", M },     { "Gbit/s", G },
    { "Tbit/s", T },     { "B/s", 8 },        { "kB/s", 8 * K },   { "MB/s", 8 * M },
    { "GB/s", 8 * G },   { "TB/s", 8 * T },   { "KiB/s", 8 * KI }, { "MiB/s", 8 * MI },
    { "GiB/s", 8 * GI }, { "TiB/s", 8 * TI }, { NULL, 0 },
};

static const Unit time_units[] = {
    { "ns", 1 }, { "us", K }, { "ms", M }, { "s", G }, { "min", 60 * G }, { NULL, 0 },
};

typedef struct Kind {
    const char *what, *legal;
    const Unit *units;
    uint64_t max;
} Kind;

static const Kind size_kind = { "size", "bytes, or a number with k, M, G or T (powers of 1024)",
                                size_units, UINT64_MAX };
static const Kind rate_kind = { "rate",
                                "a number with bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s, "
                                "MiB/s..., or \"unlimited\"",
                                rate_units, UINT64_MAX };
static const Kind bandwidth_kind = { "bandwidth",
                                     "bytes per second, such as 32M, or a rate such as 1Gbit/s",
                                     size_units, UINT64_MAX };
static const Kind ms_kind = { "number of milliseconds", "one such as 300, 300ms or 0.3s",
                              time_units, INT64_MAX };
static const Kind time_kind = { "time", "a number with ns, us, ms, s or min", time_units,
                                INT64_MAX };

static bool fail(GError **error, MigUnitsError code, const Kind *kind, const char *text,
                 const char *why)
{
    g_set_error(error, MIG_UNITS_ERROR, code, "\"%s\" is not a %s%s; expected %s", text, kind->what,
                why, kind->legal);
    return false;
}

/* Digits and decimals of |text|; returns what follows them, NULL when there are too many or none.
 */
static const char *parse_number(const char *text, uint64_t *digits, uint64_t *scale)
{
    unsigned count = 0;
    bool point = false;
    *digits = 0;
    *scale = 1;
    for (; g_ascii_isdigit(*text) || (*text == '.' && !point && count > 0); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (__builtin_mul_overflow(*digits, 10u, digits) ||
            __builtin_add_overflow(*digits, (uint64_t)(*text - '0'), digits) ||
            (point && __builtin_mul_overflow(*scale, 10u, scale))) {
            return NULL;
        }
        count++;
    }
    return count > 0 && text[-1] != '.' ? text : NULL;
}

static bool parse(const Kind *kind, const char *text, uint64_t *value, GError **error)
{
    uint64_t digits, scale;
    const char *rest = parse_number(text, &digits, &scale);
    if (!rest) {
        return fail(error, MIG_UNITS_ERROR_FORM, kind, text, "");
    }
    while (*rest == ' ') {
        rest++;
    }
    const Unit *unit = kind->units;
    while (unit->name && strcmp(unit->name, rest) != 0) {
        unit++;
    }
    if (!unit->name && !(digits == 0 && *rest == '\0')) {
        return fail(error, MIG_UNITS_ERROR_FORM, kind, text, *rest ? "" : " (it has no unit)");
    }
    __uint128_t product = (__uint128_t)digits * (unit->name ? unit->factor : 1);
    if (product % scale != 0) {
        return fail(error, MIG_UNITS_ERROR_RANGE, kind, text, " (not a whole number)");
    }
    product /= scale;
    if (product > kind->max) {
        return fail(error, MIG_UNITS_ERROR_RANGE, kind, text, " (too large)");
    }
    *value = (uint64_t)product;
    return true;
}

bool mig_parse_size(const char *text, uint64_t *bytes, GError **error)
{
    return parse(&size_kind, text, bytes, error);
}

bool mig_parse_rate(const char *text, uint64_t *bits, GError **error)
{
    if (strcmp(text, "unlimited") == 0) {
        *bits = 0;
        return true;
    }
    return parse(&rate_kind, text, bits, error);
}

bool mig_parse_time(const char *text, int64_t *ns, GError **error)
{
    uint64_t value;
    if (!parse(&time_kind, text, &value, error)) {
        return false;
    }
    *ns = (int64_t)value;
    return true;
}

bool mig_parse_bandwidth(const char *text, uint64_t *bytes, GError **error)
{
    if (strstr(text, "/s") == NULL) {
        return parse(&bandwidth_kind, text, bytes, error);
    }
    uint64_t bits;
    if (!parse(&rate_kind, text, &bits, error)) {
        return false;
    }
    *bytes = bits / 8;
    return bits % 8 == 0 || fail(error, MIG_UNITS_ERROR_RANGE, &bandwidth_kind, text,
                                 " (not a whole number of bytes per second)");
}

bool mig_parse_ms(const char *text, uint64_t *ms, GError **error)
{
    if (g_ascii_string_to_unsigned(text, 10, 0, INT64_MAX, ms, NULL)) {
        return true;
    }
    uint64_t ns;
    if (!parse(&ms_kind, text, &ns, error)) {
        return false;
    }
    *ms = ns / M;
    return ns % M == 0 ||
           fail(error, MIG_UNITS_ERROR_RANGE, &ms_kind, text, " (not a whole number)");
}

/* Three digits and the largest unit that leaves at least one before the point. */
static char *format(uint64_t value, uint64_t step, const char *const *names)
{
    uint64_t factor = 1;
    while (names[1] && value / step >= factor) {
        factor *= step;
        names++;
    }
    if (factor == 1) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " %s", value, *names);
    }
    uint64_t whole = value / factor;
    uint64_t hundredths = (uint64_t)((__uint128_t)(value % factor) * 100 / factor);
    if (whole >= 100) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " %s", whole, *names);
    }
    if (whole >= 10) {
        return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", whole,
                               hundredths / 10, *names);
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%02" G_GUINT64_FORMAT " %s", whole, hundredths,
                           *names);
}

char *mig_format_size(uint64_t bytes)
{
    static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL };
    return format(bytes, 1024, names);
}

char *mig_format_bits(uint64_t bits)
{
    static const char *const names[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", NULL };
    return format(bits, 1000, names);
}

char *mig_format_time(int64_t ns)
{
    static const char *const names[] = { "ns", "us", "ms", "s", NULL };
    return format(ns < 0 ? 0 : (uint64_t)ns, 1000, names);
}
