/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multifd channels, packet by packet. What they owe each other and the main channel:
 * multifd-sync.c.
 */
#include <string.h>

#include "conformance/check.h"
#include "stream/multifd-codec.h"

enum {
    MAGIC_VALID,
    INIT_ID,
    INIT_UUID,
    INIT_PADDING,
    PACKET_COUNTS,
    NAME_TERMINATED,
    BLOCK_KNOWN,
    OFFSET_BOUNDED,
    OFFSET_ALIGNED,
    SIZE_AGREES,
    METHOD_STEADY,
    FLAGS_KNOWN,
    PAYLOAD_INFLATE,
    DEVICE_FLAGS,
    DEVICE_SIZE,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [MAGIC_VALID] = {
        .id = "MULTIFD-MAGIC-VALID",
        .title = "every packet begins with 11 22 33 44, version 1",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "4.1 Channel initial packet; multifd_recv_initial_packet()",
        .since = "4.0",
        .why = "the channel stops, and the destination fails or hangs",
        .killed_by = "multifd-magic multifd-version multifd-packet-magic",
    },
    [INIT_ID] = {
        .id = "MULTIFD-INIT-ID",
        .title = "channels have the ids from 0 on, each once",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_CRASHES,
        .source = "4.1 Channel initial packet; multifd_recv_initial_packet()",
        .since = "4.0",
        .why = "an id equal to the number of channels crashes destinations until 10.0; "
                 "a doubled one is refused",
        .killed_by = "multifd-id-count multifd-id-twice",
    },
    [INIT_UUID] = {
        .id = "MULTIFD-INIT-UUID",
        .title = "all channels name the same UUID, that of the configuration if it has "
                 "one",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.1 Channel initial packet; multifd_recv_initial_packet()",
        .since = "4.0",
        .why = "a channel of another migration is refused",
        .killed_by = "multifd-uuid",
    },
    [INIT_PADDING] = {
        .id = "MULTIFD-INIT-PADDING",
        .title = "the unused bytes of the initial packet are 00",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.1 Channel initial packet; multifd_send_initial_packet()",
        .since = "4.0",
        .why = "they are ignored",
        .killed_by = "multifd-padding",
    },
    [PACKET_COUNTS] = {
        .id = "MULTIFD-PACKET-COUNTS",
        .title = "normal and zero pages fit the pages allocated, and those a packet",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.2 Packet header; multifd_recv_unfill_packet()",
        .since = "4.0",
        .why = "the channel stops, and the destination fails or hangs",
        .killed_by = "multifd-alloc multifd-normal multifd-zero",
    },
    [NAME_TERMINATED] = {
        .id = "MULTIFD-NAME-TERMINATED",
        .title = "the block name of a packet ends with a NUL",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.2 Packet header; multifd_recv_unfill_packet()",
        .since = "4.0",
        .why = "a destination ends it itself and looks for another block",
        .killed_by = "multifd-name-endless",
    },
    [BLOCK_KNOWN] = {
        .id = "MULTIFD-BLOCK-KNOWN",
        .title = "a packet with pages names a block of the list",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.2 Packet header; multifd_recv_unfill_packet()",
        .since = "4.0",
        .why = "the channel stops, and the destination fails or hangs",
        .killed_by = "multifd-block-unknown",
    },
    [OFFSET_BOUNDED] = {
        .id = "MULTIFD-OFFSET-BOUNDED",
        .title = "every page lies inside its block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.2 Packet header; multifd_recv_unfill_packet()",
        .since = "4.0",
        .why = "the channel stops, and the destination fails or hangs",
        .killed_by = "multifd-offset-end multifd-zero-offset-end",
    },
    [OFFSET_ALIGNED] = {
        .id = "MULTIFD-OFFSET-ALIGNED",
        .title = "every page offset is a multiple of the page size",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.2 Packet header; multifd_send_fill_packet()",
        .since = "4.0",
        .why = "no destination looks: memory is shifted",
        .killed_by = "multifd-offset-odd",
    },
    [SIZE_AGREES] = {
        .id = "MULTIFD-SIZE-AGREES",
        .title = "the announced size of uncompressed pages is their number times the "
                 "page size",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.4 Payloads; multifd_nocomp_send_prepare()",
        .since = "4.0",
        .why = "receivers count the pages themselves",
        .killed_by = "multifd-size",
    },
    [METHOD_STEADY] = {
        .id = "MULTIFD-METHOD-STEADY",
        .title = "all packets with pages have the same compression",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.3 Flags; multifd_zlib_recv()",
        .since = "5.0",
        .why = "it is what both ends were configured for",
        .killed_by = "multifd-method",
    },
    [FLAGS_KNOWN] = {
        .id = "MULTIFD-FLAGS-KNOWN",
        .title = "a packet has no flags that nobody knows",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.3 Flags; multifd_recv_unfill_packet()",
        .since = "4.0",
        .why = "receivers ignore them",
        .killed_by = "multifd-flag-unknown",
    },
    [PAYLOAD_INFLATE] = {
        .id = "MULTIFD-PAYLOAD-INFLATE",
        .title = "compressed pages go on from the packet before and fill their pages "
                 "exactly",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.4 Payloads; multifd_zlib_recv()",
        .since = "5.0",
        .why = "the channel stops, and the destination fails or hangs",
        .killed_by = "multifd-zlib-data multifd-zstd-data",
    },
    [DEVICE_FLAGS] = {
        .id = "MULTIFD-DEVICE-FLAGS",
        .title = "a packet of device state has that flag alone",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.6 Device-state packets; multifd_recv_thread()",
        .since = "10.0",
        .why = "the channel stops",
        .killed_by = "multifd-device-flags",
    },
    [DEVICE_SIZE] = {
        .id = "MULTIFD-DEVICE-SIZE",
        .title = "a packet of device state has a size that such a buffer can have",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.6 Device-state packets; multifd_device_state_recv()",
        .since = "10.0",
        .why = "the channel stops",
        .killed_by = "multifd-device-size",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_MULTIFD_MAGIC, MAGIC_VALID },   { MIG_FAULT_MULTIFD_VERSION, MAGIC_VALID },
    { MIG_FAULT_MULTIFD_COUNT, PACKET_COUNTS }, { MIG_FAULT_MULTIFD_NAME, NAME_TERMINATED },
    { MIG_FAULT_MULTIFD_SIZE, DEVICE_SIZE },    { MIG_FAULT_MULTIFD_FLAGS, DEVICE_FLAGS },
};

