/* SPDX-License-Identifier: Apache-2.0 */
/* The rows. Their names stand in the rules' killed_by; test-damage.c compares both ways. */
#include "tests/unit/damage-channels.h"

#include <string.h>

#include "stream/bytes.h"

#define F10 "multifd-none-2-10.0"
#define F7  "multifd-none-2-7.2"
#define D10 "multifd-dirty-10.0"
#define P10 "postcopy-10.0"
#define R10 "postcopy-recovery-10.0"

#define PACKET MIG_REC_MULTIFD_PACKET
#define INIT   MIG_REC_MULTIFD_INIT
#define RP     MIG_REC_RP

/* The command |number| of a channel: the nth. */
static const MigRecord *command(const MigTestRecording *t, const char *channel, uint16_t number,
                                int nth)
{
    for (int i = 0;; i++) {
        const MigRecord *r = mig_test_recording_find(t, channel, MIG_REC_COMMAND, i);
        if (r->command.number == number && nth-- == 0) {
            return r;
        }
    }
}

static const MigRecord *message(const MigTestRecording *t, const char *channel, uint16_t type,
                                int nth)
{
    for (int i = 0;; i++) {
        const MigRecord *r = mig_test_recording_find(t, channel, RP, i);
        if (r->rp.type == type && nth-- == 0) {
            return r;
        }
    }
}

static void replace_command(MigTestRecording *t, const char *channel, uint16_t number, int delta,
                            unsigned cut, const char *hex, uint64_t *expected)
{
    const MigRecord *r = command(t, channel, number, 0);
    *expected = r->offset + (uint64_t)delta;
    mig_test_recording_replace(t, channel, *expected, cut, hex);
}

static void replace_message(MigTestRecording *t, const char *channel, uint16_t type, int delta,
                            int cut, const char *hex, uint64_t *expected)
{
    const MigRecord *r = message(t, channel, type, 0);
    *expected = r->offset + (uint64_t)delta;
    mig_test_recording_replace(t, channel, *expected, cut < 0 ? r->wire : (unsigned)cut, hex);
}

/* ---- multifd ---- */

static void multifd_id_twice(MigTestRecording *t, uint64_t *expected)
{
    const GByteArray *a = mig_test_recording_bytes(t, "multifd0");
    GByteArray *b = mig_test_recording_bytes(t, "multifd1");
    b->data[24] = a->data[24];
    *expected = 24;
}

/* The first page of the round's second packet becomes that of its first. */
static void multifd_page_twice(MigTestRecording *t, uint64_t *expected)
{
    for (int i = 1;; i++) {
        const MigRecord *r = mig_test_recording_find(t, "multifd0", PACKET, i);
        if (r->multifd.normal_pages + r->multifd.zero_pages > 1) {
            GByteArray *b = mig_test_recording_bytes(t, "multifd0");
            *expected = r->offset + 328;
            memcpy(b->data + *expected, b->data + r->offset + 320, 8);
            return;
        }
    }
}

/* ---- return path ---- */

#define MESSAGE(name, channel, type, delta, cut, hex)                 \
    static void name(MigTestRecording *t, uint64_t *expected)         \
    {                                                                 \
        replace_message(t, channel, type, delta, cut, hex, expected); \
    }
#define COMMAND(name, channel, number, delta, cut, hex)                 \
    static void name(MigTestRecording *t, uint64_t *expected)           \
    {                                                                   \
        replace_command(t, channel, number, delta, cut, hex, expected); \
    }

MESSAGE(pong_value, "return", MIG_RP_PONG, 4, 4, "00000063")
MESSAGE(request_end, "return", MIG_RP_REQ_PAGES_ID, 4, 8, "0000000fffff0000")
MESSAGE(request_odd, "return", MIG_RP_REQ_PAGES_ID, 4, 8, "0000000000000001")
MESSAGE(request_empty, "return", MIG_RP_REQ_PAGES_ID, 4, 12, "000000000000100000000000")
MESSAGE(shut_1, "return", MIG_RP_SHUT, 4, 4, "00000001")
MESSAGE(shut_early, "return", MIG_RP_SHUT, 8, 0, "0002000400000001")
MESSAGE(resume_ack, "return.2", MIG_RP_RESUME_ACK, 4, 4, "00000002")

static void pong_dropped(MigTestRecording *t, uint64_t *expected)
{
    replace_message(t, "return", MIG_RP_PONG, 0, -1, "", expected);
    *expected = mig_test_recording_bytes(t, "return")->len;
}

