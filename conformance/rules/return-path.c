/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return path: what a destination says, and whether it fits what the source said. What is
 * missing is judged at the end; where the line broke, only of what came behind the break.
 */
#include <string.h>

#include "conformance/check.h"
#include "conformance/page-map.h"

enum {
    MESSAGE_TYPE,
    MESSAGE_LENGTH,
    BITMAP_VALID,
    BITMAP_SIZE,
    BITMAP_BLOCK,
    PONG_ASKED,
    PONG_PRESENT,
    REQUEST_NAMED,
    REQUEST_BLOCK,
    REQUEST_BOUNDED,
    REQUEST_ALIGNED,
    REQUEST_ANSWERED,
    SHUT_LAST,
    SHUT_PRESENT,
    RESUME_ACK,
    RULE_COUNT
};

static const MigRule rules[RULE_COUNT] = {
    [MESSAGE_TYPE] = {
        .id = "RETURN-MESSAGE-TYPE",
        .title = "a message is one of 1 to 7",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; source_return_path_thread()",
        .since = "2.5",
        .why = "the source fails, or pauses in postcopy",
        .killed_by = "return-type",
    },
    [MESSAGE_LENGTH] = {
        .id = "RETURN-MESSAGE-LENGTH",
        .title = "a message has the length of its kind",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; source_return_path_thread()",
        .since = "2.5",
        .why = "the source fails, or pauses in postcopy",
        .killed_by = "return-length",
    },
    [BITMAP_VALID] = {
        .id = "RETURN-BITMAP-VALID",
        .title = "a received bitmap is whole words and followed by its end mark",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; ram_dirty_bitmap_reload()",
        .since = "2.12",
        .why = "the recovery fails",
        .killed_by = "return-bitmap-mark return-bitmap-odd",
    },
    [BITMAP_SIZE] = {
        .id = "RETURN-BITMAP-SIZE",
        .title = "a received bitmap has one bit for each page of its block, in words of "
                 "64",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; ram_dirty_bitmap_reload()",
        .since = "2.12",
        .why = "the recovery fails",
        .killed_by = "return-bitmap-size",
    },
    [BITMAP_BLOCK] = {
        .id = "RETURN-BITMAP-BLOCK",
        .title = "a received bitmap is of a block that the source asked for",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; migrate_handle_rp_recv_bitmap()",
        .since = "2.12",
        .why = "the recovery fails",
        .killed_by = "return-bitmap-block",
    },
    [PONG_ASKED] = {
        .id = "RETURN-PONG-ASKED",
        .title = "a PONG has the value of a PING that was sent",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "6 Return path; migrate_send_rp_pong()",
        .since = "2.5",
        .why = "sources only wait for values that they sent",
        .killed_by = "return-pong-value",
    },
    [PONG_PRESENT] = {
        .id = "RETURN-PONG-PRESENT",
        .title = "every PING is answered",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_VARIES,
        .source = "2.1 Table; loadvm_process_command()",
        .since = "2.5",
        .why = "sources from 8.0 wait for some of them",
        .killed_by = "return-pong-dropped",
    },
    [REQUEST_NAMED] = {
        .id = "RETURN-REQUEST-NAMED",
        .title = "the first page request of a connection names its block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; migrate_handle_rp_req_pages()",
        .since = "2.5",
        .why = "there is no block before",
        .killed_by = "return-request-unnamed",
    },
    [REQUEST_BLOCK] = {
        .id = "RETURN-REQUEST-BLOCK",
        .title = "a page request names a block of the list",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; ram_save_queue_pages()",
        .since = "2.5",
        .why = "the source fails, or pauses",
        .killed_by = "return-request-block",
    },
    [REQUEST_BOUNDED] = {
        .id = "RETURN-REQUEST-BOUNDED",
        .title = "a page request lies inside its block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; ram_save_queue_pages()",
        .since = "2.5",
        .why = "the source fails, or pauses",
        .killed_by = "return-request-end",
    },
    [REQUEST_ALIGNED] = {
        .id = "RETURN-REQUEST-ALIGNED",
        .title = "a page request is whole pages of its block",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; migrate_handle_rp_req_pages()",
        .since = "2.5",
        .why = "the source fails, or pauses",
        .killed_by = "return-request-odd return-request-empty",
    },
    [REQUEST_ANSWERED] = {
        .id = "RETURN-REQUEST-ANSWERED",
        .title = "every page that was asked for is sent",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_CANNOT_SEE,
        .source = "7.4 Requests; ram_save_host_page()",
        .since = "2.5",
        .why = "the guest waits for it for ever",
        .killed_by = "return-request-unanswered",
    },
    [SHUT_LAST] = {
        .id = "RETURN-SHUT-LAST",
        .title = "nothing but COLO follows SHUT",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_WRITER,
        .reaction = MIG_REACTION_SILENT,
        .source = "6 Return path; migrate_send_rp_shut()",
        .since = "2.5",
        .why = "the source has stopped reading",
        .killed_by = "return-shut-early",
    },
    [SHUT_PRESENT] = {
        .id = "RETURN-SHUT-PRESENT",
        .title = "a load that ended well is confirmed by SHUT 0",
        .level = MIG_LEVEL_SHOULD,
        .authority = MIG_AUTHORITY_OBSERVED,
        .reaction = MIG_REACTION_VARIES,
        .source = "6 Return path; process_incoming_migration_bh()",
        .since = "2.5",
        .why = "the source waits for it, or takes the end of the connection for it",
        .killed_by = "return-shut-dropped return-shut-1",
    },
    [RESUME_ACK] = {
        .id = "RETURN-RESUME-ACK",
        .title = "RESUME is acknowledged once, with 1",
        .level = MIG_LEVEL_MUST,
        .authority = MIG_AUTHORITY_LOADER,
        .reaction = MIG_REACTION_REJECTS,
        .source = "6 Return path; migrate_handle_rp_resume_ack()",
        .since = "2.12",
        .why = "the recovery fails",
        .killed_by = "return-resume-ack return-resume-dropped",
    },
};

