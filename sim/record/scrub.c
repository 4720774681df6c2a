/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrubbing, see scrub.h. Model: each channel remembers what the payload under way is (the record
 * is gone when its payload comes) and where the next byte of it stands. One table says for each
 * type of record what becomes of its payload.
 *
 * Limit: a payload that was cut off inside a compressed page is blanked byte by byte.
 */
#include "sim/record/scrub.h"

#include <string.h>

#include "sim/record/disguise.h"
#include "stream/vmdesc-walk.h"
#include "stream/xbzrle.h"

#define FIRST_BYTES 16u /* of what can't be decoded: a diagnosis shows them */

typedef struct Scrubbed Scrubbed;
typedef void Payload(MigScrub *s, Scrubbed *c, uint8_t *data, size_t n);

/* One channel. */
struct Scrubbed {
    Payload *payload; /* of the record under way; NULL: it stays */
    bool pending;     /* the payload hasn't come */
    const MigNoisePlace *place;
    uint64_t offset; /* of its first byte in the place */
    size_t page_size;
    /* A multifd packet's, and the channel's stream of packets. */
    uint32_t flags;
    GArray *pages; /* uint64_t: offsets in the block */
    bool begun;    /* a compressed packet has gone by */
    /* Device sections. */
    char *device;
    uint32_t instance;
    bool in_device; /* its section has begun, and no record since */
    /* The end. */
    bool over, broken;
    uint64_t rest;
};

struct MigScrub {
    MigNoise *noise;
    MigRecodeHook hook;
    GPtrArray *channels; /* Scrubbed */
    const MigVmdesc *desc;
    MigScrubCounts counts;
};

static void scrubbed_free(gpointer data)
{
    Scrubbed *c = data;
    g_array_unref(c->pages);
    g_free(c->device);
    g_free(c);
}

static Scrubbed *channel_of(MigScrub *s, unsigned channel)
{
    while (s->channels->len <= channel) {
        Scrubbed *c = g_new0(Scrubbed, 1);
        c->pages = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        g_ptr_array_add(s->channels, c);
    }
    return s->channels->pdata[channel];
}

static void disguise(MigScrub *s, const MigNoisePlace *place, uint64_t offset, uint8_t *data,
                     size_t n)
{
    mig_noise_apply(s->noise, place, offset, data, n);
    s->counts.bytes += n;
}

/* Payloads --------------------------------------------------------------------------------- */

static void plain(MigScrub *s, Scrubbed *c, uint8_t *data, size_t n)
{
    disguise(s, c->place, c->offset, data, n);
    c->offset += n;
}

/* One length of a delta at |*at|; false: it isn't all there. */
static bool delta_length(const uint8_t *data, size_t n, size_t *at, size_t *length)
{
    if (*at >= n || (data[*at] & 0x80 && *at + 1 >= n)) {
        return false;
    }
    *length = data[*at] & 0x7f;
    if (data[(*at)++] & 0x80) {
        *length |= (size_t)data[(*at)++] << 7;
    }
    return true;
}

/* The new bytes of a delta stand where they do in the page. */
static void delta(MigScrub *s, Scrubbed *c, uint8_t *data, size_t n)
{
    size_t at = 0, zrun, nzrun;
    uint64_t offset = c->offset;
    while (delta_length(data, n, &at, &zrun) && delta_length(data, n, &at, &nzrun)) {
        size_t part = MIN(nzrun, n - at);
        offset += zrun;
        disguise(s, c->place, offset, data + at, part);
        offset += part;
        at += part;
    }
}

static void compressed(MigScrub *s, Scrubbed *c, MigDisguiseForm form, uint8_t *data, size_t n,
                       size_t size)
{
    if (mig_disguise(s->noise, form, data, n, size)) {
        s->counts.bytes += n;
    } else {
        s->counts.undisguised++;
        disguise(s, c->place, c->offset, data, n);
    }
}

static void compressed_page(MigScrub *s, Scrubbed *c, uint8_t *data, size_t n)
{
    compressed(s, c, MIG_DISGUISE_ZLIB, data, n, c->page_size);
}

