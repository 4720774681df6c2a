/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the decoder: a driver (decoder.c) that keeps the window, the payload and the diagnosis,
 * and parse functions, one per state, each of which reads at most one record from a cursor.
 *
 * A parse function may come up short at any read: it must not change the decoder before it knows
 * that it did not (mig_take() of its last field). It answers
 *     MIG_STEP_RECORD   *r is filled; what the cursor read is consumed
 *     MIG_STEP_AGAIN    only the state changed; what the cursor read is consumed
 *     MIG_STEP_MORE     the cursor came up short
 *     MIG_STEP_END      the stream has ended
 *     MIG_STEP_BAD      mig_decoder_fail() was called
 */
#ifndef MIG_STREAM_DECODER_INTERNAL_H
#define MIG_STREAM_DECODER_INTERNAL_H

#include "stream/bytes.h"
#include "stream/decoder.h"
#include "stream/limits.h"

typedef enum MigStep {
    MIG_STEP_RECORD,
    MIG_STEP_AGAIN,
    MIG_STEP_MORE,
    MIG_STEP_END,
    MIG_STEP_BAD,
} MigStep;

typedef MigStep (*MigParse)(MigDecoder *d, MigCursor *c, MigRecord *r);

typedef struct MigSectionEntry MigSectionEntry;

/* Opens a body: sets the parse function of its records. */
typedef void (*MigBodyOpen)(MigDecoder *d);

struct MigSectionEntry {
    uint32_t id, instance, version;
    MigStr idstr;
    MigBodyOpen open;
    uint32_t parts; /* PART sections so far */
};

/* What the channels of one migration know in common. Owned by the main channel's decoder. */
typedef struct MigShared {
    MigSectionEntry *sections; /* started ones */
    uint32_t section_count, section_cap;
    MigRecordRamBlock *blocks;
    uint32_t block_count, block_cap;
    bool listed; /* a block list was seen: the lengths are known */
    MigStr machine;
    uint32_t page_size;
    uint64_t advised_sizes; /* POSTCOPY_ADVISE: OR of the blocks' page sizes; 0 before it */
    bool ignore_shared, mapped_ram, footers;
    bool ended; /* the main channel has reached EOF */
    bool colo;  /* checkpoints follow the first migration */
} MigShared;

struct MigDecoder {
    MigDecoderOptions opt;
    MigShared *shared;
    bool owns_shared;

    /* The window: bytes left over from earlier feeds, then what is lent now. */
    uint8_t *stash;
    size_t stash_len, stash_cap;
    size_t stash_lent; /* bytes at the stash's end which also stand before `in` */
    const uint8_t *in;
    size_t in_len;
    bool eof;
    uint64_t pos; /* offset of the first byte in the window */

    MigParse parse;
    MigStep final; /* END or BAD once reached, else RECORD */
    MigDiagnosis diagnosis;
    uint64_t trailing;

    uint64_t gap_left, payload_left;
    uint8_t *payload_dst;

    /* Package. */
    uint8_t depth;
    uint64_t package_left;
    bool package_opens; /* when the record being parsed is consumed */
    uint64_t package_length;

    /* The section whose body is being read. */
    MigRecordSection section;
    MigBodyOpen open;
    uint32_t part_index;
    uint32_t ordinal;    /* FULL sections so far */
    char idstr[256];     /* of a FULL section */
    size_t scanned;      /* bytes of the body that hold no footer, for the resolver */
    uint64_t list_left;  /* of the block list */
    uint32_t list_index; /* of the next block in the list */
    uint32_t block;      /* of the last page record: CONTINUE; UINT32_MAX: none */
    uint32_t pages;      /* page records in this body */
    uint32_t mapped_block;
    uint32_t chunks; /* records of other iterables in this body */

    uint32_t commands, messages; /* for paths */
    bool checkpoints;            /* the first migration is over */
    const char *label;           /* what the last record is called in its container */
    uint32_t label_index;        /* UINT32_MAX: has no index */
    bool in_section;

    /* Memory for the strings and arrays of one record. */
    MigStr capability_names[MIG_LIMIT_CAPABILITIES];
    char *text;
    size_t text_len, text_cap;
    uint64_t *words; /* discard ranges, multifd offsets */
    size_t words_cap;
};

/* Writes the diagnosis: |at| is where in the record. Formats like printf. */
MigStep mig_decoder_fail(MigDecoder *d, size_t at, MigFault fault, const char *found,
                         const char *expected, ...) __attribute__((format(printf, 5, 6)));

/* Names the record that is being parsed in paths. */
void mig_decoder_label(MigDecoder *d, const char *label, uint32_t index);
#define MIG_NO_INDEX UINT32_MAX

/* Copies of strings that last as long as the record; NULL text only when memory is exhausted. */
MigStr mig_decoder_keep(MigDecoder *d, MigStr s);
/* Room for |n| words that lasts as long as the record. */
uint64_t *mig_decoder_words(MigDecoder *d, size_t n);

/* Looks up or adds. Adding returns NULL at the limit. */
MigSectionEntry *mig_shared_section(MigShared *s, uint32_t id);
uint32_t mig_shared_block(const MigShared *s, MigStr name); /* UINT32_MAX: unknown */
uint32_t mig_shared_add_block(MigShared *s, MigStr name);   /* UINT32_MAX: at the limit */

/* States. */
MigStep mig_parse_header(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_first_item(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_config_subsection(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_item(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_footer(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_command(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_ram(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_body(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_rp(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_multifd_init(MigDecoder *d, MigCursor *c, MigRecord *r);
MigStep mig_parse_colo(MigDecoder *d, MigCursor *c, MigRecord *r);

/* The body of a section ends here: on to the footer, or to the next item. */
void mig_decoder_body_done(MigDecoder *d);

/* Chooses what reads the body of a section with this name. */
MigBodyOpen mig_body_of(MigStr idstr);
void mig_body_open_ram(MigDecoder *d);
void mig_body_open_device(MigDecoder *d);

#endif
