/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination in postcopy. Every postcopy trace of real QEMUs is loaded, all its channels in
 * the order in which their chunks went by: what it answers is compared with what QEMU's
 * destination answered, the received bitmaps of recoveries included.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/dest-postcopy.h"
#include "sim/guest/buffer.h"
#include "sim/guest/guest.h"
#include "stream/encoder.h"
#include "tests/unit/recordings.h"
#include "tests/unit/traces.h"

/* A trace's machine ------------------------------------------------------------------------ */

typedef struct Load {
    MigCapabilitySet more; /* than postcopy-ram */
    MigTestRecording *t;
    MigGuest *like;
    MigBuffer *memory;
    MigDest *dest;
    GPtrArray *said;    /* of ours, in words */
    GPtrArray *bitmaps; /* GBytes: of RECV_BITMAP, in order */
    GString *statuses;
    unsigned runs;
    uint64_t placed;           /* target pages */
    const MigRecord *asking;   /* the trace's request that is made to be one of ours */
    unsigned requests, faults; /* of the same form as the trace's; made */
} Load;

static bool is_request(const MigRecord *r)
{
    return r->rp.type == MIG_RP_REQ_PAGES || r->rp.type == MIG_RP_REQ_PAGES_ID;
}

/* A message that is no request: which, and what it says (of a bitmap its size). */
static char *in_words(const MigRecord *r)
{
    bool bitmap = r->rp.type == MIG_RP_RECV_BITMAP;
    return g_strdup_printf("%s %d", mig_rp_name(r->rp.type),
                           bitmap ? (int)r->payload : (int)r->rp.value);
}

static void reply(void *opaque, const MigRecord *r)
{
    Load *l = opaque;
    if (!is_request(r)) {
        g_ptr_array_add(l->said, in_words(r));
    } else if (l->asking) {
        l->requests += r->rp.type == l->asking->rp.type;
        g_assert_cmpuint(r->rp.request.start, ==, l->asking->rp.request.start);
        g_assert_cmpuint(r->rp.request.length, ==, l->asking->rp.request.length);
    }
    if (r->rp.type == MIG_RP_RECV_BITMAP) {
        g_assert_nonnull(mig_dest_reply_payload(l->dest));
        g_ptr_array_add(l->bitmaps, g_bytes_new(mig_dest_reply_payload(l->dest), r->payload));
    }
}

static void run(void *opaque)
{
    ((Load *)opaque)->runs++;
}

static void placed(void *opaque, uint32_t block, uint64_t first, uint64_t count)
{
    Load *l = opaque;
    (void)block;
    (void)first;
    l->placed += count;
}

static void status(void *opaque, const char *text)
{
    g_string_append_printf(((Load *)opaque)->statuses, "%s ", text);
}

/* What stands in the records, names included. */
typedef struct Said {
    GPtrArray *blocks; /* names */
    GArray *list;      /* MigGuestBlock */
    GPtrArray *asked;  /* "BLOCK PAGE" of every request, in order */
} Said;

static void hear(Said *s, const MigRecord *r, char **last)
{
    if (r->type == MIG_REC_RAM_BLOCK) {
        char *name = g_strndup(r->block.name.text, r->block.name.len);
        MigGuestBlock b = {
            .memory = { .name = name,
                        .used_length = r->block.used_length,
                        .max_length = r->block.used_length,
                        .host_page = r->block.has_page_size ? (uint32_t)r->block.page_size : 4096 }
        };
        g_ptr_array_add(s->blocks, name);
        g_array_append_val(s->list, b);
    } else if (r->type == MIG_REC_RP && r->rp.type == MIG_RP_REQ_PAGES_ID) {
        g_free(*last);
        *last = g_strndup(r->rp.request.name.text, r->rp.request.name.len);
    }
    if (r->type == MIG_REC_RP &&
        (r->rp.type == MIG_RP_REQ_PAGES_ID || r->rp.type == MIG_RP_REQ_PAGES)) {
        g_ptr_array_add(s->asked, g_strdup_printf("%s %" G_GUINT64_FORMAT, *last,
                                                  (guint64)r->rp.request.start / 4096));
    }
}

