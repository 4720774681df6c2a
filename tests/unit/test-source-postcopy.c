/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's postcopy by itself: which commands it takes when, what it lets a destination say,
 * which host pages it discards in the eras of the unsent map; and block times.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/blocktime.h"
#include "sim/engine/source-postcopy.h"
#include "sim/guest/guest.h"

#define PAGE 4096u

/* A guest of two blocks, and a source that is driven until its package is out. */
typedef struct Bench {
    MigGuest *guest;
    MigSource *source;
    MigOutcome outcome;
    GString *discards; /* "BLOCK FIRST+COUNT ", in pages */
    unsigned stop;     /* pages that are sent before postcopy starts */
    unsigned sent;
    bool packaged;
} Bench;

static void bench_init(Bench *b, MigVersion version, MigCapabilitySet capabilities)
{
    MigGuestBlock blocks[] = {
        { .memory = { .name = "ram",
                      .used_length = 8 << 20,
                      .max_length = 8 << 20,
                      .host_page = 2 << 20 } },
        { .memory = { .name = "rom",
                      .used_length = 64 << 10,
                      .max_length = 64 << 10,
                      .host_page = PAGE } },
    };
    MigGuestConfig guest = { .blocks = blocks, .block_count = G_N_ELEMENTS(blocks) };
    MigSourceConfig config = { .machine = "none", .guest_running = true };
    *b = (Bench){ .guest = mig_guest_new(&guest), .discards = g_string_new(NULL) };
    g_assert_cmpint(mig_era_resolve(version, NULL, &config.era), ==, MIG_ERA_OK);
    config.memory = mig_guest_memory(b->guest);
    config.capabilities = capabilities;
    config.parameters = mig_parameters_default(&config.era);
    config.parameters.max_bandwidth = 0;
    b->source = mig_source_new(&config);
}

static void bench_clear(Bench *b)
{
    mig_source_free(b->source);
    mig_guest_free(b->guest);
    g_string_free(b->discards, TRUE);
}

/* The clock stops a PART of RAM behind |stop| pages: it moves on by 51 ms there. */
static void take_pages(Bench *b, const MigOp *op)
{
    for (uint64_t left = op->pages.dirty; left; left &= left - 1) {
        b->outcome.sent |= left & -left;
        b->sent++;
    }
    b->outcome.zero = b->outcome.sent;
    if (b->sent >= b->stop) {
        b->outcome.now += 51000000;
        g_assert_null(mig_source_start_postcopy(b->source));
    }
}

static void note_command(Bench *b, const MigRecordCommand *c)
{
    b->packaged |= c->number == MIG_CMD_PACKAGED;
    for (uint32_t i = 0; c->number == MIG_CMD_POSTCOPY_RAM_DISCARD && i < c->discard.count; i++) {
        g_string_append_printf(b->discards, "%s %d+%d ", c->discard.name.text,
                               (int)(c->discard.ranges[i].start / PAGE),
                               (int)(c->discard.ranges[i].length / PAGE));
    }
}

static void run_to_package(Bench *b)
{
    while (!b->packaged) {
        const MigOp *op = mig_source_next(b->source, &b->outcome);
        b->outcome = (MigOutcome){ .now = b->outcome.now };
        g_assert_cmpint(op->kind, !=, MIG_OP_DONE);
        if (op->kind == MIG_OP_SEND_PAGES) {
            take_pages(b, op);
        } else if (op->kind == MIG_OP_SEND && op->send.record->type == MIG_REC_COMMAND) {
            note_command(b, &op->send.record->command);
        }
    }
}

/* 700 of 2048 pages were sent when the guest stopped: half of the second host page. */
static void test_chunks(void)
{
    static const struct {
        MigVersion version;
        const char *discards;
    } rows[] = {
        /* What was made whole is discarded by its pass; the runs follow. */
        { MIG_VERSION_OF(2, 5), "ram 512+512 ram 512+1536 rom 0+16 " },
        { MIG_VERSION_OF(4, 1), "ram 512+512 ram 512+1536 rom 0+16 " },
        { MIG_VERSION_OF(4, 2), "ram 512+1536 rom 0+16 " },
        { MIG_VERSION_OF(11, 1), "ram 512+1536 rom 0+16 " },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Bench b;
        bench_init(&b, rows[i].version, MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM));
        b.stop = 700;
        run_to_package(&b);
        g_assert_cmpstr(b.discards->str, ==, rows[i].discards);
        bench_clear(&b);
    }
}

/* Commands --------------------------------------------------------------------------------- */

static void refused(char *why, const char *expected)
{
    g_assert_nonnull(why);
    g_assert_nonnull(strstr(why, expected));
    g_free(why);
}

static void test_commands(void)
{
    Bench none, some;
    bench_init(&none, MIG_VERSION_OF(10, 0), 0);
    bench_init(&some, MIG_VERSION_OF(10, 0), MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM));
    refused(mig_source_start_postcopy(none.source), "turn the capability postcopy-ram on");
    refused(mig_source_start_postcopy(some.source), "before a migration");
    refused(mig_source_pause(some.source), "status is none");
    refused(mig_source_recover(some.source), "no paused migration");
    mig_source_next(some.source, &some.outcome); /* setup */
    g_assert_null(mig_source_start_postcopy(some.source));
    g_assert_null(mig_source_start_postcopy(some.source));
    bench_clear(&none);
    bench_clear(&some);
}

