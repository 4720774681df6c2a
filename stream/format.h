/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The constants of the migration stream. All integers on the wire are big-endian; there is no
 * padding. The grammar of the main channel:
 *
 *   stream      = header [config] { item } EOF [vmdesc]
 *   header      = be32 MAGIC  be32 VERSION
 *   config      = CONFIGURATION be32 len name[len] { subsection }
 *   item        = start | part | end | full | command
 *   start, full = type be32 section_id cstr idstr be32 instance be32 version body [footer]
 *   part, end   = type be32 section_id body [footer]
 *   footer      = FOOTER be32 section_id
 *   command     = COMMAND be16 number be16 len payload[len] [blob, when PACKAGED]
 *   subsection  = SUBSECTION cstr name be32 version fields
 *   vmdesc      = VMDESCRIPTION be32 len json[len]
 *   cstr        = u8 n  bytes[n]
 *
 *   ram body    = { be64 offset|flags  [name]  rest }  ...  EOS
 *
 * docs/format says it at length.
 */
#ifndef MIG_STREAM_FORMAT_H
#define MIG_STREAM_FORMAT_H

#define MIG_MAGIC   0x5145564du /* "QEVM" */
#define MIG_VERSION 3u

typedef enum MigItem {
    MIG_ITEM_EOF = 0x00,
    MIG_ITEM_START = 0x01,
    MIG_ITEM_PART = 0x02,
    MIG_ITEM_END = 0x03,
    MIG_ITEM_FULL = 0x04,
    MIG_ITEM_SUBSECTION = 0x05,
    MIG_ITEM_VMDESCRIPTION = 0x06,
    MIG_ITEM_CONFIGURATION = 0x07,
    MIG_ITEM_COMMAND = 0x08,
    MIG_ITEM_FOOTER = 0x7e,
} MigItem;

/* X(symbol, number, QAPI-like name, payload length or -1 for variable) */
#define MIG_COMMANDS(X)                                    \
    X(OPEN_RETURN_PATH, 1, "open-return-path", 0)          \
    X(PING, 2, "ping", 4)                                  \
    X(POSTCOPY_ADVISE, 3, "postcopy-advise", -1)           \
    X(POSTCOPY_LISTEN, 4, "postcopy-listen", 0)            \
    X(POSTCOPY_RUN, 5, "postcopy-run", 0)                  \
    X(POSTCOPY_RAM_DISCARD, 6, "postcopy-ram-discard", -1) \
    X(PACKAGED, 7, "packaged", 4)                          \
    X(ENABLE_COLO, 8, "enable-colo", 0)                    \
    X(POSTCOPY_RESUME, 9, "postcopy-resume", 0)            \
    X(RECV_BITMAP, 10, "recv-bitmap", -1)                  \
    X(SWITCHOVER_START, 11, "switchover-start", 0)

typedef enum MigCommand {
#define X(symbol, number, name, length) MIG_CMD_##symbol = number,
    MIG_COMMANDS(X)
#undef X
} MigCommand;

#define MIG_RAM_VERSION            4u
#define MIG_RAM_FLAG_FULL          0x001u /* obsolete: never valid */
#define MIG_RAM_FLAG_ZERO          0x002u
#define MIG_RAM_FLAG_MEM_SIZE      0x004u
#define MIG_RAM_FLAG_PAGE          0x008u
#define MIG_RAM_FLAG_EOS           0x010u
#define MIG_RAM_FLAG_CONTINUE      0x020u
#define MIG_RAM_FLAG_XBZRLE        0x040u
#define MIG_RAM_FLAG_HOOK          0x080u
#define MIG_RAM_FLAG_COMPRESS_PAGE 0x100u
#define MIG_RAM_FLAG_MULTIFD_FLUSH 0x200u

#define MIG_XBZRLE_HEADER 0x01u

#define MIG_MAPPED_RAM_VERSION   1u
#define MIG_MAPPED_RAM_ALIGNMENT 0x100000u /* of a block's page area */

