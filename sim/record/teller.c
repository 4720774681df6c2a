/* SPDX-License-Identifier: Apache-2.0 */
/* Connections as channels, see teller.h. */
#include "sim/record/teller.h"

#include "sim/record/channel-name.h"

void mig_told_init(MigTold *c, gboolean first, guint generation)
{
    *c = (MigTold){ .first = first, .generation = generation, .channel = { -1, -1 } };
    c->head = g_byte_array_new();
}

void mig_told_clear(MigTold *c)
{
    g_byte_array_unref(c->head);
    g_free(c->name);
}

static bool open_channel(MigTeller *t, MigTold *c, MigDirection direction, const char *name)
{
    c->channel[direction] = (int)t->channels++;
    return t->tap.channel(t->tap.opaque, (unsigned)c->channel[direction], name);
}

static bool tell(MigTeller *t, const MigTold *c, MigDirection direction, uint64_t ns,
                 const void *data, size_t n)
{
    return n == 0 || t->tap.chunk(t->tap.opaque, (unsigned)c->channel[direction], ns, data, n);
}

/* Names it if that can be done, and tells what was kept until then. */
static bool name_it(MigTeller *t, MigTold *c, gboolean ended)
{
    c->name = mig_channel_name(c->head->data, c->head->len, c->first, c->generation, ended);
    if (!c->name) {
        return true;
    }
    /* Both halves of the main one are listed, if only to show that the return path was silent. */
    g_autofree char *answers = mig_channel_return_name(c->name);
    return open_channel(t, c, MIG_FORWARD, c->name) &&
           (!g_str_has_prefix(answers, "return") || open_channel(t, c, MIG_BACK, answers)) &&
           tell(t, c, MIG_FORWARD, c->head_ns, c->head->data, c->head->len);
}

static bool heard_answer(MigTeller *t, MigTold *c, uint64_t ns, const void *data, size_t n)
{
    if (!c->name && !name_it(t, c, TRUE)) { /* the other end spoke first */
        return false;
    }
    if (c->channel[MIG_BACK] < 0) {
        g_autofree char *answers = mig_channel_return_name(c->name);
        if (!open_channel(t, c, MIG_BACK, answers)) {
            return false;
        }
    }
    return tell(t, c, MIG_BACK, ns, data, n);
}

bool mig_teller_heard(MigTeller *t, MigTold *c, MigDirection direction, uint64_t ns,
                      const void *data, size_t n)
{
    if (direction == MIG_BACK) {
        return heard_answer(t, c, ns, data, n);
    }
    if (c->name) {
        return tell(t, c, MIG_FORWARD, ns, data, n);
    }
    c->head_ns = c->head->len ? c->head_ns : ns;
    g_byte_array_append(c->head, data, (guint)n);
    return name_it(t, c, FALSE);
}