static void packet(MigScrub *s, Scrubbed *c, uint8_t *data, size_t n)
{
    uint32_t method = c->flags & MIG_MULTIFD_FLAG_COMPRESSION;
    bool first = !c->begun;
    c->begun |= method != 0;
    if (method == MIG_MULTIFD_FLAG_ZLIB) {
        compressed(s, c, first ? MIG_DISGUISE_ZLIB_FIRST : MIG_DISGUISE_ZLIB_NEXT, data, n,
                   c->pages->len * c->page_size);
    } else if (method == MIG_MULTIFD_FLAG_ZSTD) {
        compressed(s, c, first ? MIG_DISGUISE_ZSTD_FIRST : MIG_DISGUISE_ZSTD_NEXT, data, n,
                   c->pages->len * c->page_size);
    } else if (method) {
        disguise(s, c->place, 0, data, n);
    } else {
        for (guint i = 0; i < c->pages->len && n; i++) {
            size_t part = MIN(n, c->page_size);
            disguise(s, c->place, g_array_index(c->pages, uint64_t, i), data, part);
            data += part;
            n -= part;
        }
    }
}

typedef struct Body {
    MigScrub *s;
    const Scrubbed *c;
    uint8_t *data;
} Body;

/* Markers of pointers and truth values tell a reader where it is. */
static bool field(void *opaque, const MigVmValue *v)
{
    Body *b = opaque;
    if (v->kind != MIG_VM_NULL && v->kind != MIG_VM_BOOL) {
        disguise(b->s, b->c->place, v->offset, b->data + v->offset, v->size);
    }
    return true;
}

static const MigVmDevice *described(const MigScrub *s, const Scrubbed *c)
{
    const MigVmDevice *d = s->desc ? s->desc->devices : NULL;
    while (d && (g_strcmp0(d->name, c->device) != 0 || d->instance_id != c->instance)) {
        d = d->next;
    }
    return d;
}

static void body(MigScrub *s, Scrubbed *c, uint8_t *data, size_t n)
{
    static const MigVmVisitor visitor = { .value = field };
    const MigVmDevice *device = described(s, c);
    g_autofree uint8_t *original = device ? g_memdup2(data, n) : NULL;
    Body b = { s, c, data };
    if (!device || !mig_vmdesc_walk(device, original, n, &visitor, &b, NULL)) {
        disguise(s, c->place, c->offset, data, n);
    }
}

/* Records ---------------------------------------------------------------------------------- */

static void set_place(MigScrub *s, Scrubbed *c, const char *kind, const char *name, size_t length,
                      uint64_t offset)
{
    char text[512];
    g_snprintf(text, sizeof(text), "%s/%.*s", kind, (int)MIN(length, 400), name);
    c->place = mig_noise_place(s->noise, text);
    c->offset = offset;
}

static void on_page(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    set_place(s, c, "ram", r->ram.name.text, r->ram.name.len, r->ram.offset);
}

static void on_area(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    char block[16];
    set_place(s, c, "ram-area", block,
              (size_t)g_snprintf(block, sizeof(block), "%u", r->mapped.block), 0);
}

static void on_packet(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    set_place(s, c, "ram", m->name, strnlen(m->name, sizeof(m->name)), 0);
    c->flags = m->flags;
    g_array_set_size(c->pages, 0);
    g_array_append_vals(c->pages, m->offsets, MIN(m->normal_pages, m->page_count));
}

static void on_multifd_device(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    const MigRecordMultifdDevice *d = &r->multifd_device;
    set_place(s, c, "device", d->idstr, strnlen(d->idstr, sizeof(d->idstr)), r->offset);
}

static void on_body(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    static const char *const known[] = { "timer", "cpu_common", "globalstate" };
    set_place(s, c, "device", c->device ? c->device : "", c->device ? strlen(c->device) : 0, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (g_strcmp0(known[i], c->device) == 0) {
            c->payload = NULL;
        }
    }
}

static void on_disk(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    set_place(s, c, "disk", r->disk.device.text, r->disk.device.len, r->disk.sector * 512);
}

static void on_iterable(MigScrub *s, Scrubbed *c, const MigRecord *r)
{
    set_place(s, c, "iterable", "", 0, r->offset);
    if (r->iterable.kind != MIG_ITERABLE_VFIO && r->iterable.kind != MIG_ITERABLE_HTAB_CHUNK) {
        c->payload = NULL;
    }
}

