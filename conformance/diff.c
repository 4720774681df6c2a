/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model: each side keeps a queue of records read ahead, with their fields as text and their
 * payload. Heads of the same key (kind of record, and what it is about) are compared; else the
 * shortest way to a pair of the same key in the window says what only one side has.
 *
 * Limits: the window; and payload beyond MIG_DIFF_PAYLOAD is compared by its hash alone.
 */
#include "conformance/diff.h"

#include <inttypes.h>
#include <string.h>

#include "conformance/diff-device.h"
#include "conformance/record-fields.h"

typedef struct Entry {
    MigRecordType type;
    char *path, *key;
    uint64_t offset, payload;
    GPtrArray *names, *values; /* of fields */
    GByteArray *bytes;         /* payload, or its hash */
    bool hashed;
    char *device; /* of a body: its section's idstr */
    uint32_t instance;
} Entry;

typedef struct Side {
    MigRecording *m;
    const char *channel;
    GQueue queue; /* Entry */
    GByteArray *payload;
    Entry *pending; /* whose payload is on its way */
    char *idstr;
    uint32_t instance;
    MigItem kind;
    bool ended, broken;
    MigDiagnosis why;
} Side;

bool mig_diff_parse_ignore(const char *text, unsigned *ignore, char **word)
{
    static const char *const names[] = { "section-ids", "part-boundaries", "device-bodies" };
    g_auto(GStrv) words = g_strsplit(text ? text : "", ",", 0);

    *ignore = 0;
    for (char **w = words; *w; w++) {
        size_t i = 0;
        while (i < G_N_ELEMENTS(names) && strcmp(names[i], *w) != 0) {
            i++;
        }
        if (i == G_N_ELEMENTS(names)) {
            *word = g_strdup(*w);
            return false;
        }
        *ignore |= 1u << i;
    }
    return true;
}

static void entry_free(Entry *e)
{
    g_free(e->path);
    g_free(e->key);
    g_free(e->device);
    g_ptr_array_unref(e->names);
    g_ptr_array_unref(e->values);
    g_byte_array_unref(e->bytes);
    g_free(e);
}

/* ---- reading ---- */

static char *field_text(const MigField *f)
{
    switch (f->kind) {
    case MIG_FIELD_NUMBER:
        return g_strdup_printf("%" PRIu64, f->number);
    case MIG_FIELD_HEX:
        return g_strdup_printf("0x%" PRIx64, f->number);
    case MIG_FIELD_BOOL:
        return g_strdup(f->number ? "yes" : "no");
    case MIG_FIELD_TEXT:
        return g_strndup(f->text.text, f->text.len);
    default: {
        GString *hex = g_string_new(NULL);
        for (uint32_t i = 0; i < f->text.len; i++) {
            g_string_append_printf(hex, "%02x", (unsigned char)f->text.text[i]);
        }
        return g_string_free(hex, FALSE);
    }
    }
}

static void keep_field(void *opaque, const MigField *f)
{
    Entry *e = opaque;
    g_ptr_array_add(e->names, g_strdup(f->name));
    g_ptr_array_add(e->values, field_text(f));
}

/* What a record is about: records of the same key are the same thing on both sides. */
static char *key_of(const Side *s, const MigRecord *r)
{
    switch (r->type) {
    case MIG_REC_SECTION:
        return g_strdup_printf("s%d %u %.*s", r->section.kind, r->section.instance,
                               (int)r->section.idstr.len, r->section.idstr.text);
    case MIG_REC_FOOTER:
    case MIG_REC_BODY:
        return g_strdup_printf("%d %u %s", (int)r->type, s->instance, s->idstr ? s->idstr : "");
    case MIG_REC_COMMAND:
        return g_strdup_printf("c%u", r->command.number);
    case MIG_REC_RAM_BLOCK:
        return g_strdup_printf("b%.*s", (int)r->block.name.len, r->block.name.text);
    case MIG_REC_RAM_PAGE:
    case MIG_REC_RAM_ZERO:
    case MIG_REC_RAM_XBZRLE:
    case MIG_REC_RAM_COMPRESS:
        return g_strdup_printf("p%" PRIx64 " %.*s", r->ram.offset, (int)r->ram.name.len,
                               r->ram.name.text);
    case MIG_REC_RP:
        return g_strdup_printf("r%u", r->rp.type);
    default:
        return g_strdup_printf("%d", (int)r->type);
    }
}