static Said read_all(const char *id)
{
    g_autoptr(MigRecording) m = mig_test_recording(id);
    g_autofree char *last = NULL;
    Said s = { g_ptr_array_new_with_free_func(g_free),
               g_array_new(FALSE, TRUE, sizeof(MigGuestBlock)),
               g_ptr_array_new_with_free_func(g_free) };
    MigRecord r;
    unsigned channel;
    MigStatus status;
    while ((status = mig_recording_next(m, &channel, &r, NULL)) != MIG_STATUS_END) {
        if (status == MIG_STATUS_RECORD) { /* a channel that was cut ends badly */
            hear(&s, &r, &last);
        }
    }
    return s;
}

static void said_clear(Said *s)
{
    g_ptr_array_unref(s->blocks);
    g_ptr_array_unref(s->asked);
    g_array_unref(s->list);
}

static MigVersion version_of(const char *id)
{
    MigVersion v = 0;
    g_assert_true(mig_version_parse(strrchr(id, '-') + 1, &v));
    return v;
}

static void make(Load *l, const char *id, const Said *said)
{
    g_autoptr(GError) error = NULL;
    const char *machine = strstr(id, "-old-") ? "pc-i440fx-7.2" : "microvm";
    MigGuestConfig guest = { .blocks = (const MigGuestBlock *)(const void *)said->list->data,
                             .block_count = said->list->len };
    MigDestConfig config = { .machine = machine, .reply = reply, .opaque = l };
    MigDestHooks hooks = { l, run, placed, status };
    config.capabilities = MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) | l->more;
    g_assert_cmpint(mig_era_resolve(version_of(id), machine, &config.era), ==, MIG_ERA_OK);
    l->like = mig_guest_new(&guest);
    l->memory = mig_buffer_new(mig_guest_memory(l->like), NULL, &error);
    g_assert_no_error(error);
    config.memory = mig_buffer_memory(l->memory);
    l->dest = mig_dest_new(&config);
    mig_dest_set_hooks(l->dest, &hooks, 1);
    l->said = g_ptr_array_new_with_free_func(g_free);
    l->bitmaps = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    l->statuses = g_string_new(NULL);
}

static void unmake(Load *l)
{
    mig_dest_free(l->dest);
    mig_buffer_free(l->memory);
    mig_guest_free(l->like);
    g_ptr_array_unref(l->said);
    g_ptr_array_unref(l->bitmaps);
    g_string_free(l->statuses, TRUE);
}

static void assert_fine(const Load *l, bool fine)
{
    const MigDiagnosis *e = mig_dest_error(l->dest);
    if (!fine) {
        g_test_message("offset %" G_GUINT64_FORMAT ", %s: expected %s, found %s",
                       (guint64)e->offset, e->path, e->expected, e->found);
    }
    g_assert_true(fine);
}

/* The bitmap number |n| of the trace's return path, or NULL. */
static const uint8_t *bitmap_of(const MigTestRecording *t, int n, uint64_t *size)
{
    for (guint i = 0; i < t->records->len; i++) {
        const MigTestRecord *r = &g_array_index(t->records, MigTestRecord, i);
        if (r->r.type != MIG_REC_RP || r->r.rp.type != MIG_RP_RECV_BITMAP || n-- > 0) {
            continue;
        }
        for (guint c = 0; c < t->names->len; c++) {
            if (strcmp(t->names->pdata[c], r->channel) == 0) {
                *size = r->r.payload;
                return ((GByteArray *)t->bytes->pdata[c])->data + r->r.offset + r->r.wire;
            }
        }
    }
    return NULL;
}

/*
 * What the relay took from the source when the line broke, QEMU's destination had or had not: what
 * it had not is what it says in its bitmaps, so ours is to have it neither. Fewer bytes than QEMU
 * had must not be fed.
 */
static void compare_bitmaps(const Load *l)
{
    for (guint i = 0; i < l->bitmaps->len; i++) {
        gsize have;
        uint64_t want = 0;
        const uint8_t *ours = g_bytes_get_data(l->bitmaps->pdata[i], &have);
        const uint8_t *theirs = bitmap_of(l->t, (int)i, &want);
        g_assert_nonnull(theirs);
        g_assert_cmpmem(ours, have, theirs, want);
    }
}