static void shut_dropped(MigTestRecording *t, uint64_t *expected)
{
    replace_message(t, "return", MIG_RP_SHUT, 0, -1, "", expected);
    *expected = mig_test_recording_bytes(t, "return")->len;
}

static void resume_dropped(MigTestRecording *t, uint64_t *expected)
{
    replace_message(t, "return.2", MIG_RP_RESUME_ACK, 0, -1, "", expected);
    *expected = mig_test_recording_bytes(t, "return.2")->len;
}

/* The name of the first request is left out, and its message made the other kind. */
static void request_unnamed(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = message(t, "return", MIG_RP_REQ_PAGES_ID, 0);
    *expected = r->offset;
    mig_test_recording_replace(t, "return", r->offset + 16, r->wire - 16, "");
    mig_test_recording_replace(t, "return", r->offset, 4, "0004000c");
}

static void request_block(MigTestRecording *t, uint64_t *expected)
{
    replace_message(t, "return", MIG_RP_REQ_PAGES_ID, 17, 1, "78", expected);
    *expected -= 1;
}

/* A page at the very end of RAM that was neither discarded nor sent afterwards is sent once only;
   a request for a page whose every record is left out is never answered. */
static void request_unanswered(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = message(t, "return", MIG_RP_REQ_PAGES_ID, 0);
    *expected = r->offset;
    uint8_t page[8];
    memcpy(page, mig_test_recording_bytes(t, "return")->data + r->offset + 4, 8);
    for (guint i = 0; i < t->records->len; i++) {
        const MigTestRecord *record = &g_array_index(t->records, MigTestRecord, i);
        if ((record->r.type == MIG_REC_RAM_PAGE || record->r.type == MIG_REC_RAM_ZERO) &&
            record->r.ram.offset == mig_load_be64(page)) {
            GByteArray *bytes = mig_test_recording_bytes(t, record->channel);
            bytes->data[record->r.offset + 6] ^= 0x10; /* another page instead */
        }
    }
}

/* ---- bitmaps ---- */

static void bitmap_mark(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = message(t, "return.2", MIG_RP_RECV_BITMAP, 0);
    *expected = r->offset + r->wire + r->payload;
    mig_test_recording_replace(t, "return.2", *expected, 1, "ff");
}

static void bitmap_odd(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = message(t, "return.2", MIG_RP_RECV_BITMAP, 0);
    *expected = r->offset + r->wire - 8;
    mig_test_recording_replace(t, "return.2", *expected + 7, 1, "01");
}

/* Eight more bytes, announced. */
static void bitmap_size(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = message(t, "return.2", MIG_RP_RECV_BITMAP, 0);
    GByteArray *bytes = mig_test_recording_bytes(t, "return.2");
    *expected = r->offset + r->wire - 8;
    bytes->data[*expected + 7] = (uint8_t)(bytes->data[*expected + 7] + 8);
    mig_test_recording_replace(t, "return.2", r->offset + r->wire, 0, "0000000000000000");
}

static void bitmap_block(MigTestRecording *t, uint64_t *expected)
{
    replace_message(t, "return.2", MIG_RP_RECV_BITMAP, 5, 1, "78", expected);
    *expected -= 1;
}

static void bitmap_full(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = message(t, "return.2", MIG_RP_RECV_BITMAP, 0);
    memset(mig_test_recording_bytes(t, "return.2")->data + r->offset + r->wire, 0xff, r->payload);
    *expected = mig_test_recording_find(t, "main.2", MIG_REC_RAM_PAGE, 0)->offset;
}

COMMAND(bitmap_dropped, "main.2", MIG_CMD_RECV_BITMAP, 0, 8, "")

static void bitmap_not_asked(MigTestRecording *t, uint64_t *expected)
{
    bitmap_dropped(t, expected);
    *expected = command(t, "main.2", MIG_CMD_POSTCOPY_RESUME, 0)->offset - 8;
}

static void resume_not_sent(MigTestRecording *t, uint64_t *expected)
{
    replace_command(t, "main.2", MIG_CMD_POSTCOPY_RESUME, 0, 5, "", expected);
    *expected = mig_test_recording_find(t, "main.2", MIG_REC_SECTION, 0)->offset - 5;
}

/* ---- postcopy ---- */

COMMAND(discard_block, "main", MIG_CMD_POSTCOPY_RAM_DISCARD, 7, 1, "78")

static void discard_unknown(MigTestRecording *t, uint64_t *expected)
{
    discard_block(t, expected);
    *expected -= 1;
}