static const MigFaultRule faults[] = {
    { MIG_FAULT_RP_TYPE, MESSAGE_TYPE },
    { MIG_FAULT_RP_LENGTH, MESSAGE_LENGTH },
    { MIG_FAULT_RP_BITMAP, BITMAP_VALID },
};

#define REQUESTS 65536u /* that are remembered until they are answered */
#define PINGS    64u    /* values that are remembered */

typedef struct Request {
    uint32_t block;
    unsigned channel;
    uint64_t start, length, at; /* at: of the message */
} Request;

typedef struct Ping {
    uint32_t value, sent, answered;
} Ping;

typedef struct ReturnPath {
    Ping pings[PINGS];
    unsigned ping_count;
    GArray *requests;    /* Request */
    GHashTable *asked;   /* names of RECV_BITMAP commands */
    MigPageMap *sent;    /* pages over any channel, in advised migrations */
    uint32_t block;      /* of the last request, UINT32_MAX: none */
    unsigned generation; /* that the block is of */
    bool requests_lost;
    bool shut, shut_said;
    uint32_t shut_value;
    uint64_t shut_at;
    unsigned shut_channel;
    uint32_t resumes, resume_acks;
} ReturnPath;

static void prepare(ReturnPath *s)
{
    if (!s->requests) {
        s->requests = g_array_new(FALSE, FALSE, sizeof(Request));
        s->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        s->sent = mig_page_map_new();
        s->block = UINT32_MAX;
    }
}

/* ---- what the source says ---- */

static Ping *ping_of(ReturnPath *s, uint32_t value)
{
    for (unsigned i = 0; i < s->ping_count; i++) {
        if (s->pings[i].value == value) {
            return &s->pings[i];
        }
    }
    if (s->ping_count == PINGS) {
        return NULL;
    }
    s->pings[s->ping_count] = (Ping){ .value = value };
    return &s->pings[s->ping_count++];
}

static void on_command(ReturnPath *s, const MigRecordCommand *c)
{
    Ping *ping;

    if (c->number == MIG_CMD_PING && (ping = ping_of(s, c->ping))) {
        ping->sent++;
    } else if (c->number == MIG_CMD_RECV_BITMAP && g_hash_table_size(s->asked) < REQUESTS) {
        g_hash_table_add(s->asked, g_strndup(c->bitmap_name.text, c->bitmap_name.len));
    } else if (c->number == MIG_CMD_POSTCOPY_RESUME) {
        s->resumes++;
    }
}

static void on_packet(MigCheck *check, ReturnPath *s, const MigRecordMultifd *m)
{
    uint32_t n = m->normal_pages + m->zero_pages;
    uint32_t block = n ? mig_check_packet_block(check, m) : UINT32_MAX;

    for (uint32_t i = 0; i < n && block != UINT32_MAX; i++) {
        mig_page_map_set(s->sent, block, m->offsets[i] / check->facts.page_size);
    }
}

/* ---- what the destination says ---- */

static uint64_t block_page_size(const MigCheck *check, const MigRecordRamBlock *b)
{
    return b->has_page_size && b->page_size ? b->page_size : check->facts.page_size;
}

static void remember(MigCheck *check, ReturnPath *s, const MigRecord *r)
{
    Request q = { .block = s->block,
                  .channel = check->channel,
                  .start = r->rp.request.start,
                  .length = r->rp.request.length,
                  .at = r->offset };
    if (s->requests->len < REQUESTS) {
        g_array_append_val(s->requests, q);
    } else {
        s->requests_lost = true;
    }
}

