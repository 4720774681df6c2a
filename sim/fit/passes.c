/* SPDX-License-Identifier: Apache-2.0 */
/* Counting sends by round and by block, and writing it down; see passes.h. */
#include "sim/fit/passes.h"

#include "sim/report/heat.h"
#include "sim/world/clock.h"
#include "sim/world/units.h"

static void count(MigSentCounts *c, const MigSent *sent)
{
    c->kinds[sent->kind]++;
    c->bytes += sent->bytes;
    c->again += sent->again;
    c->same += sent->same;
}

GArray *mig_rounds(const MigSends *s)
{
    GArray *rounds = g_array_new(FALSE, TRUE, sizeof(MigRound));
    g_array_set_size(rounds, s->rounds);
    for (guint i = s->sends->len; i-- > 0;) { /* backwards: the first page is seen last */
        const MigSent *sent = mig_sends_at(s, i);
        MigRound *r = &g_array_index(rounds, MigRound, sent->round);
        r->from = sent->at;
        r->final = sent->final;
        count(&r->counts, sent);
    }
    for (guint i = 0; i < rounds->len; i++) {
        MigRound *r = &g_array_index(rounds, MigRound, i);
        r->to = i + 1 < rounds->len ? r[1].from : s->end;
    }
    return rounds;
}

/* Pages per second that became dirty, up to this round; 0: the first one. */
static double dirty_rate(const GArray *rounds, guint i)
{
    const MigRound *r = &g_array_index(rounds, MigRound, i);
    int64_t span = i ? r->from - r[-1].from : 0;
    return span > 0 ? (double)r->counts.again * MIG_NS_PER_S / (double)span : 0;
}

static double byte_rate(const MigRound *r)
{
    return r->to > r->from ? (double)r->counts.bytes * MIG_NS_PER_S / (double)(r->to - r->from) : 0;
}

/* JSON ------------------------------------------------------------------------------------- */

static const char *const kind_names[] = { "normal", "zero", "xbzrle", "compressed" };

static void put_number(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_uint64(value));
}

static void put_timed(json_object *o, const char *key, bool timed, double value)
{
    json_object_object_add(o, key, timed ? json_object_new_int64((int64_t)(value + 0.5)) : NULL);
}

static json_object *rounds_to_json(const MigSends *s, const GArray *rounds)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < rounds->len; i++) {
        const MigRound *r = &g_array_index(rounds, MigRound, i);
        json_object *o = json_object_new_object();
        put_number(o, "round", i + 1);
        put_timed(o, "time-ns", s->timed, (double)r->from);
        put_timed(o, "span-ns", s->timed, (double)(r->to - r->from));
        for (unsigned k = 0; k < MIG_SENT_KINDS; k++) {
            put_number(o, kind_names[k], r->counts.kinds[k]);
        }
        put_number(o, "bytes", r->counts.bytes);
        put_timed(o, "bytes-per-second", s->timed, byte_rate(r));
        put_number(o, "sent-again", r->counts.again);
        put_number(o, "unchanged", r->counts.same);
        put_timed(o, "dirty-pages-rate", s->timed && i > 0, dirty_rate(rounds, i));
        json_object_object_add(o, "guest-stopped", json_object_new_boolean(r->final));
        json_object_array_add(list, o);
    }
    return list;
}

static GArray *count_blocks(const MigSends *s)
{
    GArray *counts = g_array_new(FALSE, TRUE, sizeof(MigSentCounts));
    g_array_set_size(counts, s->blocks->len);
    for (guint i = 0; i < s->sends->len; i++) {
        const MigSent *sent = mig_sends_at(s, i);
        count(&g_array_index(counts, MigSentCounts, sent->block), sent);
    }
    return counts;
}

static json_object *blocks_to_json(const MigSends *s)
{
    g_autoptr(GArray) counts = count_blocks(s);
    json_object *list = json_object_new_array();
    for (guint i = 0; i < s->blocks->len; i++) {
        const MigSendsBlock *b = &g_array_index(s->blocks, MigSendsBlock, i);
        const MigSentCounts *c = &g_array_index(counts, MigSentCounts, i);
        json_object *o = json_object_new_object();
        uint64_t sent = 0;
        for (unsigned k = 0; k < MIG_SENT_KINDS; k++) {
            sent += c->kinds[k];
        }
        json_object_object_add(o, "name", json_object_new_string(b->name));
        put_number(o, "pages", b->pages);
        put_number(o, "sent", sent);
        put_number(o, "sent-again", c->again);
        put_number(o, "unchanged", c->same);
        json_object_array_add(list, o);
    }
    return list;
}