static void feed(Load *l, const char *channel, const uint8_t *data, size_t n)
{
    bool again = strchr(channel, '.') != NULL;
    if (again && l->bitmaps->len == 0 && mig_dest_incoming(l->dest) == MIG_INCOMING_RUNNING &&
        strcmp(mig_dest_status(l->dest), "postcopy-active") == 0) {
        g_assert_true(mig_dest_break(l->dest, "the line broke"));
        char *refused = mig_dest_recover(l->dest);
        g_assert_null(refused);
        mig_dest_reconnect(l->dest);
    }
    if (g_str_has_prefix(channel, "main")) {
        assert_fine(l, mig_dest_feed(l->dest, data, n));
    } else if (g_str_has_prefix(channel, "preempt")) {
        assert_fine(l, mig_dest_feed_preempt(l->dest, data, n));
    }
}

/* What the trace's destination asked for up to |end| of channel |name|, ours asks for, too: where a
 * page's bytes passed the relay before the request did, it is there already. */
static void fault(Load *l, const Said *said, const char *name, uint64_t end, guint *next,
                  guint *asked)
{
    for (; *next < l->t->records->len; (*next)++) {
        const MigTestRecord *r = &g_array_index(l->t->records, MigTestRecord, *next);
        bool request = r->r.type == MIG_REC_RP && is_request(&r->r);
        if (request && (strcmp(r->channel, name) != 0 || r->r.offset + r->r.wire > end)) {
            return;
        }
        if (request) {
            const char *what = said->asked->pdata[(*asked)++], *page = strrchr(what, ' ');
            g_autofree char *block = g_strndup(what, (gsize)(page - what));
            guint i;
            g_assert_true(g_ptr_array_find_with_equal_func(said->blocks, block, g_str_equal, &i));
            l->asking = &r->r;
            l->faults += mig_dest_fault(l->dest, i, g_ascii_strtoull(page, NULL, 10), 0);
            l->asking = NULL;
        }
    }
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All but requests and the last word; 3 and 4 are answered by two threads of QEMU's. */
static void compare_messages(const Load *l)
{
    g_autoptr(GPtrArray) want = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < l->t->records->len; i++) {
        const MigRecord *r = &g_array_index(l->t->records, MigTestRecord, i).r;
        if (r->type == MIG_REC_RP && !is_request(r) && r->rp.type != MIG_RP_SHUT) {
            g_ptr_array_add(want, in_words(r));
        }
    }
    g_ptr_array_sort(want, by_text);
    g_ptr_array_sort(l->said, by_text);
    for (guint i = 0; i < MIN(want->len, l->said->len); i++) {
        g_assert_cmpstr(l->said->pdata[i], ==, want->pdata[i]);
    }
    g_assert_cmpuint(l->said->len, ==, want->len);
}

static void load_trace(gconstpointer data)
{
    const char *id = data;
    g_autoptr(MigTestRecording) t = mig_test_recording_load(id);
    Said said = read_all(id);
    Load l = { .t = t };
    guint next = 0, asked = 0;
    g_autofree gsize *at = g_new0(gsize, t->names->len + 1);
    make(&l, id, &said);
    for (guint i = 0; i < t->chunks->len; i++) {
        const MigTestChunk *c = &g_array_index(t->chunks, MigTestChunk, i);
        const GByteArray *bytes = t->bytes->pdata[c->channel];
        feed(&l, t->names->pdata[c->channel], bytes->data + at[c->channel], c->n);
        at[c->channel] += c->n;
        if (g_str_has_prefix(t->names->pdata[c->channel], "return")) {
            fault(&l, &said, t->names->pdata[c->channel], at[c->channel], &next, &asked);
        }
    }
    compare_bitmaps(&l);
    compare_messages(&l);
    g_assert_true(mig_dest_end(l.dest));
    g_assert_cmpint(mig_dest_state(l.dest), ==, MIG_DEST_COMPLETED);
    g_assert_cmpint(mig_dest_incoming(l.dest), ==, MIG_INCOMING_END);
    g_assert_cmpuint(l.runs, ==, 1);
    g_assert_cmpuint(mig_dest_missing(l.dest), ==, 0);
    g_assert_cmpuint(l.placed, ==, mig_dest_placed(l.dest)->discarded);
    /* Behind a break one that is asked for again by itself may be told a second time. */
    g_assert_cmpuint(l.requests + (l.bitmaps->len > 0), >=, l.faults);
    g_assert_cmpuint(l.faults, >, 0);
    g_test_message("%s: %s; %u of the trace's requests were faults here, %u in its form", id,
                   l.statuses->str, l.faults, l.requests);
    unmake(&l);
    said_clear(&said);
}