static void check_request(MigCheck *check, ReturnPath *s, const MigRecord *r)
{
    const MigRecordRamBlock *b = mig_decoder_block(check->main, s->block);
    uint64_t start = r->rp.request.start, length = r->rp.request.length;
    uint64_t page = block_page_size(check, b);

    if (length == 0 || length % page || start % page) {
        mig_check_find(check, &rules[REQUEST_ALIGNED], r->offset + 4, "whole pages of the block",
                       "0x%" G_GINT64_MODIFIER "x + 0x%" G_GINT64_MODIFIER "x", start, length);
    } else if (start >= b->used_length || length > b->used_length - start) {
        mig_check_find(check, &rules[REQUEST_BOUNDED], r->offset + 4, "pages inside the block",
                       "0x%" G_GINT64_MODIFIER "x + 0x%" G_GINT64_MODIFIER "x", start, length);
    } else {
        remember(check, s, r);
    }
}

static void on_request(MigCheck *check, ReturnPath *s, const MigRecord *r)
{
    unsigned generation = mig_recording_channel_generation(check->recording, check->channel);

    if (generation != s->generation) { /* a new connection remembers no block */
        s->generation = generation;
        s->block = UINT32_MAX;
    }
    if (r->rp.type == MIG_RP_REQ_PAGES_ID) {
        s->block = mig_check_block(check, r->rp.request.name);
        if (s->block == UINT32_MAX) {
            mig_check_find(check, &rules[REQUEST_BLOCK], r->offset + 16, "a block of the list",
                           "\"%.*s\"", (int)r->rp.request.name.len, r->rp.request.name.text);
        }
    } else if (s->block == UINT32_MAX) {
        mig_check_find(check, &rules[REQUEST_NAMED], r->offset, "req-pages-id first", "req-pages");
    }
    if (s->block != UINT32_MAX) {
        check_request(check, s, r);
    }
}

static void on_bitmap(MigCheck *check, ReturnPath *s, const MigRecord *r)
{
    MigStr name = r->rp.bitmap.name;
    uint32_t block = mig_check_block(check, name);
    g_autofree char *text = g_strndup(name.text, name.len);

    if (block == UINT32_MAX || !g_hash_table_contains(s->asked, text)) {
        mig_check_find(check, &rules[BITMAP_BLOCK], r->offset + 4,
                       "a block that RECV_BITMAP asked for", "\"%s\"", text);
        return;
    }
    uint64_t page = check->facts.page_size;
    uint64_t pages = (mig_decoder_block(check->main, block)->used_length + page - 1) / page;
    if (r->rp.bitmap.size != (pages + 63) / 64 * 8) {
        mig_check_find(check, &rules[BITMAP_SIZE], r->offset + r->wire - 8,
                       "a bit for each page, in words of 64",
                       "%" G_GUINT64_FORMAT " bytes for %" G_GUINT64_FORMAT " pages",
                       r->rp.bitmap.size, pages);
    }
}

static void on_message(MigCheck *check, ReturnPath *s, const MigRecord *r)
{
    Ping *ping;

    if (s->shut && s->shut_channel == check->channel && !s->shut_said) {
        s->shut_said = true;
        mig_check_find(check, &rules[SHUT_LAST], r->offset, "nothing behind SHUT", "%s",
                       mig_rp_name(r->rp.type));
    }
    switch (r->rp.type) {
    case MIG_RP_SHUT:
        s->shut = true;
        s->shut_value = r->rp.value;
        s->shut_at = r->offset;
        s->shut_channel = check->channel;
        break;
    case MIG_RP_PONG:
        ping = ping_of(s, r->rp.value);
        if (ping && ping->answered++ >= ping->sent) {
            mig_check_find(check, &rules[PONG_ASKED], r->offset + 4, "the value of a PING", "%u",
                           r->rp.value);
        }
        break;
    case MIG_RP_REQ_PAGES_ID:
    case MIG_RP_REQ_PAGES:
        on_request(check, s, r);
        break;
    case MIG_RP_RECV_BITMAP:
        on_bitmap(check, s, r);
        break;
    case MIG_RP_RESUME_ACK:
        if (s->resume_acks++ >= s->resumes || r->rp.value != 1) {
            mig_check_find(check, &rules[RESUME_ACK], r->offset + 4, "1, once for each RESUME",
                           "%u", r->rp.value);
        }
        break;
    default:
        break;
    }
}

static void record(MigCheck *check, void *state, const MigRecord *r)
{
    ReturnPath *s = state;

    if (!check->several) {
        return; /* nothing answers a main channel that was recorded alone */
    }
    prepare(s);
    switch (r->type) {
    case MIG_REC_COMMAND:
        on_command(s, &r->command);
        break;
    case MIG_REC_RP:
        on_message(check, s, r);
        break;
    case MIG_REC_MULTIFD_PACKET:
        on_packet(check, s, &r->multifd);
        break;
    default:
        if (check->facts.advised) {
            mig_page_map_set(s->sent, r->ram.block, r->ram.offset / check->facts.page_size);
        }
        break;
    }
}

