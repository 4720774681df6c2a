/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What multifd channels owe each other and the main one: synchronisation, and every page.
 *
 * Channels overtake each other in a recording, so nothing is concluded from the order of records of
 * different channels: rounds are counted on each by its SYNC packets.
 */
#include "conformance/check.h"
#include "conformance/page-map.h"

enum {
    SYNC_ALONE,
    SYNC_FIRST,
    SYNC_ENOUGH,
    SYNC_EXTRA,
    FLUSH_PRESENT,
    NUMBER_RISES,
    PAGE_ONCE,
    PAGE_COVERAGE,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [SYNC_ALONE] = {
        .id = "MULTIFD-SYNC-ALONE",
        .title = "SYNC is a packet of its own",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.3 Flags; multifd_send_sync_main()",
        .since = "9.0",
        .why = "sources until 8.2 may put it on a packet with pages",
        .killed_by = "multifd-sync-on-pages",
    },
    [SYNC_FIRST] = {
        .id = "MULTIFD-SYNC-FIRST",
        .title = "the first packet of a channel is a SYNC",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_CRASHES,
        .source = "4.5 Zero pages and synchronisation; multifd_recv_thread()",
        .since = "4.0",
        .why = "pages that come before the destination has set up its memory crash it",
        .killed_by = "multifd-sync-first",
    },
    [SYNC_ENOUGH] = {
        .id = "MULTIFD-SYNC-ENOUGH",
        .title = "each channel has a SYNC for every synchronisation point of the main "
                 "channel",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "4.5 Zero pages and synchronisation; multifd_recv_sync_main()",
        .since = "4.0",
        .why = "the destination waits for it for ever",
        .killed_by = "multifd-sync-dropped",
    },
    [SYNC_EXTRA] = {
        .id = "MULTIFD-SYNC-EXTRA",
        .title = "no channel has more SYNC than the main channel has synchronisation "
                 "points",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.5 Zero pages and synchronisation; multifd_send_sync_main()",
        .since = "4.0",
        .why = "nobody waits for it",
        .killed_by = "multifd-sync-extra",
    },
    [FLUSH_PRESENT] = {
        .id = "MULTIFD-FLUSH-PRESENT",
        .title = "machine types from 8.1 synchronise by MULTIFD_FLUSH",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_VARIES,
        .source = "4.5 Zero pages and synchronisation; multifd_ram_flush_and_sync()",
        .since = "8.1",
        .why = "the destination does not wait where it should",
        .killed_by = "multifd-flush-dropped",
    },
    [NUMBER_RISES] = {
        .id = "MULTIFD-NUMBER-RISES",
        .title = "packet numbers of a channel rise",
        .level = MIG_LEVEL_CANON,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.2 Packet header; multifd_send_fill_packet()",
        .since = "4.0",
        .why = "receivers keep the highest",
        .killed_by = "multifd-number",
    },
    [PAGE_ONCE] = {
        .id = "MULTIFD-PAGE-ONCE",
        .title = "between two synchronisation points a page is sent once, over all "
                 "channels",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.5 Zero pages and synchronisation; multifd_queue_page()",
        .since = "4.0",
        .why = "either of the two may win; but the page that filled a packet may come again as the "
               "first of the next one (5.2 and 7.2 do that)",
        .killed_by = "multifd-page-twice",
    },
    [PAGE_COVERAGE] = {
        .id = "MULTIFD-PAGE-COVERAGE",
        .title = "every page of every block is sent at least once, over any channel",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "4.5 Zero pages and synchronisation; ram_list_init_bitmaps()",
        .since = "4.0",
        .why = "the destination keeps what it had",
        .killed_by = "multifd-page-dropped",
    },
};

#define ROUNDS     64u /* that one channel may be ahead of another; more are not judged */
#define OFFSETS_AT 320u

typedef struct Channel {
    bool used;
    uint32_t syncs, packets;
    uint64_t number; /* of the last packet */
} Channel;

typedef struct Sync {
    GArray *channels;  /* Channel, by number in the recording */
    GPtrArray *rounds; /* MigPageMap or NULL, of the rounds from |first_round| on */
    uint32_t first_round;
    MigPageMap *sent;  /* over any channel */
    MigPageMap *edges; /* first of a packet, or last of a full one */
} Sync;