/* The main channel overtakes the preempt channel, as it may on two connections: its end waits. */
static void load_late(gconstpointer data)
{
    const char *id = data;
    g_autoptr(MigTestRecording) t = mig_test_recording_load(id);
    Said said = read_all(id);
    Load l = { .t = t, .more = MIG_CAP_BIT(MIG_CAP_POSTCOPY_PREEMPT) };
    make(&l, id, &said);
    for (int late = 0; late < 2; late++) {
        for (guint c = 0; c < t->names->len; c++) {
            const GByteArray *bytes = t->bytes->pdata[c];
            if (g_str_has_prefix(t->names->pdata[c], late ? "preempt" : "main") && bytes->len) {
                g_assert_cmpint(mig_dest_state(l.dest), ==, MIG_DEST_LOADING);
                feed(&l, t->names->pdata[c], bytes->data, bytes->len);
            }
        }
    }
    g_assert_cmpint(mig_dest_state(l.dest), ==, MIG_DEST_COMPLETED);
    g_assert_cmpuint(mig_dest_missing(l.dest), ==, 0);
    g_assert_cmpuint(mig_dest_placed(l.dest)->preempt, >, 0);
    unmake(&l);
    said_clear(&said);
}

/* Where no page was dirty at the switchover there is no discard: the guest runs all the same. */
static void load_undirtied(gconstpointer data)
{
    const char *id = data;
    g_autoptr(MigTestRecording) t = mig_test_recording_load(id);
    Said said = read_all(id);
    Load l = { .t = t };
    unsigned left_out = 0;
    make(&l, id, &said);
    for (guint i = 0; i < t->records->len && !l.runs; i++) {
        const MigTestRecord *r = &g_array_index(t->records, MigTestRecord, i);
        const uint8_t *main = ((const GByteArray *)t->bytes->pdata[0])->data;
        bool discards =
            r->r.type == MIG_REC_COMMAND && r->r.command.number == MIG_CMD_POSTCOPY_RAM_DISCARD;
        left_out += discards;
        if (!discards && strcmp(r->channel, "main") == 0) {
            feed(&l, "main", main + r->r.offset, r->r.wire + r->r.payload);
        }
    }
    g_assert_cmpuint(left_out, >, 0);
    g_assert_cmpint(mig_dest_incoming(l.dest), ==, MIG_INCOMING_RUNNING);
    unmake(&l);
    said_clear(&said);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) ids = mig_test_trace_ids("pcapng");
    for (guint i = 0; i < ids->len; i++) {
        const char *id = ids->pdata[i];
        if (g_str_has_prefix(id, "postcopy") && !strstr(id, "multifd")) {
            g_autofree char *path = g_strconcat("/dest/postcopy/trace/", id, NULL);
            g_test_add_data_func(path, id, load_trace);
        }
        if (strcmp(id, "postcopy-preempt-7.2") == 0 || strcmp(id, "postcopy-preempt-10.0") == 0) {
            g_autofree char *path = g_strconcat("/dest/postcopy/late/", id, NULL);
            g_test_add_data_func(path, id, load_late);
        }
        if (strcmp(id, "postcopy-10.0") == 0) {
            g_test_add_data_func("/dest/postcopy/no-discard", id, load_undirtied);
        }
    }
    return g_test_run();
}