/* Of pages that are not zero, or were sent before: the first walk over untouched memory is no heat.
 */
static json_object *heat_to_json(const MigSends *s)
{
    json_object *list = json_object_new_array();
    for (guint b = 0; s->timed && b < s->blocks->len; b++) {
        const MigSendsBlock *block = &g_array_index(s->blocks, MigSendsBlock, b);
        MigHeat *heat = mig_heat_new(block->name, MAX(block->pages, 1));
        for (guint i = 0; i < s->sends->len; i++) {
            const MigSent *sent = mig_sends_at(s, i);
            if (sent->block == b && (sent->again || sent->kind != MIG_SENT_ZERO)) {
                mig_heat_add(heat, sent->at, sent->page, 1);
            }
        }
        json_object *o = mig_heat_to_json(heat);
        if (o) {
            json_object_array_add(list, o);
        }
        mig_heat_free(heat);
    }
    return list;
}

json_object *mig_passes_to_json(const MigSends *s)
{
    g_autoptr(GArray) rounds = mig_rounds(s);
    json_object *o = json_object_new_object();
    json_object_object_add(o, "rounds", rounds_to_json(s, rounds));
    json_object_object_add(o, "blocks", blocks_to_json(s));
    json_object_object_add(o, "heat-map", heat_to_json(s));
    return o;
}

/* Text ------------------------------------------------------------------------------------- */

static void text_round(const MigSends *s, const GArray *rounds, guint i, GString *out)
{
    const MigRound *r = &g_array_index(rounds, MigRound, i);
    const uint64_t *kinds = r->counts.kinds;
    g_autofree char *bytes = mig_format_size(r->counts.bytes);
    g_string_append_printf(out, "%5u%c", i + 1, r->final ? '*' : ' ');
    if (s->timed) {
        g_string_append_printf(out, " %9.3f %9.3f", (double)r->from / MIG_NS_PER_S,
                               (double)(r->to - r->from) / MIG_NS_PER_S);
    }
    g_string_append_printf(out,
                           " %9" G_GUINT64_FORMAT " %9" G_GUINT64_FORMAT " %9" G_GUINT64_FORMAT
                           " %11s %9" G_GUINT64_FORMAT " %9" G_GUINT64_FORMAT,
                           kinds[MIG_SENT_NORMAL] + kinds[MIG_SENT_COMPRESSED],
                           kinds[MIG_SENT_ZERO], kinds[MIG_SENT_XBZRLE], bytes, r->counts.again,
                           r->counts.same);
    if (s->timed) {
        g_string_append_printf(out, " %9.1f", byte_rate(r) / 1e6);
        g_string_append_printf(out, i ? " %9.0f" : "         -", dirty_rate(rounds, i));
    }
    g_string_append_c(out, '\n');
}

void mig_passes_to_text(const MigSends *s, GString *out)
{
    g_autoptr(GArray) rounds = mig_rounds(s);
    g_autoptr(GArray) blocks = count_blocks(s);
    bool final = false;
    g_string_append_printf(out, "round %s%10s%10s%10s %11s%10s%10s%s\n",
                           s->timed ? "      at/s    span/s" : " ", "normal", "zero", "xbzrle",
                           "bytes", "again", "unchanged", s->timed ? "      MB/s   dirty/s" : "");
    for (guint i = 0; i < rounds->len; i++) {
        text_round(s, rounds, i, out);
        final |= g_array_index(rounds, MigRound, i).final;
    }
    g_string_append(out, final ? "* while the guest stood still\n" : "");
    for (guint i = 0; i < blocks->len; i++) {
        const MigSentCounts *c = &g_array_index(blocks, MigSentCounts, i);
        const MigSendsBlock *b = &g_array_index(s->blocks, MigSendsBlock, i);
        if (c->again) {
            g_string_append_printf(out,
                                   "block %s: %" G_GUINT64_FORMAT " pages, %" G_GUINT64_FORMAT
                                   " sent again, %" G_GUINT64_FORMAT " of them unchanged\n",
                                   b->name, b->pages, c->again, c->same);
        }
    }
    if (!s->timed) {
        g_string_append(out, "a stream without times; migbench record makes recordings that have "
                             "them\n");
    }
}