static void prepare(Sync *s)
{
    if (!s->channels) {
        s->channels = g_array_new(FALSE, TRUE, sizeof(Channel));
        s->rounds = g_ptr_array_new_with_free_func((GDestroyNotify)mig_page_map_free);
        s->sent = mig_page_map_new();
        s->edges = mig_page_map_new();
    }
}

static Channel *channel_of(Sync *s, unsigned channel)
{
    if (s->channels->len <= channel) {
        g_array_set_size(s->channels, channel + 1);
    }
    Channel *ch = &g_array_index(s->channels, Channel, channel);
    ch->used = true;
    return ch;
}

static void check_head(MigCheck *check, Channel *ch, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    uint32_t pages = m->normal_pages + m->zero_pages;
    bool sync = m->flags & MIG_MULTIFD_FLAG_SYNC;

    if (ch->packets == 0 && !sync) {
        mig_check_find(check, &rules[SYNC_FIRST], r->offset, "SYNC in the first packet",
                       "flags 0x%x, %u pages", m->flags, pages);
    }
    if (sync && pages && check->facts.machine_version >= MIG_VERSION_OF(9, 0)) {
        mig_check_find(check, &rules[SYNC_ALONE], r->offset + 8, "SYNC without pages", "%u pages",
                       pages);
    }
    /* Sources until 8.0, which synchronise at every EOS, repeat numbers. */
    if (ch->packets && m->packet_num <= ch->number && check->facts.flushes) {
        mig_check_find(
            check, &rules[NUMBER_RISES], r->offset + 24, "a higher number than the packet before",
            "%" G_GUINT64_FORMAT " behind %" G_GUINT64_FORMAT, m->packet_num, ch->number);
    }
    ch->number = m->packet_num;
    ch->packets++;
    ch->syncs += sync;
}

/* The map of a round; NULL where nobody judges it. */
static MigPageMap *round_map(Sync *s, uint32_t round)
{
    if (round < s->first_round || round - s->first_round >= ROUNDS) {
        return NULL;
    }
    guint i = round - s->first_round;
    if (s->rounds->len <= i) {
        g_ptr_array_set_size(s->rounds, (gint)i + 1);
    }
    if (!s->rounds->pdata[i]) {
        s->rounds->pdata[i] = mig_page_map_new();
    }
    return s->rounds->pdata[i];
}

/* Forgets rounds that every channel has left. */
static void drop_rounds(Sync *s)
{
    uint32_t least = UINT32_MAX;

    for (guint i = 0; i < s->channels->len; i++) {
        const Channel *ch = &g_array_index(s->channels, Channel, i);
        least = ch->used ? MIN(least, ch->syncs) : least;
    }
    while (s->first_round < least && s->rounds->len > 0) {
        g_ptr_array_remove_index(s->rounds, 0);
        s->first_round++;
    }
    s->first_round = s->rounds->len ? s->first_round : MAX(s->first_round, least);
}

/*
 * Sources before 9.0 queue the page that filled a packet once more when the channel's thread takes
 * the packet before the queue looks at it again: it is then also the first of the next one (seen
 * on 5.2 and 7.2, with the guest stopped). Which of the channels was first can't be told.
 */
static bool is_edge(const MigRecordMultifd *m, uint32_t i)
{
    uint32_t pages = m->normal_pages + m->zero_pages;
    return i == 0 || (pages == m->pages_alloc && i == pages - 1);
}

static void on_page(MigCheck *check, Sync *s, const MigRecord *r, uint32_t block, uint32_t i,
                    uint32_t round)
{
    uint64_t offset = r->multifd.offsets[i], page = offset / check->facts.page_size;
    MigPageMap *map = round_map(s, round);

    if (offset >= mig_decoder_block(check->main, block)->used_length) {
        return; /* said elsewhere */
    }
    mig_page_map_set(s->sent, block, page);
    bool again = is_edge(&r->multifd, i) && mig_page_map_set(s->edges, block, page);
    if (map && mig_page_map_set(map, block, page) && !again) {
        mig_check_find(check, &rules[PAGE_ONCE], r->offset + OFFSETS_AT + 8 * (uint64_t)i,
                       "each page once until the next SYNC", "page 0x%" G_GINT64_MODIFIER "x again",
                       offset);
    }
}