static Entry *entry_of(Side *s, unsigned channel, const MigRecord *r)
{
    char path[MIG_DIAGNOSIS_TEXT];
    Entry *e = g_new0(Entry, 1);

    mig_decoder_path(mig_recording_decoder(s->m, channel), path, sizeof(path));
    e->type = r->type;
    e->path = g_strdup(path);
    e->offset = r->offset;
    e->payload = r->payload;
    e->names = g_ptr_array_new_with_free_func(g_free);
    e->values = g_ptr_array_new_with_free_func(g_free);
    e->bytes = g_byte_array_new();
    if (r->type == MIG_REC_SECTION) {
        g_free(s->idstr);
        s->idstr = g_strndup(r->section.idstr.text, r->section.idstr.len);
        s->instance = r->section.instance;
        s->kind = r->section.kind;
    }
    e->device = g_strdup(r->type == MIG_REC_BODY ? s->idstr : NULL);
    e->instance = s->instance;
    e->key = key_of(s, r);
    mig_record_fields(r, keep_field, e);
    return e;
}

/* Where a PART begins and ends, its marks included. */
static bool is_boundary(const Side *s, const MigRecord *r)
{
    bool part =
        r->type == MIG_REC_SECTION ? r->section.kind == MIG_ITEM_PART : s->kind == MIG_ITEM_PART;
    return part &&
           (r->type == MIG_REC_SECTION || r->type == MIG_REC_FOOTER || r->type == MIG_REC_RAM_EOS);
}

static void on_record(Side *s, unsigned ignore, unsigned channel, const MigRecord *r)
{
    bool skip = ignore & MIG_DIFF_PART_BOUNDARIES && is_boundary(s, r);
    Entry *e = entry_of(s, channel, r);

    if (skip) {
        entry_free(e);
        return;
    }
    g_queue_push_tail(&s->queue, e);
    bool body = r->type == MIG_REC_BODY && ignore & MIG_DIFF_DEVICE_BODIES;
    if (r->payload && r->payload <= 64u << 20 && !body) {
        g_byte_array_set_size(s->payload, (guint)r->payload);
        mig_recording_payload_into(s->m, channel, s->payload->data);
        s->pending = e;
    }
}

static void on_payload(Side *s)
{
    Entry *e = s->pending;

    if (e->payload <= MIG_DIFF_PAYLOAD) {
        g_byte_array_append(e->bytes, s->payload->data, s->payload->len);
        return;
    }
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, s->payload->data, s->payload->len);
    e->hashed = true;
    g_byte_array_append(e->bytes, (const guint8 *)sum, (guint)strlen(sum));
}

/* Reads one record more of the side's channel; its payload is complete when this returns. */
static bool read_one(Side *s, unsigned ignore, GError **error)
{
    guint before = g_queue_get_length(&s->queue);
    unsigned channel;
    MigRecord r;

    while (!s->ended) {
        MigStatus status = mig_recording_next(s->m, &channel, &r, error);
        if (status == MIG_STATUS_MORE) {
            return false;
        }
        if (status == MIG_STATUS_END) {
            s->ended = true;
        } else if (strcmp(mig_recording_channel_name(s->m, channel), s->channel) != 0) {
            continue;
        } else if (status == MIG_STATUS_BAD) {
            s->broken = s->ended = true;
            s->why = *mig_decoder_diagnosis(mig_recording_decoder(s->m, channel));
        } else if (status == MIG_STATUS_PAYLOAD) {
            on_payload(s);
            s->pending = NULL;
        } else {
            on_record(s, ignore, channel, &r);
        }
        if (!s->pending && g_queue_get_length(&s->queue) > before) {
            return true;
        }
    }
    return true;
}

static bool fill(Side *s, unsigned ignore, guint n, GError **error)
{
    while (!s->ended && g_queue_get_length(&s->queue) < n) {
        if (!read_one(s, ignore, error)) {
            return false;
        }
    }
    return true;
}