#define ROUNDS     64u /* that one channel may be ahead of another; more are not judged */
#define NAME_AT    64u
#define OFFSETS_AT 320u
#define UNUSED_AT  25u
#define KNOWN_FLAGS \
    (MIG_MULTIFD_FLAG_SYNC | MIG_MULTIFD_FLAG_COMPRESSION | MIG_MULTIFD_FLAG_DEVICE_STATE)

typedef struct Channel {
    bool used;
    uint8_t id;
    uint64_t id_at;
    MigMultifdCodec *codec;
    GByteArray *pages;
    bool inflating_failed;
} Channel;

typedef struct Multifd {
    GPtrArray *channels; /* Channel or NULL, by number in the recording */
    bool uuid_known, method_known;
    uint8_t uuid[16];
    uint32_t method;
} Multifd;

static void channel_free(gpointer data)
{
    Channel *ch = data;
    if (ch) {
        mig_multifd_codec_free(ch->codec);
        g_byte_array_unref(ch->pages);
        g_free(ch);
    }
}

static void prepare(Multifd *s)
{
    if (!s->channels) {
        s->channels = g_ptr_array_new_with_free_func(channel_free);
    }
}

static Channel *channel_of(Multifd *s, unsigned channel)
{
    if (s->channels->len <= channel) {
        g_ptr_array_set_size(s->channels, (gint)channel + 1);
    }
    if (!s->channels->pdata[channel]) {
        Channel *ch = g_new0(Channel, 1);
        ch->codec = mig_multifd_decompressor_new();
        ch->pages = g_byte_array_new();
        s->channels->pdata[channel] = ch;
    }
    return s->channels->pdata[channel];
}

/* ---- the initial packet ---- */

static void check_uuid(MigCheck *check, Multifd *s, const MigRecord *r)
{
    const MigRecordMultifdInit *m = &r->multifd_init;
    if (s->uuid_known && memcmp(s->uuid, m->uuid, sizeof(s->uuid)) != 0) {
        mig_check_find(check, &rules[INIT_UUID], r->offset + 8, "the UUID of the others",
                       "%02x%02x%02x%02x...", m->uuid[0], m->uuid[1], m->uuid[2], m->uuid[3]);
    } else if (!s->uuid_known) {
        s->uuid_known = true;
        memcpy(s->uuid, m->uuid, sizeof(s->uuid));
    }
}

static void on_init(MigCheck *check, Multifd *s, const MigRecord *r)
{
    const MigRecordMultifdInit *m = &r->multifd_init;
    Channel *ch = channel_of(s, check->channel);

    check_uuid(check, s, r);
    for (size_t i = 0; i < sizeof(m->unused); i++) {
        if (m->unused[i]) {
            mig_check_find(check, &rules[INIT_PADDING], r->offset + UNUSED_AT + i, "00", "%02x",
                           m->unused[i]);
            break;
        }
    }
    for (guint i = 0; i < s->channels->len; i++) {
        const Channel *other = s->channels->pdata[i];
        if (other && other->used && other != ch && other->id == m->id) {
            mig_check_find(check, &rules[INIT_ID], r->offset + UNUSED_AT - 1, "an id of its own",
                           "id %u again", m->id);
            return; /* then it is not counted against the number of channels either */
        }
    }
    ch->used = true;
    ch->id = m->id;
    ch->id_at = r->offset + UNUSED_AT - 1;
}

/* ---- packets ---- */

static void check_head(MigCheck *check, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;

    if (m->flags & ~KNOWN_FLAGS) {
        mig_check_find(check, &rules[FLAGS_KNOWN], r->offset + 8, "flags of 0x7f", "0x%x",
                       m->flags);
    }
}

