/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decoder answers, and how it says that bytes are bad.
 *
 * Bad bytes are never a crash and never silent: the decoder stops with MIG_STATUS_BAD and one
 * MigDiagnosis that names the place twice (byte offset and path), what was expected there and what
 * stands there. Each fault is one kind of damage; the rule catalogue maps faults to rules.
 */
#ifndef MIG_STREAM_STATUS_H
#define MIG_STREAM_STATUS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum MigStatus {
    MIG_STATUS_RECORD,  /* a record was decoded */
    MIG_STATUS_PAYLOAD, /* the payload asked for with payload_into() is complete */
    MIG_STATUS_MORE,    /* everything that was fed is used up: feed more */
    MIG_STATUS_END,     /* the stream has ended as it should */
    MIG_STATUS_BAD,     /* bad bytes: see the diagnosis; the decoder stays here */
} MigStatus;

/*
 * X(symbol, name, what it means). The name is stable: it stands in reports.
 * BODY_UNRESOLVED and UNKNOWN_ITERABLE are limits of what can be known, not proofs of damage:
 * mig_fault_is_inconclusive() tells them apart.
 */
#define MIG_FAULTS(X)                                                                           \
    X(NONE, "none", "no fault")                                                                 \
    X(TRUNCATED, "truncated", "the stream ends inside a record")                                \
    X(HEADER_MAGIC, "header-magic", "the stream does not begin with QEVM")                      \
    X(HEADER_VERSION, "header-version", "the version word is not 3")                            \
    X(CONFIG_LENGTH, "config-length", "the machine name's length is absurd")                    \
    X(CONFIG_SUBSECTION, "config-subsection", "an unknown configuration subsection")            \
    X(CONFIG_SUBSECTION_VERSION, "config-subsection-version",                                   \
      "a configuration subsection of an unknown version")                                       \
    X(CONFIG_CAPABILITIES, "config-capabilities", "the capability list's count is absurd")      \
    X(CONFIG_PAGE_BITS, "config-page-bits", "the target page size is absurd")                   \
    X(CONFIG_REPEATED, "config-repeated", "a configuration section that is not the first item") \
    X(ITEM_TYPE, "item-type", "a byte that begins no item")                                     \
    X(SECTION_IDSTR, "section-idstr", "a section with an empty name")                           \
    X(SECTION_UNKNOWN, "section-unknown", "PART or END of a section that was never started")    \
    X(SECTION_LIMIT, "section-limit", "more sections than any machine has")                     \
    X(FOOTER_MISSING, "footer-missing", "a section body that is not followed by its footer")    \
    X(FOOTER_ID, "footer-id", "a footer of another section")                                    \
    X(COMMAND_NUMBER, "command-number", "an unknown command")                                   \
    X(COMMAND_LENGTH, "command-length", "a command with a wrong payload length")                \
    X(COMMAND_PAYLOAD, "command-payload", "a command whose payload contradicts itself")         \
    X(PACKAGE_NESTED, "package-nested", "a package inside a package")                           \
    X(PACKAGE_END, "package-end", "a package that ends inside an item")                         \
    X(RAM_VERSION, "ram-version", "a RAM section that is not version 4")                        \
    X(RAM_FLAGS, "ram-flags", "an impossible combination of RAM record flags")                  \
    X(RAM_NO_BLOCK, "ram-no-block", "a CONTINUE record before any block was named")             \
    X(RAM_BLOCK_UNKNOWN, "ram-block-unknown", "a page of a block that is not in the list")      \
    X(RAM_OFFSET, "ram-offset", "a page beyond the end of its block")                           \
    X(RAM_TOTAL, "ram-total", "block lengths that do not add up to the announced total")        \
    X(RAM_BLOCK_LENGTH, "ram-block-length", "a block length that no block can have")            \
    X(RAM_BLOCK_LIMIT, "ram-block-limit", "more RAM blocks than any machine has")               \
    X(RAM_XBZRLE, "ram-xbzrle", "an XBZRLE record with a bad header")                           \
    X(RAM_COMPRESS, "ram-compress", "a compressed page of an impossible length")                \
    X(MAPPED_HEADER, "mapped-header", "a mapped-ram header that contradicts itself")            \
    X(VMDESC_LENGTH, "vmdesc-length", "a VMDESCRIPTION of absurd length")                       \
    X(VMDESC_JSON, "vmdesc-json", "a VMDESCRIPTION whose text is not what one looks like")      \
    X(BODY_DESCRIPTION, "body-description", "a device body that contradicts its description")   \
    X(DEVICE_STATE, "device-state", "device state that its device refuses")                     \
    X(BODY_UNRESOLVED, "body-unresolved", "a device body whose end cannot be found")            \
    X(BODY_LENGTH, "body-length", "a device body that does not end where its description says") \
    X(ITERABLE, "iterable", "a malformed record of an iterable section")                        \
    X(RP_TYPE, "rp-type", "an unknown return-path message")                                     \
    X(RP_LENGTH, "rp-length", "a return-path message of a wrong length")                        \
    X(RP_BITMAP, "rp-bitmap", "a received bitmap that contradicts itself")                      \
    X(MULTIFD_MAGIC, "multifd-magic", "a multifd packet without its magic")                     \
    X(MULTIFD_VERSION, "multifd-version", "a multifd packet of an unknown version")             \
    X(MULTIFD_COUNT, "multifd-count", "a multifd packet with impossible page counts")           \
    X(MULTIFD_NAME, "multifd-name", "a multifd packet whose block name is not terminated")      \
    X(MULTIFD_SIZE, "multifd-size", "a multifd packet whose payload has an impossible size")    \
    X(MULTIFD_FLAGS, "multifd-flags", "a multifd packet with impossible flags")                 \
    X(COLO_MESSAGE, "colo-message", "an unknown COLO message")

typedef enum MigFault {
#define X(symbol, name, text) MIG_FAULT_##symbol,
    MIG_FAULTS(X)
#undef X
        MIG_FAULT_COUNT
} MigFault;

#define MIG_DIAGNOSIS_TEXT 192

typedef struct MigDiagnosis {
    MigFault fault;
    uint64_t offset;               /* of the first byte that is wrong, from the stream's start */
    char path[MIG_DIAGNOSIS_TEXT]; /* ram/part[3]/page[17] */
    char expected[MIG_DIAGNOSIS_TEXT]; /* "footer 7e of section 2" */
    char found[MIG_DIAGNOSIS_TEXT];    /* "02", or "end of stream" */
} MigDiagnosis;

/* The stable name ("footer-id") and the one-line meaning of a fault; never NULL. */
const char *mig_fault_name(MigFault fault);
const char *mig_fault_text(MigFault fault);

/* True where the decoder's knowledge ends although the bytes may be good. */
bool mig_fault_is_inconclusive(MigFault fault);

#endif
