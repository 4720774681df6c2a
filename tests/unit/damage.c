/* SPDX-License-Identifier: Apache-2.0 */
/* Finding places in a stream's records and changing bytes there. */
#include "tests/unit/damage.h"

static bool matches(const MigMark *m, MigPlace place)
{
    return m->r.type == place.type && (!place.kind || m->kind == place.kind) &&
           (!place.idstr || g_strcmp0(m->idstr, place.idstr) == 0);
}

const MigMark *mig_damage_find(const MigDamaged *d, MigPlace place)
{
    const MigMark *last = NULL;
    int n = 0;

    for (guint i = 0; i < d->marks->len; i++) {
        const MigMark *m = &g_array_index(d->marks, MigMark, i);
        if (matches(m, place)) {
            last = m;
            if (n++ == place.nth) {
                return m;
            }
        }
    }
    g_assert_nonnull(last);
    g_assert_cmpint(place.nth, ==, -1);
    return last;
}

uint64_t mig_damage_record_end(const MigMark *mark)
{
    return mark->r.offset + mark->r.wire + mark->r.payload;
}

uint64_t mig_damage_section_end(const MigDamaged *d, const MigMark *mark)
{
    for (const MigMark *m = mark;; m++) {
        g_assert_true(m < &g_array_index(d->marks, MigMark, d->marks->len));
        if (m->r.type == MIG_REC_FOOTER) {
            return mig_damage_record_end(m);
        }
    }
}

void mig_damage_replace(MigDamaged *d, uint64_t at, unsigned cut, const void *bytes, unsigned n)
{
    g_autofree uint8_t *rest = NULL;
    guint behind = d->bytes->len - (guint)at - cut;

    rest = g_memdup2(d->bytes->data + at + cut, behind);
    g_byte_array_set_size(d->bytes, (guint)at);
    g_byte_array_append(d->bytes, bytes, n);
    g_byte_array_append(d->bytes, rest, behind);
}

uint64_t mig_damage_move(MigDamaged *d, uint64_t from, uint64_t to, uint64_t where)
{
    unsigned n = (unsigned)(to - from);
    g_autofree uint8_t *copy = g_memdup2(d->bytes->data + from, n);

    g_assert_true(where <= from || where >= to);
    mig_damage_replace(d, from, n, NULL, 0);
    where -= where > from ? n : 0;
    mig_damage_replace(d, where, 0, copy, n);
    return where;
}
