/* SPDX-License-Identifier: Apache-2.0 */
/* Rows like those of damage-channels.c, for mapped-ram files, COLO and iterables. */
#include <string.h>

#include "stream/bytes.h"
#include "tests/unit/damage-channels.h"

#define F10 "multifd-none-2-10.0"
#define M10 "mapped-ram-10.0"

#define PACKET MIG_REC_MULTIFD_PACKET

/* ---- files ---- */

static uint64_t mapped_header(const MigTestRecording *t)
{
    const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_RAM_BLOCK, 0);
    return r->offset + r->wire - 28;
}

static void mapped_version(MigTestRecording *t, uint64_t *expected)
{
    *expected = mapped_header(t);
    mig_test_recording_replace(t, "main", *expected + 3, 1, "00");
}

static void mapped_bitmap_later(MigTestRecording *t, uint64_t *expected)
{
    *expected = mapped_header(t) + 12;
    mig_test_recording_bytes(t, "main")->data[*expected + 6] += 1;
}

/* Pages 1 MiB behind where they could be. */
static void mapped_pages_later(MigTestRecording *t, uint64_t *expected)
{
    GByteArray *bytes = mig_test_recording_bytes(t, "main");
    const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_MAPPED_PAGES, 0);
    guint at = (guint)r->mapped.file_offset, behind = bytes->len - at;

    *expected = mapped_header(t) + 20;
    bytes->data[*expected + 5] = (uint8_t)(bytes->data[*expected + 5] + 0x10);
    g_byte_array_set_size(bytes, bytes->len + (1u << 20));
    memmove(bytes->data + at + (1u << 20), bytes->data + at, behind);
    memset(bytes->data + at, 0, 1u << 20);
}

/* The machine type of a stream becomes a versioned one. */
static void set_machine(MigTestRecording *t)
{
    const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_CONFIG, 0);
    mig_test_recording_replace(t, "main", r->offset + 1, r->wire - 1,
                               "0000000e70632d693434306678" /* pc-i440fx */
                               "2d31302e30" /* -10.0 */);
}

static void sync_on_pages(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = mig_test_recording_find(t, "multifd0", PACKET, 1);
    *expected = r->offset + 8;
    mig_test_recording_replace(t, "multifd0", *expected + 3, 1, "01");
    set_machine(t);
}

static void flush_dropped(MigTestRecording *t, uint64_t *expected)
{
    for (int i = 2; i >= 0; i--) {
        const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_RAM_FLUSH, i);
        mig_test_recording_replace(t, "main", r->offset, r->wire, "");
    }
    set_machine(t);
    *expected = mig_test_recording_bytes(t, "main")->len;
}

static void sync_extra(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = mig_test_recording_find(t, "multifd0", PACKET, -1);
    GByteArray *bytes = mig_test_recording_bytes(t, "multifd0");
    GString *hex = g_string_new(NULL);

    for (uint64_t i = 0; i < r->wire; i++) {
        g_string_append_printf(hex, "%02x", bytes->data[r->offset + i]);
    }
    mig_test_recording_replace(t, "multifd0", bytes->len, 0, hex->str);
    *expected = bytes->len;
    g_string_free(hex, TRUE);
}

/* ---- COLO ---- */

static void colo_reply(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = mig_test_recording_find(t, "return", MIG_REC_COLO, 1);
    *expected = r->offset;
    mig_test_recording_replace(t, "return", r->offset + 3, 1, "06");
}

static void colo_twice(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_COLO, 0);
    *expected = r->offset + 4;
    mig_test_recording_replace(t, "main", *expected, 0, "00000001");
}

/* ---- dirty bitmaps ---- */

static const MigRecord *dirty(const MigTestRecording *t, uint8_t flag)
{
    for (int i = 0;; i++) {
        const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_DIRTY_BITMAP, i);
        if (r->bitmap.flags & flag) {
            return r;
        }
    }
}

static void granularity(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = dirty(t, MIG_BITMAP_START);
    *expected = r->offset + r->wire - 5;
    mig_test_recording_replace(t, "main", *expected, 4, "00000201");
}

static void bitmap_flags(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = dirty(t, MIG_BITMAP_START);
    *expected = r->offset + r->wire - 1;
    mig_test_recording_replace(t, "main", *expected, 1, "10");
}

/* Another name in the START: what comes later belongs to a bitmap that was never started. */
static void bitmap_start(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = dirty(t, MIG_BITMAP_START);
    mig_test_recording_bytes(t, "main")->data[r->offset + r->wire - 6] ^= 1;
}

static void bitmap_complete(MigTestRecording *t, uint64_t *expected)
{
    const MigRecord *r = dirty(t, MIG_BITMAP_COMPLETE);
    mig_test_recording_replace(t, "main", r->offset, r->wire, "");
    *expected = mig_test_recording_bytes(t, "main")->len;
}