static void check_payload_fields(MigCheck *check, Multifd *s, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    uint32_t method = m->flags & MIG_MULTIFD_FLAG_COMPRESSION;

    if (m->normal_pages == 0) {
        return;
    }
    if (s->method_known && method != s->method) {
        mig_check_find(check, &rules[METHOD_STEADY], r->offset + 8, "the compression of the others",
                       "flags 0x%x", m->flags);
    } else if (!s->method_known) {
        s->method_known = true;
        s->method = method;
    }
    if (!method && m->next_packet_size != m->normal_pages * check->facts.page_size) {
        mig_check_find(check, &rules[SIZE_AGREES], r->offset + 20,
                       "the number of normal pages times the page size", "%u bytes for %u pages",
                       m->next_packet_size, m->normal_pages);
    }
}

static void on_page(MigCheck *check, const MigRecord *r, uint32_t block, uint32_t i)
{
    const MigRecordRamBlock *b = mig_decoder_block(check->main, block);
    uint64_t offset = r->multifd.offsets[i], at = r->offset + OFFSETS_AT + 8 * (uint64_t)i;
    uint32_t page_size = check->facts.page_size;

    if (offset >= b->used_length || b->used_length - offset < page_size) {
        mig_check_find(check, &rules[OFFSET_BOUNDED], at, "a page inside its block",
                       "0x%" G_GINT64_MODIFIER "x", offset);
    } else if (offset % page_size) {
        mig_check_find(check, &rules[OFFSET_ALIGNED], at, "a multiple of the page size",
                       "0x%" G_GINT64_MODIFIER "x", offset);
    }
}

static void on_packet(MigCheck *check, Multifd *s, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    uint32_t pages = m->normal_pages + m->zero_pages;

    check_head(check, r);
    check_payload_fields(check, s, r);
    uint32_t block = pages ? mig_check_packet_block(check, m) : UINT32_MAX;
    if (pages && block == UINT32_MAX) {
        mig_check_find(check, &rules[BLOCK_KNOWN], r->offset + NAME_AT, "a block of the list",
                       "\"%.64s\"", m->name);
    }
    for (uint32_t i = 0; i < pages && block != UINT32_MAX; i++) {
        on_page(check, r, block, i);
    }
    if (m->flags & (MIG_MULTIFD_FLAG_ZLIB | MIG_MULTIFD_FLAG_ZSTD) && r->payload) {
        mig_check_want_payload(check);
    }
}

static void payload(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data)
{
    Multifd *s = state;

    if (r->type != MIG_REC_MULTIFD_PACKET) {
        return;
    }
    Channel *ch = channel_of(s, check->channel);
    if (ch->inflating_failed) {
        return; /* what follows has lost its thread */
    }
    gsize n = (gsize)r->multifd.normal_pages * check->facts.page_size;
    g_byte_array_set_size(ch->pages, (guint)n);
    MigCodecStatus status =
        mig_multifd_decompress(ch->codec, r->multifd.flags, data, r->payload, ch->pages->data, n);
    if (status != MIG_CODEC_OK) {
        ch->inflating_failed = true;
        mig_check_find(check, &rules[PAYLOAD_INFLATE], r->offset + r->wire,
                       "exactly the packet's pages", "%s", mig_codec_status_text(status));
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Multifd *s = state;

    prepare(s);
    switch (r->type) {
    case MIG_REC_MULTIFD_INIT:
        on_init(check, s, r);
        break;
    case MIG_REC_MULTIFD_PACKET:
        on_packet(check, s, r);
        break;
    default:
        s->uuid_known = true;
        memcpy(s->uuid, r->uuid.uuid, sizeof(s->uuid));
        break;
    }
}

/* ---- the end ---- */

static uint32_t used_channels(const Multifd *s)
{
    uint32_t n = 0;
    for (guint i = 0; i < s->channels->len; i++) {
        const Channel *ch = s->channels->pdata[i];
        n += ch != NULL;
    }
    return n;
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Multifd *s = state;

    for (unsigned i = 0; i < RULE_COUNT && !check->facts.multifd; i++) {
        mig_check_not_applicable(check, &rules[i], "no recording of a multifd channel");
    }
    prepare(s);
    uint32_t n = used_channels(s);
    for (guint i = 0; i < s->channels->len; i++) {
        const Channel *ch = s->channels->pdata[i];
        if (ch && ch->used && ch->id >= n) {
            mig_check_find_in(check, &rules[INIT_ID], i, ch->id_at, "an id below their number",
                              "id %u of %u channels", ch->id, n);
        }
    }
}

static void clear(void *state)
{
    Multifd *s = state;
    g_clear_pointer(&s->channels, g_ptr_array_unref);
}

const MigRuleGroup mig_rules_multifd = {
    .layer = "multifd",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(Multifd),
    .channels = MIG_ON(MAIN) | MIG_ON(MULTIFD),
    .wanted = MIG_WANT(MULTIFD_INIT) | MIG_WANT(MULTIFD_PACKET) | MIG_WANT(CONFIG_UUID),
    .record = record,
    .payload = payload,
    .finish = finish,
    .clear = clear,
};