/* ---- what was never said ---- */

static unsigned last_return(const MigCheck *check)
{
    unsigned last = UINT_MAX;
    for (unsigned i = 0; i < mig_recording_channel_count(check->recording); i++) {
        if (mig_recording_channel_kind(check->recording, i) == MIG_CHANNEL_RETURN_PATH &&
            mig_recording_decoder(check->recording, i)) {
            last = i;
        }
    }
    return last;
}

/* Answers that the broken line swallowed are nobody's fault. */
static void check_pongs(MigCheck *check, ReturnPath *s, unsigned channel, uint64_t end)
{
    for (unsigned i = 0; i < s->ping_count && !check->facts.broken; i++) {
        if (s->pings[i].answered < s->pings[i].sent) {
            mig_check_find_in(check, &rules[PONG_PRESENT], channel, end, "a PONG for each PING",
                              "none for %u", s->pings[i].value);
        }
    }
}

static bool answered(const MigCheck *check, const ReturnPath *s, const Request *q)
{
    uint64_t page = check->facts.page_size;
    for (uint64_t at = q->start; at < q->start + q->length; at += page) {
        if (!mig_page_map_is_set(s->sent, q->block, at / page)) {
            return false;
        }
    }
    return true;
}

static void check_requests(MigCheck *check, ReturnPath *s)
{
    for (guint i = 0; i < s->requests->len && !mig_page_map_overflowed(s->sent); i++) {
        const Request *q = &g_array_index(s->requests, Request, i);
        if (!answered(check, s, q)) {
            mig_check_find_in(check, &rules[REQUEST_ANSWERED], q->channel, q->at,
                              "the page on some channel", "0x%" G_GINT64_MODIFIER "x never sent",
                              q->start);
        }
    }
    if (s->requests_lost || mig_page_map_overflowed(s->sent)) {
        mig_check_inconclusive(check, &rules[REQUEST_ANSWERED], "more than can be remembered");
    }
}

static void check_shut(MigCheck *check, ReturnPath *s, unsigned channel, uint64_t end)
{
    if (!s->shut || s->shut_channel != channel) {
        mig_check_find_in(check, &rules[SHUT_PRESENT], channel, end, "SHUT 0 at the end", "none");
    } else if (s->shut_value != 0) {
        mig_check_find_in(check, &rules[SHUT_PRESENT], channel, s->shut_at + 4, "SHUT 0",
                          "SHUT %u, although the stream went on to its end", s->shut_value);
    }
}

static void finish(MigCheck *check, void *state, uint64_t end)
{
    ReturnPath *s = state;
    unsigned channel = check->several ? last_return(check) : UINT_MAX;

    for (unsigned i = 0; i < RULE_COUNT && channel == UINT_MAX; i++) {
        mig_check_not_applicable(check, &rules[i], "no recording of a return path");
    }
    if (channel == UINT_MAX) {
        return;
    }
    prepare(s);
    uint64_t last = mig_decoder_offset(mig_recording_decoder(check->recording, channel));
    if (!check->facts.opened) {
        return; /* nobody was to answer */
    }
    check_pongs(check, s, channel, last);
    check_requests(check, s);
    if (!check->facts.colo) {
        check_shut(check, s, channel, last);
    }
    if (s->resume_acks < s->resumes) {
        mig_check_find_in(check, &rules[RESUME_ACK], channel, last, "1, once for each RESUME",
                          "%u of %u", s->resume_acks, s->resumes);
    }
}

static void clear(void *state)
{
    ReturnPath *s = state;
    g_clear_pointer(&s->requests, g_array_unref);
    g_clear_pointer(&s->asked, g_hash_table_unref);
    g_clear_pointer(&s->sent, mig_page_map_free);
}

const MigRuleGroup mig_rules_return_path = {
    .layer = "return-path",
    .rules = rules,
    .rule_count = RULE_COUNT,
    .faults = faults,
    .fault_count = G_N_ELEMENTS(faults),
    .state_size = sizeof(ReturnPath),
    .channels =
        MIG_ON(MAIN) | MIG_ON(RECOVERY) | MIG_ON(PREEMPT) | MIG_ON(MULTIFD) | MIG_ON(RETURN_PATH),
    .wanted = MIG_WANT(COMMAND) | MIG_WANT(RP) | MIG_WANT(RAM_PAGE) | MIG_WANT(RAM_ZERO) |
              MIG_WANT(RAM_XBZRLE) | MIG_WANT(RAM_COMPRESS) | MIG_WANT(MULTIFD_PACKET),
    .record = record,
    .finish = finish,
    .clear = clear,
};