static void block_progress(MigTestRecording *t, uint64_t *expected)
{
    for (int i = 0;; i++) {
        const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_BLOCK, i);
        if (r->disk.flags & MIG_BLOCK_PROGRESS && r->disk.sector == 100) {
            *expected = r->offset;
            mig_test_recording_replace(t, "main", r->offset, 8, "");
            return;
        }
    }
}

/* A chunk without a name; the section's other records stay. */
static void block_device(MigTestRecording *t, uint64_t *expected)
{
    for (int i = 0;; i++) {
        const MigRecord *r = mig_test_recording_find(t, "main", MIG_REC_BLOCK, i);
        if (r->disk.flags & MIG_BLOCK_DEVICE) {
            *expected = r->offset + 8;
            mig_test_recording_replace(t, "main", r->offset + 8, r->wire - 8, "00");
            return;
        }
    }
}

static void timer_subsection(MigTestRecording *t, uint64_t *expected)
{
    for (int i = 0;; i++) {
        const MigRecord *s = mig_test_recording_find(t, "main", MIG_REC_SECTION, i);
        const uint8_t *b = mig_test_recording_bytes(t, "main")->data + s->offset;
        if (s->section.kind == MIG_ITEM_FULL && b[5] == 5 && memcmp(b + 6, "timer", 5) == 0) {
            *expected = s->offset + s->wire + 24;
            mig_test_recording_replace(t, "main", *expected, 0, "050774696d65722f7800000001");
            return;
        }
    }
}

#define CUSTOM(name_, base_, rule_, channel_, custom_, also_)                                \
    {                                                                                        \
        .name = name_, .base = base_, .rule = rule_, .channel = channel_, .custom = custom_, \
        .also = also_                                                                        \
    }

const MigChannelDamage mig_other_damages[] = {
    CUSTOM("multifd-sync-extra", F10, "MULTIFD-SYNC-EXTRA", "multifd0", sync_extra, NULL),
    CUSTOM("mapped-pages-later", M10, "MAPPED-PAGES-NEXT", "main", mapped_pages_later, NULL),
    { "mapped-advise", M10, "MAPPED-COMMANDS-NONE", "main", MIG_REC_SECTION, 1, false, 0, 0,
      "0800010000", 0, NULL, "COMMAND-SETUP-FIRST" },
    { "mapped-page", M10, "MAPPED-RECORDS-NONE", "main", MIG_REC_RAM_EOS, 1, false, 0, 0,
      "0000000000000002026d3000", 0 },
    { "mapped-flush", M10, "MAPPED-RECORDS-NONE", "main", MIG_REC_RAM_EOS, 1, false, 0, 0,
      "0000000000000200", 0 },
    CUSTOM("mapped-version-0", M10, "MAPPED-VERSION-CURRENT", "main", mapped_version, NULL),
    CUSTOM("mapped-bitmap-later", M10, "MAPPED-BITMAP-ADJACENT", "main", mapped_bitmap_later, NULL),
    CUSTOM("block-progress", "block-7.2", "BLOCK-PROGRESS-COMPLETE", "main", block_progress, NULL),
    CUSTOM("block-device-empty", "block-7.2", "BLOCK-DEVICE-NAMED", "main", block_device, NULL),
    { .name = "bitmap-start-dropped",
      .base = "dirty-bitmap-7.2",
      .rule = "BITMAP-START-FIRST",
      .channel = "main",
      .custom = bitmap_start,
      .expect = ANYWHERE,
      .also = "BITMAP-COMPLETE-ONCE" },
    CUSTOM("bitmap-granularity", "dirty-bitmap-7.2", "BITMAP-GRANULARITY-POWER", "main",
           granularity, NULL),
    CUSTOM("bitmap-flags", "dirty-bitmap-7.2", "BITMAP-FLAGS-KNOWN", "main", bitmap_flags, NULL),
    CUSTOM("bitmap-complete-dropped", "dirty-bitmap-7.2", "BITMAP-COMPLETE-ONCE", "main",
           bitmap_complete, NULL),
    { "colo-unknown", "colo-7.2", "COLO-MESSAGE-KNOWN", "return", MIG_REC_COLO, 1, false, 3, 1,
      "07", -3 },
    CUSTOM("colo-twice", "colo-7.2", "COLO-CYCLE-ORDER", "main", colo_twice, NULL),
    CUSTOM("colo-reply", "colo-7.2", "COLO-CYCLE-ORDER", "return", colo_reply, NULL),
    CUSTOM("timer-subsection", "postcopy-10.0", "DEVICE-STATE-VALID", "main", timer_subsection,
           "COMMAND-PACKAGE-WHOLE RETURN-PONG-ASKED"),
    CUSTOM("multifd-sync-on-pages", F10, "MULTIFD-SYNC-ALONE", "multifd0", sync_on_pages,
           "MULTIFD-SYNC-EXTRA"),
    CUSTOM("multifd-flush-dropped", F10, "MULTIFD-FLUSH-PRESENT", "main", flush_dropped, NULL),
    { NULL },
};