/* X(symbol, number, name, payload length or -1 for variable) of the return path */
#define MIG_RP_MESSAGES(X)                 \
    X(SHUT, 1, "shut", 4)                  \
    X(PONG, 2, "pong", 4)                  \
    X(REQ_PAGES_ID, 3, "req-pages-id", -1) \
    X(REQ_PAGES, 4, "req-pages", 12)       \
    X(RECV_BITMAP, 5, "recv-bitmap", -1)   \
    X(RESUME_ACK, 6, "resume-ack", 4)      \
    X(SWITCHOVER_ACK, 7, "switchover-ack", 0)

typedef enum MigRpMessage {
#define X(symbol, number, name, length) MIG_RP_##symbol = number,
    MIG_RP_MESSAGES(X)
#undef X
} MigRpMessage;

#define MIG_RP_BITMAP_END 0x0123456789abcdefull

#define MIG_MULTIFD_MAGIC             0x11223344u
#define MIG_MULTIFD_VERSION           1u
#define MIG_MULTIFD_PACKET_BYTES      524288u /* uncompressed pages of one packet */
#define MIG_MULTIFD_HEADER            320u    /* bytes of a packet in front of its offsets */
#define MIG_MULTIFD_FLAG_SYNC         0x01u
#define MIG_MULTIFD_FLAG_ZLIB         0x02u
#define MIG_MULTIFD_FLAG_ZSTD         0x04u
#define MIG_MULTIFD_FLAG_QPL          0x08u
#define MIG_MULTIFD_FLAG_UADK         0x10u
#define MIG_MULTIFD_FLAG_QATZIP       0x20u
#define MIG_MULTIFD_FLAG_COMPRESSION  0x3eu
#define MIG_MULTIFD_FLAG_DEVICE_STATE 0x40u

#define MIG_PING_SETUP    1u
#define MIG_PING_DISCARD  2u    /* after the discards, before the package */
#define MIG_PING_PACKAGED 3u    /* in the package, before RUN */
#define MIG_PING_LISTEN   4u    /* after the package */
#define MIG_PING_LOADED   0x42u /* in the package, 10.2 and later */

/* Iterable `block`, until 9.0: be64 (sector << 9) | flags */
#define MIG_BLOCK_FLAGS       0x1ffu
#define MIG_BLOCK_DEVICE      0x01u
#define MIG_BLOCK_EOS         0x02u
#define MIG_BLOCK_PROGRESS    0x04u
#define MIG_BLOCK_ZERO        0x08u
#define MIG_BLOCK_CHUNK_BYTES (1u << 20)

/* Iterable `dirty-bitmap`: u8 flags */
#define MIG_BITMAP_EOS         0x01u
#define MIG_BITMAP_ZEROES      0x02u
#define MIG_BITMAP_NAME        0x04u
#define MIG_BITMAP_DEVICE_NAME 0x08u
#define MIG_BITMAP_START       0x10u
#define MIG_BITMAP_COMPLETE    0x20u
#define MIG_BITMAP_BITS        0x40u
#define MIG_BITMAP_EXTRA       0x80u

/* X(symbol, number, name): words between COLO checkpoints */
#define MIG_COLO_MESSAGES(X)                       \
    X(CHECKPOINT_READY, 0, "checkpoint-ready")     \
    X(CHECKPOINT_REQUEST, 1, "checkpoint-request") \
    X(CHECKPOINT_REPLY, 2, "checkpoint-reply")     \
    X(VMSTATE_SEND, 3, "vmstate-send")             \
    X(VMSTATE_SIZE, 4, "vmstate-size")             \
    X(VMSTATE_RECEIVED, 5, "vmstate-received")     \
    X(VMSTATE_LOADED, 6, "vmstate-loaded")

typedef enum MigColoMessage {
#define X(symbol, number, name) MIG_COLO_##symbol = number,
    MIG_COLO_MESSAGES(X)
#undef X
        MIG_COLO_COUNT
} MigColoMessage;

#endif
