/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: the one vocabulary of everything that reads or writes a migration stream.
 *
 * A record is one thing that the format can say. The decoder turns bytes into records, the encoder
 * is its mirror and a pure function: for every valid stream, encode(decode(x)) == x from the
 * decoded fields alone. What is opaque to records (page contents, device bodies, compressed
 * payloads, the VMDESCRIPTION text) is *payload*: `payload` bytes that follow the record on the
 * wire and never travel inside it.
 *
 *   bytes --decoder--> record, payload... --encoder--> the same bytes
 *
 * A stream is a flat sequence of records. Section bodies begin after SECTION and end before FOOTER
 * (or before the next item in the eras that have no footers); a package's items stand between
 * COMMAND (PACKAGED) and PACKAGE_END with depth 1.
 *
 * Strings in a decoded record belong to the decoder and last until the next call of
 * mig_decoder_next(); names of RAM blocks and sections last as long as the decoder.
 */
#ifndef MIG_STREAM_RECORD_H
#define MIG_STREAM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/format.h"

/* Counted, not terminated on the wire; `text` is followed by a NUL that len does not count. */
typedef struct MigStr {
    const char *text;
    uint32_t len;
} MigStr;

/* X(symbol, name): the name stands in ndjson and in paths. */
#define MIG_RECORDS(X)                            \
    X(HEADER, "header")                           \
    X(CONFIG, "config")                           \
    X(CONFIG_PAGE_BITS, "config-page-bits")       \
    X(CONFIG_CAPABILITIES, "config-capabilities") \
    X(CONFIG_UUID, "config-uuid")                 \
    X(SECTION, "section")                         \
    X(FOOTER, "footer")                           \
    X(COMMAND, "command")                         \
    X(PACKAGE_END, "package-end")                 \
    X(RAM_MEM_SIZE, "ram-mem-size")               \
    X(RAM_BLOCK, "ram-block")                     \
    X(RAM_ZERO, "ram-zero")                       \
    X(RAM_PAGE, "ram-page")                       \
    X(RAM_XBZRLE, "ram-xbzrle")                   \
    X(RAM_COMPRESS, "ram-compress")               \
    X(RAM_HOOK, "ram-hook")                       \
    X(RAM_FLUSH, "ram-flush")                     \
    X(RAM_EOS, "ram-eos")                         \
    X(MAPPED_BITMAP, "mapped-bitmap")             \
    X(MAPPED_PAGES, "mapped-pages")               \
    X(BODY, "body")                               \
    X(BLOCK, "block")                             \
    X(DIRTY_BITMAP, "dirty-bitmap")               \
    X(ITERABLE, "iterable")                       \
    X(END_OF_STREAM, "end-of-stream")             \
    X(VMDESC, "vmdesc")                           \
    X(RP, "return-path")                          \
    X(MULTIFD_INIT, "multifd-init")               \
    X(MULTIFD_PACKET, "multifd-packet")           \
    X(MULTIFD_DEVICE, "multifd-device")           \
    X(COLO, "colo")

typedef enum MigRecordType {
#define X(symbol, name) MIG_REC_##symbol,
    MIG_RECORDS(X)
#undef X
        MIG_REC_COUNT
} MigRecordType;

/* How the end of a body that has no length on the wire was found. */
typedef enum MigBodyHow {
    MIG_BODY_LAYOUT, /* a layout that this library knows */
    MIG_BODY_VMDESC, /* the VMDESCRIPTION, found by looking ahead */
    MIG_BODY_FOOTER, /* the first footer of the section with a legal item behind it: a guess */
    MIG_BODY_HEADER, /* no footers: the header of the next section, a guess as well */
} MigBodyHow;

typedef struct MigRecordSection {
    MigItem kind; /* START, PART, END or FULL */
    uint32_t id;
    MigStr idstr;      /* of PART and END: as in the START (not on the wire) */
    uint32_t instance; /* likewise */
    uint32_t version;  /* likewise */
} MigRecordSection;

typedef struct MigRange {
    uint64_t start, length; /* bytes in the block */
} MigRange;

typedef struct MigRecordCommand {
    uint16_t number; /* MigCommand */
    uint16_t length; /* of the payload on the wire */
    union {
        uint32_t ping;
        struct {
            uint64_t page_sizes, target_page_size; /* on the wire iff length is 16 */
        } advise;
        struct {
            uint8_t version; /* 0 */
            MigStr name;
            uint8_t nul; /* 0 */
            uint32_t count;
            const MigRange *ranges;
        } discard;
        uint32_t package_length; /* PACKAGED: bytes of items that follow */
        MigStr bitmap_name;      /* RECV_BITMAP */
    };
} MigRecordCommand;

typedef struct MigMappedHeader {
    uint32_t version;
    uint64_t page_size, bitmap_offset, pages_offset;
} MigMappedHeader;

typedef struct MigRecordRamBlock {
    MigStr name;
    uint32_t index; /* in the list, from 0 (not on the wire) */
    uint64_t used_length;
    bool has_page_size, has_address, has_mapped;
    uint64_t page_size, address;
    MigMappedHeader mapped;
} MigRecordRamBlock;

/* RAM_MEM_SIZE (offset = total), RAM_ZERO/PAGE/XBZRLE/COMPRESS, RAM_HOOK/FLUSH/EOS */
typedef struct MigRecordRam {
    uint64_t offset; /* the word without its flags: bytes in the block */
    bool cont;       /* CONTINUE is set: no name on the wire */
    uint32_t block;  /* index in the block list, UINT32_MAX where there is none */
    MigStr name;     /* of the block, whether it is on the wire or not */
    uint8_t fill;    /* ZERO: the byte that fills the page; XBZRLE: the header byte */
} MigRecordRam;

