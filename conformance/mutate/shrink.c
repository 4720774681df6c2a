/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shrinking: leave out pieces, big ones first, as long as the rule is still broken. Pieces are
 * sections, then records, then runs of bytes; each round tries runs of n, n/2, ... 1 pieces, which
 * is what delta debugging does. The result is 1-minimal in bytes only where the rounds for bytes
 * are few enough: a stream above SMALL is left at its records.
 */
#include <string.h>

#include "conformance/mutate/mutate.h"

#define TRIES 1024u /* runs of bytes in a round */

typedef struct Shrink {
    GByteArray *bytes;
    const char *rule;
    MigProfile profile;
    GError **error;
    bool failed;
} Shrink;

static bool breaks(Shrink *k, const void *data, gsize n)
{
    g_autoptr(MigCheck) check = k->failed ? NULL : mig_mutate_judge(data, n, k->profile, k->error);
    k->failed = !check;
    return check && mig_mutate_found(check, k->rule);
}

/* Leaves out [from, to) if the rule is broken without it, too. */
static bool try_without(Shrink *k, guint from, guint to)
{
    g_autoptr(GByteArray) b = g_byte_array_new();

    g_byte_array_append(b, k->bytes->data, from);
    g_byte_array_append(b, k->bytes->data + to, k->bytes->len - to);
    if (!breaks(k, b->data, b->len)) {
        return false;
    }
    g_byte_array_unref(k->bytes);
    k->bytes = g_steal_pointer(&b);
    return true;
}

/* Places where pieces begin, the end of what can be read last. */
static GArray *pieces(const Shrink *k, bool sections)
{
    g_autoptr(MigStreamReader) reader = mig_mutate_reader(k->bytes->data, k->bytes->len, NULL);
    GArray *at = g_array_new(FALSE, FALSE, sizeof(guint));
    MigStatus status = reader ? MIG_STATUS_RECORD : MIG_STATUS_BAD;
    guint end = 0;
    MigRecord r;

    while (status == MIG_STATUS_RECORD &&
           (status = mig_stream_reader_next(reader, &r, NULL)) == MIG_STATUS_RECORD) {
        bool inside = r.type >= MIG_REC_RAM_MEM_SIZE && r.type <= MIG_REC_ITERABLE;
        if (!sections || (!inside && r.type != MIG_REC_FOOTER)) {
            guint offset = (guint)r.offset;
            g_array_append_val(at, offset);
        }
        end = (guint)MIN(r.offset + r.wire + r.payload, k->bytes->len);
    }
    g_array_append_val(at, end);
    if (end < k->bytes->len) { /* behind the fault: one more piece */
        g_array_append_val(at, k->bytes->len);
    }
    return at;
}

/* Tries runs of |n| pieces from the end; true when one could go. */
static bool round_of(Shrink *k, guint n, bool sections)
{
    g_autoptr(GArray) at = pieces(k, sections);

    for (guint last = at->len; last-- > 1;) {
        guint first = last > n ? last - n : 0;
        if (try_without(k, g_array_index(at, guint, first), g_array_index(at, guint, last))) {
            return true;
        }
        if (k->failed) {
            return false;
        }
        last = first + 1;
    }
    return false;
}

static void shrink_pieces(Shrink *k, bool sections)
{
    g_autoptr(GArray) at = pieces(k, sections);

    for (guint n = at->len; n > 0 && !k->failed; n /= 2) {
        while (round_of(k, n, sections)) {
        }
    }
}

static void shrink_bytes(Shrink *k)
{
    for (guint n = k->bytes->len / 2; n > 0 && k->bytes->len / n <= TRIES; n /= 2) {
        for (guint at = k->bytes->len; at >= n && !k->failed;) {
            at -= n;
            try_without(k, at, MIN(at + n, k->bytes->len));
        }
    }
}

GByteArray *mig_mutate_shrink(const void *data, gsize n, const char *rule, GError **error)
{
    const MigRule *row = mig_catalogue_find(rule);
    Shrink k = { .bytes = g_byte_array_new(), .rule = rule, .error = error };

    k.profile = row && row->level >= MIG_LEVEL_CANON ? MIG_PROFILE_CANONICAL : MIG_PROFILE_STRICT;
    g_byte_array_append(k.bytes, data, (guint)n);
    if (breaks(&k, data, n)) {
        shrink_pieces(&k, true);
        shrink_pieces(&k, false);
        shrink_bytes(&k);
        if (!k.failed) {
            return k.bytes;
        }
    }
    g_byte_array_unref(k.bytes);
    return NULL;
}