/* ---- comparing ---- */

static void tell(MigDiff *diff, MigDifference d)
{
    diff->differences++;
    diff->report(diff->opaque, &d);
}

/* "ram/part[3]/page[17]" counts as "ram/part/page". */
static MigDiffCount *count_of(MigDiff *diff, const char *channel, const Entry *e)
{
    GString *key = g_string_new(channel);
    bool inside = false;

    g_string_append(key, "  ");
    for (const char *p = e->path; *p; p++) {
        inside = *p == '[' || (inside && *p != ']');
        if (!inside && *p != ']') {
            g_string_append_c(key, *p);
        }
    }
    MigDiffCount *count = g_hash_table_lookup(diff->counts, key->str);
    if (!count) {
        count = g_new0(MigDiffCount, 1);
        g_hash_table_insert(diff->counts, g_strdup(key->str), count);
    }
    g_string_free(key, TRUE);
    return count;
}

static const char *value_of(const Entry *e, const char *name)
{
    for (guint i = 0; i < e->names->len; i++) {
        if (strcmp(e->names->pdata[i], name) == 0) {
            return e->values->pdata[i];
        }
    }
    return NULL;
}

static MigDifference about(MigDiffKind kind, const char *channel, const Entry *a, const Entry *b)
{
    return (MigDifference){ .kind = kind,
                            .channel = channel,
                            .path = (a ? a : b)->path,
                            .offset_a = a ? a->offset : UINT64_MAX,
                            .offset_b = b ? b->offset : UINT64_MAX };
}

static bool is_ignored(const MigDiff *diff, const Entry *e, const char *name)
{
    return diff->ignore & MIG_DIFF_SECTION_IDS && strcmp(name, "id") == 0 &&
           (e->type == MIG_REC_SECTION || e->type == MIG_REC_FOOTER);
}

static void field_differs(MigDiff *diff, const char *channel, const Entry *a, const Entry *b,
                          const char *name, const char *x, const char *y)
{
    MigDifference d = about(MIG_DIFF_FIELD, channel, a, b);
    d.name = name;
    d.a = x;
    d.b = y;
    tell(diff, d);
}

static void compare_fields(MigDiff *diff, const char *channel, const Entry *a, const Entry *b)
{
    if (a->type != b->type) { /* the same page, sent another way */
        field_differs(diff, channel, a, b, "record", mig_record_name(a->type),
                      mig_record_name(b->type));
    }
    for (guint i = 0; i < a->names->len; i++) {
        const char *name = a->names->pdata[i], *other = value_of(b, name);
        if (!is_ignored(diff, a, name) && g_strcmp0(a->values->pdata[i], other) != 0) {
            field_differs(diff, channel, a, b, name, a->values->pdata[i], other);
        }
    }
    for (guint i = 0; i < b->names->len; i++) {
        if (!value_of(a, b->names->pdata[i])) {
            field_differs(diff, channel, a, b, b->names->pdata[i], NULL, b->values->pdata[i]);
        }
    }
}

static void compare_bytes(MigDiff *diff, const char *channel, const Entry *a, const Entry *b)
{
    guint n = MIN(a->bytes->len, b->bytes->len);
    MigDifference d = about(MIG_DIFF_BYTES, channel, a, b);

    d.at = UINT64_MAX;
    for (guint i = 0; i < n; i++) {
        if (a->bytes->data[i] != b->bytes->data[i]) {
            d.at = MIN(d.at, i);
            d.count++;
        }
    }
    if (a->payload != b->payload) {
        d.at = MIN(d.at, n);
        d.count += MAX(a->payload, b->payload) - MIN(a->payload, b->payload);
    }
    if (a->hashed || b->hashed) {
        d.at = 0;
        d.count = MAX(a->payload, b->payload);
    }
    tell(diff, d);
}

typedef struct Values {
    MigDiff *diff;
    MigDifference d;
} Values;

static void value_differs(void *opaque, const char *name, const char *a, const char *b)
{
    Values *v = opaque;
    v->d.name = name;
    v->d.a = a;
    v->d.b = b;
    tell(v->diff, v->d);
}