static uint64_t first_range(const MigTestRecording *t)
{
    const MigRecord *r = command(t, "main", MIG_CMD_POSTCOPY_RAM_DISCARD, 0);
    uint8_t name = mig_test_recording_bytes(t, "main")->data[r->offset + 6];
    return r->offset + 8 + name;
}

static void discard_end(MigTestRecording *t, uint64_t *expected)
{
    *expected = first_range(t);
    mig_test_recording_replace(t, "main", *expected, 8, "0000000fffff0000");
}

static void discard_odd(MigTestRecording *t, uint64_t *expected)
{
    *expected = first_range(t);
    mig_test_recording_bytes(t, "main")->data[*expected + 14] |= 1;
}

static void discard_empty(MigTestRecording *t, uint64_t *expected)
{
    *expected = first_range(t) + 8;
    mig_test_recording_replace(t, "main", *expected, 8, "0000000000000000");
}

/* Twelve more ranges that do nothing. */
static void discard_thirteen(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = command(t, "main", MIG_CMD_POSTCOPY_RAM_DISCARD, 0);
    GByteArray *bytes = mig_test_recording_bytes(t, "main");
    uint64_t at = first_range(t);
    char hex[12 * 32 + 1];

    for (int i = 0; i < 12; i++) {
        for (int j = 0; j < 16; j++) {
            g_snprintf(hex + i * 32 + j * 2, 3, "%02x", bytes->data[at + (uint64_t)j]);
        }
    }
    *expected = r->offset;
    mig_store_be16(bytes->data + r->offset + 3, (uint16_t)(r->command.length + 12 * 16));
    mig_test_recording_replace(t, "main", at, 0, hex);
}

/* LISTEN and RUN have no payload: each can become a PING's neighbour, or go. */
static void package_grow(MigTestRecording *t, int n)
{
    const MigRecord *r = command(t, "main", MIG_CMD_PACKAGED, 0);
    uint8_t *length = mig_test_recording_bytes(t, "main")->data + r->offset + 5;
    mig_store_be32(length, (uint32_t)((int)mig_load_be32(length) + n));
}

static void listen_late(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = command(t, "main", MIG_CMD_POSTCOPY_LISTEN, 0);
    package_grow(t, 9);
    *expected = r->offset;
    mig_test_recording_replace(t, "main", r->offset, 0, "080002000400000003");
}

static void run_dropped(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = command(t, "main", MIG_CMD_POSTCOPY_RUN, 0);
    *expected = r->offset;
    package_grow(t, -5);
    mig_test_recording_replace(t, "main", r->offset, 5, "");
}

static void behind_run(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = command(t, "main", MIG_CMD_POSTCOPY_RUN, 0);
    *expected = r->offset + 5 + 9;
    package_grow(t, 9);
    mig_test_recording_replace(t, "main", r->offset + 5, 0, "080002000400000003");
}

/* The nth page behind RUN on main. */
static const MigRecord *late_page(const MigTestRecording *t, int nth)
{
    uint64_t run = command(t, "main", MIG_CMD_POSTCOPY_RUN, 0)->offset;
    for (int i = 0;; i++) {
        const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_RAM_PAGE, i);
        if (r->offset > run && nth-- == 0) {
            return r;
        }
    }
}

static void late_flush(MigTestRecording *t, uint64_t *expected)
{
    *expected = late_page(t, 1)->offset;
    mig_test_recording_replace(t, "main", *expected, 0, "0000000000000200");
}

/* The name of the first page goes. */
static void late_continue(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = late_page(t, 0);
    *expected = r->offset;
    mig_test_recording_replace(t, "main", r->offset + 8, r->wire - 8, "");
    mig_test_recording_bytes(t, "main")->data[r->offset + 7] |= MIG_RAM_FLAG_CONTINUE;
}

/* A page takes the place of the one before it. */
static void page_again(MigTestRecording *t, uint64_t *expected)
{
    GByteArray *bytes = mig_test_recording_bytes(t, "main");
    const MigRecord *a = late_page(t, 1), *b = late_page(t, 2);
    memcpy(bytes->data + b->offset, bytes->data + a->offset, 7);
    *expected = b->offset;
}

static void page_left_out(MigTestRecording *t, uint64_t *expected)
{
    page_again(t, expected);
    *expected = mig_test_recording_bytes(t, "main")->len;
}

/* A page that was sent before and not discarded: page 0 of RAM is written once, in the beginning.
 */