/*
 * MAPPED_BITMAP (payload: the block's bitmap) and MAPPED_PAGES (payload: the block's whole page
 * area, holes included) follow each block of a mapped-ram list. Both stand where the block's header
 * says, which is where a sequential reader meets them: |gap| zero bytes, then the payload.
 */
typedef struct MigRecordMapped {
    uint32_t block;
    uint64_t gap;         /* zero bytes on the wire in front of the payload */
    uint64_t file_offset; /* where the payload begins (not on the wire) */
} MigRecordMapped;

typedef struct MigRecordBlock { /* iterable `block`, until 9.0 */
    uint64_t sector;
    uint16_t flags;
    MigStr device;
} MigRecordBlock;

typedef struct MigRecordDirtyBitmap {
    uint8_t flags;
    MigStr node, bitmap;
    uint32_t granularity;
    uint8_t bitmap_flags;
    uint64_t first_sector;
    uint32_t sectors;
    uint64_t size;
} MigRecordDirtyBitmap;

/* vfio, spapr/htab, s390-storage_attributes, s390-skeys: one word or chunk header each */
typedef enum MigIterableKind {
    MIG_ITERABLE_VFIO,
    MIG_ITERABLE_HTAB_SIZE,
    MIG_ITERABLE_HTAB_MARK,
    MIG_ITERABLE_HTAB_CHUNK,
    MIG_ITERABLE_STATTRIB,
    MIG_ITERABLE_SKEYS,
} MigIterableKind;

typedef struct MigRecordIterable {
    MigIterableKind kind;
    uint64_t word; /* the mark, the (gfn << 12 | flag) word, log2 size, index */
    bool has_count;
    uint64_t count; /* bytes or entries announced behind the word */
    uint16_t n_valid, n_invalid;
} MigRecordIterable;

typedef struct MigRecordRp {
    uint16_t type, length;
    union {
        uint32_t value; /* SHUT, PONG, RESUME_ACK */
        struct {
            uint64_t start;
            uint32_t length;
            MigStr name; /* REQ_PAGES_ID only */
        } request;
        struct {
            MigStr name;
            uint64_t size; /* bytes of bitmap: the payload, followed by the end mark */
        } bitmap;
    };
} MigRecordRp;

typedef struct MigRecordMultifdInit {
    uint32_t magic, version;
    uint8_t uuid[16];
    uint8_t id;
    uint8_t unused[39];
} MigRecordMultifdInit;

typedef struct MigRecordMultifd {
    uint32_t magic, version, flags;
    uint32_t pages_alloc, normal_pages, next_packet_size;
    uint64_t packet_num;
    uint32_t zero_pages;
    uint32_t unused32;
    uint64_t unused64[3];
    char name[256];          /* as on the wire: stale bytes behind the NUL included */
    uint32_t page_count;     /* offsets on the wire: MIG_MULTIFD_PACKET_BYTES / page size */
    const uint64_t *offsets; /* page_count of them, normal first, then zero, then stale ones */
} MigRecordMultifd;

typedef struct MigRecordMultifdDevice {
    uint32_t magic, version, flags;
    char idstr[256];
    uint32_t instance, next_packet_size;
} MigRecordMultifdDevice;

typedef struct MigRecord {
    MigRecordType type;
    uint8_t depth;    /* 1 inside a package */
    uint64_t offset;  /* of its first byte from the start of the channel */
    uint32_t wire;    /* bytes of the record itself */
    uint64_t payload; /* opaque bytes behind it */
    union {
        struct {
            uint32_t magic, version;
        } header;
        struct {
            MigStr machine;
        } config;
        struct {
            uint32_t version; /* of the subsection */
            uint32_t bits;
        } page_bits;
        struct {
            uint32_t version;
            uint32_t count;
            const MigStr *names;
        } capabilities;
        struct {
            uint32_t version;
            uint8_t uuid[16];
        } uuid;
        MigRecordSection section;
        struct {
            uint32_t id;
        } footer;
        MigRecordCommand command;
        MigRecordRamBlock block;
        MigRecordRam ram;
        MigRecordMapped mapped;
        struct {
            MigBodyHow how; /* not on the wire */
        } body;
        MigRecordBlock disk;
        MigRecordDirtyBitmap bitmap;
        MigRecordIterable iterable;
        MigRecordRp rp;
        MigRecordMultifdInit multifd_init;
        MigRecordMultifd multifd;
        MigRecordMultifdDevice multifd_device;
        struct {
            uint32_t message;
            uint64_t size; /* with VMSTATE_SIZE */
        } colo;
    };
} MigRecord;

/* "ram-page"; never NULL. */
const char *mig_record_name(MigRecordType type);

/* "ping", "packaged"..., or NULL for a number that is no command (no return-path message). */
const char *mig_command_name(uint16_t number);
const char *mig_rp_name(uint16_t type);
const char *mig_colo_name(uint32_t message);

/* "start", "part", "end", "full" */
const char *mig_item_name(MigItem kind);

/* True when both hold the same bytes. */
bool mig_str_equal(MigStr a, MigStr b);

/* A MigStr of a NUL-terminated string, which is borrowed. */
MigStr mig_str(const char *text);

#endif