static void compare_payload(MigDiff *diff, Side *x, Side *y, const Entry *a, const Entry *b)
{
    bool same = a->payload == b->payload && a->bytes->len == b->bytes->len &&
                (a->bytes->len == 0 || memcmp(a->bytes->data, b->bytes->data, a->bytes->len) == 0);
    Values values = { diff, about(MIG_DIFF_VALUE, x->channel, a, b) };

    if (same || (a->type == MIG_REC_BODY && diff->ignore & MIG_DIFF_DEVICE_BODIES)) {
        return;
    }
    if (a->device && b->device && !a->hashed && !b->hashed &&
        mig_diff_device(mig_recording_vmdesc(x->m), mig_recording_vmdesc(y->m), a->device,
                        a->instance, a->bytes, b->bytes, value_differs, &values)) {
        return;
    }
    compare_bytes(diff, x->channel, a, b);
}

static void compare(MigDiff *diff, Side *x, Side *y)
{
    Entry *a = g_queue_pop_head(&x->queue), *b = g_queue_pop_head(&y->queue);
    uint64_t before = diff->differences;

    compare_fields(diff, x->channel, a, b);
    if (a->type == b->type) {
        compare_payload(diff, x, y, a, b);
    }
    MigDiffCount *count = count_of(diff, x->channel, a);
    count->differ += diff->differences > before;
    count->same += diff->differences == before;
    entry_free(a);
    entry_free(b);
}

static void only(MigDiff *diff, Side *s, MigDiffKind kind, guint n)
{
    for (; n > 0; n--) {
        Entry *e = g_queue_pop_head(&s->queue);
        bool a = kind == MIG_DIFF_ONLY_A;
        MigDiffCount *count = count_of(diff, s->channel, e);
        *(a ? &count->only_a : &count->only_b) += 1;
        tell(diff, about(kind, s->channel, a ? e : NULL, a ? NULL : e));
        entry_free(e);
    }
}

/* ---- alignment ---- */

/* Records that are much alike everywhere say nothing about where both go on alike. */
static bool is_anchor(const Entry *e)
{
    return e->type != MIG_REC_RAM_EOS && e->type != MIG_REC_RAM_FLUSH && e->type != MIG_REC_FOOTER;
}

/* The place of |key| in the first |n| of the queue, or n. */
static guint find(const GQueue *queue, const char *key, guint n)
{
    guint i = 0;
    for (const GList *l = queue->head; l && i < n; l = l->next, i++) {
        if (strcmp(((const Entry *)l->data)->key, key) == 0) {
            return i;
        }
    }
    return n;
}

/* The pair of equal keys that leaves the fewest records out: how many on each side. */
static void resync(const Side *x, const Side *y, guint *skip_a, guint *skip_b)
{
    guint na = g_queue_get_length((GQueue *)&x->queue), i = 0;
    guint nb = g_queue_get_length((GQueue *)&y->queue), best = UINT_MAX;

    *skip_a = na;
    *skip_b = nb;
    for (const GList *l = x->queue.head; l && i < best; l = l->next, i++) {
        if (!is_anchor(l->data)) {
            continue;
        }
        guint limit = best == UINT_MAX ? nb : MIN(nb, best - i);
        guint j = find(&y->queue, ((const Entry *)l->data)->key, limit);
        if (j < limit) {
            best = i + j;
            *skip_a = i;
            *skip_b = j;
        }
    }
}

static bool align(MigDiff *diff, Side *x, Side *y, GError **error)
{
    guint skip_a, skip_b;

    if (!fill(x, diff->ignore, MIG_DIFF_WINDOW, error) ||
        !fill(y, diff->ignore, MIG_DIFF_WINDOW, error)) {
        return false;
    }
    resync(x, y, &skip_a, &skip_b);
    only(diff, x, MIG_DIFF_ONLY_A, skip_a);
    only(diff, y, MIG_DIFF_ONLY_B, skip_b);
    return true;
}