static void page_kept(MigTestRecording *t, uint64_t *expected)
{
    GByteArray *bytes = mig_test_recording_bytes(t, "main");
    const MigRecord *r = late_page(t, 1);
    memset(bytes->data + r->offset, 0, 6);
    bytes->data[r->offset + 6] = 0;
    *expected = r->offset;
}

/* It shows where the next huge page, or nothing more, begins. */
static void hole_in_huge_page(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = late_page(t, 1);
    unsigned cut = (unsigned)(r->wire + r->payload);

    for (guint i = 0; i < t->records->len; i++) {
        const MigRecord *next = &g_array_index(t->records, MigTestRecord, i).r;
        bool page = next->type == MIG_REC_RAM_PAGE || next->type == MIG_REC_RAM_ZERO;
        if (next->offset > r->offset && next->type != MIG_REC_RP &&
            !(page && next->ram.offset >> 21 == r->ram.offset >> 21)) {
            *expected = next->offset - cut;
            break;
        }
    }
    mig_test_recording_replace(t, "main", r->offset, cut, "");
}

static void preempt_flush(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = mig_test_recording_find(t, "preempt", MIG_REC_RAM_PAGE, 1);
    *expected = r->offset;
    mig_test_recording_replace(t, "preempt", *expected, 0, "0000000000000200");
}

#define CUSTOM(name_, base_, rule_, channel_, custom_, also_)                                \
    {                                                                                        \
        .name = name_, .base = base_, .rule = rule_, .channel = channel_, .custom = custom_, \
        .also = also_                                                                        \
    }

