/* SPDX-License-Identifier: Apache-2.0 */
/* Which reader a section's body has. */
#include "stream/decoder-internal.h"

static bool ends_with(MigStr s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.len >= n && memcmp(s.text + s.len - n, suffix, n) == 0;
}

static const struct {
    const char *idstr; /* "/x": any path that ends so */
    MigBodyOpen open;
    bool iterable_only;
} bodies[] = {
    { "ram", mig_body_open_ram, false },
};

MigBodyOpen mig_body_of(MigStr idstr, bool iterable)
{
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        bool match = bodies[i].idstr[0] == '/' ? ends_with(idstr, bodies[i].idstr)
                                               : mig_str_equal(idstr, mig_str(bodies[i].idstr));
        if (match && (iterable || !bodies[i].iterable_only)) {
            return bodies[i].open;
        }
    }
    return mig_body_open_device;
}