typedef struct Treatment {
    void (*record)(MigScrub *s, Scrubbed *c, const MigRecord *r);
    Payload *payload;
} Treatment;

/* What isn't here stays. */
static const Treatment treatments[MIG_REC_COUNT] = {
    [MIG_REC_RAM_PAGE] = { on_page, plain },
    [MIG_REC_RAM_XBZRLE] = { on_page, delta },
    [MIG_REC_RAM_COMPRESS] = { on_page, compressed_page },
    [MIG_REC_MAPPED_PAGES] = { on_area, plain },
    [MIG_REC_BODY] = { on_body, body },
    [MIG_REC_BLOCK] = { on_disk, plain },
    [MIG_REC_ITERABLE] = { on_iterable, plain },
    [MIG_REC_MULTIFD_PACKET] = { on_packet, packet },
    [MIG_REC_MULTIFD_DEVICE] = { on_multifd_device, plain },
};

static void on_section(Scrubbed *c, const MigRecord *r)
{
    g_free(c->device);
    c->device = g_strndup(r->section.idstr.text, r->section.idstr.len);
    c->instance = r->section.instance;
}

static void hook_record(void *opaque, unsigned channel, const MigRecord *r, const MigDecoder *d)
{
    MigScrub *s = opaque;
    Scrubbed *c = channel_of(s, channel);
    const Treatment *t = &treatments[r->type];
    c->in_device = r->type == MIG_REC_SECTION;
    c->pending = r->payload > 0;
    c->payload = t->payload;
    c->page_size = mig_decoder_page_size(d);
    if (r->type == MIG_REC_SECTION) {
        on_section(c, r);
    } else if (r->payload && t->record) {
        t->record(s, c, r);
    }
}

static void hook_payload(void *opaque, unsigned channel, uint8_t *data, size_t n)
{
    MigScrub *s = opaque;
    Scrubbed *c = channel_of(s, channel);
    c->pending = false;
    if (c->payload) {
        c->payload(s, c, data, n);
    }
}

/* A line that broke ends anywhere; anything else that stops the decoder is not understood. */
static void hook_over(void *opaque, unsigned channel, const MigDiagnosis *why)
{
    Scrubbed *c = channel_of(opaque, channel);
    c->over = true;
    c->broken = why && why->fault == MIG_FAULT_TRUNCATED;
}

/*
 * Of a payload that was cut off: as its bytes would have been, without a delta's or a stream's
 * structure. Of a record that was: it stays, unless it may be a device's body.
 */
static void hook_rest(void *opaque, unsigned channel, uint8_t *data, size_t n)
{
    MigScrub *s = opaque;
    Scrubbed *c = channel_of(s, channel);
    size_t kept = 0;
    if (c->pending) {
        if (!c->payload) {
            return;
        }
    } else {
        if (c->broken && !c->in_device) {
            return;
        }
        kept = c->broken || c->rest >= FIRST_BYTES ? 0 : MIN(n, FIRST_BYTES - c->rest);
        set_place(s, c, "rest", "", 0, c->rest);
    }
    if (c->pending && c->payload == packet && c->pages->len) { /* its pages follow each other */
        uint64_t page = MIN(c->rest / c->page_size, c->pages->len - 1);
        c->offset = g_array_index(c->pages, uint64_t, page) + c->rest % c->page_size;
    }
    plain(s, c, data + kept, n - kept);
    c->rest += n;
}

/* ------------------------------------------------------------------------------------------ */

MigScrub *mig_scrub_new(const char *key)
{
    MigScrub *s = g_new0(MigScrub, 1);
    s->noise = mig_noise_new(key);
    s->channels = g_ptr_array_new_with_free_func(scrubbed_free);
    s->hook = (MigRecodeHook){ s, hook_record, hook_payload, hook_over, hook_rest };
    return s;
}

void mig_scrub_free(MigScrub *s)
{
    if (s) {
        g_ptr_array_unref(s->channels);
        mig_noise_free(s->noise);
        g_free(s);
    }
}

void mig_scrub_describe(MigScrub *s, const MigVmdesc *desc)
{
    s->desc = desc;
}

const MigRecodeHook *mig_scrub_hook(const MigScrub *s)
{
    return &s->hook;
}

const MigScrubCounts *mig_scrub_counts(const MigScrub *s)
{
    return &s->counts;
}