/* Messages --------------------------------------------------------------------------------- */

static MigMessageEffect say(const Bench *b, uint16_t type, const char *name, uint64_t start,
                            uint32_t length)
{
    MigRecord r = { .type = MIG_REC_RP };
    r.rp.type = type;
    r.rp.request.start = start;
    r.rp.request.length = length;
    r.rp.request.name = name ? mig_str(name) : (MigStr){ 0 };
    return mig_source_message(b->source, &r, NULL);
}

static void test_messages(void)
{
    static const struct {
        uint16_t type;
        const char *name;
        uint64_t start;
        uint32_t length;
        MigMessageEffect effect;
    } rows[] = {
        { MIG_RP_REQ_PAGES, NULL, 0, PAGE, MIG_MESSAGE_BAD }, /* of which block? */
        { MIG_RP_REQ_PAGES_ID, "rom", 0, PAGE, MIG_MESSAGE_URGENT },
        { MIG_RP_REQ_PAGES, NULL, PAGE, PAGE, MIG_MESSAGE_URGENT },
        { MIG_RP_REQ_PAGES, NULL, 64 << 10, PAGE, MIG_MESSAGE_BAD }, /* behind its end */
        { MIG_RP_REQ_PAGES, NULL, 60 << 10, 2 * PAGE, MIG_MESSAGE_BAD },
        { MIG_RP_REQ_PAGES, NULL, 1, PAGE, MIG_MESSAGE_BAD },
        { MIG_RP_REQ_PAGES, NULL, 0, 0, MIG_MESSAGE_BAD },
        { MIG_RP_REQ_PAGES_ID, "ram", 0, PAGE, MIG_MESSAGE_BAD }, /* a part of a host page */
        { MIG_RP_REQ_PAGES_ID, "ram", 2 << 20, 2 << 20, MIG_MESSAGE_URGENT },
        { MIG_RP_REQ_PAGES_ID, "other", 0, PAGE, MIG_MESSAGE_BAD },
        { MIG_RP_RECV_BITMAP, "ram", 0, 0, MIG_MESSAGE_BAD }, /* outside a recovery */
        { MIG_RP_RESUME_ACK, NULL, 0, 0, MIG_MESSAGE_BAD },
        { 0, NULL, 0, 0, MIG_MESSAGE_BAD },
        { 99, NULL, 0, 0, MIG_MESSAGE_BAD },
    };
    Bench b;
    bench_init(&b, MIG_VERSION_OF(10, 0), MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM));
    g_assert_cmpint(say(&b, MIG_RP_REQ_PAGES_ID, "rom", 0, PAGE), ==, MIG_MESSAGE_BAD);
    run_to_package(&b);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("row %d", (int)i);
        g_assert_cmpint(say(&b, rows[i].type, rows[i].name, rows[i].start, rows[i].length), ==,
                        rows[i].effect);
    }
    g_assert_cmpuint(mig_source_postcopy(b.source)->requests, ==, 3);
    bench_clear(&b);
}

/* Block times ------------------------------------------------------------------------------ */

static void test_blocktime(void)
{
    MigBlocktimes *b = mig_blocktimes_new(2);
    mig_blocktimes_begin(b, 0, 5, 0, 1000000);
    mig_blocktimes_begin(b, 0, 9, 1, 3000000); /* now both wait */
    mig_blocktimes_begin(b, 1, 5, UINT32_MAX, 3000000);
    g_assert_cmpuint(mig_blocktimes_end(b, 1, 0, 8, 3500000), ==, 1);
    g_assert_cmpint(mig_blocktimes(b)->total, ==, 0);
    g_assert_cmpuint(mig_blocktimes_end(b, 0, 4, 4, 4000000), ==, 1);
    g_assert_cmpint(mig_blocktimes(b)->total, ==, 1000000);
    g_assert_cmpuint(mig_blocktimes_end(b, 0, 9, 1, 9000000), ==, 1);
    g_assert_cmpuint(mig_blocktimes_end(b, 0, 9, 1, 9000000), ==, 0);
    const MigBlocktime *r = mig_blocktimes(b);
    g_assert_cmpint(r->total, ==, 1000000);
    g_assert_cmpint(r->vcpu[0], ==, 3000000);
    g_assert_cmpint(r->vcpu[1], ==, 6000000);
    g_assert_cmpuint(r->latency_sum, ==, 9500000);
    g_assert_cmpuint(r->other_latency_sum, ==, 500000);
    g_assert_cmpuint(r->latencies_count, ==, 3);
    mig_blocktimes_free(b);
}

static void test_buckets(void)
{
    static const struct {
        int64_t ns;
        uint32_t bucket;
    } rows[] = { { 0, 0 },           { 999, 0 },        { 1999, 0 },
                 { 2000, 1 },        { 4095999, 11 },   { 4096000, 12 },
                 { 8388608000, 23 }, { INT64_MAX, 23 }, { 1000000000, 19 } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpuint(mig_latency_bucket(rows[i].ns), ==, rows[i].bucket);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/postcopy/chunks", test_chunks);
    g_test_add_func("/source/postcopy/commands", test_commands);
    g_test_add_func("/source/postcopy/messages", test_messages);
    g_test_add_func("/blocktime/waits", test_blocktime);
    g_test_add_func("/blocktime/buckets", test_buckets);
    return g_test_run();
}