const MigChannelDamage mig_channel_damages[] = {
    { "multifd-magic", F10, "MULTIFD-MAGIC-VALID", "multifd0", INIT, 0, false, 0, 1, "12", 0 },
    { "multifd-version", F7, "MULTIFD-MAGIC-VALID", "multifd1", INIT, 0, false, 7, 1, "02", -3 },
    { "multifd-packet-magic", F10, "MULTIFD-MAGIC-VALID", "multifd0", PACKET, 1, false, 0, 1, "12",
      0 },
    { "multifd-id-count", F10, "MULTIFD-INIT-ID", "multifd0", INIT, 0, false, 24, 1, "02", 0 },
    CUSTOM("multifd-id-twice", F10, "MULTIFD-INIT-ID", "multifd0", multifd_id_twice, NULL),
    { "multifd-uuid", F10, "MULTIFD-INIT-UUID", "multifd0", INIT, 0, false, 8, 1, "77", 0 },
    { "multifd-padding", F10, "MULTIFD-INIT-PADDING", "multifd0", INIT, 0, false, 30, 1, "01", 0,
      .profile = MIG_PROFILE_CANONICAL },
    { "multifd-alloc", F10, "MULTIFD-PACKET-COUNTS", "multifd0", PACKET, 1, false, 12, 4,
      "00000081", 0 },
    { "multifd-normal", F7, "MULTIFD-PACKET-COUNTS", "multifd0", PACKET, 1, false, 16, 4,
      "00000081", 0 },
    { "multifd-zero", F10, "MULTIFD-PACKET-COUNTS", "multifd0", PACKET, 1, false, 32, 4, "00000080",
      0 },
    { "multifd-name-endless", F10, "MULTIFD-NAME-TERMINATED", "multifd0", PACKET, 1, false, 64, 256,
      "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
      "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
      "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
      "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
      "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
      "7878787878787878787878787878787878787878787878787878",
      0 },
    { "multifd-block-unknown", F10, "MULTIFD-BLOCK-KNOWN", "multifd0", PACKET, 1, false, 64, 1,
      "78", 0, NULL, "MULTIFD-PAGE-COVERAGE" },
    { "multifd-offset-end", F10, "MULTIFD-OFFSET-BOUNDED", "multifd0", PACKET, 1, false, 320, 8,
      "00000000ffff0000", 0, NULL, "MULTIFD-PAGE-COVERAGE" },
    { "multifd-zero-offset-end", D10, "MULTIFD-OFFSET-BOUNDED", "multifd1", PACKET, 1, false, 1336,
      8, "00000000ffff0000", 0, NULL, "MULTIFD-PAGE-COVERAGE" },
    { "multifd-offset-odd", F7, "MULTIFD-OFFSET-ALIGNED", "multifd0", PACKET, 1, false, 327, 1,
      "08", -7, NULL, "MULTIFD-PAGE-COVERAGE MULTIFD-PAGE-ONCE" },
    { "multifd-size", F10, "MULTIFD-SIZE-AGREES", "multifd0", PACKET, 1, false, 20, 4, "00000001",
      0 },
    { "multifd-method", F10, "MULTIFD-METHOD-STEADY", "multifd1", PACKET, 1, false, 11, 1, "02",
      ANYWHERE, "multifd0", "MULTIFD-PAYLOAD-INFLATE" },
    { "multifd-flag-unknown", F10, "MULTIFD-FLAGS-KNOWN", "multifd0", PACKET, 1, false, 8, 4,
      "00008000", 0 },
    { "multifd-zlib-data", "multifd-zlib-2-10.0", "MULTIFD-PAYLOAD-INFLATE", "multifd0", PACKET, 1,
      false, 1344, 2, "ffff", 0 },
    { "multifd-zstd-data", "multifd-zstd-2-10.0", "MULTIFD-PAYLOAD-INFLATE", "multifd0", PACKET, 1,
      false, 1344, 2, "ffff", 0 },
    { "multifd-sync-first", F10, "MULTIFD-SYNC-FIRST", "multifd0", PACKET, 0, false, 8, 4,
      "00000000", -8, NULL, "MULTIFD-SYNC-ENOUGH" },
    { "multifd-sync-dropped", F10, "MULTIFD-SYNC-ENOUGH", "multifd0", PACKET, -1, false, 0,
      CUT_PAYLOAD, "", AT_END },
    { "multifd-number", F10, "MULTIFD-NUMBER-RISES", "multifd0", PACKET, 2, false, 24, 8,
      "0000000000000000", 0, .profile = MIG_PROFILE_CANONICAL },
    CUSTOM("multifd-page-twice", F10, "MULTIFD-PAGE-ONCE", "multifd0", multifd_page_twice,
           "MULTIFD-PAGE-COVERAGE"),
    { "multifd-page-dropped", F10, "MULTIFD-PAGE-COVERAGE", "multifd0", PACKET, 1, false, 0,
      CUT_PAYLOAD, "", AT_END, "main" },
    { "multifd-device-flags", F10, "MULTIFD-DEVICE-FLAGS", "multifd0", PACKET, 1, false, 11, 1,
      "41", -3 },
    { "multifd-device-size", F10, "MULTIFD-DEVICE-SIZE", "multifd0", PACKET, 1, false, 11, 1, "40",
      261 },
    { "return-type", "return-path-10.0", "RETURN-MESSAGE-TYPE", "return", RP, 0, false, 0, 2,
      "0009", 0 },
    { "return-length", "return-path-10.0", "RETURN-MESSAGE-LENGTH", "return", RP, 0, false, 2, 2,
      "0005", 0 },
    CUSTOM("return-pong-value", "return-path-10.0", "RETURN-PONG-ASKED", "return", pong_value,
           "RETURN-PONG-PRESENT"),
    CUSTOM("return-pong-dropped", "return-path-10.0", "RETURN-PONG-PRESENT", "return", pong_dropped,
           NULL),
    CUSTOM("return-request-unnamed", P10, "RETURN-REQUEST-NAMED", "return", request_unnamed, NULL),
    CUSTOM("return-request-block", P10, "RETURN-REQUEST-BLOCK", "return", request_block,
           "RETURN-REQUEST-NAMED"),
    CUSTOM("return-request-end", P10, "RETURN-REQUEST-BOUNDED", "return", request_end, NULL),
    CUSTOM("return-request-odd", P10, "RETURN-REQUEST-ALIGNED", "return", request_odd, NULL),
    CUSTOM("return-request-empty", P10, "RETURN-REQUEST-ALIGNED", "return", request_empty, NULL),
    CUSTOM("return-request-unanswered", P10, "RETURN-REQUEST-ANSWERED", "return",
           request_unanswered,
           "POSTCOPY-PAGE-ONCE POSTCOPY-PAGE-COVERAGE POSTCOPY-PAGE-DISCARDED RAM-PAGE-COVERAGE"),
    CUSTOM("return-shut-early", "return-path-10.0", "RETURN-SHUT-LAST", "return", shut_early,
           "RETURN-PONG-ASKED"),
    CUSTOM("return-shut-dropped", "return-path-10.0", "RETURN-SHUT-PRESENT", "return", shut_dropped,
           NULL),
    CUSTOM("return-shut-1", "return-path-10.0", "RETURN-SHUT-PRESENT", "return", shut_1, NULL),
    CUSTOM("return-resume-ack", R10, "RETURN-RESUME-ACK", "return.2", resume_ack, NULL),
    CUSTOM("return-resume-dropped", R10, "RETURN-RESUME-ACK", "return.2", resume_dropped, NULL),
    CUSTOM("return-bitmap-mark", R10, "RETURN-BITMAP-VALID", "return.2", bitmap_mark, NULL),
    CUSTOM("return-bitmap-odd", R10, "RETURN-BITMAP-VALID", "return.2", bitmap_odd, NULL),
    CUSTOM("return-bitmap-size", R10, "RETURN-BITMAP-SIZE", "return.2", bitmap_size,
           "POSTCOPY-RECOVERY-RESENT"),
    CUSTOM("return-bitmap-block", R10, "RETURN-BITMAP-BLOCK", "return.2", bitmap_block, NULL),
    CUSTOM("discard-block", P10, "POSTCOPY-DISCARD-BLOCK", "main", discard_unknown,
           "POSTCOPY-PAGE-DISCARDED"),
    CUSTOM("discard-end", P10, "POSTCOPY-DISCARD-BOUNDED", "main", discard_end,
           "POSTCOPY-PAGE-DISCARDED"),
    CUSTOM("discard-odd", P10, "POSTCOPY-DISCARD-ALIGNED", "main", discard_odd, NULL),
    CUSTOM("discard-empty", P10, "POSTCOPY-DISCARD-EMPTY", "main", discard_empty,
           "POSTCOPY-PAGE-DISCARDED"),
    { .name = "discard-thirteen",
      .base = P10,
      .rule = "POSTCOPY-DISCARD-COUNT",
      .channel = "main",
      .custom = discard_thirteen,
      .profile = MIG_PROFILE_CANONICAL },
    CUSTOM("package-listen-late", P10, "POSTCOPY-PACKAGE-LISTEN", "main", listen_late,
           "RETURN-PONG-PRESENT"),
    CUSTOM("package-run-dropped", P10, "POSTCOPY-PACKAGE-RUN", "main", run_dropped,
           "POSTCOPY-PAGE-COVERAGE"),
    CUSTOM("package-behind-run", P10, "POSTCOPY-PACKAGE-RUN", "main", behind_run,
           "RETURN-PONG-PRESENT"),
    CUSTOM("postcopy-flush", P10, "POSTCOPY-MARKS-NONE", "main", late_flush, NULL),
    CUSTOM("postcopy-continue", P10, "POSTCOPY-NAME-FIRST", "main", late_continue, NULL),
    CUSTOM("hugepage-gap", "postcopy-hugepages-10.0", "POSTCOPY-HOST-PAGE", "main",
           hole_in_huge_page, "POSTCOPY-PAGE-COVERAGE RETURN-REQUEST-ANSWERED"),
    CUSTOM("postcopy-page-twice", P10, "POSTCOPY-PAGE-ONCE", "main", page_again,
           "POSTCOPY-PAGE-COVERAGE RETURN-REQUEST-ANSWERED"),
    CUSTOM("postcopy-page-kept", P10, "POSTCOPY-PAGE-DISCARDED", "main", page_kept,
           "POSTCOPY-PAGE-COVERAGE RETURN-REQUEST-ANSWERED"),
    CUSTOM("postcopy-page-dropped", P10, "POSTCOPY-PAGE-COVERAGE", "main", page_left_out,
           "POSTCOPY-PAGE-ONCE RETURN-REQUEST-ANSWERED"),
    CUSTOM("preempt-flush", "postcopy-preempt-10.0", "POSTCOPY-PREEMPT-RECORDS", "preempt",
           preempt_flush, NULL),
    { "preempt-eos-dropped", "postcopy-preempt-old-10.0", "POSTCOPY-PREEMPT-EOS", "preempt",
      MIG_REC_RAM_EOS, 0, false, 0, 8, "", AT_END },
    CUSTOM("recovery-bitmap-dropped", R10, "POSTCOPY-RECOVERY-BITMAPS", "main.2", bitmap_not_asked,
           "RETURN-BITMAP-BLOCK"),
    CUSTOM("recovery-resume-dropped", R10, "POSTCOPY-RECOVERY-RESUME", "main.2", resume_not_sent,
           "RETURN-RESUME-ACK"),
    CUSTOM("recovery-bitmap-full", R10, "POSTCOPY-RECOVERY-RESENT", "main.2", bitmap_full, NULL),
    { NULL },
};