static void tell_broken(MigDiff *diff, const Side *s, const char *name)
{
    if (!s->broken) {
        return;
    }
    g_autofree char *text =
        g_strdup_printf("offset %" PRIu64 ", %s: expected %s, found %s", s->why.offset, s->why.path,
                        s->why.expected, s->why.found);
    /* Nobody looked at what is behind it. A line that was cut has nothing there. */
    diff->inconclusive |= s->why.fault != MIG_FAULT_TRUNCATED;
    diff->report(diff->opaque, &(MigDifference){ .kind = MIG_DIFF_BROKEN,
                                                 .channel = s->channel,
                                                 .path = s->why.path,
                                                 .name = name,
                                                 .a = text });
}

static bool run(MigDiff *diff, Side *x, Side *y, GError **error)
{
    for (;;) {
        if (!fill(x, diff->ignore, 1, error) || !fill(y, diff->ignore, 1, error)) {
            return false;
        }
        const Entry *a = g_queue_peek_head(&x->queue), *b = g_queue_peek_head(&y->queue);
        if (!a && !b) {
            break;
        }
        if (a && b && strcmp(a->key, b->key) == 0) {
            compare(diff, x, y);
        } else if (!align(diff, x, y, error)) {
            return false;
        }
    }
    if (x->broken != y->broken || (x->broken && x->why.offset != y->why.offset)) {
        diff->differences++;
    }
    tell_broken(diff, x, "a");
    tell_broken(diff, y, "b");
    return true;
}

/* ---- channels ---- */

static void side_clear(Side *s)
{
    g_queue_clear_full(&s->queue, (GDestroyNotify)entry_free);
    g_clear_pointer(&s->payload, g_byte_array_unref);
    g_clear_pointer(&s->m, mig_recording_free);
    g_free(s->idstr);
}

static bool side_open(Side *s, const char *path, const char *channel, GError **error)
{
    *s = (Side){ .channel = channel };
    s->payload = g_byte_array_new();
    s->m = mig_recording_open(path, error);
    return s->m != NULL;
}

static bool diff_channel(MigDiff *diff, const char *a, const char *b, const char *channel,
                         GError **error)
{
    Side x = { 0 }, y = { 0 };
    bool good = side_open(&x, a, channel, error) && side_open(&y, b, channel, error) &&
                run(diff, &x, &y, error);
    side_clear(&x);
    side_clear(&y);
    return good;
}

/* Names of channels that anything went over. */
static GPtrArray *channels_of(const char *path, GError **error)
{
    g_autoptr(MigRecording) m = mig_recording_open(path, error);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    MigStatus status = MIG_STATUS_END;
    unsigned channel;
    MigRecord r;

    if (!m) {
        return NULL;
    }
    while (mig_recording_is_capture(m) &&
           (status = mig_recording_next(m, &channel, &r, error)) != MIG_STATUS_END) {
        if (status == MIG_STATUS_MORE) {
            return NULL;
        }
    }
    for (unsigned i = 0; i < mig_recording_channel_count(m); i++) {
        if (mig_recording_decoder(m, i)) {
            g_ptr_array_add(names, g_strdup(mig_recording_channel_name(m, i)));
        }
    }
    return g_steal_pointer(&names);
}

static bool has(const GPtrArray *names, const char *name)
{
    for (guint i = 0; i < names->len; i++) {
        if (strcmp(names->pdata[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_channel(MigDiff *diff, const char *name, bool a)
{
    tell(diff, (MigDifference){ .kind = MIG_DIFF_CHANNEL,
                                .channel = name,
                                .path = "",
                                .a = a ? name : NULL,
                                .b = a ? NULL : name });
}

bool mig_diff(MigDiff *diff, const char *a, const char *b, GError **error)
{
    g_autoptr(GPtrArray) in_a = channels_of(a, error);
    g_autoptr(GPtrArray) in_b = in_a ? channels_of(b, error) : NULL;

    diff->counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (!in_b) {
        return false;
    }
    for (guint i = 0; i < in_a->len; i++) {
        const char *name = in_a->pdata[i];
        if (!has(in_b, name)) {
            tell_channel(diff, name, true);
        } else if (!diff_channel(diff, a, b, name, error)) {
            return false;
        }
    }
    for (guint i = 0; i < in_b->len; i++) {
        if (!has(in_a, in_b->pdata[i])) {
            tell_channel(diff, in_b->pdata[i], false);
        }
    }
    return true;
}