static void on_packet(MigCheck *check, Sync *s, const MigRecord *r)
{
    const MigRecordMultifd *m = &r->multifd;
    Channel *ch = channel_of(s, check->channel);
    uint32_t pages = m->normal_pages + m->zero_pages, round = ch->syncs;

    check_head(check, ch, r);
    uint32_t block = pages ? mig_check_packet_block(check, m) : UINT32_MAX;
    for (uint32_t i = 0; i < pages && block != UINT32_MAX; i++) {
        on_page(check, s, r, block, i, round);
    }
    if (m->flags & MIG_MULTIFD_FLAG_SYNC) {
        drop_rounds(s);
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    Sync *s = state;

    if (!check->several) {
        return; /* a main channel alone tells nothing of the others */
    }
    prepare(s);
    if (r->type == MIG_REC_MULTIFD_INIT) {
        channel_of(s, check->channel);
    } else if (r->type == MIG_REC_MULTIFD_PACKET) {
        on_packet(check, s, r);
    } else { /* zero pages of older sources */
        mig_page_map_set(s->sent, r->ram.block, r->ram.offset / check->facts.page_size);
    }
}

static void check_syncs(MigCheck *check, const Channel *ch, unsigned channel, uint32_t expected)
{
    uint64_t end = mig_decoder_offset(mig_recording_decoder(check->recording, channel));

    if (ch->syncs != expected) {
        mig_check_find_in(check, &rules[ch->syncs < expected ? SYNC_ENOUGH : SYNC_EXTRA], channel,
                          end, "a SYNC for each synchronisation point of the main channel",
                          "%u SYNC for %u of them", ch->syncs, expected);
    }
}

static void check_coverage(MigCheck *check, Sync *s, uint64_t end)
{
    const MigFacts *facts = &check->facts;

    if (facts->discarded || facts->ignore_shared || facts->mapped_ram) {
        mig_check_not_applicable(check, &rules[PAGE_COVERAGE],
                                 "pages may come otherwise: postcopy, x-ignore-shared");
        return;
    }
    if (mig_page_map_overflowed(s->sent)) {
        mig_check_inconclusive(check, &rules[PAGE_COVERAGE],
                               "the map of pages would need too much memory");
        return;
    }
    for (uint32_t i = 0; i < mig_decoder_block_count(check->main); i++) {
        const MigRecordRamBlock *b = mig_decoder_block(check->main, i);
        uint64_t pages = b->used_length / facts->page_size;
        uint64_t clear = mig_page_map_first_clear(s->sent, i, pages);
        if (clear < pages) {
            mig_check_find(check, &rules[PAGE_COVERAGE], end, "every page of every block",
                           "page %" G_GUINT64_FORMAT " of block %.*s was never sent", clear,
                           (int)b->name.len, b->name.text);
        }
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    Sync *s = state;
    const MigFacts *facts = &check->facts;

    for (unsigned i = 0; i < RULE_COUNT && !facts->multifd; i++) {
        mig_check_not_applicable(check, &rules[i], "no recording of a multifd channel");
    }
    if (!facts->multifd) {
        return;
    }
    prepare(s);
    if (facts->machine_version >= MIG_VERSION_OF(8, 1) && facts->flushes == 0) {
        mig_check_find(check, &rules[FLUSH_PRESENT], end, "MULTIFD_FLUSH in RAM bodies", "none");
    }
    if (!facts->flushes) {
        mig_check_not_applicable(check, &rules[NUMBER_RISES], "sources until 8.0 repeat numbers");
    }
    for (guint i = 0; i < s->channels->len && !facts->broken; i++) {
        const Channel *ch = &g_array_index(s->channels, Channel, i);
        if (ch->used) {
            check_syncs(check, ch, i, facts->flushes ? facts->flushes : facts->eos);
        }
    }
    check_coverage(check, s, end);
}

static void clear(void *state)
{
    Sync *s = state;
    g_clear_pointer(&s->channels, g_array_unref);
    g_clear_pointer(&s->rounds, g_ptr_array_unref);
    g_clear_pointer(&s->sent, mig_page_map_free);
    g_clear_pointer(&s->edges, mig_page_map_free);
}

const MigRuleGroup mig_rules_multifd_sync = {
    .layer = "multifd",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .state_size = sizeof(Sync),
    .channels = MIG_ON(MAIN) | MIG_ON(MULTIFD),
    .wanted =
        MIG_WANT(MULTIFD_INIT) | MIG_WANT(MULTIFD_PACKET) | MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO),
    .record = record,
    .finish = finish,
    .clear = clear,
};
